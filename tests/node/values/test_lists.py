"""Lists against plain lists."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from node.rdb import listpack
from node.values.limits import DEFAULT, Limits
from node.values.lists import List

_ITEMS = st.sampled_from([b"a", b"b", b"", b"\xff", b"\xfe\xfd", b"7", b"-4096", b"x" * 300]) | st.binary(
    max_size=4
)
_INDICES = st.integers(-60, 60)
_LIMITS = [
    DEFAULT,
    Limits(list_max_listpack_size=4),
    Limits(list_max_listpack_size=20),
    Limits(list_max_listpack_size=0),
    Limits(list_max_listpack_size=-1),
]


class ListMachine(RuleBasedStateMachine):
    """A list and what it should be; steps are large enough to make and empty many chunks."""

    @initialize(limits=st.sampled_from(_LIMITS))
    def begin(self, limits: Limits) -> None:
        self.limits = limits
        self.list = List()
        self.model: list[bytes] = []

    @rule(items=st.lists(_ITEMS, min_size=1, max_size=8), times=st.sampled_from([1, 1, 1, 100]))
    def push_left(self, items: list[bytes], times: int) -> None:
        self.list.push_left(items * times, self.limits)
        self.model[:0] = (items * times)[::-1]

    @rule(items=st.lists(_ITEMS, min_size=1, max_size=8), times=st.sampled_from([1, 1, 1, 100]))
    def push_right(self, items: list[bytes], times: int) -> None:
        self.list.push_right(items * times, self.limits)
        self.model += items * times

    @rule(times=st.sampled_from([1, 1, 3, 150, 700]))
    def pop_left(self, times: int) -> None:
        for _ in range(min(times, len(self.model))):
            assert self.list.pop_left(self.limits) == self.model.pop(0)

    @rule(times=st.sampled_from([1, 1, 3, 150, 700]))
    def pop_right(self, times: int) -> None:
        for _ in range(min(times, len(self.model))):
            assert self.list.pop_right(self.limits) == self.model.pop()

    @rule(count=st.integers(0, 5) | st.integers(0, 500))
    def pop_left_many(self, count: int) -> None:
        assert self.list.pop_left_many(count, self.limits) == self.model[:count]
        del self.model[:count]

    @rule(count=st.integers(0, 5) | st.integers(0, 500))
    def pop_right_many(self, count: int) -> None:
        popped = self.list.pop_right_many(count, self.limits)
        assert popped == self.model[::-1][:count]
        del self.model[len(self.model) - len(popped) :]

    @rule(place=st.floats(0, 0.999), item=_ITEMS, outside=st.booleans())
    def set_one(self, place: float, item: bytes, outside: bool) -> None:
        index = len(self.model) + 1 if outside else int(place * len(self.model))
        assert self.list.set(index, item, self.limits) == (index < len(self.model))
        if index < len(self.model):
            self.model[index] = item
            assert self.list.set(index - len(self.model), item, self.limits)

    @rule(pivot=_ITEMS, item=_ITEMS, after=st.booleans())
    def insert(self, pivot: bytes, item: bytes, after: bool) -> None:
        there = pivot in self.model
        assert self.list.insert(pivot, item, self.limits, after=after) == there
        if there:
            self.model.insert(self.model.index(pivot) + after, item)

    @rule(item=_ITEMS, count=st.integers(-3, 3) | st.sampled_from([-200, 200]))
    def remove(self, item: bytes, count: int) -> None:
        found = [index for index, one in enumerate(self.model) if one == item]
        gone = set(found[:count] if count > 0 else found[count:])
        assert self.list.remove(item, count, self.limits) == len(gone)
        self.model = [one for index, one in enumerate(self.model) if index not in gone]

    @rule(first=st.floats(0, 0.4), last=st.floats(0.6, 1), nothing=st.booleans())
    def trim(self, first: float, last: float, nothing: bool) -> None:
        size = len(self.model)
        start, end = (size, 0) if nothing and size % 5 == 0 else (int(first * size), int(last * size))
        left = self.model[start : end + 1]
        assert self.list.trim(start, end, self.limits) == size - len(left)
        self.model = left

    @rule()
    def go_on_with_a_copy(self) -> None:
        copy, original = self.list.copy(), self.list
        original.push_left([b"q"] * 300, self.limits)
        original.trim(1, 0, self.limits)
        self.list = copy

    @rule(
        item=_ITEMS, rank=st.sampled_from([1, 2, -1, -2]), count=st.integers(0, 3), maxlen=st.integers(0, 9)
    )
    def positions(self, item: bytes, rank: int, count: int, maxlen: int) -> None:
        order = list(enumerate(self.model))
        if rank < 0:
            order.reverse()
        found = [index for index, one in order[: maxlen or None] if one == item][abs(rank) - 1 :]
        assert self.list.positions(item, rank, count, maxlen) == found[: count or None]

    @rule(first=_INDICES, last=_INDICES, place=st.floats(0, 1))
    def read(self, first: int, last: int, place: float) -> None:
        size = len(self.model)
        middle = int(place * size)
        for start, end in ((first, last), (middle, middle + 300), (middle, -1)):
            from_index = max(start + size, 0) if start < 0 else start
            to_index = end + size if end < 0 else end
            assert self.list.range(start, end) == self.model[from_index : max(to_index + 1, 0)]
        for index in (first, middle, middle - size):
            assert self.list.get(index) == (self.model[index] if -size <= index < size else None)

    @invariant()
    def agrees(self) -> None:
        self.list.check()
        assert len(self.list) == len(self.model)
        assert list(self.list) == self.list.items() == self.model


TestList = ListMachine.TestCase
TestList.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)


def _pushed(items: list[bytes], limits: Limits) -> List:
    value = List()
    for item in items:
        value.push_right([item], limits)
    return value


@pytest.mark.parametrize("item", [b"element", b"%d" % 2**40, b"7", b"x" * 200, b"\xff" * 9])
@pytest.mark.parametrize("size", [-1, -2, -3])
def test_a_list_grows_into_a_quicklist_where_redis_has_it_so(item: bytes, size: int) -> None:
    """A listpack takes an element when its bytes and those of the element together are within the limit."""
    limits = Limits(list_max_listpack_size=size)
    limit = {-1: 4096, -2: 8192, -3: 16384}[size]
    items: list[bytes] = []
    while len(listpack.encode(items)) + len(item) <= limit:
        items.append(item)
    assert _pushed(items, limits).encoding() == b"listpack"
    assert _pushed([*items, item], limits).encoding() == b"quicklist"


def test_a_limit_of_elements() -> None:
    limits = Limits(list_max_listpack_size=10)
    value = _pushed([b"x"] * 10, limits)
    assert value.encoding() == b"listpack"
    value.push_left([b"x"], limits)
    assert value.encoding() == b"quicklist"
    while len(value) > 5:
        assert value.encoding() == b"quicklist"
        value.pop_left(limits)
    assert value.encoding() == b"listpack"
    assert _pushed([b"x" * 9000], limits).encoding() == b"quicklist"


def test_a_quicklist_shrinks_to_a_listpack_at_half_the_limit() -> None:
    items = [b"element:%04d" % number for number in range(2000)]
    value = _pushed(items, DEFAULT)
    while value.encoding() == b"quicklist":
        assert len(listpack.encode(value.items())) > 4096
        value.pop_right(DEFAULT)
    assert len(listpack.encode(value.items())) <= 4096
    assert len(listpack.encode(items[: len(value) + 1])) > 4096


@pytest.mark.parametrize(
    ("items", "encoding"),
    [
        ([b"x" * 98] * 81, b"listpack"),
        ([b"x" * 98] * 82, b"quicklist"),
        ([b"1"] * 4000, b"listpack"),
        ([b"x" * 9000], b"quicklist"),
        ([], b"listpack"),
    ],
)
def test_encodings_of_loaded_lists(items: list[bytes], encoding: bytes) -> None:
    value = List.from_items(items, DEFAULT)
    value.check()
    assert value.encoding() == encoding
    assert value.items() == items


def test_long_lists_are_compact() -> None:
    value = List.from_items([b"element:%d" % number for number in range(100_000)], DEFAULT)
    assert 1_400_000 < value.memory_bytes() < 1_700_000
    assert value.memory_bytes(0) < 1_700_000
    loose = List.from_items([b"x" * 1000] * 1000, DEFAULT)
    assert 1_000_000 < loose.memory_bytes() == loose.memory_bytes(0) < 1_100_000
    assert List.from_items([b"element:%d" % number for number in range(10)], DEFAULT).memory_bytes() < 250
    assert value.get(50_000) == b"element:50000"
    assert value.positions(b"element:77777", -1) == [77777]
