"""Slots on the move, in a node and a redis-server 7.0 that are both half of a cluster: SETSLOT's rules and
errors, ASK, ASKING, TRYAGAIN.
"""

from __future__ import annotations

import re
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hiredis
import pytest

from gossip.slots import key_slot

SLOT = key_slot(b"tag")
OTHER = (SLOT + 1) % 16384
FOREIGN = (SLOT + 2) % 16384
NOBODY = "1" * 40
DEADLINE_S = 20.0

# ME and YOU stand for the ids of the node asked and of the one it knows, which has the slot FOREIGN.
SETSLOT = f"""
CLUSTER SETSLOT
CLUSTER SETSLOT {SLOT}
CLUSTER SETSLOT {SLOT} FOO
CLUSTER SETSLOT {SLOT} STABLE x
CLUSTER SETSLOT {SLOT} MIGRATING
CLUSTER SETSLOT {SLOT} NODE
CLUSTER SETSLOT 16384 STABLE
CLUSTER SETSLOT -1 STABLE
CLUSTER SETSLOT x STABLE
CLUSTER SETSLOT {SLOT} IMPORTING YOU
CLUSTER SETSLOT {SLOT} MIGRATING {NOBODY}
CLUSTER SETSLOT {FOREIGN} MIGRATING YOU
CLUSTER SETSLOT {FOREIGN} IMPORTING {NOBODY}
CLUSTER SETSLOT {SLOT} NODE {NOBODY}
SET {{tag}} v
CLUSTER SETSLOT {SLOT} NODE YOU
CLUSTER COUNTKEYSINSLOT {SLOT}
CLUSTER GETKEYSINSLOT {SLOT} 10
CLUSTER GETKEYSINSLOT {SLOT} 0
CLUSTER GETKEYSINSLOT {SLOT} -1
CLUSTER GETKEYSINSLOT x 1
CLUSTER COUNTKEYSINSLOT 16384
CLUSTER SETSLOT {SLOT} MIGRATING YOU
CLUSTER SETSLOT {SLOT} NODE YOU
CLUSTER SETSLOT {SLOT} NODE ME
DEL {{tag}}
CLUSTER SETSLOT {SLOT} STABLE
CLUSTER SETSLOT {OTHER} STABLE
OPEN
"""

MIGRATING = f"""
MSET {{tag}}1 a {{tag}}2 b
CLUSTER SETSLOT {SLOT} MIGRATING YOU
OPEN
GET {{tag}}1
GET {{tag}}3
SET {{tag}}3 x
SET {{tag}}1 x
MGET {{tag}}1 {{tag}}2
MGET {{tag}}1 {{tag}}3
MGET {{tag}}3 {{tag}}4
MSET {{tag}}1 a {{tag}}3 b
ASKING
GET {{tag}}3
EXISTS {{tag}}3
BLPOP {{tag}}3 1
MULTI
GET {{tag}}1
SET {{tag}}3 x
EXEC
MULTI
GET {{tag}}1
GET {{tag}}2
EXEC
WATCH {{tag}}1
WATCH {{tag}}3
UNWATCH
MIGRATE 127.0.0.1 1 {{tag}}3 0 100
MIGRATE 127.0.0.1 1 "" 0 100 KEYS {{tag}}3 {{tag}}4
CLUSTER SETSLOT {SLOT} STABLE
OPEN
GET {{tag}}3
DEL {{tag}}1 {{tag}}2
"""

IMPORTING = f"""
CLUSTER SETSLOT {FOREIGN} IMPORTING YOU
OPEN
GET F1
SET F1 v
ASKING
SET F1 v
GET F1
ASKING
GET F1
GET F1
ASKING
MGET F1 F2
ASKING
MGET F1 F1
ASKING
MSET F2 a F3 b
ASKING
LMOVE F5 F5 LEFT RIGHT
ASKING
PING
GET F1
ASKING
MULTI
GET F1
SET F2 v
EXEC
GET F1
MULTI
ASKING
SET F4 v
EXEC
GET F1
ASKING
MULTI
DISCARD
GET F1
ASKING
MULTI
FOO
EXEC
GET F1
ASKING
FOO
GET F1
ASKING
GET
GET F1
RESTORE F6 0 x
RESTORE-ASKING F6 0 x
MIGRATE 127.0.0.1 1 F7 0 100
READONLY
GET F1
READWRITE
ASKING
DEL F1
ASKING
DEL F2
CLUSTER COUNTKEYSINSLOT {FOREIGN}
CLUSTER SETSLOT {FOREIGN} STABLE
OPEN
"""

