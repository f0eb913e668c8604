"""Blocking commands beside redis-server 7.0: several clients of each server, of which some wait.

A line of a script is a client's number and its request. After each request every client that waited on either
server must have got the same, or nothing, on both.

A command that stores its outcome in place of a key of another type (SORT b STORE a, where a is a string)
wakes nobody in Redis, and here those who wait for a, like any other way in which a list can come to be there.
So none does that here.
"""

from __future__ import annotations

import random
import select
import time
from collections.abc import Iterator

import pytest

CLIENTS = 5
DEADLINE_S = 20.0

Step = tuple[int, list[bytes]]


class Side:
    """The clients of one server. A request ends with its reply, or with its client waiting."""

    def __init__(self, connect, protocol: int) -> None:
        self._clients = [connect() for _ in range(CLIENTS)]
        self._control = connect()
        self.waiting: set[int] = set()
        for client in self._clients:
            client.call(b"HELLO", b"%d" % protocol)
        self._control.call(b"FLUSHALL")
        self.ids = [client.call(b"CLIENT", b"ID")[1:-2] for client in self._clients]

    def step(self, number: int, words: list[bytes]) -> dict[int, bytes]:
        """Sends a request and returns the reply of each client that got one."""
        before = len(self.waiting)
        client = self._clients[number]
        client.send([words])
        replies: dict[int, bytes] = {}
        deadline_s = time.monotonic() + DEADLINE_S
        while number not in replies and self._blocked() <= before - len(replies):
            self._collect({number, *self.waiting} - set(replies), replies)
            assert time.monotonic() < deadline_s
        if number not in replies:
            self._collect({number}, replies)
        waiting = (self.waiting | {number}) - set(replies)
        while (blocked := self._blocked()) < len(waiting):
            self._collect(waiting, replies)
            waiting -= set(replies)
            assert time.monotonic() < deadline_s, (blocked, waiting)
        self.waiting = waiting
        return replies

    def _collect(self, numbers: set[int], replies: dict[int, bytes]) -> None:
        """The replies that are there, or come within a moment."""
        sockets = {self._clients[number].socket: number for number in numbers}
        for ready in select.select(list(sockets), [], [], 0.001)[0]:
            number = sockets[ready]
            replies[number] = self._clients[number].receive()

    def _blocked(self) -> int:
        info = self._control.call(b"INFO", b"clients")
        return int(info.split(b"blocked_clients:")[1].split(b"\r\n")[0])

    def finish(self) -> bytes:
        """Ends all waits and returns what the keys hold."""
        for number in sorted(self.waiting):
            self._control.call(b"CLIENT", b"UNBLOCK", self.ids[number])
            assert self._clients[number].receive()
        names = [b"a", b"b", b"c", b"z", b"y"]
        held = [self._control.call(*request, name) for name in names for request in ((b"TYPE",), (b"DUMP",))]
        lists = [self._control.call(b"LRANGE", name, b"0", b"-1") for name in names]
        zsets = [self._control.call(b"ZRANGE", name, b"0", b"-1", b"WITHSCORES") for name in names]
        return b"".join(held[::2] + lists + zsets)

    def close(self) -> None:
        for client in (*self._clients, self._control):
            client.socket.close()


@pytest.fixture
def run(pair) -> Iterator:
    """Runs steps at both servers; returns how many clients were served after having waited."""

    def run(steps: list[Step], protocol: int) -> int:
        served = 0
        sides = [Side(wire.again, protocol) for wire in (pair.ours, pair.theirs)]
        try:
            shown: list[str] = []
            for number, words in steps:
                if number in sides[0].waiting:
                    continue
                shown.append(f"{number} {b' '.join(words).decode()}")
                ours, theirs = (side.step(number, words) for side in sides)
                if ours != theirs or sides[0].waiting != sides[1].waiting:
                    pytest.fail("\n".join([*shown, f"ours:   {ours}", f"theirs: {theirs}"]), pytrace=False)
                served += len(ours.keys() - {number})
            held = [side.finish() for side in sides]
            assert held[0] == held[1], shown
        finally:
            for side in sides:
                side.close()
        return served

    return run


