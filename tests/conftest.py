"""Fixtures shared by all tests. `tests` is no package: helpers reach a test as fixtures."""

from __future__ import annotations

import itertools
import os
import random
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

# --- redis-server and free ports ---

# Two runs side by side (`make quick`) have ports of their own, and bus ports too.
_LANES = {"": (10_000, 22_000), "0": (10_000, 16_000), "1": (16_000, 20_000)}
_PORTS = itertools.cycle(range(*_LANES[os.environ.get("SHOAL_TEST_LANE", "")], 4))
_START_DEADLINE_S = 60.0


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


@pytest.fixture(scope="session")
def free_port() -> Callable[[], int]:
    """Ports of 127.0.0.1 that are free now, as is each bus port (+ 10000), and were not given before."""
    for _ in range(random.Random(os.getpid()).randrange(3000)):  # two test runs at once start apart
        next(_PORTS)

    def find() -> int:
        return next(port for port in _PORTS if _is_free(port) and _is_free(port + 10_000))

    return find


@dataclass(frozen=True)
class RunningServer:
    """A redis-server of the test's own: kill it, read its directory."""

    host: str
    port: int
    directory: Path
    process: subprocess.Popen[bytes]

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"


@pytest.fixture(scope="session")
def redis_server_path() -> str:
    """Path of redis-server; the test is skipped where there is none."""
    path = shutil.which("redis-server")
    if path is None:
        pytest.skip("redis-server is not installed (Debian: apt-get install redis-server)")
    return path


@pytest.fixture
def start_redis(
    redis_server_path: str, free_port: Callable[[], int], tmp_path: Path
) -> Iterator[Callable[..., RunningServer]]:
    """Starts redis-server with the given arguments on a free port and waits until it accepts connections."""
    started: list[RunningServer] = []

    def start(*arguments: str) -> RunningServer:
        port = free_port()
        directory = tmp_path / f"redis-{port}"
        directory.mkdir()
        command = [redis_server_path, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(directory)]
        with (directory / "redis.log").open("wb") as log:
            process = subprocess.Popen([*command, "--save", "", *arguments], stdout=log, stderr=log)
        server = RunningServer("127.0.0.1", port, directory, process)
        started.append(server)
        _wait_accepting(server)
        return server

    yield start
    for server in started:
        server.process.kill()
        server.process.wait()


def _wait_accepting(server: RunningServer) -> None:
    deadline = time.monotonic() + _START_DEADLINE_S
    while True:
        try:
            socket.create_connection((server.host, server.port), timeout=1).close()
            return
        except OSError:
            if server.process.poll() is not None or time.monotonic() > deadline:
                pytest.fail((server.directory / "redis.log").read_text())
            time.sleep(0.01)


# --- certificates ---


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with ca.crt, and NAME.crt and NAME.key of: node (for 127.0.0.1 and node.example),
    client, other (for other.example), expired, and foreign, whose authority is another one.
    """
    import trustme  # takes a tenth of a second, which other tests need not pay

    directory = tmp_path_factory.mktemp("certificates")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(directory / "ca.crt")
    long_ago = datetime(2020, 1, 1, tzinfo=UTC)
    for name, issued in (
        ("node", authority.issue_cert("127.0.0.1", "node.example")),
        ("client", authority.issue_cert("client.example")),
        ("other", authority.issue_cert("other.example")),
        ("expired", authority.issue_cert("127.0.0.1", not_after=long_ago)),
        ("foreign", trustme.CA().issue_cert("127.0.0.1", "foreign.example")),
    ):
        issued.private_key_pem.write_to_path(directory / f"{name}.key")
        issued.cert_chain_pems[0].write_to_path(directory / f"{name}.crt")
    return directory


@pytest.fixture(scope="session")
def tls_arguments(certificates: Path) -> list[str]:
    """For a node, ours or a redis-server, that has TLS; the ports come beside them."""
    return [
        *("--tls-cert-file", str(certificates / "node.crt")),
        *("--tls-key-file", str(certificates / "node.key")),
        *("--tls-ca-cert-file", str(certificates / "ca.crt")),
    ]
