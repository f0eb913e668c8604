"""Random sequences of commands on few keys, sent to both servers, replies and what is left compared.

A seed makes a sequence. Where the servers differ, the sequence is cut down to one from which no request can
be left out, and shown with its seed.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

LENGTH = 150
KEYS = [b"a", b"b", b""]
VALUES = [
    b"", b"0", b"1", b"-7", b"9223372036854775807", b"-9223372036854775808", b"abc", b"3.25", b"007",
    b"\x00\xff\r\n", b"v" * 44, b"v" * 45, b"abcabd", b"bc",
]  # fmt: skip
INTEGERS = [
    b"0",
    b"1",
    b"-1",
    b"5",
    b"-3",
    b"100",
    b"9223372036854775807",
    b"-9223372036854775808",
    b"x",
    b"1.5",
]
OFFSETS = [b"0", b"1", b"-1", b"2", b"-2", b"5", b"-100", b"100", b"z"]
FLOATS = [b"0.1", b"-2.5", b"1e3", b"1e-5", b"3", b"inf", b"q"]
# Lives end long after the test or long before it: neither server's clock decides.
LONG = [b"10000", b"20000"]
FAR_S = [b"33177117420", b"33177117421", b"33177117422"]
FAR_MS = [b"33177117420000", b"33177117421000", b"33177117422000"]
PAST = [b"1", b"0", b"-5"]

Words = list[bytes]
Request = tuple[str, Words]


class Generator:
    """Makes requests; what is likely to matter is made often."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)
        self._kinds: list[tuple[int, Callable[[], Request]]] = [
            (8, self._string),
            (4, self._set),
            (2, self._getex),
            (6, self._expire),
            (4, self._generic),
            (2, self._by_the_clock),
            (1, self._in_any_order),
        ]

    def sequence(self, length: int) -> list[Request]:
        weights = [weight for weight, _ in self._kinds]
        makers = [maker for _, maker in self._kinds]
        return [make() for make in self._rng.choices(makers, weights, k=length)]

    def _one(self, *choices: list[bytes]) -> bytes:
        return self._rng.choice(self._rng.choice(choices))

    def _key(self) -> bytes:
        return self._rng.choice(KEYS)

    def _some_keys(self) -> Words:
        return self._rng.choices(KEYS, k=self._rng.randint(1, 3))

    def _string(self) -> Request:
        key, one = self._key(), self._one
        pairs = [word for name in self._some_keys() for word in (name, one(VALUES))]
        return "", self._rng.choice(
            [
                [b"GET", key],
                [b"SET", key, one(VALUES)],
                [b"SETNX", key, one(VALUES)],
                [b"SETEX", key, one(LONG), one(VALUES)],
                [b"PSETEX", key, one(LONG, LONG, PAST), one(VALUES)],
                [b"GETSET", key, one(VALUES)],
                [b"GETDEL", key],
                [b"APPEND", key, one(VALUES)],
                [b"STRLEN", key],
                [b"SETRANGE", key, one(OFFSETS), one(VALUES)],
                [b"GETRANGE", key, one(OFFSETS), one(OFFSETS)],
                [b"INCR", key],
                [b"DECR", key],
                [b"INCRBY", key, one(INTEGERS)],
                [b"DECRBY", key, one(INTEGERS)],
                [b"INCRBYFLOAT", key, one(FLOATS)],
                [b"LCS", key, self._key(), one([b"LEN", b"IDX", b"WITHMATCHLEN"])],
                [b"MGET", *self._some_keys()],
                [b"MSET", *pairs],
                [b"MSETNX", *pairs],
            ]
        )

    def _life(self) -> Words:
        word = self._rng.choice([b"EX", b"px", b"EXAT", b"PXAT"])
        if word.upper() in (b"EX", b"PX"):
            return [word, self._one(LONG, LONG, LONG, LONG, INTEGERS)]
        return [word, self._one(FAR_S if word == b"EXAT" else FAR_MS, [b"1"])]

    def _set(self) -> Request:
        words = [b"SET", self._key(), self._one(VALUES)]
        for _ in range(self._rng.randint(0, 2)):
            words += self._rng.choice([self._life(), [b"NX"], [b"xx"], [b"GET"], [b"KEEPTTL"], [b"KEEPTTL"]])
        return "", words

    def _getex(self) -> Request:
        return "", [b"GETEX", self._key(), *self._rng.choice([self._life(), [b"PERSIST"], []])]

    def _expire(self) -> Request:
        words = self._rng.choice(
            [
                [b"EXPIRE", self._key(), self._one(LONG, LONG, PAST)],
                [b"PEXPIRE", self._key(), self._one(LONG, LONG, INTEGERS)],
                [b"EXPIREAT", self._key(), self._one(FAR_S, FAR_S, FAR_S, PAST)],
                [b"PEXPIREAT", self._key(), self._one(FAR_MS, FAR_MS, FAR_MS, PAST)],
                [b"PERSIST", self._key()],
            ]
        )
        if words[0] != b"PERSIST" and self._rng.random() < 0.7:
            # Two lives from now of equal length end at one time, or not, as the clock goes: no GT and LT.
            comparing = [b"GT", b"lt"] if words[0].endswith(b"AT") else []
            words += self._rng.choices([b"NX", b"XX", *comparing], k=self._rng.choice([1, 1, 1, 2]))
        return "", words

    def _generic(self) -> Request:
        return "", self._rng.choice(
            [
                [b"DEL", *self._some_keys()],
                [b"EXISTS", *self._some_keys()],
                [b"TOUCH", *self._some_keys()],
                [b"TYPE", self._key()],
                [b"RENAME", self._key(), self._key()],
                [b"RENAMENX", self._key(), self._key()],
                [b"COPY", self._key(), self._key()],
                [b"COPY", self._key(), self._key(), b"REPLACE"],
                [b"SCAN", b"0", b"COUNT", b"1000", b"MATCH", b"a"],
            ]
        )

    def _by_the_clock(self) -> Request:
        return "~", [self._one([b"TTL", b"PTTL", b"EXPIRETIME", b"PEXPIRETIME"]), self._key()]

    def _in_any_order(self) -> Request:
        return "*", self._rng.choice([[b"KEYS", b"*"], [b"KEYS", b"?*"], [b"SCAN", b"0", b"COUNT", b"1000"]])


STATE: list[Request] = [
    (mark, [name, key])
    for key in KEYS
    for mark, name in (("", b"GET"), ("~", b"PEXPIRETIME"), ("", b"STRLEN"))
]


def _sequence(seed: int) -> list[Request]:
    return Generator(seed).sequence(LENGTH) + STATE


def test_both_servers_reply_alike_and_hold_the_same(pair):
    pair.check_sequences(_sequence, range(150))


@pytest.mark.slow
def test_both_servers_reply_alike_for_long(pair):
    pair.check_sequences(_sequence, range(150, 5000))
