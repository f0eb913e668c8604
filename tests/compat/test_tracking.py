"""Client-side caching beside redis-server 7.0: who is told of which keys, and in which order.

Different on purpose, and so left out here: SWAPDB tells everybody, and NOLOOP does not keep expiry away.
Since 7.2, and here, what a transaction tells its own client comes behind the transaction's reply.
"""

from __future__ import annotations

import shlex
import time

import pytest

DEADLINE_S = 20.0
KEYS = (
    b"a", b"b", b"c", b"d", b"e", b"n", b"none", b"l", b"m", b"s", b"t", b"u", b"h", b"h2", b"z", b"y", b"g",
    b"x", b"w", b"bits", b"c2", b"p", b"p2", b"sorted",
)  # fmt: skip
"""Those of changing_commands.txt."""

DIFFERENT = ("SWAPDB", "XGROUP CREATE x")
"""We tell of a group that is made, in a stream that was there, too: it cannot be told from a stream made."""

SCRIPT = """
0 CLIENT TRACKINGINFO
0 CLIENT GETREDIR
0 CLIENT CACHING YES
0 CLIENT TRACKING
0 CLIENT TRACKING maybe
0 CLIENT TRACKING ON NOSUCH
0 CLIENT TRACKING ON REDIRECT
0 CLIENT TRACKING ON REDIRECT x
0 CLIENT TRACKING ON REDIRECT 0
0 CLIENT TRACKING ON REDIRECT 9999999
0 CLIENT TRACKING ON REDIRECT ID1 REDIRECT ID2
0 CLIENT TRACKING ON PREFIX a
0 CLIENT TRACKING ON PREFIX
0 CLIENT TRACKING ON BCAST OPTIN
0 CLIENT TRACKING ON BCAST OPTOUT
0 CLIENT TRACKING ON OPTIN OPTOUT
0 CLIENT TRACKING ON BCAST PREFIX ab PREFIX abc
0 CLIENT TRACKING OFF OPTIN OPTOUT
0 CLIENT TRACKINGINFO
0 CLIENT TRACKING on
0 CLIENT TRACKINGINFO
0 CLIENT GETREDIR
0 CLIENT TRACKING ON BCAST
0 CLIENT CACHING YES
0 CLIENT CACHING NO
0 CLIENT CACHING MAYBE
0 GET a
0 MGET b c a
1 SET a 1
1 SET a 2
1 MSET b 1 c 2 d 3
0 GET a
0 SET a 3
0 GET a ; SET a 4 ; GET a
1 MSET a 6 b 6
0 MULTI ; GET a ; DISCARD
1 SET a 7
0 EVAL "redis.call('get','a') redis.call('get','e') return 1" 2 a e
1 MSET a 8 e 8
0 EVAL_RO "return redis.call('get','a')" 1 a
1 MSET a 9 b 9
0 EVAL "return redis.call('set','a','10')" 1 a
0 GET a
0 EVAL "redis.call('set','a','10') return redis.call('set','b','10')" 2 a b
0 GET nothing
1 SET nothing 1
0 GET a
0 CLIENT TRACKING OFF
1 SET a 11
0 CLIENT TRACKING ON
0 GET a
1 FLUSHALL
1 FLUSHDB
1 SET a 1
0 FLUSHALL
0 LLEN a
1 DEL a
0 GET a
0 CLIENT TRACKING ON NOLOOP
0 CLIENT TRACKINGINFO
0 MGET a b
0 SET a 1
1 SET a 2
1 SET b 2
0 CLIENT TRACKING OFF
0 CLIENT TRACKING ON OPTIN
0 GET a
0 CLIENT CACHING YES ; CLIENT TRACKINGINFO ; PING ; CLIENT TRACKINGINFO ; GET a
1 SET a 1
0 CLIENT CACHING YES ; GET a x ; GET a
1 SET a 1
0 CLIENT CACHING YES ; CLIENT GETNAME ; CLIENT NOSUCH ; GET a ; GET b
1 MSET a 1 b 1
0 CLIENT CACHING YES ; MULTI ; GET a ; GET b ; EXEC ; GET c
1 MSET a 1 b 1 c 1
0 MULTI ; CLIENT CACHING YES ; GET a ; EXEC ; GET b
1 MSET a 1 b 1
0 CLIENT CACHING NO
0 CLIENT TRACKING ON OPTOUT
0 CLIENT TRACKING OFF
0 CLIENT TRACKING ON OPTOUT
0 CLIENT TRACKING ON OPTIN
0 CLIENT CACHING YES
0 CLIENT CACHING NO ; CLIENT TRACKINGINFO ; GET a ; GET b
1 MSET a 2 b 2
0 CLIENT CACHING NO ; SET c 1 ; GET a
1 MSET a 2 b 2
0 CLIENT CACHING NO ; MGET a b ; GET c
1 MSET a 2 b 2 c 2
0 CLIENT TRACKING OFF
0 CLIENT TRACKING ON BCAST PREFIX a: PREFIX b:
0 CLIENT TRACKING ON BCAST PREFIX a:1
0 CLIENT TRACKING ON BCAST PREFIX c: PREFIX d:
0 CLIENT TRACKING ON BCAST PREFIX b:
0 CLIENT TRACKINGINFO
1 MSET b:2 1 a:1 1 b:1 1 e:1 1 a: 1 c:1 1
0 SET a:2 1
0 GET a:2
1 FLUSHALL
0 CLIENT TRACKING ON BCAST
1 SET a:1 1
1 SET e 1
0 CLIENT TRACKING OFF
0 CLIENT TRACKING ON BCAST NOLOOP
0 MSET a 1 b 1
1 MSET a 1 b 1
1 SET c 1 ; SET d 1 ; SET c 2
0 RESET
0 CLIENT TRACKINGINFO
1 SET a 1
"""

