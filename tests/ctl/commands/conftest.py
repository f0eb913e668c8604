"""Runs `ctl` in this process, and a redis-server cluster for the verbs to work on."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from ctl.cli import cli
from ctl.execute import local
from ctl.execute.local import LocalCluster
from ctl.execute.ports import taken


@dataclass(frozen=True)
class Ctl:
    """`ctl cluster …` for one directory."""

    directory: Path

    def __call__(self, *arguments: str, status: int | None = 0, **env: str) -> str:
        """What it printed, stderr after stdout; fails unless it exits with `status` (None: any)."""
        result = CliRunner().invoke(
            cli, ["cluster", *arguments], env={"SHOAL_DIR": str(self.directory), **env}
        )
        assert not isinstance(result.exception, Exception), result.exc_info
        assert status is None or result.exit_code == status, result.output
        return result.stdout + result.stderr

    def json(self, *arguments: str, status: int | None = 0) -> Any:
        """The document that it printed with --json."""
        return json.loads(self(arguments[0], "--json", *arguments[1:], status=status))

    @property
    def cluster(self) -> LocalCluster:
        cluster = local.load(self.directory)
        assert cluster is not None
        return cluster


@pytest.fixture(scope="session")
def free_run(free_port: Callable[[], int]) -> Callable[[int], int]:
    """The first of so many free ports in a row."""

    def find(count: int) -> int:
        return next(port for port in iter(free_port, None) if not taken("127.0.0.1", port, count))

    return find


@pytest.fixture
def ctl(tmp_path: Path) -> Iterator[Ctl]:
    """For a directory without a cluster; one that the test makes is destroyed after it."""
    ctl = Ctl(tmp_path / "shoal")
    yield ctl
    if local.load(ctl.directory) is not None:
        ctl("destroy", "--yes", "--timeout", "0.5")


@pytest.fixture(scope="module", params=["shoal", "redis"])
def made(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, free_run: Callable[[int], int]
) -> Iterator[Ctl]:
    """Six nodes, three primaries with a replica each, shared by the tests of a module: ours, then
    redis-servers.
    """
    server = ["--server", request.getfixturevalue("redis_server_path")] if request.param == "redis" else []
    ctl = Ctl(tmp_path_factory.mktemp("made") / "shoal")
    try:
        # Replicas are promoted by the tests alone: a node that fails is not to be replaced before they look.
        ctl(
            "create",
            *server,
            "--base-port",
            str(free_run(6)),
            "--node-option",
            "cluster-replica-no-failover=yes",
        )
        yield ctl
    finally:
        if local.load(ctl.directory) is not None:
            ctl("destroy", "--yes", "--timeout", "0.5")
