"""The group pubsub, and keyspace notifications, beside redis-server 7.0.

After each request every client of both servers asks for an echo, and what came before that must be the same:
confirmations, messages, replies. In RESP3 nobody publishes to itself: since 7.2 the message comes behind the
reply.
"""

from __future__ import annotations

import random
import shlex
from collections.abc import Iterator

import pytest

CLIENTS = 3
SETTLED = b"settled"


class Side:
    """The clients of one server."""

    def __init__(self, wire, protocols: list[int]) -> None:
        self.clients = [wire.again() for _ in protocols]
        wire.call(b"FLUSHALL")
        for client, protocol in zip(self.clients, protocols, strict=True):
            client.call(b"HELLO", b"%d" % protocol)

    def step(self, number: int, *requests: list[bytes]) -> list[list[bytes]]:
        """Sends requests; what each client got because of it."""
        self.clients[number].send(requests)
        received = []
        for client in [self.clients[number], *self.clients]:
            client.send([[b"PING", SETTLED]])
            got = []
            while SETTLED not in (reply := client.receive()):
                got.append(reply)
            received.append(got)
        return [received[0] + received[1 + number], *received[1:]]

    def close(self) -> None:
        for client in self.clients:
            client.socket.close()


@pytest.fixture
def sides(pair) -> Iterator:
    made: list[Side] = []

    def make(protocols: list[int]) -> tuple[Side, Side]:
        made.extend(Side(wire, protocols) for wire in (pair.ours, pair.theirs))
        return made[0], made[1]

    yield make
    for side in made:
        side.close()


def run(ours: Side, theirs: Side, lines: list[str]) -> None:
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


EVENTS = """
SET a 1
SET a 2 EX 100
SET a 3 KEEPTTL
SET a 4 NX
SET a 4 GET
SETEX a 100 v
PSETEX a 100000 v
SETNX b v
GETSET b w
MSET a 1 b 2 c 3
MSETNX a 1 d 2
MSETNX d 1 e 2
APPEND a x
SETRANGE a 0 y
SETRANGE a 0 ''
INCR n
DECRBY n 3
INCRBYFLOAT n 1.5
GETEX a EX 100
GETEX a PERSIST
GETEX a PERSIST
GETDEL a
GETDEL none
GET none
MGET a b none
STRLEN none
EXISTS none b none
TTL none
TYPE none
OBJECT ENCODING none
TOUCH none b
DEL b c none
UNLINK d e
SET a 1
RENAME a b
RENAMENX b c
SET b 1
RENAME b c
COPY c b
COPY c b
COPY c b REPLACE
COPY c b DB 1
MOVE b 2
EXPIRE c 100
PEXPIRE c 100000 NX
PERSIST c
PERSIST c
EXPIRE c -1
SET a 1
PEXPIREAT a 1
RPUSH l a b c
RPUSHX l d
LPUSHX none d
LPUSH l z
LSET l 0 y
LINSERT l BEFORE a q
LREM l 0 q
LREM l 0 none
LTRIM l 0 -1
LTRIM l 0 1
LTRIM l 5 9
RPUSH l 1 2 3 4 5 6
LPOP l
RPOP l 2
LPOP l 0
LMOVE l m LEFT RIGHT
RPOPLPUSH l m
LMOVE m m LEFT LEFT
RPUSH l 1 2 3 4
BLPOP l 0
BLMOVE l m LEFT LEFT 0
BLMPOP 0 1 m LEFT COUNT 9
LPOP none
LRANGE none 0 -1
SADD s a b c d e
SADD s a
SREM s a none
SREM s none
SPOP s
SPOP s 2
SPOP s 9
SADD s a b
SMOVE s t a
SMOVE s t b
SMOVE t t a
SUNIONSTORE u t
SINTERSTORE u t none
SDIFFSTORE u t
SRANDMEMBER none
HSET h a 1 b 2
HSET h a 3
HSETNX h a 1
HSETNX h c 1
HINCRBY h a 1
HINCRBYFLOAT h a 1.5
HMSET h d 1
HDEL h none
HDEL h a b c
HDEL h d
HGET none f
ZADD z 1 a 2 b 3 c 4 d 5 e
ZADD z 1 a
ZADD z XX CH 9 a
ZADD z INCR 1 a
ZINCRBY z 1 a
ZREM z none
ZREM z a
ZPOPMIN z
ZPOPMAX z 1
ZREMRANGEBYSCORE z 3 3
ZREMRANGEBYRANK z 0 -1
ZADD z 1 a 2 b 3 c
ZRANGESTORE y z 0 0
ZUNIONSTORE y 1 z
ZINTERSTORE y 2 z none
ZDIFFSTORE y 1 z
ZREMRANGEBYLEX y - +
BZPOPMIN z 0
ZMPOP 1 z MAX
BZMPOP 0 1 z MIN
ZSCORE none a
GEOADD g 1 1 m
GEOSEARCHSTORE h2 g FROMMEMBER m BYRADIUS 1 km
GEORADIUS g 1 1 1 km STORE h2
XADD x 1-1 f v
XADD x MAXLEN 1 2-1 f v
XADD x NOMKSTREAM 3-1 f v
XTRIM x MAXLEN 1
XTRIM x MAXLEN 1
XDEL x 3-1
XSETID x 9-9
XGROUP CREATE x g 0
XGROUP CREATE w g 0 MKSTREAM
XGROUP CREATECONSUMER x g c
XGROUP CREATECONSUMER x g c
XADD x 10-1 f v
XREADGROUP GROUP g d COUNT 1 STREAMS x >
XCLAIM x g e 0 10-1
XAUTOCLAIM x g f 0 0
XACK x g 10-1
XGROUP SETID x g 0
XGROUP DELCONSUMER x g c
XGROUP DELCONSUMER x g none
XGROUP DESTROY x g
XRANGE none - +
SETBIT bits 3 1
BITOP NOT c2 bits
BITOP NOT c2 none
BITFIELD bits SET u8 0 7
BITFIELD bits GET u8 0
BITFIELD bits INCRBY u8 0 1
PFADD p a
PFADD p a
PFMERGE p2 p
PFMERGE p2
PFCOUNT none
RPUSH l 3 1 2
SORT l STORE sorted
SORT none STORE sorted
SELECT 3
SET other v
FLUSHDB
SELECT 0
SWAPDB 0 1
FLUSHALL
"""


@pytest.mark.parametrize("classes", ["KEA", "KEAnm", "Kg$", "Elshzxetdnm", "Em", "KE", "A"])
def test_notifications(sides, pair, classes):
    """What each command publishes, in its order, with every class."""
    ours, theirs = sides([2, 2])
    for side in (ours, theirs):
        side.step(0, [b"CONFIG", b"SET", b"notify-keyspace-events", classes.encode()])
        side.step(1, [b"PSUBSCRIBE", b"__key*"])
    try:
        for line in EVENTS.strip().splitlines():
            words = [word.encode() for word in shlex.split(line)]
            got, expected = (side.step(0, words)[2] for side in (ours, theirs))
            assert got == expected, line
    finally:
        for side in (ours, theirs):
            side.step(0, [b"CONFIG", b"SET", b"notify-keyspace-events", b""])
