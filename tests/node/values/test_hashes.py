"""Hashes against plain dicts."""

from __future__ import annotations

import sys
from random import Random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from node.values.hashes import Hash
from node.values.limits import DEFAULT, Limits

_FIELDS = st.sampled_from([b"a", b"b", b"ab", b"", b"\xff", b"\xfe\xfd", b"7", b"x" * 9]) | st.binary(
    max_size=4
)
_VALUES = st.binary(max_size=9) | st.sampled_from([b"a", b"\xffa\xfe", b"v" * 40])
_NOW = 1_000_000


class HashMachine(RuleBasedStateMachine):
    """A hash and what it should be: fields to values, fields to deadlines."""

    @initialize(
        limits=st.sampled_from(
            [
                DEFAULT,
                Limits(hash_max_listpack_entries=4),
                Limits(hash_max_listpack_value=8),
                Limits(hash_max_listpack_entries=0),
            ]
        )
    )
    def begin(self, limits: Limits) -> None:
        self.limits = limits
        self.hash = Hash()
        self.model: dict[bytes, bytes] = {}
        self.deadlines: dict[bytes, int] = {}
        self.is_table = False
        self.now_ms = _NOW

    @rule(field=_FIELDS, value=_VALUES, keep=st.booleans())
    def set_one(self, field: bytes, value: bytes, keep: bool) -> None:
        assert self.hash.set(field, value, self.limits, keep_deadline=keep) == (field not in self.model)
        self._stored(field, value, keep)

    @rule(words=st.lists(st.tuples(_FIELDS, _VALUES), min_size=1, max_size=6))
    def set_many(self, words: list[tuple[bytes, bytes]]) -> None:
        flat = [word for pair in words for word in pair]
        added = len({field for field, _ in words} - set(self.model))
        assert self.hash.set_many(flat, self.limits) == added
        # As HSET: many arguments make a table at once, though some may be the same.
        if len(words) > 1:
            self.is_table |= len(words) > self.limits.hash_max_listpack_entries
        for field, value in words:
            self._stored(field, value, keep=False)

    def _stored(self, field: bytes, value: bytes, keep: bool) -> None:
        self.model[field] = value
        if not keep:
            self.deadlines.pop(field, None)
        self.is_table |= len(self.model) > self.limits.hash_max_listpack_entries
        self.is_table |= max(len(field), len(value)) > self.limits.hash_max_listpack_value

    @rule(field=_FIELDS)
    def delete(self, field: bytes) -> None:
        assert self.hash.delete(field) == (self.model.pop(field, None) is not None)
        self.deadlines.pop(field, None)

    @rule(field=_FIELDS, after_ms=st.integers(-5, 20))
    def set_deadline(self, field: bytes, after_ms: int) -> None:
        if field in self.model:
            self.deadlines[field] = self.now_ms + after_ms
            self.hash.set_deadline(field, self.now_ms + after_ms)

    @rule(field=_FIELDS)
    def clear_deadline(self, field: bytes) -> None:
        assert self.hash.clear_deadline(field) == (self.deadlines.pop(field, None) is not None)

    @rule(ms=st.integers(0, 10), limit=st.sampled_from([1, 2, sys.maxsize]))
    def expire(self, ms: int, limit: int) -> None:
        self.now_ms += ms
        over = sorted(field for field, at in self.deadlines.items() if at <= self.now_ms)
        removed = self.hash.expire_due(self.now_ms, limit)
        assert len(removed) == min(limit, len(over))
        assert set(removed) <= set(over)
        for field in removed:
            del self.model[field], self.deadlines[field]

    @rule()
    def go_on_with_a_copy(self) -> None:
        copy, original = self.hash.copy(), self.hash
        original.set(b"other", b"x", self.limits)
        original.delete(b"other")
        self.hash = copy

    @rule(fields=st.lists(_FIELDS, max_size=8))
    def read(self, fields: list[bytes]) -> None:
        """A field whose time is over is not seen by who says what time it is."""
        now = self.now_ms
        live = {f: v for f, v in self.model.items() if self.deadlines.get(f, now + 1) > now}
        for at_ms, expected in ((0, self.model), (now, live)):
            assert self.hash.get_many(fields, at_ms) == [expected.get(field) for field in fields]
            assert [self.hash.get(field, at_ms) for field in fields] == list(map(expected.get, fields))
            assert [self.hash.has(field, at_ms) for field in fields] == [f in expected for f in fields]
            assert self.hash.live_count(at_ms) == len(expected)
            assert dict(self.hash.pairs(at_ms)) == expected
            flat = self.hash.flat(at_ms)
            assert dict(zip(flat[::2], flat[1::2], strict=True)) == expected
            assert self.hash.fields(at_ms) == flat[::2]
            assert self.hash.values(at_ms) == flat[1::2]
            cursor, found = self.hash.scan(0, 1000, at_ms)
            assert (cursor, dict(found)) == (0, expected)
            pair = self.hash.random_pair(Random(1), at_ms)
            assert pair in expected.items() if expected else pair is None
            assert set(self.hash.random_pairs(Random(1), 3, at_ms)) <= set(expected.items())
            assert len(set(self.hash.sample(Random(1), 2, at_ms))) == min(2, len(expected))

    @invariant()
    def agrees(self) -> None:
        self.hash.check()
        assert len(self.hash) == len(self.model)
        assert self.hash.next_deadline() == min(self.deadlines.values(), default=None)
        assert all(self.hash.deadline(field) == self.deadlines.get(field) for field in self.model)
        compact = b"listpackex" if self.deadlines else b"listpack"
        assert self.hash.encoding() == (b"hashtable" if self.is_table else compact)


