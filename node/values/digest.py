"""The digest of a value: what DEBUG DIGEST-VALUE tells, by which redis-cli sees that two nodes hold the same.

Twenty bytes that begin as zeros. What has an order is *mixed* in: the SHA-1 of the data is xored to the
digest and the SHA-1 of that takes its place. What has none is xored in, each element as a digest of its own.

Source: debug.c of Redis 7.0. (Later versions write scores with as few digits as are needed, so scores like
0.1 give other digests there.)
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha1

from node.values.hashes import Hash
from node.values.kinds import Value
from node.values.lists import List
from node.values.sets import Set
from node.values.streams import Stream
from node.values.zsets import Zset

_STRING, _LIST, _SET, _ZSET, _HASH, _STREAM = 0, 1, 2, 3, 4, 6
ABSENT = bytes(20)


def _sum(data: bytes) -> int:
    return int.from_bytes(sha1(data, usedforsecurity=False).digest(), "big")


def _mixed(digest: int, parts: Iterable[bytes]) -> int:
    for part in parts:
        digest = _sum((digest ^ _sum(part)).to_bytes(20, "big"))
    return digest


def mixed(digest: bytes, part: bytes) -> bytes:
    """The digest with something in it whose place counts."""
    return _mixed(int.from_bytes(digest, "big"), [part]).to_bytes(20, "big")


def xored(digest: bytes, part: bytes) -> bytes:
    """The digest with something in it that has no place."""
    return (int.from_bytes(digest, "big") ^ _sum(part)).to_bytes(20, "big")


def value_digest(value: Value, *, expires: bool, start: bytes = ABSENT) -> bytes:
    """The twenty bytes; `expires` says whether the key has a deadline, `start` is what was before."""
    kind, ordered, elements = _content(value)
    digest = _mixed(int.from_bytes(start, "big"), [kind.to_bytes(4, "big"), *ordered])
    for element in elements:
        digest ^= element
    if expires:
        digest ^= _sum(b"!!expire!!")
    return digest.to_bytes(20, "big")


def _content(value: Value) -> tuple[int, Iterable[bytes], Iterable[int]]:
    """The type's number, what is mixed in, what is xored in."""
    if isinstance(value, List):
        return _LIST, value, ()
    if isinstance(value, Set):
        return _SET, (), map(_sum, value)
    if isinstance(value, Zset):
        entries = (_mixed(0, [member, b"%.17g" % score]) for score, member in value)
        return _ZSET, (), (_sum(entry.to_bytes(20, "big")) for entry in entries)
    if isinstance(value, Hash):
        return _HASH, (), _fields(value)
    if isinstance(value, Stream):
        return _STREAM, _entries(value), ()
    text = b"%d" % value if isinstance(value, int) else bytes(value)  # type: ignore[arg-type]
    return _STRING, [text], ()


def _fields(value: Hash) -> Iterable[int]:
    for field, text in value.pairs():
        digest = _mixed(0, [field, text])
        if value.deadline(field) is not None:
            digest ^= _sum(b"!!hexpire!!")
        yield _sum(digest.to_bytes(20, "big"))


def _entries(value: Stream) -> Iterable[bytes]:
    for id, items in value.entries():
        yield b"%d.%d" % (id >> 64, id & 0xFFFFFFFFFFFFFFFF)
        yield from items
