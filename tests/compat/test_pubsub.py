"""The group pubsub, and keyspace notifications, beside redis-server 7.0.

After each request every client of both servers asks for an echo, and what came before that must be the same:
confirmations, messages, replies. In RESP3 nobody publishes to itself: since 7.2 the message comes behind the
reply.
"""

from __future__ import annotations

import random
import shlex

import pytest


def run(ours, theirs, lines: list[str]) -> None:
    for done, line in enumerate(lines):
        number, *words = shlex.split(line)
        mark = words.pop(0) if words[0] == "*" else ""
        requests = [request.split() for request in " ".join(words).encode().split(b" ; ")]
        if len(requests) == 1:
            requests = [[word.encode() for word in words]]
        got = [side.step(int(number), *requests) for side in (ours, theirs)]
        if mark:
            got = [[sorted(b"".join(each).split(b"\r\n")) for each in side] for side in got]
        assert got[0] == got[1], "\n".join(lines[: done + 1])


SCRIPT = """
0 SUBSCRIBE a
0 SUBSCRIBE a b a
1 PSUBSCRIBE a* *
1 PSUBSCRIBE a*
2 * PUBLISH a one
2 * PUBLISH b two
2 * PUBLISH none ''
2 * PUBLISH '' empty
2 PUBSUB NUMSUB a b none
2 PUBSUB NUMSUB
2 * PUBSUB CHANNELS
2 PUBSUB CHANNELS a*
2 PUBSUB NUMPAT
2 PUBSUB NUMPAT x
2 PUBSUB CHANNELS a b
2 PUBSUB NOSUCH
2 PUBSUB
2 PUBLISH a
2 SUBSCRIBE
0 UNSUBSCRIBE none
0 UNSUBSCRIBE a
2 * PUBLISH a three
0 PSUBSCRIBE [ab]
0 SSUBSCRIBE s
2 SPUBLISH s four
2 * PUBLISH s five
2 SPUBLISH a six
2 PUBSUB SHARDCHANNELS
2 PUBSUB SHARDCHANNELS x*
2 PUBSUB SHARDNUMSUB s t
2 * PUBSUB CHANNELS
0 PUNSUBSCRIBE
0 PUNSUBSCRIBE
0 SUNSUBSCRIBE x
0 SUNSUBSCRIBE
0 SUNSUBSCRIBE
0 UNSUBSCRIBE
0 UNSUBSCRIBE
1 * PUNSUBSCRIBE
1 GET a
2 PUBLISH a nobody
2 PUBSUB CHANNELS
2 SUBSCRIBE z
2 RESET
2 PUBLISH z gone
"""
RESP2_MODE = """
0 SUBSCRIBE a
0 GET k
0 PUBLISH a x
0 CLIENT ID
0 config get x
0 NOSUCH
0 GET
0 PING
0 PING x
0 PING x y
0 MULTI
0 HELLO 3
0 UNSUBSCRIBE
0 GET k
0 SSUBSCRIBE s
0 GET k
0 SUNSUBSCRIBE
0 PING
1 MULTI ; SUBSCRIBE c ; PUBLISH d x ; EXEC
1 GET k
1 RESET
1 MULTI ; SSUBSCRIBE c ; EXEC
1 PSUBSCRIBE *
0 MULTI ; PUBLISH x 1 ; PUBLISH y 2 ; EXEC
"""


@pytest.mark.parametrize("protocols", [[2, 2, 2], [3, 3, 3], [2, 3, 3]])
def test_script(sides, protocols):
    run(*sides(protocols), SCRIPT.strip().splitlines())


def test_what_a_subscriber_may_ask_for_in_resp2(sides):
    run(*sides([2, 2, 2]), RESP2_MODE.strip().splitlines())


NAMES = ["a", "b", "ab", "abc", "", "b:1", "b:2"]
PATTERNS = ["*", "a*", "*b", "?", "a?c", "[ab]*", "b:*", "*:1", "\\a", "a[", "", "*b*", "ab"]


@pytest.mark.parametrize("seed", range(4))
def test_random_subscriptions(sides, seed):
    rng = random.Random(seed)
    ours, theirs = sides([2, 3, 2])
    for _ in range(120):
        number = rng.randrange(2)
        kind = rng.choice(["SUBSCRIBE", "PSUBSCRIBE", "UNSUBSCRIBE", "PUNSUBSCRIBE", "PUBLISH", "PUBLISH"])
        if kind == "PUBLISH":
            number, words = 2, [kind, rng.choice(NAMES), "message"]
        else:
            pool = PATTERNS if kind[0] == "P" else NAMES
            words = [kind, *rng.sample(pool, rng.randint(1, 3))]
        ours_got, theirs_got = (
            list(map(sorted, side.step(number, [word.encode() for word in words]))) for side in (ours, theirs)
        )
        # A channel's subscribers come first, then patterns, in whatever order the server keeps them.
        assert ours_got == theirs_got, words


@pytest.mark.parametrize("classes", ["KEA", "KEAnm", "Kg$", "Elshzxetdnm", "Em", "KE", "A"])
def test_notifications(sides, changing_commands, classes):
    """What each command publishes, in its order, with every class."""
    ours, theirs = sides([2, 2])
    for side in (ours, theirs):
        side.step(0, [b"CONFIG", b"SET", b"notify-keyspace-events", classes.encode()])
        side.step(1, [b"PSUBSCRIBE", b"__key*"])
    try:
        for line in changing_commands:
            words = [word.encode() for word in shlex.split(line)]
            got, expected = (side.step(0, words)[2] for side in (ours, theirs))
            assert got == expected, line
    finally:
        for side in (ours, theirs):
            side.step(0, [b"CONFIG", b"SET", b"notify-keyspace-events", b""])
