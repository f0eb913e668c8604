"""Keys as the commands that make them, for a node that imports their slots.

A collection is told in pieces of some elements, so neither end handles a request that takes long. What makes
them runs in a forked child, or in line for few keys. The commands are those of a rewritten append-only file
(`node.persistence.aof.commands`), which Valkey sends as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from hiredis import pack_command

from node.keyspace.database import Database, Value
from node.persistence.aof.commands import value_commands

_KEYS_AT_ONCE = 64
_BYTES_AT_ONCE = 64 * 1024

# Twice as fast as node.resp.encode.command. (Its stub knows one argument only.)
encode: Callable[[tuple[bytes, ...]], bytes] = pack_command  # type: ignore[assignment]


def snapshot(database: Database, slots: Iterable[int]) -> Iterator[bytes]:
    """The commands, encoded, in pieces of some keys each. Nothing may change before the last one is taken."""
    deadlines = database.deadlines.at
    piece: list[bytes] = []
    for slot in slots:
        partition = database.slots[slot]
        if not partition:
            continue
        size = 0
        for count, (key, value) in enumerate(partition.items(), 1):
            for words in commands_of(key, value, deadlines.get(key)):
                piece.append(encode(tuple(words)))
                size += len(piece[-1])
                if size > _BYTES_AT_ONCE:
                    yield b"".join(piece)
                    piece.clear()
                    size = 0
            if count % _KEYS_AT_ONCE == 0:
                yield b"".join(piece)
                piece.clear()
                size = 0
        yield b"".join(piece)
        piece.clear()


def commands_of(key: bytes, value: Value, deadline_ms: int | None) -> Iterator[list[bytes]]:
    """What makes one key, which must not exist, with its deadline (Unix milliseconds)."""
    yield from value_commands(key, value)
    if deadline_ms is not None:
        yield [b"PEXPIREAT", key, b"%d" % deadline_ms]