REDIRECTED = """
1 SUBSCRIBE __redis__:invalidate
0 CLIENT TRACKING ON REDIRECT ID1
0 MGET a b
2 SET a 1
0 SET b 1
2 FLUSHALL
0 GET a
1 UNSUBSCRIBE
2 SET a 1
0 GET a
1 SSUBSCRIBE other
2 SET a 2
1 SUNSUBSCRIBE
0 CLIENT TRACKING OFF
1 PSUBSCRIBE *
0 CLIENT TRACKING ON REDIRECT ID1 BCAST PREFIX a PREFIX b
2 MSET a 1 ab 2 b 3 c 4
2 PUBLISH __redis__:invalidate x
0 CLIENT TRACKING OFF
0 CLIENT TRACKING ON REDIRECT ID0
0 GET a
2 SET a 1
1 RESET
2 SET a 1
"""


def run(ours, theirs, lines: list[str]) -> None:
    for done, line in enumerate(lines):
        number, *words = shlex.split(line)
        requests = [[]]
        for word in words:
            if word == ";":
                requests.append([])
            else:
                requests[-1].append(word.encode())
        got = [side.step(int(number), *requests) for side in (ours, theirs)]
        for received in got:
            del received[1 + int(number)]  # what is told of a turn may come before or behind the echo
        assert got[0] == got[1], "\n".join(lines[: done + 1])


@pytest.mark.parametrize("protocols", [[3, 3, 3], [2, 3, 3]])
def test_script(sides, protocols):
    run(*sides(protocols), SCRIPT.strip().splitlines())


@pytest.mark.parametrize("protocols", [[2, 2, 2], [3, 3, 2]])
def test_another_connection_hears(sides, protocols):
    run(*sides(protocols), REDIRECTED.strip().splitlines())


def test_who_should_hear_is_gone(sides):
    ours, theirs = sides([3, 3, 2])
    run(ours, theirs, ["0 CLIENT TRACKING ON REDIRECT ID1", "0 MGET a b"])
    for side in (ours, theirs):
        _leave(side, 1)
        side.step(1, [b"SET", b"a", b"1"])
        received = side.step(0, [b"CLIENT", b"TRACKINGINFO"])[0]
        assert any(b"broken_redirect" in each for each in received)
        [told] = side.step(1, [b"SET", b"b", b"1"])[1]
        assert told.startswith(b">2\r\n$21\r\ntracking-redir-broken\r\n:")


def _leave(side, number: int) -> None:
    """Ends a client's connection, and waits until the server knows."""
    client = side.clients.pop(number)
    left = b"id=%b " % client.call(b"CLIENT", b"ID")[1:-2]
    client.socket.close()
    deadline_s = time.monotonic() + DEADLINE_S
    while left in side.clients[-1].call(b"CLIENT", b"LIST"):
        assert time.monotonic() < deadline_s
        time.sleep(0.005)


