"""What replicas and the AOF are told of a command, against the AOF of redis-server 7.0."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import hiredis
import pytest
import redis

_CLOCKS_APART_MS = 5000

SCRIPTS = {
    "set": """
        SET k v
        SET k v NX
        SET k v GET
        SET k v get XX
        SET k v KEEPTTL GET
        SET k v EX 100
        SET k v PX 100000 GET
        SET k v EXAT 33177117420 XX
        SET k v PXAT 33177117420000
        SETEX k 100 v
        PSETEX k 100000 v
        SETNX k v
        SETNX new v
        SET k v XX KEEPTTL
        GETSET k w
        GETSET none w
        MSET a 1 b 2
        MSETNX a 1 z 2
        MSETNX y 1 z 2
        """,
    "get": """
        SET k v
        GET k
        GETEX k
        GETEX k EX 100
        GETEX k PX 100000
        GETEX k EXAT 33177117420
        GETEX k PXAT 33177117420000
        GETEX k PERSIST
        GETEX k PERSIST
        GETEX k PXAT 1
        GETEX k EX 100
        SET k v
        GETDEL k
        GETDEL k
        """,
    "edit": """
        INCR n
        DECRBY n 5
        INCR n x
        INCRBYFLOAT n 0.5
        INCR n
        EXPIREAT n 33177117420
        INCRBYFLOAT n 1
        APPEND s x
        APPEND s ''
        SETRANGE s 3 y
        SETRANGE s 3 ''
        SETRANGE none 3 ''
        GETRANGE s 0 1
        """,
    "keys": """
        MSET a 1 b 2 c 3
        DEL a missing
        DEL a
        UNLINK b
        RENAME c d
        RENAMENX d d
        RENAME d d
        RENAMENX d e
        COPY e f
        COPY e f
        COPY e f REPLACE
        COPY e f DB 1
        MOVE e 2
        MOVE e 2
        TOUCH f
        """,
    "streams": """
        XADD s 1-1 f v
        XADD s 1-* f v
        XADD s NOMKSTREAM MAXLEN 5 2 f v
        XADD s MAXLEN ~ 1 3-1 f v
        XADD s MINID ~ 1 4-1 f v
        XADD s MINID = 2 5-1 f v
        XADD s 5-1 f v
        XADD none NOMKSTREAM 5-1 f v
        XTRIM s MAXLEN ~ 1
        XTRIM s MAXLEN 2
        XTRIM s MAXLEN 2
        XDEL s 4-1 9-9
        XDEL s 9-9
        XSETID s 6-0 ENTRIESADDED 9
        XADD s 7-1 f v
        XADD s 7-2 f v
        XADD s 7-3 f v
        XADD s 7-4 f v
        XGROUP CREATE s g 0
        XGROUP CREATE s g 0
        XGROUP CREATECONSUMER s g c
        XGROUP CREATECONSUMER s g c
        XGROUP CREATECONSUMER s g d
        XREADGROUP GROUP g c NOACK COUNT 1 STREAMS s >
        XREADGROUP GROUP g c NOACK COUNT 2 STREAMS s >
        XCLAIM s g c 0 7-1 7-3 FORCE JUSTID
        XCLAIM s g d 0 7-1-0 7-3
        XCLAIM s g d 0 7-1 9-9
        XCLAIM s g d 100000 7-3
        XCLAIM s g c 0 7-1 RETRYCOUNT 5 TIME 77
        XCLAIM s g c 0 9-9 LASTID 7-3
        XREADGROUP GROUP g c STREAMS s 0
        XAUTOCLAIM s g d 0 0
        XDEL s 7-3
        XAUTOCLAIM s g c 0 7-2 JUSTID
        XACK s g 9-9
        XACK s g 7-1 9-9
        XGROUP SETID s g $
        XGROUP DELCONSUMER s g c
        XGROUP DELCONSUMER s g c
        XGROUP DESTROY s g
        XGROUP DESTROY s g
        XGROUP CREATE new g $ MKSTREAM ENTRIESREAD 0
        """,
    "expire": """
        SET k v
        EXPIRE k 100
        EXPIRE k 200 GT
        EXPIRE k 50 gt
        EXPIRE missing 50
        PEXPIRE k 100000
        EXPIREAT k 33177117420
        PEXPIREAT k 33177117420000
        PERSIST k
        PERSIST k
        EXPIRE k 100 NX
        EXPIRE k 0
        EXPIRE k 0
        SET k v
        PEXPIREAT k 1
        SET k v PXAT 1
        GET k
        SET k v PXAT 1
        INCR k
        SET k v PXAT 1
        DEL k
        SET k v PXAT 1
        SCAN 0 COUNT 1000
        """,
    "hashes": """
        HSET h a 1 b 2
        HMSET h c 3
        HSETNX h a 9
        HSETNX h d 9
        HINCRBY h a 5
        HINCRBY h a x
        HINCRBYFLOAT h a 0.5
        HINCRBYFLOAT h new 3.0e1
        HINCRBYFLOAT h a x
        HDEL h none
        HDEL h a none
        HDEL h b c d new
        HDEL h a
        HGETALL h
        """,
    "sets": """
        SADD s 1 2 3
        SADD s 1
        SREM s 9
        SREM s 1 9
        SMOVE s t 2
        SMOVE s t 9
        SMOVE s s 3
        SMOVE s t 3
        SPOP none
        SPOP s 5
        SPOP t 0
        SPOP t 2
        SADD s only
        SPOP s
        SADD s 1 2 3
        SPOP s 99
        SADD s only
        SPOP s 1
        SADD a 1 2
        SADD b 2 3
        SUNIONSTORE d a b
        SINTERSTORE d a b
        SDIFFSTORE d a a
        SDIFFSTORE d a a
        SINTERSTORE a a missing
        SPOP b x
        """,
    "lists": """
        RPUSH l a b c d e f g h
        LPUSH l 1 2
        LPUSHX l 3
        RPUSHX missing 3
        LPOP l
        RPOP l 2
        LPOP l 0
        LPOP missing
        LSET l 0 x
        LSET l 100 x
        LINSERT l BEFORE x y
        LINSERT l BEFORE nothing y
        LREM l 0 nothing
        LREM l 0 x
        LTRIM l 0 -1
        LTRIM l 0 4
        LTRIM missing 0 4
        LMOVE l l LEFT RIGHT
        LMOVE l m LEFT RIGHT
        RPOPLPUSH l m
        LMPOP 2 missing m LEFT COUNT 5
        LMPOP 1 missing LEFT
        BLPOP missing l 1
        BRPOP l 1
        RPUSH l a b c d e f g h
        BLMPOP 1 1 l RIGHT
        BLMPOP 1 1 l LEFT COUNT 2
        BLMOVE l m LEFT LEFT 1
        BRPOPLPUSH l m 1
        BLPOP m 1
        BLPOP m 1
        LPOP l 100
        SET s x
        LPUSH s a
        """,
    "sorted sets": """
        ZADD z 1 a 2 b 3 c
        ZADD z 1 a
        ZADD z NX 1 a
        ZADD z XX CH 2 a
        ZADD z XX 2 new
        ZADD z INCR 2 a
        ZADD z GT INCR -2 a
        ZINCRBY z 0 a
        ZINCRBY z 1.5 a
        ZREM z nothing
        ZREM z a nothing
        ZREMRANGEBYSCORE z 10 20
        ZREMRANGEBYSCORE z 2 2
        ZREMRANGEBYRANK z 5 6
        ZREMRANGEBYRANK z 0 0
        ZADD z 0 a 0 b 0 c 0 d
        ZREMRANGEBYLEX z [x [y
        ZREMRANGEBYLEX z [a [a
        ZUNIONSTORE out 2 z missing WEIGHTS 2 3
        ZINTERSTORE out 2 z missing
        ZINTERSTORE out 2 z missing
        ZDIFFSTORE out 1 z
        ZRANGESTORE out z 0 1
        ZRANGESTORE out z 5 6
        ZRANGESTORE out z 5 6
        ZPOPMIN z
        ZPOPMIN z 0
        ZPOPMAX z 5
        ZPOPMAX z
        ZADD z 1 a 2 b 3 c 4 d 5 e 6 f 7 g
        ZMPOP 2 missing z MAX COUNT 2
        ZMPOP 1 missing MIN
        BZPOPMIN missing z 1
        BZPOPMAX z 1
        BZMPOP 1 1 z MIN
        BZMPOP 1 1 z MAX COUNT 5
        """,
    "sort": """
        RPUSH l 3 1 2
        SORT l
        SORT_RO l
        SORT l STORE d
        SORT l LIMIT 0 1 DESC STORE d
        SORT missing STORE d
        SORT missing STORE d
        RPUSH l x
        SORT l STORE d
        """,
    "bitmaps": """
        SETBIT k 7 1
        SETBIT k 7 1
        SETBIT k 7 0
        SETBIT k 90000 0
        BITFIELD k GET u8 0
        BITFIELD k SET u8 0 5 GET u8 0
        BITFIELD k SET u8 0 5
        BITFIELD k OVERFLOW FAIL INCRBY u2 0 9
        BITOP NOT d k
        BITOP OR d missing
        BITOP OR d missing
        """,
    "hyperloglogs": """
        PFADD h
        PFADD h a b
        PFADD h a b
        PFCOUNT h
        PFCOUNT h
        PFADD g b c
        PFCOUNT g h
        PFMERGE h g
        PFMERGE h g
        PFDEBUG ENCODING h
        PFDEBUG TODENSE h
        PFDEBUG TODENSE h
        PFDEBUG GETREG g
        PFCOUNT g
        """,
    "geo": """
        GEOADD g 13.361389 38.115556 Palermo 15.087269 37.502669 Catania
        GEOADD g NX 1 2 Palermo
        GEOADD g xx CH 13.4 38.2 Palermo
        GEOADD g xx ch 13.4 38.2 Palermo
        GEOSEARCH g FROMLONLAT 15 37 BYRADIUS 200 km
        GEOSEARCHSTORE d g FROMLONLAT 15 37 BYRADIUS 200 km STOREDIST
        GEOSEARCHSTORE d g FROMLONLAT 150 37 BYRADIUS 200 km
        GEOSEARCHSTORE d g FROMLONLAT 150 37 BYRADIUS 200 km
        GEORADIUS g 15 37 200 km
        GEORADIUS g 15 37 200 km STORE d
        GEORADIUSBYMEMBER g Catania 200 km STOREDIST d
        GEORADIUS missing 15 37 200 km STORE d
        """,
    "restore": """
        SET k hello
        RESTORE r 0 {hello}
        RESTORE r 0 {hello}
        RESTORE r 100000 {hello} REPLACE
        RESTORE r 33177117420000 {hello} REPLACE ABSTTL
        RESTORE r 1 {hello} REPLACE ABSTTL
        RESTORE r 1 {hello} REPLACE ABSTTL
        """,
}


class AofTail:
    """What redis-server has appended since the last look."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self.new()

    def new(self) -> list[list[bytes]]:
        reader = hiredis.Reader()
        reader.feed(self._file.read())
        found = []
        while (command := reader.gets()) is not False:
            if command[0] != b"SELECT":
                found.append(command)
        return found

    def close(self) -> None:
        self._file.close()


@pytest.fixture
def told_by_redis(start_redis) -> Iterator[Callable[[list[bytes]], list[list[bytes]]]]:
    """Runs a command at redis-server and returns what it has written to its AOF."""
    options = ["--appendonly", "yes", "--appendfsync", "always", "--enable-debug-command", "yes"]
    server = start_redis(*options)
    client = redis.Redis(port=server.port)
    client.execute_command("DEBUG", "SET-ACTIVE-EXPIRE", "0")
    tail = AofTail(server.directory / "appendonlydir" / "appendonly.aof.1.incr.aof")

    def run(words: list[bytes]) -> list[list[bytes]]:
        with suppress(redis.ResponseError):
            client.execute_command(*words)
        return tail.new()

    yield run
    client.close()
    tail.close()


def _same(ours: list[bytes], theirs: list[bytes]) -> bool:
    if len(ours) != len(theirs) or ours[0].upper() != theirs[0].upper():
        return False
    return all(a == b or _same_time(a, b) for a, b in zip(ours[1:], theirs[1:], strict=True))


def _same_time(a: bytes, b: bytes) -> bool:
    """Whether both are the same Unix time in ms, each by its server's clock."""
    return len(a) == len(b) == 13 and a.isdigit() and b.isdigit() and abs(int(a) - int(b)) < _CLOCKS_APART_MS


@pytest.mark.parametrize("name", SCRIPTS)
def test_replicas_are_told_what_redis_server_tells(client, told_by_redis, name):
    told: list[list[bytes]] = []
    client.node.after.tellers.append(lambda _db, words: told.append(list(words)))
    client.call("SET", "k", "hello")
    payload = client.call("DUMP", "k")
    client.call("DEL", "k")
    for line in SCRIPTS[name].strip().splitlines():
        words = [payload if word == "{hello}" else word.encode() for word in shlex.split(line)]
        told.clear()
        client.raw(*words)
        theirs = told_by_redis(words)
        assert len(told) == len(theirs) and all(map(_same, told, theirs)), (line, told, theirs)  # noqa: PT018
