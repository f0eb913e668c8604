"""deploy/modules/cas.py does what it says: on a node, its replica without the module, and after a restart."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

ROOT = Path(__file__).parents[2]
CAS = str(ROOT / "deploy" / "modules" / "cas.py")
PAGE = (ROOT / "deploy" / "modules" / "README.md").read_text()
DEADLINE_S = 60.0
Start = Callable[..., redis.Redis]


@pytest.fixture
def start(tmp_path: Path, free_port: Callable[[], int]) -> Iterator[Start]:
    processes: list[subprocess.Popen[bytes]] = []
    clients: list[redis.Redis] = []

    def start(*arguments: str, port: int = 0) -> redis.Redis:
        port = port or free_port()
        directory = tmp_path / str(port)
        directory.mkdir(exist_ok=True)
        command = [sys.executable, "-m", "node", "--port", str(port), "--bind", "127.0.0.1", "--dir", "."]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        with (directory / "log").open("ab") as log:
            processes.append(
                subprocess.Popen(
                    [*command, *arguments], cwd=directory, stdout=log, stderr=log, env=environment
                )
            )
        client = redis.Redis(port=port, socket_timeout=DEADLINE_S)
        clients.append(client)
        wait_for(lambda: _answers(client))
        return client

    yield start
    for client in clients:
        client.close()
    for process in processes:
        process.kill()
        process.wait()


def _answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.ConnectionError:
        return False


def wait_for(condition: Callable[[], object]) -> None:
    deadline_s = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.02)


def test_compare_and_set(start: Start) -> None:
    client = start("--loadmodule", CAS, "--cas.digest-bytes", "4")
    client.set("job", "waiting")
    assert client.execute_command("CAS.SET", "job", "waiting", "running", "PX", 60_000) == 1
    assert 0 < client.pttl("job") <= 60_000
    assert client.execute_command("CAS.SET", "job", "waiting", "running") == 0
    assert client.get("job") == b"running"
    value, digest = client.execute_command("CAS.GET", "job")
    assert (value, len(digest)) == (b"running", 8)
    assert client.execute_command("CAS.SETD", "job", "00000000", "x") == 0
    assert client.execute_command("CAS.SETD", "job", digest, "done") == 1
    assert client.execute_command("CAS.DEL", "job", "running") == 0
    assert client.execute_command("CAS.DEL", "job", "done") == 1
    assert client.execute_command("CAS.GET", "job") is None
    client.rpush("list", "x")
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        client.execute_command("CAS.SET", "list", "x", "y")
    with pytest.raises(redis.ResponseError, match="syntax error"):
        client.execute_command("CAS.SET", "k", "x", "y", "EX", "1")
    assert client.eval("return redis.call('CAS.SET', KEYS[1], 'a', 'b')", 1, "k") == 0
    info = client.info("modules")
    assert "cas" in str(info)


def test_a_replica_and_a_restart_need_no_module(start: Start) -> None:
    """They are told the effects."""
    primary = start("--loadmodule", CAS, "--appendonly", "yes")
    port = primary.connection_pool.connection_kwargs["port"]
    replica = start("--replicaof", "127.0.0.1", str(port), "--save", "")
    wait_for(lambda: replica.info("replication")["master_link_status"] == "up")
    primary.set("k", "a")
    assert primary.execute_command("CAS.SET", "k", "a", "b") == 1
    wait_for(lambda: replica.get("k") == b"b")
    primary.shutdown(nosave=True)
    again = start("--appendonly", "yes", port=port)
    wait_for(lambda: not int(again.info("persistence")["loading"]))
    assert again.get("k") == b"b"


def test_settings_that_make_no_sense_end_the_start(start: Start, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "node", "--port", "0", "--loadmodule", CAS, "--cas.digest-bytes", "99"]
    done = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
        check=False, timeout=DEADLINE_S,
    )  # fmt: skip
    assert done.returncode == 1
    assert "on_load raised ValueError: cas.digest-bytes must be between 1 and 64" in done.stderr


def test_the_example_of_the_page_works(start: Start, tmp_path: Path) -> None:
    (text,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    file = tmp_path / "example.py"
    file.write_text(text)
    client = start("--enable-module-command", "local", "--save", "")
    assert client.execute_command("MODULE", "LOAD", str(file)) == b"OK"
    client.set("pens", 5)
    assert client.execute_command("STOCK.TAKE", "pens", 3) == 2
    assert client.execute_command("STOCK.TAKE", "pens", 3) == -1
    with pytest.raises(redis.ResponseError, match=r"module 'stock' failed in STOCK\.TAKE: ValueError"):
        client.execute_command("STOCK.TAKE", "pens", "many")
    assert client.execute_command("MODULE", "UNLOAD", "stock") == b"OK"