def script(text: str) -> list[Step]:
    lines = [line.split() for line in text.strip().splitlines()]
    return [(int(number), [word.encode() for word in words]) for number, *words in lines]


SCRIPTS = {
    "order": """
        1 BLPOP a 0
        2 BRPOP a 0
        3 BLPOP b a 0
        0 RPUSH a 1
        0 RPUSH a 2 3 4
        0 RPUSH a 5
        0 RPUSH b 6
        """,
    "order after a wait that ended": """
        1 BLPOP a 0
        2 BLPOP a 0
        0 RPUSH a 1
        1 BLPOP a 0
        0 RPUSH a 2
        0 RPUSH a 3
        """,
    "many at once": """
        1 BLMPOP 0 1 a LEFT COUNT 2
        2 BLMPOP 0 2 b a RIGHT COUNT 10
        3 BLPOP a 0
        0 RPUSH a 1 2 3 4 5
        0 RPUSH a 6
        """,
    "chain": """
        1 BLPOP c 0
        2 BLMOVE b c LEFT RIGHT 0
        3 BLMOVE a b LEFT RIGHT 0
        0 RPUSH a 1
        0 RPUSH a 2 3
        """,
    "ring": """
        1 BRPOPLPUSH a b 0
        2 BRPOPLPUSH b a 0
        3 BLMOVE a a LEFT RIGHT 0
        0 RPUSH a 1 2
        """,
    "other types": """
        1 BLPOP a 0
        2 BZPOPMIN a 0
        3 BLMOVE a b LEFT LEFT 0
        0 SET a x
        0 DEL a
        0 ZADD a 1 x 2 y
        0 DEL a
        0 SET b x
        0 RPUSH a 1
        0 RPUSH a 2
        1 BLPOP b 0
        2 BLMOVE a b LEFT LEFT 0
        """,
    "ways": """
        1 BLPOP a 0
        0 RPUSH b 1
        0 RENAME b a
        1 BLPOP a 0
        0 RPUSH b 2
        0 COPY b a
        1 BLPOP a 0
        0 SELECT 1
        0 RPUSH a 3
        0 MOVE a 0
        0 RPUSH a 4
        1 BLPOP a 0
        0 SWAPDB 0 1
        0 SELECT 0
        1 BLPOP a 0
        0 RPUSH b 2 1 3
        0 SORT b STORE a
        1 BLPOP a 0
        0 LMOVE b a LEFT LEFT
        """,
    "sorted sets": """
        1 BZPOPMIN z 0
        2 BZPOPMAX y z 0
        3 BZMPOP 0 2 y z MIN COUNT 2
        0 ZADD z 1 a
        0 ZADD z 1 a 2 b
        0 ZADD z 5 c 6 d 7 e
        1 BZPOPMIN z 0
        0 ZREM z e
        0 ZINCRBY z 2 q
        1 BZPOPMIN z 0
        0 ZADD y 1 a 2 b
        0 ZUNIONSTORE z 1 y
        1 BZPOPMIN y z 0
        """,
    "time-outs": """
        1 BLPOP a 0.01
        1 BRPOP a b 0.01
        1 BLMOVE a b LEFT LEFT 0.01
        1 BRPOPLPUSH a b 0.01
        1 BLMPOP 0.01 1 a LEFT
        1 BZPOPMIN z 0.01
        1 BZPOPMAX z 0.01
        1 BZMPOP 0.01 1 z MIN
        1 BLPOP a 1e-3
        1 BLPOP a 0x0.1
        1 BLPOP a x
        1 BLPOP a nan
        1 BLPOP a inf
        1 BLPOP a -inf
        1 BLPOP a -1
        1 BLPOP a -0.1
        1 BLPOP a 1e16
        1 BLPOP a 9223372036854775
        1 BLPOP a 9223372036854776
        1 BLPOP a 1e400
        1 BLPOP a 1e5000
        1 BLPOP 0
        1 BLPOP
        1 BZPOPMIN z x
        1 BLMPOP x 1 a LEFT
        1 BLMPOP -1 1 a LEFT
        1 BLMPOP x 0 a LEFT
        1 BLMPOP 0 0 a LEFT
        1 BLMPOP 0 1 a UP
        1 BLMPOP 0 1 a LEFT COUNT 0
        1 BLMPOP 0 2 a LEFT
        1 BZMPOP 0 1 a LEFT
        1 BZMPOP x 1 a LEFT
        1 BZMPOP 0 1 a MIN COUNT x
        1 BLMOVE a b UP LEFT 0
        1 BLMOVE a b LEFT UP x
        1 BLMOVE a b LEFT LEFT x
        1 BLMOVE a b LEFT LEFT -1
        1 BRPOPLPUSH a b x
        1 SET a x
        1 BLPOP a x
        1 BLPOP a 0
        1 BLPOP b a 0
        1 BRPOPLPUSH a b 0
        1 BLMPOP 0 1 a LEFT
        1 BZPOPMIN a 0
        1 BZMPOP 0 1 a MIN
        1 RPUSH b 1
        1 BLMOVE b a LEFT LEFT 0
        """,
}


