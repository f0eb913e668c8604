"""Streams as RDB values: every version, damage, and a real server's opinion."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
import redis

from node.rdb import listpack
from node.rdb.crc64 import crc64
from node.rdb.errors import RdbError
from node.rdb.file import Key, RdbReader
from node.rdb.primitives import Reader, Writer
from node.rdb.value import dump_payload, load_payload, read_value
from node.values.limits import DEFAULT, Limits
from node.values.streams import Stream
from node.values.streams_groups import NEVER_MS
from node.values.streams_ids import format_id, make_id, parse_id

_FIXTURES = Path(__file__).parents[2] / "fixtures" / "rdb"
_UNKNOWN = (1 << 64) - 1


def _plain(stream: Stream, with_active: bool = True) -> Any:
    """Everything there is in a stream, as Python values."""
    groups = {
        name: (
            group.last_id,
            group.entries_read,
            {
                consumer.name: (
                    consumer.seen_ms,
                    consumer.active_ms if with_active else None,
                    [(id, each.time_ms, each.count) for id, each in consumer.pending.items()],
                )
                for consumer in group.consumers.values()
            },
        )
        for name, group in stream.groups.items()
    }
    ids = (stream.first_id, stream.last_id, stream.max_deleted_id, stream.entries_added)
    return stream.entries(), ids, groups


def _sample(seed: int, entries: int = 60) -> Stream:
    """Texts of all encodings of listpacks, several nodes, removed entries, groups."""
    rng = Random(seed)
    texts = [b"", b"f", b"field", b"\xff\x00", b"x" * 63, b"x" * 64, b"x" * 130, b"x" * 5000, b"007", b"-0"]
    texts += [b"%d" % (sign << bits) for bits in (0, 6, 7, 12, 13, 15, 23, 31, 62) for sign in (1, -1)]
    stream = Stream()
    limits = Limits(stream_node_max_entries=rng.choice([3, 7, 100]))
    for _ in range(rng.randrange(entries)):
        step = rng.choice([1, 1, 1 << 64, 1 << 64, (1 << 64) + 5, (1 << 70) - 9, 1 << 90])
        items = (
            [b"f", rng.choice(texts)] if rng.random() < 0.6 else rng.choices(texts, k=rng.choice([2, 4, 6]))
        )
        stream.append(stream.last_id + step, items, sum(map(len, items)), limits)
    ids = [entry.id for entry in stream.entries()]
    for id in rng.sample(ids, len(ids) // 4):
        stream.remove(id)
    stream.trim_to_length(max(stream.length - rng.randrange(5), 0))
    for name in rng.sample([b"g", b"h", b"", b"\xff"], rng.randrange(4)):
        group = stream.add_group(name, rng.choice([*ids, 0]), rng.choice([None, 0, 7]))
        assert group is not None
        for consumer_name in rng.sample([b"c", b"d", b"\x00"], rng.randrange(4)):
            consumer = group.add_consumer(consumer_name, 1_700_000_000_000 + rng.randrange(1000))
            for id in rng.sample(ids, len(ids) // 3):
                group.deliver(id, consumer, rng.randrange(1 << 41)).count = rng.choice([1, 5, 70_000])
    return stream


def _sealed(type_code: int, body: bytes) -> bytes:
    payload = bytes([type_code]) + body + b"\x0b\x00"
    return payload + crc64(payload).to_bytes(8, "little")


class Body(Writer):
    """A body made by hand."""

    def __init__(self) -> None:
        super().__init__(compress=False)

    def lengths(self, *numbers: int) -> Body:
        for number in numbers:
            self.write_length(number)
        return self

    def node(self, base: int, *parts: bytes) -> Body:
        self.write_string(base.to_bytes(16, "big"))
        self.write_string(listpack.encode(parts))
        return self

    def text(self, text: bytes) -> Body:
        self.write_string(text)
        return self

    def raw(self, data: bytes) -> Body:
        self.out += data
        return self

    def id(self, id: int) -> Body:
        return self.raw(id.to_bytes(16, "big"))

    def time(self, time_ms: int) -> Body:
        return self.raw(time_ms.to_bytes(8, "little", signed=True))


def _load(type_code: int, body: Writer) -> Stream:
    value = load_payload(_sealed(type_code, bytes(body.out)))
    assert isinstance(value, Stream)
    value.check()
    return value


# Two entries of the node's fields, one removed between them, one of its own field.
PARTS = b"""
    3 1 1 f 0
    2 0 0 v1 4
    3 0 1 gone 4
    2 1 -1 v2 4
    0 2 0 1 g w 6