DELETED = f"""
CLUSTER SETSLOT {OTHER} MIGRATING YOU
CLUSTER DELSLOTS {OTHER}
OPEN
CLUSTER ADDSLOTS {OTHER}
OPEN
CLUSTER SETSLOT {OTHER} STABLE
CLUSTER SETSLOT {OTHER} MIGRATING YOU
CLUSTER SETSLOT {OTHER} NODE YOU
OPEN
CLUSTER SETSLOT {OTHER} IMPORTING YOU
OPEN
CLUSTER SETSLOT {OTHER} NODE ME
OPEN
"""


class Connection:
    """To one server; errors come as values."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_S)
        self._reader = hiredis.Reader()

    def call(self, *words: str | int) -> Any:
        self.socket.sendall(hiredis.pack_command(tuple(words)))
        while (reply := self._reader.gets()) is False:
            data = self.socket.recv(1 << 16)
            assert data, "the server has closed the connection"
            self._reader.feed(data)
        return reply

    def until_ok(self) -> None:
        end_s = time.monotonic() + DEADLINE_S
        while b"cluster_state:ok" not in self.call("CLUSTER", "INFO"):
            assert time.monotonic() < end_s, self.call("CLUSTER", "NODES").decode()
            time.sleep(0.02)


@dataclass
class Half:
    """A server that has all slots but one, and what it knows of the rest of the world."""

    call: Callable[..., Any]
    me: str
    you: str

    def run(self, line: str) -> str:
        if line == "OPEN":
            nodes = self.call("CLUSTER", "NODES").decode()
            own = next(row for row in nodes.splitlines() if "myself" in row)
            return self._plain(" ".join(own.split()[8:]))
        words = [_key(word) for word in shlex.split(line)]
        return self._plain(repr(self.call(*[{"ME": self.me, "YOU": self.you}.get(w, w) for w in words])))

    def _plain(self, text: str) -> str:
        return text.replace(self.me, "ME").replace(self.you, "YOU")


def _key(word: str) -> str:
    """F1 and the like stand for keys of the slot FOREIGN."""
    if word[:1] == "F" and word[1:].isdigit():
        return f"{{{_tag_of(FOREIGN)}}}{word[1:]}"
    return word


def _tag_of(slot: int) -> str:
    return next(f"t{number}" for number in range(10**6) if key_slot(b"t%d" % number) == slot)


@pytest.fixture
def shoal_port(free_port: Callable[[], int], tmp_path: Path) -> Iterator[int]:
    port = free_port()
    words = [sys.executable, "-m", "node", "--port", str(port), "--bind", "127.0.0.1", "--dir", str(tmp_path)]
    with (tmp_path / "node.log").open("wb") as log:
        process = subprocess.Popen([*words, "--cluster-enabled", "yes"], stdout=log, stderr=log)
    end_s = time.monotonic() + DEADLINE_S
    while True:
        try:
            Connection(port).socket.close()
            break
        except ConnectionRefusedError:
            assert process.poll() is None, (tmp_path / "node.log").read_text()
            assert time.monotonic() < end_s
            time.sleep(0.02)
    yield port
    process.terminate()
    process.wait(DEADLINE_S)


@pytest.fixture
def halves(shoal_port: int, start_redis: Callable[..., Any]) -> Iterator[list[Half]]:
    """A node and a redis-server; each knows a redis-server of its own, which has the slot FOREIGN."""
    yours = [start_redis("--cluster-enabled", "yes") for _ in range(2)]
    theirs = start_redis("--cluster-enabled", "yes")
    halves, open_ones = [], []
    for port, your_port in ((shoal_port, yours[0].port), (theirs.port, yours[1].port)):
        wire, other = Connection(port), Connection(your_port)
        open_ones += [wire, other]
        rest = [0, FOREIGN - 1, FOREIGN + 1, 16383]
        assert wire.call("CLUSTER", "ADDSLOTSRANGE", *rest) == b"OK"
        assert other.call("CLUSTER", "ADDSLOTSRANGE", FOREIGN, FOREIGN) == b"OK"
        assert other.call("CLUSTER", "SET-CONFIG-EPOCH", 5) == b"OK"
        assert wire.call("CLUSTER", "MEET", "127.0.0.1", your_port) == b"OK"
        wire.until_ok()
        ids = [each.call("CLUSTER", "MYID").decode() for each in (wire, other)]
        halves.append(Half(wire.call, *ids))
    yield halves
    for each in open_ones:
        each.socket.close()


_SCRIPTS = {"setslot": SETSLOT, "migrating": MIGRATING, "importing": IMPORTING, "deleted": DELETED}


@pytest.mark.parametrize("script", _SCRIPTS.values(), ids=_SCRIPTS)
def test_both_answer_the_same(halves: list[Half], script: str) -> None:
    ours, theirs = halves
    done = []
    for line in filter(None, script.split("\n")):
        done.append(line)
        assert _portless(ours.run(line)) == _portless(theirs.run(line)), done[-6:]


def _portless(text: str) -> str:
    """Each half knows another server: ports differ."""
    return re.sub(r"127\.0\.0\.1:\d+", "HOST", text)