@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("name", SCRIPTS)
def test_clients_that_wait_get_what_they_get_from_redis_server(run, name, protocol):
    run(script(SCRIPTS[name]), protocol)


def _sequence(seed: int, length: int = 60) -> list[Step]:
    """Requests of five clients, of which all but the first wait again and again."""
    rng = random.Random(seed)

    def blocking() -> str:
        first, second = rng.sample(["a", "b", "c"], 2)
        end, other = rng.choices(["LEFT", "RIGHT"], k=2)
        return rng.choice(
            [
                f"BLPOP {first} {second} 0",
                f"BRPOP {first} 0",
                f"BLMPOP 0 2 {first} {second} {end} COUNT 2",
                f"BLMOVE {first} {second} {end} {other} 0",
                f"BRPOPLPUSH {first} {first} 0",
                "BZPOPMIN z y 0",
                "BZPOPMAX y 0",
                "BZMPOP 0 2 y z MAX COUNT 2",
            ]
        )

    def acting() -> str:
        name, other = rng.sample(["a", "b", "c"], 2)
        return rng.choice(
            [
                f"RPUSH {name} {rng.randrange(100)}",
                f"LPUSH {name} {rng.randrange(100)} {rng.randrange(100)} {rng.randrange(100)}",
                f"LMOVE {name} {other} LEFT RIGHT",
                f"RENAME {name} {other}",
                f"COPY {name} {other} REPLACE",
                f"LPOP {name}",
                f"ZADD {rng.choice('zy')} {rng.randrange(9)} {rng.randrange(5)}",
                f"ZADD {rng.choice('zy')} 1 p 2 q 3 r",
                "ZUNIONSTORE y 2 z y",
                f"DEL {name} {other} z",
                f"DEL {name} {other} y",
                "DEL a b c z y",
                f"SET {rng.choice([name, 'z'])} x" if rng.random() < 0.3 else f"LTRIM {name} 0 0",
                f"ZADD {name} 1 x" if rng.random() < 0.3 else "RENAME y z",
            ]
        )

    def step() -> Step:
        waits = rng.random() < 0.5
        text = blocking() if waits else acting()
        return (rng.randrange(1, CLIENTS) if waits else 0), text.encode().split()

    return [step() for _ in range(length)]


def test_random_sequences(run):
    served = sum(run(_sequence(seed), 2 + seed % 2) for seed in range(15))
    assert served > 50


@pytest.mark.slow
def test_random_sequences_for_long(run):
    for seed in range(15, 400):
        run(_sequence(seed), 2 + seed % 2)
