"""What is written is deterministic: a node that replays the file holds what the one that wrote it holds.

Random sequences of commands of every type, some of them random or relative to the clock themselves, some in
transactions, with time passing in between; a failure shows its seed.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trio

from node.aof_wiring import new_replay
from node.app import Node

VALUES = [b"", b"1", b"-7", b"abc", b"3.25", b"\x00\xff\r\n", b"v" * 70]
SEQUENCES = 25
LENGTH = 120

# ruff: noqa: E501
TEMPLATES = """
SET k v|SET k v EX n|SET k v PX n KEEPTTL|SET k v NX|SET k v XX GET|SETEX k n v|GETSET k v|GETDEL k|GETEX k EX n
GETEX k PERSIST|APPEND k v|SETRANGE k n v|INCR k|INCRBY k n|DECRBY k n|INCRBYFLOAT k f|MSET k v k v|MSETNX k v k v
SETBIT k n 1|BITOP OR k k k|BITFIELD k INCRBY u8 n 7|PFADD k v v|PFMERGE k k
DEL k k|UNLINK k|RENAME k k|RENAMENX k k|COPY k k REPLACE|MOVE k 1|EXPIRE k n|PEXPIRE k n GT|EXPIREAT k 33177117420
PEXPIRE k -1|PERSIST k|TOUCH k|SORT k ALPHA STORE k
RPUSH k v v v|LPUSH k v|RPUSHX k v|LPOP k|RPOP k 2|LSET k 0 v|LINSERT k BEFORE v v|LREM k 0 v|LTRIM k 0 3
LMOVE k k LEFT RIGHT|RPOPLPUSH k k|LMPOP 2 k k LEFT COUNT 2|BLPOP k k 0.01|BLMOVE k k LEFT LEFT 0.01
SADD k v v v|SADD k n n|SREM k v|SPOP k|SPOP k 2|SMOVE k k v|SINTERSTORE k k k|SUNIONSTORE k k k|SDIFFSTORE k k k
HSET k v v v v|HSETNX k v v|HDEL k v|HINCRBY k v n|HINCRBYFLOAT k v f|HEXPIRE k n FIELDS 1 v|HPERSIST k FIELDS 1 v
HPEXPIRE k 1 FIELDS 1 v|HGETEX k EX n FIELDS 1 v|HGETDEL k FIELDS 1 v|HSETEX k EX n FIELDS 1 v v
ZADD k n v f v|ZADD k GT CH n v|ZADD k INCR n v|ZINCRBY k f v|ZREM k v|ZPOPMIN k|ZPOPMAX k 2|BZPOPMIN k 0.01
ZREMRANGEBYRANK k 0 0|ZREMRANGEBYSCORE k -inf 0|ZUNIONSTORE k 2 k k|ZINTERSTORE k 2 k k|ZRANGESTORE k k 0 1
ZMPOP 1 k MIN|GEOADD k 13.36 38.11 v|GEOSEARCHSTORE k k FROMLONLAT 13 38 BYRADIUS 500 km
XADD k * v v|XADD k MAXLEN ~ 3 * v v|XADD k MAXLEN = 2 * v v|XADD k NOMKSTREAM * v v|XTRIM k MAXLEN 2|XDEL k 1-1
XADD k 1-1 v v|XGROUP CREATE k g $ MKSTREAM|XGROUP CREATE k h 0|XREADGROUP GROUP g c COUNT 2 STREAMS k >
XREADGROUP GROUP h c NOACK STREAMS k >|XREADGROUP GROUP h d COUNT 1 STREAMS k >|XAUTOCLAIM k g d 0 0|XACK k g 1-1
XGROUP SETID k g 0|XGROUP DELCONSUMER k g c|XGROUP DESTROY k h|XSETID k 99999999999999-1
SELECT 0|SELECT 1|SWAPDB 0 1|FLUSHDB|MULTI|EXEC|EXEC|EXEC|DISCARD
"""
_LINES = [line for line in TEMPLATES.split("\n") if line]
GROUPS = [
    _LINES[0:2],
    _LINES[2:4],
    _LINES[4:6],
    _LINES[6:7],
    _LINES[7:9],
    _LINES[9:12],
    _LINES[12:16],
    _LINES[16:],
]
"""Templates that share keys, so that most commands find their type."""


def sequence(rng: random.Random) -> Iterator[list[bytes]]:
    for _ in range(LENGTH):
        group = rng.randrange(len(GROUPS))
        words = rng.choice(rng.choice(GROUPS[group]).split("|")).split(" ")
        if words[0] in ("FLUSHDB", "SWAPDB") and rng.random() < 0.8:
            continue
        yield [_word(word, group, rng) for word in words]


def _word(word: str, group: int, rng: random.Random) -> bytes:
    if word == "k":
        of = group if rng.random() < 0.9 else rng.randrange(len(GROUPS))
        return b"%d%c" % (of, rng.choice(b"ab"))
    if word == "v":
        return rng.choice(VALUES)
    if word == "n":
        return b"%d" % rng.choice([1, 2, 5, 17, 100, 1000])
    if word == "f":
        return rng.choice([b"0.1", b"-2.5", b"1e3"])
    return word.encode()


def contents(node: Node) -> dict[tuple[int, bytes], Any]:
    """Every key's payload and deadline, with those of fields."""
    found = {}
    for database in node.databases:
        for partition in filter(None, database.slots):
            for key, value in partition.items():
                found[database.index, key] = (_plain(value), database.deadlines.at.get(key))
    return found


