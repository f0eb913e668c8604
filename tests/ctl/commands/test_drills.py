"""`ctl drill` on real nodes: each drill hurts, heals and reports; what it cannot do it says first."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from redis import Redis

from ctl.cli import cli
from ctl.execute import local

NODE_TIMEOUT_MS = 1000
QUICK = ("--warm-up", "0.2", "--rate", "200", "--keys", "16", "--yes")
TIMEOUT_S = 60


@dataclass(frozen=True)
class Drills:
    """`ctl drill …` for one cluster of six."""

    directory: Path

    def __call__(self, *words: str, status: int = 0) -> str:
        result = CliRunner().invoke(cli, ["drill", *words], env={"SHOAL_DIR": str(self.directory)})
        assert not isinstance(result.exception, Exception), result.exc_info
        assert result.exit_code == status, result.output
        return result.output

    def report(self, *words: str, status: int = 0) -> Any:
        return json.loads(self(*words, *QUICK, "--json", status=status))

    @property
    def ports(self) -> list[int]:
        cluster = local.load(self.directory)
        assert cluster is not None
        return [node.port for node in cluster.nodes]


def made(directory: Path, port: int, *options: str) -> Iterator[Drills]:
    env = {"SHOAL_DIR": str(directory)}
    timeout = f"cluster-node-timeout={NODE_TIMEOUT_MS}"
    words = ["cluster", "create", "--base-port", str(port), "--node-option", timeout, *options]
    result = CliRunner().invoke(cli, words, env=env)
    assert result.exit_code == 0, result.output
    try:
        yield Drills(directory)
    finally:
        CliRunner().invoke(cli, ["cluster", "destroy", "--yes", "--timeout", "0.5"], env=env)


@pytest.fixture(scope="module")
def shoal(tmp_path_factory: pytest.TempPathFactory, free_run: Callable[[int], int]) -> Iterator[Drills]:
    options = ("--node-option", "enable-debug-command=yes", "--node-option", "appendonly=yes")
    yield from made(tmp_path_factory.mktemp("drills") / "shoal", free_run(6), *options)


@pytest.fixture(scope="module")
def redis(
    tmp_path_factory: pytest.TempPathFactory, free_run: Callable[[int], int], redis_server_path: str
) -> Iterator[Drills]:
    directory = tmp_path_factory.mktemp("drills") / "redis"
    yield from made(directory, free_run(6), "--server", redis_server_path)


def milestones(report: Any) -> list[str]:
    return [each["name"] for each in report["milestones"]]


def no_trace(drills: Drills) -> None:
    """No key, no fault, no level of the log is left behind."""
    for port in drills.ports:
        with Redis(port=port, decode_responses=True) as node:
            assert node.dbsize() == 0
            assert node.config_get("loglevel") == {"loglevel": "notice"}


def test_kill_tells_of_the_fail_over(shoal: Drills, tmp_path: Path) -> None:
    page = tmp_path / "kill.html"
    report = shoal.report("kill", "--duration", "1", "--max-unavailable-ms", "20000", "--report", str(page))
    assert report["verdict"] == "passed"
    reached = milestones(report)
    assert [name for name in ("FAIL", "election", "promotion") if name not in reached] == []
    times = {each["name"]: each["at_ms"] for each in report["milestones"]}
    assert 0 == times["fault"] < times["FAIL"] <= times["election"] <= times["promotion"] < times["healed"]
    [victim] = report["victims"]
    [hurt] = [each for each in report["outages"] if each["shard"] == victim]
    assert hurt["over"]
    assert hurt["longest_ms"] > hurt["usual_ms"]
    assert {each["kind"] for each in report["errors"]} >= {"connection refused"}
    assert report["counts"]["acked"] > 100
    assert page.read_text().startswith("<!doctype html>")
    no_trace(shoal)


def test_partition_names_what_the_minority_acknowledged_in_vain(shoal: Drills) -> None:
    """A primary alone goes on until the node time-out; the drill must see that, or it sees nothing."""
    report = shoal.report("partition", "--duration", "3", "--max-lost", "0", status=1)
    failed = [each["what"] for each in report["judgements"] if not each["passed"]]
    assert failed == ["acknowledged writes lost"]
    alone = report["sides"][0]
    assert {each["node"] for each in report["lost"]} == set(alone)
    # Replication is asynchronous: of the others, each may lose what was acknowledged just as the cut came.
    others = [each["key"] for each in report["lost"] if ":side-1:" not in each["key"]]
    assert len(others) == len(set(others)) < len(report["lost"]) - len(others)
    assert [each["expected"] for each in report["outages"]] == [False] * 3 + [True] * 3
    assert "promotion" in milestones(report)
    no_trace(shoal)


def test_what_makes_no_sense_is_refused_before_anything_happens(shoal: Drills) -> None:
    assert "no node 9" in shoal("kill", "9", "--yes", status=1)
    assert "not longer than the node time-out" in shoal("pause", "--duration", "0.5", "--yes", status=2)
    assert "belong together" in shoal("kill", "--fault-command", "true", "--yes", status=2)
    assert "nobody can be asked" in shoal("kill", status=2)
    assert "no such directory" in shoal("kill", "--yes", "--report", "/nonexistent/x.md", status=1)
    where = f"127.0.0.1:{shoal.ports[0]}"
    assert "--fault-command and --heal-command" in shoal("kill", "--addr", where, "--yes", status=2)


def test_ctrl_c_heals_first_and_then_reports(shoal: Drills) -> None:
    words = ["drill", "partition", "--duration", "60", *QUICK]
    process = subprocess.Popen(
        [sys.executable, "-m", "ctl.cli", *words],
        env={**os.environ, "SHOAL_DIR": str(shoal.directory)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with Redis(port=shoal.ports[0]) as node:
        while not node.execute_command("DEBUG", "FAULT", "STATUS")[1]:
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=TIMEOUT_S)
        assert node.execute_command("DEBUG", "FAULT", "STATUS")[1] == []
    assert process.returncode == 130
    assert "Interrupted: the fault was healed before its time." in output
    assert "acknowledged writes lost" in output
    no_trace(shoal)


def test_rolling_restart_of_redis_servers_loses_nothing(redis: Drills) -> None:
    report = redis.report("restart-rolling", "--max-lost", "0", "--max-unavailable-ms", "20000")
    assert report["verdict"] == "passed"
    assert len(report["victims"]) == 6
    steps = [each["text"] for each in report["timeline"] if each["kind"] == "step"]
    assert sum(text.startswith("stop ") for text in steps) == 6
    assert sum("takes over" in text for text in steps) == 3
    no_trace(redis)


def test_redis_servers_cannot_be_parted(redis: Drills) -> None:
    assert "does not allow DEBUG FAULT" in redis("partition", "--yes", status=1)


@pytest.mark.slow
def test_commands_of_the_operator_are_run_for_each_victim(shoal: Drills, tmp_path: Path) -> None:
    """A cluster that ctl did not start; there are no logs to read, so it is polled."""
    pid = tmp_path / "pid"
    stop = (
        f"redis-cli -p $DRILL_PORT info server | tr -d '\\r' | sed -n 's/^process_id://p' > {pid};"
        f" kill -STOP $(cat {pid})"
    )
    where = f"127.0.0.1:{shoal.ports[0]}"
    commands = ("--fault-command", stop, "--heal-command", f"kill -CONT $(cat {pid})")
    report = shoal.report("pause", "--addr", where, *commands)
    assert report["verdict"] == "passed"
    assert {"FAIL", "promotion", "healed"} <= set(milestones(report))
    assert {each["source"] for each in report["timeline"]} >= {"poll", "clients", "ctl"}
    assert "failed with status 7" in shoal(
        "pause", "--addr", where, "--fault-command", "exit 7", "--heal-command", "true", *QUICK, status=1
    )


@pytest.mark.slow
@pytest.mark.parametrize("drill", ["kill", "pause"])
def test_redis_servers_are_drilled(redis: Drills, drill: str) -> None:
    report = redis.report(drill)
    assert report["verdict"] == "passed"
    assert {"first PFAIL", "FAIL", "first vote", "promotion", "first accepted write"} <= set(
        milestones(report)
    )


@pytest.mark.slow
def test_a_paused_primary_invents_nothing(shoal: Drills) -> None:
    report = shoal.report("pause", "--max-lost", "0")
    assert report["verdict"] == "passed"
    assert "no answer" in {each["kind"] for each in report["errors"]}


@pytest.mark.slow
def test_rolling_restart_of_ours(shoal: Drills) -> None:
    assert shoal.report("restart-rolling", "--max-lost", "0")["verdict"] == "passed"


@pytest.mark.slow
def test_a_slow_disk_is_felt_where_every_write_is_synced(shoal: Drills) -> None:
    for port in shoal.ports:
        with Redis(port=port) as node:
            node.config_set("appendfsync", "always")
    report = shoal.report(
        "slow-disk", "--delay-ms", "300", "--duration", "2", "--max-unavailable-ms", "100", status=1
    )
    [victim] = report["victims"]
    [hurt] = [each for each in report["outages"] if each["shard"] == victim]
    assert hurt["longest_ms"] >= 300
    assert "healed" in milestones(report)
