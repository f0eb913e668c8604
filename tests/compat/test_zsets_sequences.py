"""The group sorted-set beside redis-server 7.0: random sequences of commands. Scores are those that 7.0 and
7.2 print alike, see test_zsets.py.
"""

from __future__ import annotations

import random

import pytest

NAMES = [b"a", b"b", b"c"]
MEMBERS = [b"", b"0", b"1", b"-5", b"x", b"y", b"z", b"xy", b"\xff\xfe\xfd\x00", b"long" * 15, b"longer" * 20]
# Printed alike by 7.0 and 7.2, and so are their sums.
SCORES = [b"0", b"1", b"1", b"2", b"3", b"-1", b"0.5", b"-2.25", b"1e3", b"inf", b"-inf", b"x", b"nan"]
BOUNDS = [*SCORES[:-1], b"(1", b"(2", b"(0.5", b"(inf", b"+inf", b"(-inf"]
LEX_BOUNDS = [b"-", b"+", b"[x", b"(x", b"[", b"(", b"[0", b"(y", b"[long", b"x"]
INDICES = [b"0", b"1", b"2", b"-1", b"-2", b"3", b"10", b"-10", b"x"]
COUNTS = [b"0", b"1", b"2", b"3", b"-1", b"150", b"x"]


class Sequence:
    """Makes requests from a seed. In every third all scores are the same, and only then ranges of members
    are asked for: they mean something there.
    """

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)
        self._is_lex = seed % 3 == 0
        self._scores = [b"0"] if self._is_lex else SCORES
        self._members = MEMBERS
        if self._rng.random() < 0.3:
            self._members = [b"m%d" % number for number in range(300)]

    def _one(self, choices: list[bytes]) -> bytes:
        return self._rng.choice(choices)

    def _limit(self) -> list[bytes]:
        return self._rng.choice([[], [], [b"LIMIT", self._one(INDICES), self._one(COUNTS)]])

    def _range(self) -> list[bytes]:
        """Bounds and options of ZRANGE."""
        rng, one = self._rng, self._one
        if self._is_lex:
            words = [one(LEX_BOUNDS), one(LEX_BOUNDS), b"BYLEX", *self._limit()]
        elif rng.random() < 0.5:
            words = [one(BOUNDS), one(BOUNDS), b"BYSCORE", *self._limit()]
        else:
            words = [one(INDICES), one(INDICES)]
        return words + rng.choice([[], [b"REV"]])

    def _old_range(self) -> list[bytes]:
        one, name = self._one, self._one(NAMES)
        back = one([b"", b"REV"])
        scores = self._rng.choice([[], [b"WITHSCORES"]])
        if self._is_lex:
            return [b"Z" + back + b"RANGEBYLEX", name, one(LEX_BOUNDS), one(LEX_BOUNDS), *self._limit()]
        if self._rng.random() < 0.5:
            return [b"Z%bRANGEBYSCORE" % back, name, one(BOUNDS), one(BOUNDS), *scores, *self._limit()]
        return [b"Z%bRANGE" % back, name, one(INDICES), one(INDICES), *scores]

    def _add(self) -> list[bytes]:
        rng = self._rng
        options = rng.choice([[], [], [], [b"NX"], [b"XX"], [b"GT"], [b"LT"], [b"XX", b"GT"], [b"INCR"]])
        count = 1 if b"INCR" in options else rng.choice([1, 1, 2, 5, 100])
        scores = self._scores if count < 5 else [b"0"] if self._is_lex else [b"1", b"2", b"3", b"0.25"]
        pairs = [word for _ in range(count) for word in (self._one(scores), self._one(self._members))]
        return [b"ZADD", self._one(NAMES), *options, *rng.choice([[], [b"CH"]]), *pairs]

    def _remove(self) -> list[bytes]:
        rng, one, name = self._rng, self._one, self._one(NAMES)
        by_score = [b"ZREMRANGEBYSCORE", name, one(BOUNDS), one(BOUNDS)]
        by_lex = [b"ZREMRANGEBYLEX", name, one(LEX_BOUNDS), one(LEX_BOUNDS)]
        ends = one([b"MIN", b"MAX"])
        return rng.choice(
            [
                [b"ZREM", name, *rng.choices(self._members, k=rng.randint(1, 4))],
                [b"ZREMRANGEBYRANK", name, b"1", one(INDICES)],
                by_lex if self._is_lex else by_score,
                [b"ZPOP" + ends, name, *rng.choice([[], [one(COUNTS)]])],
                [b"ZMPOP", b"2", name, one(NAMES), ends, *rng.choice([[], [b"COUNT", one(COUNTS)]])],
                [b"BZPOP" + ends, name, one(NAMES), b"0.001"] if rng.random() < 0.2 else [b"ZCARD", name],
                rng.choice([[b"DEL", name], [b"SET", name, b"x"], [b"SADD", name, one(self._members)]])
                if rng.random() < 0.3
                else [b"ZSCAN", name, b"0", b"COUNT", b"1000", b"MATCH", b"nothing"],
            ]
        )

    def _read(self) -> list[bytes]:
        one, name, member = self._one, self._one(NAMES), self._one(self._members)
        by_lex = [b"ZLEXCOUNT", name, one(LEX_BOUNDS), one(LEX_BOUNDS)]
        return self._rng.choice(
            [
                [b"ZSCORE", name, member],
                [b"ZMSCORE", name, member, one(self._members)],
                [b"ZRANK", name, member],
                [b"ZREVRANK", name, member],
                [b"ZCARD", name],
                by_lex if self._is_lex else [b"ZCOUNT", name, one(BOUNDS), one(BOUNDS)],
                [b"ZRANDMEMBER", name, b"0"],
                self._old_range(),
                [b"ZRANGE", name, *self._range(), *self._rng.choice([[], [b"WITHSCORES"]])],
            ]
        )

    def _algebra(self) -> list[bytes]:
        rng, one = self._rng, self._one
        names = [one(NAMES), one(NAMES)]
        options: list[bytes] = []
        if rng.random() < 0.5:
            options += [b"WEIGHTS", *rng.choices([b"1", b"2", b"-1", b"0.5", b"0", b"inf"], k=2)]
        if rng.random() < 0.5:
            options += [b"AGGREGATE", one([b"SUM", b"MIN", b"MAX", b"AVG"])]
        kind = one([b"ZUNION", b"ZINTER", b"ZDIFF"])
        if kind == b"ZDIFF" and rng.random() < 0.9:
            options = []
        if rng.random() < 0.5:
            return [kind, b"2", *names, *options, *rng.choice([[], [b"WITHSCORES"]])]
        return rng.choice(
            [
                [kind + b"STORE", one(NAMES), b"2", *names, *options],
                [b"ZINTERCARD", b"2", *names, b"LIMIT", one(COUNTS)],
                [b"ZRANGESTORE", one(NAMES), names[0], *self._range()],
            ]
        )

    def requests(self, length: int = 150) -> list[tuple[str, list[bytes]]]:
        """The requests, and at the end all that the keys hold."""
        makers = self._rng.choices(
            [self._add, self._remove, self._read, self._algebra], [5, 3, 4, 2], k=length
        )
        made = [("", make()) for make in makers]
        if self._is_lex:  # sums and weights would make different scores, infinities among them
            made = [(mark, words) for mark, words in made if b"STORE" not in words[0] or b"RANGE" in words[0]]
            made = [(mark, words) for mark, words in made if b"INCR" not in words]
        return made + [("", [b"ZRANGE", name, b"0", b"-1", b"WITHSCORES"]) for name in NAMES]


def _sequence(seed: int) -> list[tuple[str, list[bytes]]]:
    return Sequence(seed).requests()


def test_random_sequences(pair):
    pair.check_sequences(_sequence, range(100))


@pytest.mark.slow
def test_random_sequences_for_long(pair):
    pair.check_sequences(_sequence, range(100, 3000))
