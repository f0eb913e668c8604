"""Sets against plain sets."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from node.integers import parse_integer
from node.values.limits import DEFAULT, Limits
from node.values.sets import Set

_INTEGERS = (
    st.integers(-3, 12) | st.integers(-(2**63), 2**63 - 1) | st.sampled_from([2**15 - 1, 2**15, -(2**31) - 1])
)
_MEMBERS = _INTEGERS.map(lambda n: b"%d" % n) | st.binary(max_size=3) | st.sampled_from([b"007", b"m" * 70])


class SetMachine(RuleBasedStateMachine):
    """A set, what it should be, and the encoding that Redis 7.2 would have."""

    @initialize(
        limits=st.sampled_from(
            [
                DEFAULT,
                Limits(set_max_intset_entries=3, set_max_listpack_entries=5),
                Limits(set_max_intset_entries=5, set_max_listpack_entries=3),
                Limits(set_max_intset_entries=0, set_max_listpack_value=2),
                Limits(set_max_intset_entries=0, set_max_listpack_entries=0),
            ]
        ),
        first=_MEMBERS,
        hint=st.integers(1, 8),
        only_integers=st.booleans(),
    )
    def begin(self, limits: Limits, first: bytes, hint: int, only_integers: bool) -> None:
        self.limits = limits
        self.set = Set.create(first, hint, limits)
        self.model: set[bytes] = set()
        self.only_integers = only_integers
        if parse_integer(first) is not None and hint <= limits.set_max_intset_entries:
            self.encoding = b"intset"
        else:
            self.encoding = b"listpack" if hint <= limits.set_max_listpack_entries else b"hashtable"

    @rule(member=_MEMBERS)
    def add(self, member: bytes) -> None:
        is_integer = parse_integer(member) is not None
        if self.only_integers and not is_integer:
            return
        if member not in self.model:
            self._expect(member, is_integer)
        assert self.set.add(member, self.limits) == (member not in self.model)
        self.model.add(member)

    def _expect(self, member: bytes, is_integer: bool) -> None:
        limits, size = self.limits, len(self.model)
        if self.encoding == b"intset" and is_integer:
            if size + 1 > limits.set_max_intset_entries:
                self.encoding = b"hashtable"
        elif self.encoding != b"hashtable":
            longest = max(map(len, {*self.model, member})) if self.encoding == b"intset" else len(member)
            fits = size < limits.set_max_listpack_entries and longest <= limits.set_max_listpack_value
            self.encoding = b"listpack" if fits else b"hashtable"

    @rule(hint=st.integers(1, 10))
    def reserve(self, hint: int) -> None:
        limits = {
            b"intset": self.limits.set_max_intset_entries,
            b"listpack": self.limits.set_max_listpack_entries,
        }
        if hint > limits.get(self.encoding, hint):
            self.encoding = b"hashtable"
        self.set.reserve(hint, self.limits)

    @rule(member=_MEMBERS)
    def remove(self, member: bytes) -> None:
        assert self.set.remove(member) == (member in self.model)
        self.model.discard(member)

    @rule(seed=st.integers(0, 99))
    def pop(self, seed: int) -> None:
        if self.model:
            self.model.remove(self.set.pop(Random(seed)))

    @rule(seed=st.integers(0, 99), count=st.integers(0, 10))
    def pop_many(self, seed: int, count: int) -> None:
        popped = self.set.pop_many(Random(seed), count)
        assert len(popped) == len(set(popped)) == min(count, len(self.model))
        assert set(popped) <= self.model
        self.model -= set(popped)

    @rule()
    def go_on_with_a_copy(self) -> None:
        copy, original = self.set.copy(), self.set
        for member in original.members():
            original.remove(member)
        self.set = copy

    @rule(members=st.lists(_MEMBERS, max_size=5), seed=st.integers(0, 99))
    def read(self, members: list[bytes], seed: int) -> None:
        assert [member in self.set for member in members] == [member in self.model for member in members]
        assert sorted(self.set.members()) == sorted(self.set) == sorted(self.model)
        cursor, found = self.set.scan(0, 1000)
        assert (cursor, sorted(found)) == (0, sorted(self.model))
        assert len(set(self.set.sample(Random(seed), 3))) == min(3, len(self.model))
        if self.model:
            assert self.set.random_member(Random(seed)) in self.model
            assert set(self.set.random_members(Random(seed), 4)) <= self.model

    @invariant()
    def agrees(self) -> None:
        self.set.check()
        assert len(self.set) == len(self.model)
        assert self.set.encoding() == self.encoding


TestSet = SetMachine.TestCase
TestSet.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)


@pytest.mark.parametrize(
    ("members", "encoding"),
    [
        ([b"%d" % n for n in range(512)], b"intset"),
        ([b"%d" % n for n in range(513)], b"hashtable"),
        ([b"%d" % n for n in range(127)] + [b"x"], b"listpack"),
        ([b"%d" % n for n in range(128)] + [b"x"], b"hashtable"),
        ([b"x" * 64], b"listpack"),
        ([b"x" * 65], b"hashtable"),
        ([], b"intset"),
    ],
)
def test_encodings_of_whole_sets(members: list[bytes], encoding: bytes) -> None:
    value = Set.from_members(members, DEFAULT)
    value.check()
    assert value.encoding() == encoding
    assert sorted(value) == sorted(members)


def test_integers_come_in_ascending_order() -> None:
    value = Set.from_members([b"10", b"-5", b"70000", b"9"], DEFAULT)
    assert value.members() == [b"-5", b"9", b"10", b"70000"]


@pytest.mark.parametrize(
    "members",
    [
        [b"%d" % n for n in range(40)],
        [b"m:%d" % n for n in range(40)],
        [b"m:%d" % n for n in range(150)],
        [b"m:%d" % n for n in range(400)],
    ],
)
def test_every_member_is_popped_as_often(members: list[bytes]) -> None:
    """SPOP and SRANDMEMBER are fair at every size."""
    value = Set.from_members(members, DEFAULT)
    rng = Random(3)
    share = 100
    popped: Counter[bytes] = Counter()
    for _ in range(share * len(members)):
        member = value.pop(rng)
        popped[member] += 1
        value.add(member, DEFAULT)
    assert all(abs(times - share) < 60 for times in popped.values())
    seen = Counter(value.random_members(rng, share * len(members)))
    assert all(abs(times - share) < 60 for times in seen.values())
    samples = Counter(
        member for _ in range(share * 10) for member in value.sample(rng, len(members) * 9 // 10)
    )
    assert all(abs(times - share * 9) < 60 for times in samples.values())


def test_most_of_a_large_set_is_popped() -> None:
    value = Set.from_members([b"m:%d" % n for n in range(5000)], DEFAULT)
    popped = value.pop_many(Random(4), 4990)
    value.check()
    assert sorted([*popped, *value]) == sorted(b"m:%d" % n for n in range(5000))


def test_small_sets_take_little_memory() -> None:
    assert Set.from_members([b"%d" % n for n in range(100)], DEFAULT).memory_bytes() < 350
    assert Set.from_members([b"m:%d" % n for n in range(10)], DEFAULT).memory_bytes() < 150
    full = Set.from_members([b"member:%d" % n for n in range(10_000)], DEFAULT)
    assert 700_000 < full.memory_bytes() < 1_100_000