def _plain(value: Any) -> Any:
    """A value without what depends on its history: the order of members, hints, when a consumer was seen."""
    kind = type(value).__name__
    if kind == "Set":
        return sorted(value)
    if kind == "Hash":
        return sorted((field, content, value.deadline(field)) for field, content in value.pairs())
    if kind == "Zset":
        return list(value.entries())
    if kind == "List":
        return list(value)
    if kind != "Stream":
        return bytes(value) if isinstance(value, bytearray) else value
    groups = {
        name: (
            group.last_id,
            group.entries_read,
            sorted(group.consumers),
            [(id, each.consumer.name, each.time_ms, each.count) for id, each in group.pending.items()],
        )
        for name, group in value.groups.items()
    }
    facts = (value.last_id, value.max_deleted_id, value.entries_added)
    return [tuple(map(repr, entry)) for entry in value.entries()], facts, groups


def run(node: Node, client: Any, seed: int) -> None:
    rng = random.Random(seed)
    for words in sequence(rng):
        client.raw(*words)
        if client.session.blocked is not None:
            node.clients.unblock(client.session, b"$-1\r\n")
        if rng.random() < 0.05:
            node.clock.now_ms += rng.choice([1, 1500])
            node.cron.expire(1.0)
        if rng.random() < 0.2:
            node.reactor.settle()
    client.raw(b"DISCARD")
    node.cron.expire(1.0)
    node.reactor.settle()


@pytest.mark.parametrize("as_rdb", [True, False])
def test_a_replay_gives_what_was_there(
    make_node: Callable[..., Node], client: Any, tmp_path: Path, as_rdb: bool
) -> None:
    node = client.node
    node.config.set_many([(b"appendfsync", b"no")])
    node.clock.update = lambda: node.clock.now_ms
    other = make_node(tmp_path / "other", aof_use_rdb_preamble=as_rdb)
    increment = tmp_path / "appendonlydir" / "appendonly.aof.1.incr.aof"
    base = tmp_path / "base"
    other.clock.update = lambda: node.clock.now_ms
    start = 0 if as_rdb else SEQUENCES
    for seed in range(start, start + SEQUENCES):
        base.write_bytes(b"".join(node.aof._hands.pieces(as_rdb, lambda _keys: None)))
        begin = increment.stat().st_size
        node.aof._begin_file()
        run(node, client, seed)
        (tmp_path / "part").write_bytes(increment.read_bytes()[begin:])
        for database in other.databases:
            database.clear()
        other.clock.now_ms = node.clock.now_ms
        trio.run(_replay, other, [str(base), str(tmp_path / "part")])
        assert contents(other) == contents(node), f"seed {seed}"


async def _replay(node: Node, paths: list[str]) -> None:
    await new_replay(node).load(paths, cut_torn_tail=False)
