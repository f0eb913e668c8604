"""Lists, sets, hashes and sorted sets as RDB values: every type code, and a real server's opinion."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from contextlib import suppress
from random import Random
from typing import Any

import pytest
import redis
from hypothesis import given, settings
from hypothesis import strategies as st

from node.rdb import listpack
from node.rdb.crc64 import crc64
from node.rdb.errors import DumpFooterError, RdbEmptyError, RdbError
from node.rdb.primitives import Writer
from node.rdb.value import dump_payload, load_payload
from node.values.hashes import Hash
from node.values.limits import DEFAULT, Limits
from node.values.lists import List
from node.values.sets import Set
from node.values.zsets import Zset

Collection = List | Set | Hash | Zset


def _plain(value: Any) -> Any:
    """The content as Python values."""
    if isinstance(value, List):
        return value.items()
    if isinstance(value, Set):
        return set(value)
    if isinstance(value, Hash):
        return {field: (text, value.deadline(field)) for field, text in value.pairs()}
    assert isinstance(value, Zset)
    return [(math.copysign(1, score), score, member) for score, member in value.entries()]


def _sealed(type_code: int, body: bytes, version: int = 10) -> bytes:
    sealed = bytes([type_code]) + body + version.to_bytes(2, "little")
    return sealed + crc64(sealed).to_bytes(8, "little")


def _strings(*items: bytes) -> bytes:
    out = Writer(compress=False)
    for item in items:
        out.write_string(item)
    return bytes(out.out)


def _ziplist(*items: bytes) -> bytes:
    """A ziplist of short strings."""
    out = b""
    before = tail = 0
    for item in items:
        tail = len(out)
        out += bytes([before, len(item)]) + item
        before = 2 + len(item)
    sizes = (11 + len(out)).to_bytes(4, "little") + (10 + tail).to_bytes(4, "little")
    return sizes + len(items).to_bytes(2, "little") + out + b"\xff"


_ZIPMAP = b"\x02\x01a\x01\x00x\x02bb\x02\x01yy.\xff"
_PAIRS = {b"a": (b"x", None), b"bb": (b"yy", None)}
_A_X, _BB_YY, _C_7 = _strings(b"a", b"x"), _strings(b"bb", b"yy"), _strings(b"c", b"7")

_SCORED = [(1, 1.5, b"bb"), (1, math.inf, b"a")]
_ASCII_SCORED = _strings(b"a") + b"\xfe" + _strings(b"bb") + b"\x031.5"
_BINARY_SCORED = _strings(b"a") + struct.pack("<d", math.inf) + _strings(b"bb") + struct.pack("<d", 1.5)

_EXPIRING = {b"a": (b"x", 5000), b"bb": (b"yy", None), b"c": (b"7", 4000)}
_EARLIEST = (4000).to_bytes(8, "little")
_TRIPLETS = _strings(listpack.encode([b"c", b"7", b"4000", b"a", b"x", b"5000", b"bb", b"yy", b"0"]))

_NODE = _strings(listpack.encode([b"a", b"5"]))

OLD_BODIES: list[tuple[int, bytes, Any]] = [
    (1, b"\x03" + _strings(b"a", b"12", b"a"), [b"a", b"12", b"a"]),
    (2, b"\x02" + _strings(b"a", b"12"), {b"a", b"12"}),
    (3, b"\x02" + _ASCII_SCORED, _SCORED),
    (4, b"\x02" + _A_X + _BB_YY, _PAIRS),
    (5, b"\x02" + _BINARY_SCORED, _SCORED),
    (9, _strings(_ZIPMAP), _PAIRS),
    (10, _strings(_ziplist(b"a", b"b", b"a")), [b"a", b"b", b"a"]),
    (11, _strings(bytes.fromhex("0200000002000000f9ff0700")), {b"-7", b"7"}),
    (12, _strings(_ziplist(b"bb", b"1.5", b"a", b"inf")), _SCORED),
    (13, _strings(_ziplist(b"a", b"x", b"bb", b"yy")), _PAIRS),
    (14, b"\x02" + _strings(_ziplist(b"a", b"b"), _ziplist(b"c")), [b"a", b"b", b"c"]),
    (16, _strings(listpack.encode([b"a", b"x", b"bb", b"yy"])), _PAIRS),
    (17, _strings(listpack.encode([b"bb", b"1.5", b"a", b"inf"])), _SCORED),
    (18, b"\x02\x02" + _NODE + b"\x01" + _strings(b"plain"), [b"a", b"5", b"plain"]),
]
NEW_BODIES: list[tuple[int, bytes, Any]] = [
    (20, _strings(listpack.encode([b"a", b"12"])), {b"a", b"12"}),
    (22, b"\x03\x53\x88" + _A_X + b"\x00" + _BB_YY + b"\x4f\xa0" + _C_7, _EXPIRING),
    (23, _TRIPLETS, _EXPIRING),
    (24, _EARLIEST + b"\x03\x43\xe9" + _A_X + b"\x00" + _BB_YY + b"\x01" + _C_7, _EXPIRING),
    (25, _EARLIEST + _TRIPLETS, _EXPIRING),
]


@pytest.mark.parametrize(("type_code", "body", "content"), OLD_BODIES + NEW_BODIES)
def test_every_type_code_is_read(type_code: int, body: bytes, content: Any) -> None:
    value = load_payload(_sealed(type_code, body, 12))
    assert isinstance(value, Collection)
    value.check()
    assert _plain(value) == content
    assert _plain(load_payload(dump_payload(value))) == content


def test_what_older_versions_wrote_reads_as_redis_server_reads_it(start_redis: Callable[..., Any]) -> None:
    with redis.Redis(port=start_redis("--enable-debug-command", "yes").port) as client:
        for type_code, body, _ in OLD_BODIES:
            payload = _sealed(type_code, body)
            client.restore("theirs", 0, payload, replace=True)
            client.restore("ours", 0, dump_payload(load_payload(payload)), replace=True)
            theirs, ours = client.execute_command("DEBUG", "DIGEST-VALUE", "theirs", "ours")
            assert theirs == ours, type_code


@pytest.mark.parametrize(
    ("type_code", "body"),
    [
        (2, b"\x02" + _strings(b"a", b"a")),
        (3, b"\x01" + _strings(b"a") + b"\xfd"),
        (3, b"\x01" + _strings(b"a") + b"\x03abc"),
        (4, b"\x02" + _strings(b"a", b"x", b"a", b"y")),
        (5, b"\x01" + _strings(b"a") + struct.pack("<d", math.nan)),
        (5, b"\x02" + 2 * (_strings(b"a") + struct.pack("<d", 1))),
        (9, _strings(b"\x02\x01a\x01\x00x\x01a\x01\x00x\xff")),
        (13, _strings(_ziplist(b"a", b"x", b"b"))),
        (16, _strings(listpack.encode([b"a", b"x", b"a", b"y"]))),
        (17, _strings(listpack.encode([b"a", b"nan"]))),
        (17, _strings(listpack.encode([b"a", b"1_0"]))),
        (17, _strings(listpack.encode([b"a"]))),
        (18, b"\x01\x03" + _strings(b"a")),
        (20, _strings(listpack.encode([b"a", b"a"]))),
        (22, b"\x01\x81" + b"\x7f" * 8 + _strings(b"a", b"x")),
        (24, b"\xff" * 8 + b"\x01\x81" + b"\xff" * 8 + _strings(b"a", b"x")),
        (25, _EARLIEST + _strings(listpack.encode([b"a", b"x", b"-1"]))),
        (25, _EARLIEST + _strings(listpack.encode([b"a", b"x", b"9" * 50]))),
        (25, _EARLIEST + _strings(listpack.encode([b"a", b"x"]))),
        (1, b"\x81" + b"\xff" * 8),
        (14, b"\x81" + b"\xff" * 8),
        (2, b"\x81" + b"\xff" * 8 + _strings(b"a")),
    ],
)
def test_bodies_that_contradict_themselves_are_refused(type_code: int, body: bytes) -> None:
    with pytest.raises(RdbError) as error:
        load_payload(_sealed(type_code, body))
    assert not isinstance(error.value, DumpFooterError | RdbEmptyError)


@pytest.mark.parametrize(
    ("type_code", "body"),
    [(code, b"\x00") for code in (1, 2, 3, 4, 5, 14, 18, 22)]
    + [(24, bytes(9)), (25, bytes(8) + _strings(listpack.encode([])))]
    + [(code, _strings(listpack.encode([]))) for code in (16, 17, 20, 23)]
    + [(code, _strings(_ziplist())) for code in (10, 12, 13)]
    + [(9, _strings(b"\x00\xff")), (11, _strings(b"\x02" + bytes(7)))],
)
def test_values_without_elements_are_told_apart(type_code: int, body: bytes) -> None:
    """In a file such a key is passed over; RESTORE refuses it."""
    with pytest.raises(RdbEmptyError):
        load_payload(_sealed(type_code, body))


@settings(deadline=None, max_examples=400)
@given(st.sampled_from(OLD_BODIES + NEW_BODIES), st.data())
def test_damage_inside_is_an_error_or_another_value(
    example: tuple[int, bytes, Any], data: st.DataObject
) -> None:
    type_code, good, _ = example
    body = bytearray(good)
    for _ in range(data.draw(st.integers(1, 3))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    del body[data.draw(st.integers(1, len(body) * 3)) :]
    with suppress(RdbError):
        value = load_payload(_sealed(type_code, bytes(body)))
        assert isinstance(value, Collection)
        value.check()


@settings(deadline=None)
@given(st.integers(1, 25), st.binary(max_size=60))
def test_any_body_loads_or_is_refused(type_code: int, body: bytes) -> None:
    with suppress(RdbError):
        value = load_payload(_sealed(type_code, body))
        assert isinstance(value, Collection)
        value.check()


def test_limits_say_how_loaded_values_are_stored() -> None:
    tight = Limits(
        list_max_listpack_size=1, hash_max_listpack_entries=1, set_max_intset_entries=1,
        set_max_listpack_entries=1, zset_max_listpack_entries=1,
    )  # fmt: skip
    names = {List: b"quicklist", Set: b"hashtable", Hash: b"hashtable", Zset: b"skiplist"}
    for type_code, body, content in OLD_BODIES + NEW_BODIES:
        value = load_payload(_sealed(type_code, body), tight)
        assert isinstance(value, Collection)
        assert value.encoding() == names[type(value)]
        assert _plain(value) == content
        assert _plain(load_payload(dump_payload(value))) == content


# --- a live server
# ------------------------------------------------------------------------------


def _items(rng: Random, count: int) -> list[bytes]:
    """Different strings: integers of all widths, text, bytes."""
    edges = [1 << bits for bits in (0, 7, 12, 15, 23, 31, 62)]
    items = {b"%d" % (sign * edge + off) for edge in edges for sign in (1, -1) for off in (-1, 0, 1)}
    items |= {b"", b"007", b"-0", b"9223372036854775808", b"\xff\xfe\xfd", b"x" * 63, b"y" * 64}
    items |= {rng.randbytes(1 + number % 40) for number in range(count)} | {
        b"item:%d" % n for n in range(count)
    }
    return rng.sample(sorted(items), count)


def _commands() -> list[tuple[bytes, ...]]:
    """Values at, below and above each threshold of redis-server."""
    rng = Random(8)
    commands: list[tuple[bytes, ...]] = []
    for count in (1, 10, 128, 129, 512, 513, 2000):
        items = _items(rng, count)
        commands.append((b"RPUSH", *items))
        commands.append((b"SADD", *items))
        commands.append((b"HSET", *(word for item in items for word in (item, rng.choice(items)))))
        scores = [b"%d" % number for number in range(-3, 4)] + [
            b"1.5",
            b"-0",
            b"inf",
            b"-inf",
            b"1e300",
            b"0.1",
        ]
        commands.append((b"ZADD", *(word for item in items for word in (rng.choice(scores), item))))
    for width in (10, 20, 40, 62):
        edge = 1 << width
        commands += [
            (b"SADD", *(b"%d" % rng.randrange(-edge, edge) for _ in range(count)))
            for count in (1, 511, 512, 513)
        ]
    for size in (63, 64, 65, 127, 4095, 8192, 8193, 20_000, 100_000):
        item = rng.randbytes(size // 2) * 2
        commands += [
            (b"RPUSH", b"a", item, b"b"),
            (b"SADD", b"a", item),
            (b"HSET", b"a", item),
            (b"ZADD", b"1", item),
        ]
    return commands


def test_redis_server_restores_ours_and_we_load_its(start_redis: Callable[..., Any]) -> None:
    """Its DUMP → our value → our DUMP → its RESTORE: the same to DEBUG DIGEST-VALUE, in the same encoding."""
    with redis.Redis(port=start_redis("--enable-debug-command", "yes").port) as client:
        for name, *words in _commands():
            client.delete("theirs")
            client.execute_command(name, "theirs", *words)
            payload = client.dump("theirs")
            value = load_payload(payload)
            assert isinstance(value, Collection)
            value.check()
            encoding = client.object("ENCODING", "theirs")
            mine = value.encoding()
            # 7.0 has no lists and sets that are listpacks.
            if name not in (b"RPUSH", b"SADD") or mine != b"listpack":
                assert mine == encoding
            for compress in (True, False):
                client.restore("ours", 0, dump_payload(value, compress=compress), replace=True)
                theirs, ours = client.execute_command("DEBUG", "DIGEST-VALUE", "theirs", "ours")
                assert theirs == ours, (name, len(words))
                assert client.object("ENCODING", "ours") == encoding
            value_again = load_payload(client.dump("ours"), DEFAULT)
            assert _plain(value_again) == _plain(value)
