"""The group transactions beside redis-server 7.0: scripts, and random sequences of two clients of which one
watches keys that the other changes.
"""

from __future__ import annotations

import random

import pytest

SCRIPTS = {
    "errors": """
        EXEC
        DISCARD
        UNWATCH
        MULTI
        MULTI
        WATCH a
        EXEC
        EXEC now
        MULTI
        EXEC now
        EXEC
        MULTI now
        DISCARD now
        WATCH
        UNWATCH now
        MULTI
        SET a
        SET a 1
        EXEC
        EXISTS a
        MULTI
        NOSUCH a b
        PING
        EXEC
        MULTI
        CLIENT NOSUCH
        EXEC
        MULTI
        SHUTDOWN
        SET a 1
        EXEC
        MULTI
        SYNC
        DISCARD
        MULTI
        EXEC
        """,
    "replies": """
        MULTI
        SET a 1
        INCR a
        GET a
        LPUSH a x
        HSET h f v
        HGETALL h
        SMISMEMBER a b
        ZADD z 1.5 m
        ZSCORE z m
        GET none
        SELECT 1
        SELECT 99
        SET b 1
        ECHO x
        EXEC
        GET b
        SELECT 0
        GET b
        OBJECT ENCODING a
        MULTI
        BLPOP none 0
        BRPOPLPUSH none other 0
        BLMOVE none other LEFT RIGHT 0
        BLMPOP 0 1 none LEFT
        BZPOPMIN none 0
        BZMPOP 0 1 none MIN
        XREAD BLOCK 0 STREAMS none $
        WAIT 1 0
        UNWATCH
        EXEC
        MULTI
        CLIENT REPLY ON
        HELLO
        DISCARD
        MULTI
        SET a 1
        RESET
        EXEC
        GET a
        MULTI
        SET x y EX 100
        ~ TTL x
        GETDEL x
        EXEC
        """,
}

# PFCOUNT is left out: where it stores what it counted, Redis takes the key for changed, though it is not.
WORDS = [
    "SET k v", "SET l v", "DEL k", "DEL l", "DEL none", "GET k", "APPEND k x", "EXPIRE k 100", "PERSIST k",
    "RENAME k l", "RENAMENX k l", "COPY k l", "LPUSH q a", "LPOP q", "LREM q 0 a", "LSET q 0 z",
    "LTRIM q 0 -1", "RPOPLPUSH q q", "SADD s a", "SREM s a", "SMOVE s k a", "SPOP s", "SUNIONSTORE s k",
    "SINTERSTORE t s",
    "HSET h f v", "HDEL h f", "HSETNX h f w", "HINCRBY h n 1", "ZADD z 1 m", "ZADD z NX 2 m", "ZINCRBY z 1 m",
    "ZREM z m", "ZPOPMIN z", "ZUNIONSTORE t 1 z", "XADD x * f v", "XTRIM x MAXLEN 0", "XDEL x 1-1",
    "XGROUP CREATE x g 0 MKSTREAM", "XREADGROUP GROUP g c STREAMS x >", "XGROUP DESTROY x g",
    "XSETID x 9999999999999-9",
    "XGROUP DELCONSUMER x g c", "XGROUP CREATECONSUMER x g d", "XACK x g 1-1", "SETBIT k 3 1",
    "SETRANGE k 0 ''", "GETEX k EX 50", "GETDEL k", "INCR n", "DECRBY n 0", "INCRBYFLOAT n 1", "PFADD p a",
    "PFADD p a", "PFMERGE p", "GEOADD g 1 1 m", "SORT q ALPHA STORE t", "FLUSHDB", "SWAPDB 0 1",
    "SWAPDB 1 2", "MOVE k 1", "UNLINK l", "TOUCH k", "BITOP NOT t k", "BITFIELD k GET u8 0",
    "BITFIELD k SET u8 0 7", "LINSERT q BEFORE a b", "SETNX k v", "MSETNX k v l v", "SET k v NX",
    "SET k v XX", "EXPIREAT k 1", "GETSET l v",
]  # fmt: skip
KEYS = ["k", "l", "q", "s", "t", "h", "z", "x", "n", "p", "g", "none"]


@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("name", ["errors"])
def test_scripts(run_script, name, protocol):
    run_script(SCRIPTS[name], protocol)


@pytest.mark.parametrize("protocol", [2, 3])
def test_replies(pair, protocol):
    """HELLO inside has the server's own numbers in its reply, and is left out."""
    pair.run_script(SCRIPTS["replies"].replace("        HELLO\n", ""), protocol)


@pytest.mark.parametrize("seed", range(12))
def test_what_touches_a_watch_does_so_on_both(pair, seed):
    """One client watches some keys, another runs a few commands: EXEC is refused by both servers or none."""
    rng = random.Random(seed)
    pair.start(2)
    changing = [wire.again() for wire in (pair.ours, pair.theirs)]
    try:
        for _ in range(150):
            watched = rng.sample(KEYS, rng.randint(1, 2))
            words = [rng.choice(WORDS) for _ in range(rng.randint(1, 2))]
            outcomes = []
            for wire, other in zip((pair.ours, pair.theirs), changing, strict=True):
                assert wire.call(b"WATCH", *(key.encode() for key in watched)) == b"+OK\r\n"
                replies = [
                    other.call(*(word.encode() for word in line.replace("''", "").split(" ")))
                    for line in words
                ]
                wire.send([[b"MULTI"], [b"EXEC"]])
                wire.receive()
                outcomes.append((wire.receive(), [reply[:1] for reply in replies]))
            assert outcomes[0] == outcomes[1], (seed, watched, words)
    finally:
        for wire in changing:
            wire.socket.close()
