"""Streams against sorted lists of entries, groups against plain dicts."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from node.values.limits import DEFAULT, Limits
from node.values.packed import listpack_entry_bytes
from node.values.streams import Stream
from node.values.streams_groups import Group
from node.values.streams_ids import (
    MAX_ID,
    MIN_ID,
    SEQ_MAX,
    format_id,
    make_id,
    next_id,
    parse_id,
    parse_ms,
)

_TEXTS = st.sampled_from(
    [
        b"",
        b"f",
        b"field",
        b"12",
        b"-70000",
        b"\xff",
        b"\xfe",
        b"\xfd",
        b"\xfd\x03",
        b"\xfd\x03\xfe",
        b"v" * 90,
    ]
)
_FEW = Limits(stream_node_max_entries=3)
_SHORT = Limits(stream_node_max_bytes=90)
_UNLIMITED = Limits(stream_node_max_bytes=0, stream_node_max_entries=0)


def append(stream: Stream, id: int, items: list[bytes], limits: Limits = DEFAULT) -> None:
    stream.append(id, items, sum(map(len, items)), limits)


def numbered(count: int, limits: Limits = DEFAULT) -> Stream:
    """Entries 1-0, 2-0, …"""
    stream = Stream()
    for number in range(1, count + 1):
        append(stream, make_id(number, 0), [b"f", b"%d" % number], limits)
    return stream


class StreamMachine(RuleBasedStateMachine):
    """A stream and the entries it should hold."""

    @initialize(limits=st.sampled_from([DEFAULT, _FEW, _SHORT, _UNLIMITED]), ms=st.sampled_from([0, 1 << 40]))
    def begin(self, limits: Limits, ms: int) -> None:
        self.limits = limits
        self.stream = Stream()
        self.stream.last_id = make_id(ms, 0)
        self.model: dict[int, list[bytes]] = {}
        self.max_deleted = MIN_ID

    def some_id(self, number: int, offset: int) -> int:
        """An id of an entry, or close to one."""
        ids = sorted(self.model) or [self.stream.last_id]
        return min(max(ids[number % len(ids)] + offset, MIN_ID), MAX_ID)

    @rule(
        step=st.sampled_from(
            [1, 1, 1, 7, 1 << 24, 1 << 63, 1 << 64, (1 << 64) - 3, 5 << 64, 1 << 100, 1 << 106]
        ),
        pairs=st.lists(st.tuples(_TEXTS, _TEXTS), min_size=1, max_size=3),
        plain=st.booleans(),
    )
    def append(self, step: int, pairs: list[tuple[bytes, bytes]], plain: bool) -> None:
        id = self.stream.last_id + step
        if id > MAX_ID:
            return
        items = [b"f", pairs[0][1]] if plain else [text for pair in pairs for text in pair]
        append(self.stream, id, items, self.limits)
        self.model[id] = items

    @rule(number=st.integers(0, 99), offset=st.sampled_from([0, 0, 0, 1, -1, 1 << 64]))
    def remove(self, number: int, offset: int) -> None:
        id = self.some_id(number, offset)
        was_there = self.model.pop(id, None) is not None
        assert self.stream.remove(id) == was_there
        if was_there:
            self.max_deleted = max(self.max_deleted, id)

    @rule(length=st.integers(0, 12))
    def trim_to_length(self, length: int) -> None:
        ids = sorted(self.model)
        gone = ids[: max(len(ids) - length, 0)]
        assert self.stream.trim_to_length(length) == len(gone)
        self.drop(gone)

    @rule(number=st.integers(0, 99), offset=st.sampled_from([0, 1, -1]))
    def trim_below(self, number: int, offset: int) -> None:
        bound = self.some_id(number, offset)
        gone = [id for id in sorted(self.model) if id < bound]
        assert self.stream.trim_below(bound) == len(gone)
        self.drop(gone)

    @rule(length=st.integers(0, 12), limit=st.sampled_from([0, 0, 1, 3, 4, 100]))
    def trim_nodes_to_length(self, length: int, limit: int) -> None:
        nodes = [node.live for node in self.stream.nodes]
        removed = self.stream.trim_to_length(length, limit=limit, whole_nodes=True)
        self.check_whole(nodes, removed, limit)
        assert len(self.model) - removed >= min(length, len(self.model))
        self.drop(sorted(self.model)[:removed])

    @rule(number=st.integers(0, 99), limit=st.sampled_from([0, 0, 1, 3, 4, 100]))
    def trim_nodes_below(self, number: int, limit: int) -> None:
        bound = self.some_id(number, 0)
        nodes = [node.live for node in self.stream.nodes]
        removed = self.stream.trim_below(bound, limit=limit, whole_nodes=True)
        self.check_whole(nodes, removed, limit)
        gone = sorted(self.model)[:removed]
        assert all(id < bound for id in gone)
        self.drop(gone)

    def check_whole(self, nodes: list[int], removed: int, limit: int) -> None:
        """What went are nodes from the front, no more entries than the limit."""
        assert removed == sum(nodes[: len(nodes) - len(self.stream.nodes)])
        assert not limit or removed <= limit

    def drop(self, ids: list[int]) -> None:
        for id in ids:
            del self.model[id]

    @rule(
        numbers=st.tuples(st.integers(0, 99), st.integers(0, 99)),
        offsets=st.tuples(st.sampled_from([0, 1, -1]), st.sampled_from([0, 1, -1])),
        count=st.none() | st.integers(0, 9),
        reverse=st.booleans(),
    )
    def entries(
        self, numbers: tuple[int, int], offsets: tuple[int, int], count: int | None, reverse: bool
    ) -> None:
        low, high = self.some_id(numbers[0], offsets[0]), self.some_id(numbers[1], offsets[1])
        expected = [(id, self.model[id]) for id in sorted(self.model, reverse=reverse) if low <= id <= high]
        assert self.stream.entries(low, high, count, reverse=reverse) == expected[:count]

    @rule(number=st.integers(0, 99), offset=st.sampled_from([0, 0, 1, -1]))
    def one(self, number: int, offset: int) -> None:
        id = self.some_id(number, offset)
        entry = self.stream.get(id)
        assert (id in self.stream) == (entry is not None) == (id in self.model)
        assert entry is None or entry.items == self.model[id]

    @rule()
    @precondition(lambda self: self.stream.nodes)
    def copy(self) -> None:
        """Goes on with a copy; what is done to the original does not show in it."""
        original, self.stream = self.stream, self.stream.copy()
        append(
            original, original.last_id + 1, [b"f", b"v"], self.limits
        ) if original.last_id < MAX_ID else None
        original.trim_to_length(0)
        original.add_group(b"g", MIN_ID, 0)

    @invariant()
    def agrees(self) -> None:
        self.stream.check()
        assert self.stream.length == len(self.model)
        assert self.stream.max_deleted_id == self.max_deleted
        assert [tuple(entry) for entry in self.stream.entries()] == sorted(self.model.items())


TestStream = StreamMachine.TestCase
TestStream.settings = settings(max_examples=150, stateful_step_count=50, deadline=None)


# Ids


@pytest.mark.parametrize(
    ("text", "ms", "seq"),
    [
        (b"0", 0, 77),
        (b"5", 5, 77),
        (b"5-0", 5, 0),
        (b"1526919030474-55", 1526919030474, 55),
        (b"18446744073709551615-18446744073709551615", SEQ_MAX, SEQ_MAX),
        (b"007-03", 7, 3),
        (b"+7- +3", 7, 3),
        (b"5--02", 5, SEQ_MAX - 1),
        (b"5-3\0rest", 5, 3),
    ],
)
def test_ids_are_read_as_redis_does(text: bytes, ms: int, seq: int) -> None:
    assert parse_id(text, 77) == make_id(ms, seq)


@pytest.mark.parametrize(
    "text",
    [
        b"", b"-", b"+", b"x", b"5-", b"-5", b"5--5", b"5-x", b"5-*", b"*", b"1-2-3", b"1.5", b"5 ",
        b"18446744073709551616", b"5-18446744073709551616", b"0" * 128, b"\xb2", b"5-1_0",
    ],
)  # fmt: skip
def test_what_is_no_id_is_none(text: bytes) -> None:
    assert parse_id(text) is None


def test_ids_are_written_as_they_are_read_and_ordered_as_integers() -> None:
    texts = [b"0-0", b"0-1", b"0-18446744073709551615", b"1-0", b"1526919030474-55"]
    ids = [parse_id(text) for text in texts]
    assert [format_id(id) for id in ids if id is not None] == texts
    assert ids == sorted(ids)


@pytest.mark.parametrize(
    ("text", "ms"), [(b"5-*", 5), (b"007-*", 7), (b"*", None), (b"5-5-*", None), (b"5", None)]
)
def test_an_id_may_leave_its_sequence_open(text: bytes, ms: int | None) -> None:
    assert parse_ms(text) == ms


def test_the_next_id_is_of_now_but_never_before_the_last() -> None:
    assert next_id(make_id(5, 9), 6) == make_id(6, 0)
    assert next_id(make_id(5, 9), 5) == make_id(5, 10)
    assert next_id(make_id(5, 9), 4) == make_id(5, 10)
    assert next_id(make_id(5, SEQ_MAX), 4) == make_id(6, 0)


# Nodes


def test_a_node_takes_a_hundred_entries_or_4096_bytes() -> None:
    assert [node.live for node in numbered(250).nodes] == [100, 100, 50]
    stream = Stream()
    for number in range(1, 8):
        append(stream, number, [b"f", b"x" * 1500])
    assert [node.live for node in stream.nodes] == [2, 2, 2, 1]


def test_removed_entries_count_in_their_node_until_it_goes() -> None:
    """As in Redis, where they are only marked: what `~` trims depends on it."""
    stream = numbered(3, _FEW)
    assert stream.remove(make_id(2, 0))
    append(stream, make_id(4, 0), [b"f", b"v"], _FEW)
    assert [node.live for node in stream.nodes] == [2, 1]
    for ms in (1, 3):
        assert stream.remove(make_id(ms, 0))
    assert [node.live for node in stream.nodes] == [1]


@pytest.mark.parametrize(
    ("bases", "nodes"), [([], 1), ([5], 2), ([5, 6], 4), ([5, 1 << 127], 5), ([1, 256, 257], 7)]
)
def test_nodes_of_the_radix_tree(bases: list[int], nodes: int) -> None:
    """Worked out by hand: stretches, forks and leaves. tests/compat compares more with redis-server."""
    stream = Stream()
    for base in bases:
        append(stream, base, [b"f", b"v"], Limits(stream_node_max_entries=1))
    assert stream.radix_nodes() == nodes


def test_a_stream_is_small_in_memory() -> None:
    stream = Stream()
    for number in range(100_000):
        append(stream, make_id(1_700_000_000_000 + number, 0), [b"temperature", b"%d" % (number % 50)])
    assert stream.memory_bytes(0) < 100_000 * 16
    assert 0.8 < stream.memory_bytes() / stream.memory_bytes(0) < 1.5


def test_trimming_a_long_stream_at_every_entry_and_reading_its_end_touches_few_nodes() -> None:
    """Were it all nodes, this would take minutes."""
    stream = numbered(50_000)
    for number in range(50_001, 60_000):
        append(stream, make_id(number, 0), [b"f", b"v"])
        assert stream.trim_to_length(50_000) == 1
        assert stream.entries(make_id(number, 0))[0].id == make_id(number, 0)
    stream.check()


# Groups


def test_a_group_counts_what_it_reads_and_knows_its_lag() -> None:
    stream = numbered(5)
    group = stream.add_group(b"g", MIN_ID, 0)
    assert group is not None
    assert stream.add_group(b"g", MIN_ID, 0) is None
    assert (group.entries_read, stream.lag(group)) == (0, 5)
    assert stream.advance(group, make_id(1, 0))
    assert not stream.advance(group, make_id(1, 0))
    assert (group.entries_read, stream.lag(group)) == (1, 4)
    stream.remove(make_id(3, 0))
    assert (group.entries_read, stream.lag(group)) == (1, None)  # does it count, or is it before?
    stream.advance(group, make_id(2, 0))
    assert (group.entries_read, stream.lag(group)) == (None, None)
    stream.advance(group, make_id(4, 0))
    stream.advance(group, make_id(5, 0))
    assert (group.entries_read, stream.lag(group)) == (5, 0)


@pytest.mark.parametrize(
    ("last_ms", "read"), [(0, 3), (3, 3), (4, 4), (5, None), (6, None), (7, 7), (8, None)]
)
def test_how_much_was_added_up_to_an_id_is_known_at_the_ends(last_ms: int, read: int | None) -> None:
    stream = numbered(7)
    stream.trim_to_length(4)
    assert stream.entries_up_to(make_id(last_ms, 0)) == read
    group = Group(make_id(last_ms, 0), None)
    assert stream.lag(group) == (None if read is None else 7 - read)
    stream.remove(make_id(5, 0))
    assert stream.entries_up_to(make_id(last_ms, 0)) == (read if last_ms in (7, 8) else None)
    assert Stream().entries_up_to(make_id(last_ms, 0)) == 0


def test_groups_are_what_a_table_of_owners_says() -> None:
    rng = Random(5)
    group = Group(MIN_ID, None)
    names = [b"a", b"b", b"c"]
    owners: dict[int, tuple[bytes, int, int]] = {}  # id → consumer, time, count
    for now_ms in range(4000):
        name, id = rng.choice(names), rng.randrange(60)
        consumer = group.consumers.get(name) or group.add_consumer(name, now_ms)
        kind = rng.random()
        if kind < 0.5:
            group.deliver(id, consumer, now_ms)
            owners[id] = (name, now_ms, 1)
        elif kind < 0.7:
            assert group.acknowledge(id) == (owners.pop(id, None) is not None)
        elif kind < 0.98:
            delivery = group.pending.get(id)
            assert (delivery is not None) == (id in owners)
            if delivery is not None:
                group.pass_on(id, delivery, consumer)
                owners[id] = (name, *owners[id][1:])
        else:
            lost = [id for id, owner in owners.items() if owner[0] == name]
            assert group.remove_consumer(name) == len(lost)
            for id in lost:
                del owners[id]
        if now_ms % 100 == 0:
            group = group.copy()
        group.check()
        low, high = sorted(rng.choices(range(60), k=2))
        found = [(id, d.consumer.name, d.time_ms, d.count) for id, d in group.pending_from(low, high)]
        assert found == [(id, *owners[id]) for id in sorted(owners) if low <= id <= high]
    assert group.remove_consumer(b"nobody") is None


def test_a_copy_of_a_group_has_deliveries_of_its_own() -> None:
    stream = numbered(2)
    group = stream.add_group(b"g", MIN_ID, 0)
    assert group is not None
    delivery = group.deliver(make_id(1, 0), group.add_consumer(b"c", 5), 6)
    other = stream.copy().groups[b"g"]
    delivery.count = 9
    group.acknowledge(make_id(1, 0))
    assert other.pending[make_id(1, 0)].count == 1
    assert other.consumers[b"c"].seen_ms == 5
    assert other.consumers[b"c"].pending.keys() == other.pending.keys() == {make_id(1, 0)}
    assert stream.memory_bytes() > 0


@pytest.mark.parametrize(
    "value", [b"", b"0", b"7", b"00", b"007", b"0x", b"12", b"-1", b"-", b"a", b"0" * 63, b"0" * 64, b"\xff0"]
)
def test_an_entry_is_taken_for_as_long_as_redis_stores_it(value: bytes) -> None:
    """Numbers in canonical form are shorter there than the strings that look like them."""
    stream = Stream()
    stream.append(make_id(5, 0), [b"field", b"x"], 6, DEFAULT)
    before = stream.nodes[0].listpack_bytes()
    stream.append(make_id(5, 1), [b"field", value], 5 + len(value), DEFAULT)
    flags, id, count = 2, 4, 2
    assert stream.nodes[0].listpack_bytes() - before == flags + id + listpack_entry_bytes(value) + count