""".split()
BASE = make_id(5, 3)
ENTRIES = [(BASE, [b"f", b"v1"]), (make_id(6, 2), [b"f", b"v2"]), (make_id(7, 3), [b"g", b"w"])]


def _three() -> Body:
    """The nodes of a stream, its length and its last id."""
    return Body().lengths(1).node(BASE, *PARTS).lengths(3, 7, 3)


# --- versions
# ------------------------------------------------------------------------------


def test_version_1_has_no_counts_and_they_are_worked_out() -> None:
    body = _three().lengths(2).text(b"g").lengths(5, 3).lengths(1).id(BASE).time(77).lengths(4)
    body.lengths(1).text(b"c").time(88).lengths(1).id(BASE)
    body.text(b"h").lengths(6, 9).lengths(0).lengths(0)
    stream = _load(15, body)
    assert [tuple(entry) for entry in stream.entries()] == ENTRIES
    assert (stream.first_id, stream.last_id, stream.max_deleted_id) == (BASE, make_id(7, 3), 0)
    assert stream.entries_added == 3
    assert {name: group.entries_read for name, group in stream.groups.items()} == {b"g": 1, b"h": None}
    consumer = stream.groups[b"g"].consumers[b"c"]
    assert (consumer.seen_ms, consumer.active_ms) == (88, 88)
    assert [(id, each.time_ms, each.count) for id, each in consumer.pending.items()] == [(BASE, 77, 4)]


def test_version_2_has_counts() -> None:
    body = _three().lengths(5, 3, 5, 4, 4).lengths(2)
    body.text(b"g").lengths(5, 3, 1).lengths(0).lengths(1).text(b"c").time(88).lengths(0)
    body.text(b"h").lengths(6, 9, _UNKNOWN).lengths(0).lengths(0)
    stream = _load(19, body)
    assert (stream.max_deleted_id, stream.entries_added) == (make_id(5, 4), 4)
    assert {name: group.entries_read for name, group in stream.groups.items()} == {b"g": 1, b"h": None}
    assert stream.groups[b"g"].consumers[b"c"].active_ms == 88


def test_version_3_has_when_a_consumer_was_active() -> None:
    body = _three().lengths(5, 3, 5, 4, 4).lengths(1).text(b"g").lengths(5, 3, 1).lengths(0).lengths(2)
    body.text(b"c").time(88).time(99).lengths(0).text(b"d").time(88).time(-1).lengths(0)
    consumers = _load(21, body).groups[b"g"].consumers
    assert (consumers[b"c"].active_ms, consumers[b"d"].active_ms) == (99, NEVER_MS)


def test_a_node_of_removed_entries_only_is_left_out() -> None:
    gone = b"0 1 1 f 0 3 0 0 gone 4".split()
    body = Body().lengths(2).node(1, *gone).node(BASE, *PARTS).lengths(3, 7, 3).lengths(0)
    assert [tuple(entry) for entry in _load(15, body).entries()] == ENTRIES


def test_removed_entries_still_count_in_a_node_that_was_loaded() -> None:
    """As they do where it comes from: it says when the next node begins."""
    (node,) = _load(15, _three().lengths(0)).nodes
    assert (node.live, node.total) == (3, 4)
    assert node.listpack_bytes() == len(listpack.encode(PARTS))


@pytest.mark.parametrize("seed", range(60))
def test_what_is_written_is_read(seed: int) -> None:
    stream = _sample(seed)
    stream.check()
    loaded = load_payload(dump_payload(stream))
    assert isinstance(loaded, Stream)
    loaded.check()
    assert _plain(loaded, with_active=False) == _plain(stream, with_active=False)
    assert dump_payload(loaded) == dump_payload(stream)


@pytest.mark.parametrize("seed", range(20))
def test_the_size_a_node_keeps_count_of_is_that_of_its_listpack(seed: int) -> None:
    rng = Random(seed)
    stream = Stream()
    limits = Limits(stream_node_max_bytes=0, stream_node_max_entries=rng.choice([0, 1, 100]))
    texts = [b"", b"%d" % rng.randrange(1 << 40), b"x" * rng.randrange(300), b"-5", b"\xff", b"y" * 5000]
    for _ in range(300):
        items = [b"f", rng.choice(texts)] if rng.random() < 0.7 else rng.choices(texts, k=4)
        step = rng.choice([1, 9 << 64, 1 << 75, (1 << 64) - 1])
        stream.append(stream.last_id + step, items, sum(map(len, items)), limits)
    reader = Reader(dump_payload(stream, compress=False), pos=1)
    assert reader.read_length() == len(stream.nodes)
    for node in stream.nodes:
        reader.read_string()
        assert len(reader.read_string()) == node.listpack_bytes()


# --- recorded files
# ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["redis-7.0.15", "valkey"])
def test_recorded_streams_are_as_recorded(name: str) -> None:
    recorded = json.loads((_FIXTURES / f"{name}.json").read_text())
    streams = {key.encode(): entry for key, entry in recorded.items() if entry["type"] == "stream"}
    reader = RdbReader()
    items = [*reader.feed((_FIXTURES / f"{name}.rdb").read_bytes()), *reader.close()]
    values = {item.key: item.value for item in items if isinstance(item, Key) and item.key in streams}
    assert values.keys() == streams.keys()
    assert len(values) >= 2
    for key, value in values.items():
        assert isinstance(value, Stream)
        _check_recorded(value, streams[key])
        assert load_payload(dump_payload(value)).entries() == value.entries()


def _check_recorded(stream: Stream, entry: dict[str, Any]) -> None:
    stream.check()
    expected = [
        (parse_id(id.encode()), [text.encode("latin-1") for pair in pairs for text in pair])
        for id, pairs in entry["value"]
    ]
    assert [tuple(each) for each in stream.entries()] == expected
    assert format_id(stream.last_id).decode() == entry["last_id"]
    assert format_id(stream.max_deleted_id).decode() == entry["max_deleted_id"]
    assert stream.entries_added == entry["entries_added"]
    groups = [
        {
            "name": name.decode(),
            "consumers": len(group.consumers),
            "pending": len(group.pending),
            "last-delivered-id": format_id(group.last_id).decode(),
            "entries-read": group.entries_read,
            "lag": stream.lag(group),
        }
        for name, group in stream.groups_by_name()
    ]
    assert groups == entry["groups"]
    pending = {
        name.decode(): [
            [format_id(id).decode(), each.consumer.name.decode(), each.count]
            for id, each in group.pending.items()
        ]
        for name, group in stream.groups.items()
    }
    assert pending == entry["pending"]


# --- damage
# ------------------------------------------------------------------------------


BROKEN: dict[str, Callable[[], Body]] = {
    "short base": lambda: Body().lengths(1).text(b"x" * 15).text(listpack.encode(PARTS)).lengths(3, 7, 3, 0),
    "no listpack": lambda: Body().lengths(1).text(bytes(16)).text(b"x" * 9).lengths(3, 7, 3, 0),
    "empty listpack": lambda: Body().lengths(1).node(BASE).lengths(0, 7, 3, 0),
    "nodes out of order": lambda: (
        Body().lengths(2).node(make_id(7, 2), *PARTS).node(make_id(7, 3), *PARTS).lengths(6, 99, 0, 0)
    ),
    "other length": lambda: Body().lengths(1).node(BASE, *PARTS).lengths(4, 7, 3, 0),
    "last id before the last entry": lambda: Body().lengths(1).node(BASE, *PARTS).lengths(3, 7, 2, 0),
    "fewer entries": lambda: Body().lengths(1).node(BASE, b"4", *PARTS[1:]).lengths(4, 7, 3, 0),
    "more entries": lambda: Body().lengths(1).node(BASE, b"2", *PARTS[1:]).lengths(2, 7, 3, 0),
    "one less removed": lambda: Body().lengths(1).node(BASE, b"4", b"0", *PARTS[2:]).lengths(4, 7, 3, 0),
    "negative counts": lambda: Body().lengths(1).node(BASE, b"5", b"-1", *PARTS[2:]).lengths(3, 7, 3, 0),
    "negative fields": lambda: Body().lengths(1).node(BASE, b"1", b"0", b"-1", b"0").lengths(1, 7, 3, 0),
    "negative own fields": lambda: (
        Body().lengths(1).node(BASE, *b"1 0 1 f 0 0 0 0 -1 2".split()).lengths(1, 7, 3, 0)
    ),
    "a count that is text": lambda: Body().lengths(1).node(BASE, b"x", *PARTS[1:]).lengths(3, 7, 3, 0),
    "no end of fields": lambda: (
        Body().lengths(1).node(BASE, *b"1 0 1 f 1 2 0 0 v 4".split()).lengths(1, 7, 3, 0)
    ),
    "wrong size behind": lambda: (
        Body().lengths(1).node(BASE, *b"1 0 1 f 0 2 0 0 v 5".split()).lengths(1, 7, 3, 0)
    ),
    "ids out of order": lambda: (
        Body().lengths(1).node(BASE, *b"2 0 1 f 0 2 0 1 v 4 2 0 0 v 4".split()).lengths(2, 7, 3, 0)
    ),
    "id twice": lambda: (
        Body().lengths(1).node(BASE, *b"2 0 1 f 0 2 0 1 v 4 2 0 1 v 4".split()).lengths(2, 7, 3, 0)
    ),
    "id below the base": lambda: (
        Body().lengths(1).node(BASE, *b"1 0 1 f 0 2 0 -1 v 4".split()).lengths(1, 7, 3, 0)
    ),
    "group twice": lambda: (
        _three().lengths(2).text(b"g").lengths(0, 0, 0, 0).text(b"g").lengths(0, 0, 0, 0)
    ),
    "pending twice": lambda: (
        _three().lengths(1).text(b"g").lengths(0, 0, 2).id(1).time(0).lengths(1).id(1).time(0).lengths(1, 0)
    ),
    "pending for nobody": lambda: (
        _three().lengths(1).text(b"g").lengths(0, 0, 1).id(1).time(0).lengths(1, 0)
    ),
    "pending for a consumer only": lambda: (
        _three().lengths(1).text(b"g").lengths(0, 0, 0, 1).text(b"c").time(0).lengths(1).id(1)
    ),
    "consumer twice": lambda: (
        _three().lengths(1).text(b"g").lengths(0, 0, 0, 2)
        .text(b"c").time(0).lengths(0).text(b"c").time(0).lengths(0)
    ),
    "time before all times": lambda: (
        _three().lengths(1).text(b"g").lengths(0, 0, 0, 1).text(b"c").time(-2).lengths(0)
    ),
    "delivered too often": lambda: (
        _three().lengths(1).text(b"g").lengths(0, 0, 1).id(1).time(0).lengths(1 << 63, 1)
        .text(b"c").time(0).lengths(1).id(1)
    ),
    "too many groups": lambda: _three().lengths(1 << 63),
    "too many nodes": lambda: Body().lengths(_UNKNOWN),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_what_makes_no_sense_is_an_error(name: str) -> None:
    body = bytes(BROKEN[name]().out)
    with pytest.raises(RdbError):
        load_payload(_sealed(15, body))


@pytest.mark.parametrize("count", [1 << 63, _UNKNOWN])
def test_more_entries_than_can_be_told_are_an_error(count: int) -> None:
    with pytest.raises(RdbError):
        load_payload(_sealed(19, bytes(_three().lengths(5, 3, 0, 0, count, 0).out)))


def test_a_damaged_body_is_an_error_or_a_stream_that_is_sound() -> None:
    rng = Random(11)
    loaded = errors = 0
    for number in range(4000):
        body = bytearray(dump_payload(_sample(number % 25, 20), compress=False)[1:-10])
        for _ in range(rng.choice([1, 1, 2, 5])):
            kind, at = rng.randrange(4), rng.randrange(len(body))
            if kind == 0:
                body[at] ^= 1 << rng.randrange(8)
            elif kind == 1:
                body[at] = rng.choice([0, 1, 127, 128, 129, 192, 255])
            elif kind == 2:
                del body[at : at + rng.randrange(1, 9)]
            else:
                body[at:at] = rng.randbytes(rng.randrange(1, 9))
            if not body:
                break
        try:
            value = read_value(rng.choice([15, 19, 21]), Reader(bytes(body)))
        except RdbError:
            errors += 1
        else:
            assert isinstance(value, Stream)
            value.check()
            loaded += 1
    assert errors > 1000
    assert loaded > 100


# --- a live server
# ------------------------------------------------------------------------------


def test_redis_server_restores_ours_and_we_load_its_own(start_redis: Callable[..., Any]) -> None:
    server = start_redis("--sanitize-dump-payload", "yes")
    with redis.Redis(port=server.port) as client:
        for seed in range(80):
            stream = _sample(seed)
            client.restore("s", 0, dump_payload(stream), replace=True)
            entries = client.execute_command("XRANGE", "s", "-", "+")
            assert [id for id, _ in entries] == [format_id(entry.id) for entry in stream.entries()]
            back = client.dump("s")
            loaded = load_payload(back)
            assert isinstance(loaded, Stream)
            loaded.check()
            assert _plain(loaded, with_active=False) == _plain(stream, with_active=False)
            info = client.xinfo_stream("s")
            assert info["radix-tree-nodes"] == loaded.radix_nodes()
            client.xadd("s", {"f": "v"}, id=format_id(stream.last_id + 1).decode())
            client.xtrim("s", maxlen=1, approximate=False)
            assert load_payload(client.dump("s")).length == 1


def test_what_redis_server_removed_is_not_there(start_redis: Callable[..., Any]) -> None:
    server = start_redis()
    with redis.Redis(port=server.port) as client:
        for number in range(1, 251):
            client.xadd("s", {"f": number} if number % 9 else {"g": "x", "h": number}, id=f"{number}-1")
        client.xdel("s", *[f"{number}-1" for number in range(2, 250, 3)])
        client.xtrim("s", minid="30", approximate=False)
        stream = load_payload(client.dump("s"))
        assert isinstance(stream, Stream)
        stream.check()
        assert [format_id(entry.id) for entry in stream.entries()] == [id for id, _ in client.xrange("s")]
        info = client.xinfo_stream("s")
        assert (len(stream.nodes), stream.length) == (info["radix-tree-keys"], info["length"])
        for _ in range(40):  # the last node goes on as it does there
            id = stream.last_id + 1
            client.xadd("s", {"f": "v"}, id=format_id(id).decode())
            stream.append(id, [b"f", b"v"], 2, DEFAULT)
            assert len(stream.nodes) == client.xinfo_stream("s")["radix-tree-keys"]
