"""While a script runs for long: the cluster goes on to count on its node, and a signal is heard."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import hiredis
import pytest

DEADLINE_S = 60.0
NODE_TIMEOUT_MS = 1500
SPIN = "local t = os.clock() while os.clock() - t < tonumber(ARGV[1]) do end return 'done'"
SLOW = ("--busy-reply-threshold", "100")
Start = Callable[..., Any]


def wait_until(condition: Callable[[], object]) -> None:
    end_s = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end_s
        time.sleep(0.02)


def flags(client: Any) -> list[bytes]:
    return [line.split()[2] for line in client.call("CLUSTER", "NODES").splitlines()]


@pytest.fixture
def three(starter: Any) -> list[Any]:
    """Primaries that know each other."""
    options = ("--cluster-enabled", "yes", "--cluster-node-timeout", str(NODE_TIMEOUT_MS), "--save", "")
    started = [starter.start(*options, *SLOW) for _ in range(3)]
    for at, node in enumerate(started):
        node.wait_for_log("Ready to accept connections")
        node.admin = node.connect()
        node.admin.call("CLUSTER", "SET-CONFIG-EPOCH", at + 1)
        last = 16383 if at == 2 else (at + 1) * 5461 - 1
        node.admin.call("CLUSTER", "ADDSLOTSRANGE", at * 5461, last)
    wait_until(lambda: all(_knows_all(node, started) for node in started))
    return started


def _knows_all(node: Any, nodes: list[Any]) -> bool:
    """Whether it is linked with all, and all is well; else meets them, perhaps once more: a handshake that
    takes longer than the node time-out is given up.
    """
    known = [line.split() for line in node.admin.call("CLUSTER", "NODES").splitlines()]
    if len(known) < len(nodes):
        for other in nodes:
            if other is not node:
                node.admin.call("CLUSTER", "MEET", "127.0.0.1", other.port)
        return False
    sure = all(each[2] in (b"master", b"myself,master") and each[7] == b"connected" for each in known)
    return sure and b"cluster_state:ok" in node.admin.call("CLUSTER", "INFO")


def test_a_node_that_runs_a_script_is_not_taken_for_failed(three: list[Any]) -> None:
    """Neither by the others, nor they by it."""
    busy, *others = three
    runner = busy.connect()
    runner.send(hiredis.pack_command(("EVAL", SPIN, "0", str(3 * NODE_TIMEOUT_MS / 1000))))
    replies: list[Any] = []
    waiter = threading.Thread(target=lambda: replies.append(runner.reply()))
    waiter.start()
    seen: set[bytes] = set()
    while waiter.is_alive():
        for node in others:
            seen.update(flags(node.admin))
        waiter.join(0.02)
    assert replies == [b"done"]
    seen.update(flags(busy.admin))
    assert seen <= {b"master", b"myself,master"}
    for node in three:
        assert "FAIL" not in node.logged()
        assert b"cluster_state:ok" in node.admin.call("CLUSTER", "INFO")


def test_a_signal_ends_a_script_that_has_not_written(shoal_node: Start) -> None:
    node = shoal_node(*SLOW, "--save", "")
    client = node.connect()
    client.send(hiredis.pack_command(("EVAL", "while true do end", "0")))
    node.wait_for_log("Slow script detected")
    node.process.send_signal(signal.SIGTERM)
    assert "The script ended, having written nothing, since the server was told to end" in str(client.reply())
    assert node.exit_status() == 0
    assert "Shoal is now ready to exit" in node.logged()


def test_a_signal_waits_for_a_script_that_has_written(shoal_node: Start) -> None:
    node = shoal_node(*SLOW, "--appendonly", "yes")
    client = node.connect()
    script = "redis.call('SET', 'k', 'a') " + SPIN.replace("return", "redis.call('SET', 'k', 'b') return")
    client.send(hiredis.pack_command(("EVAL", script, "0", "1")))
    node.wait_for_log("Slow script detected")
    node.process.send_signal(signal.SIGTERM)
    assert client.reply() == b"done"
    assert node.exit_status() == 0
    again = shoal_node("--appendonly", "yes", "--dir", str(node.directory))
    assert again.connect().call("GET", "k") == b"b"


def test_shutdown_nosave_ends_any_script(shoal_node: Start) -> None:
    node = shoal_node(*SLOW, "--save", "")
    client, other = node.connect(), node.connect()
    client.send(hiredis.pack_command(("EVAL", "redis.call('SET', 'k', 'a') while true do end", "0")))
    node.wait_for_log("Slow script detected")
    assert str(other.call("SHUTDOWN")).startswith("BUSY ")
    other.send(hiredis.pack_command(("SHUTDOWN", "NOSAVE")))
    assert other.is_closed()
    assert node.exit_status() == 0