@pytest.mark.parametrize("mode", [[], [b"BCAST"]])
def test_what_each_command_changes(sides, changing_commands, mode):
    """Every key that may have changed is told, and no other."""
    ours, theirs = sides([3, 3])
    for side in (ours, theirs):
        side.step(0, [b"CLIENT", b"TRACKING", b"ON", *mode])
    for line in changing_commands:
        words = [word.encode() for word in shlex.split(line)]
        if line.startswith(DIFFERENT):
            continue
        for side in (ours, theirs):
            side.step(0, [b"EXISTS", *KEYS])
        got, expected = (side.step(1, words)[1] for side in (ours, theirs))
        assert sorted(got) == sorted(expected), line


TOLD = b"invalidate\r\n*1\r\n$4\r\nsome\r\n"


def _is_told(side, *lines: str, told: bytes = b"") -> bool:
    """Whether the first client is told of the key `some`, once, because of what the second asks for; `told`
    is what it has been told before.
    """
    for line in (*lines, "PING"):
        told += b"".join(side.step(1, line.encode().split())[1])
    deadline_s = time.monotonic() + DEADLINE_S
    while TOLD not in told and time.monotonic() < deadline_s:
        time.sleep(0.005)
        told += b"".join(side.step(1, [b"PING"])[1])
    return told.count(TOLD) == 1


@pytest.mark.parametrize("mode", [[], [b"BCAST"]])
def test_expiry_is_told(sides, mode):
    for side in sides([3, 2]):
        side.step(0, [b"CLIENT", b"TRACKING", b"ON", *mode])
        ttl_ms, got = 25, b""
        while b"value" not in got:  # on a slow machine it is over before it is read
            ttl_ms *= 2
            side.step(1, [b"SET", b"some", b"value", b"PX", b"%d" % ttl_ms])
            got = b"".join(side.step(0, [b"GET", b"some"])[0])
        assert _is_told(side, told=got)


@pytest.mark.parametrize("mode", [[], [b"BCAST"]])
def test_eviction_is_told(sides, mode):
    for side in sides([3, 2]):
        side.step(1, [b"SET", b"some", b"v"])
        side.step(0, [b"CLIENT", b"TRACKING", b"ON", *mode])
        side.step(0, [b"GET", b"some"])
        try:
            assert _is_told(side, "CONFIG SET maxmemory-policy allkeys-random", "CONFIG SET maxmemory 1")
        finally:
            side.step(1, [b"CONFIG", b"SET", b"maxmemory", b"0"])
            side.step(1, [b"CONFIG", b"SET", b"maxmemory-policy", b"noeviction"])


def test_the_table_is_bounded(sides):
    """Who reads more keys than are remembered is told to forget some, which were not changed."""
    for side in sides([3, 2]):
        side.step(1, [b"CONFIG", b"SET", b"tracking-table-max-keys", b"10"])
        try:
            side.step(0, [b"CLIENT", b"TRACKING", b"ON"])
            told = b""
            for nth in range(30):
                told += b"".join(b"".join(each) for each in side.step(0, [b"GET", b"key:%d" % nth]))
            assert told.count(b"invalidate") == 20
            info = side.step(1, [b"INFO", b"stats"])[0][0]
            assert b"tracking_total_keys:10\r\n" in info
            assert b"tracking_total_items:10\r\n" in info
        finally:
            side.step(1, [b"CONFIG", b"SET", b"tracking-table-max-keys", b"1000000"])


def test_what_is_told_of_tracking(sides):
    for side in sides([3, 2]):
        side.step(0, [b"CLIENT", b"TRACKING", b"ON", b"BCAST", b"PREFIX", b"a", b"PREFIX", b"b"])
        side.step(1, [b"CLIENT", b"TRACKING", b"ON", b"REDIRECT", b"ID0"])
        side.step(1, [b"MGET", b"a", b"b", b"c"])
        info = side.step(0, [b"INFO"])[0][0]
        assert b"tracking_clients:2\r\n" in info
        assert b"tracking_total_prefixes:2\r\n" in info
        assert b"tracking_total_keys:3\r\n" in info
        lines = side.step(0, [b"CLIENT", b"LIST"])[0][0].split(b"\n")
        assert sum(b" flags=tB " in line for line in lines) == 1
        assert sum(b" flags=t " in line and b" redir=-1 " not in line for line in lines) == 1