TestHash = HashMachine.TestCase
TestHash.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def test_fields_keep_the_order_they_came_in() -> None:
    value = Hash()
    value.set_many([b"b", b"1", b"a", b"2", b"c", b"3"], DEFAULT)
    value.set(b"b", b"4", DEFAULT)
    assert value.flat() == [b"b", b"4", b"a", b"2", b"c", b"3"]
    assert list(value) == [b"b", b"a", b"c"]


@pytest.mark.parametrize(
    ("pairs", "encoding"),
    [
        ([(b"%d" % n, b"") for n in range(512)], b"listpack"),
        ([(b"%d" % n, b"") for n in range(513)], b"hashtable"),
        ([(b"f", b"x" * 64)], b"listpack"),
        ([(b"f", b"x" * 65)], b"hashtable"),
        ([(b"x" * 65, b"")], b"hashtable"),
        ([(b"f", b"1"), (b"f", b"2")], b"listpack"),
        ([], b"listpack"),
    ],
)
def test_encodings_of_loaded_hashes(pairs: list[tuple[bytes, bytes]], encoding: bytes) -> None:
    value = Hash.from_pairs(pairs, DEFAULT)
    value.check()
    assert value.encoding() == encoding
    assert dict(value.pairs()) == dict(pairs)


def test_thousands_of_fields() -> None:
    value = Hash()
    for number in range(3000):
        value.set(b"field:%d" % number, b"%d" % number, DEFAULT)
    value.check()
    met: dict[bytes, bytes] = {}
    cursor = 0
    while True:
        cursor, found = value.scan(cursor, 10)
        met |= dict(found)
        if not cursor:
            break
    assert met == dict(value.pairs()) == {b"field:%d" % n: b"%d" % n for n in range(3000)}
    assert len(set(value.sample(Random(1), 2000))) == 2000
    for number in range(2990):
        assert value.delete(b"field:%d" % number)
    value.check()
    assert sorted(value) == sorted(b"field:%d" % number for number in range(2990, 3000))


def test_ten_short_fields_take_little_memory() -> None:
    value = Hash.from_pairs([(b"field:%d" % n, b"value:%d" % n) for n in range(10)], DEFAULT)
    assert value.memory_bytes() < 300
    full = Hash.from_pairs([(b"field:%d" % n, b"value:%d" % n) for n in range(1000)], DEFAULT)
    assert 100_000 < full.memory_bytes() < 200_000


def test_deadlines_that_move_do_not_pile_up() -> None:
    value = Hash()
    value.set(b"f", b"1", DEFAULT)
    for at in range(1, 10_000):
        value.set_deadline(b"f", at)
    value.check()
    assert value.memory_bytes() < 1000
    assert value.expire_due(9_998) == []
    assert value.expire_due(9_999) == [b"f"]
    assert len(value) == 0
    assert not value.has_deadlines
