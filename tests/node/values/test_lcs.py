"""The longest common subsequence, and that it is the very one Redis finds."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from typing import Any

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from node.values.lcs import Match, lcs_length, lcs_matches, lcs_string


def _plain_length(a: bytes, b: bytes) -> int:
    """The textbook recurrence."""
    row = [0] * (len(b) + 1)
    for byte in a:
        diagonal = 0
        for j, other in enumerate(b, 1):
            diagonal, row[j] = row[j], diagonal + 1 if byte == other else max(row[j], row[j - 1])
    return row[-1]


def test_the_example_of_the_command_page() -> None:
    a, b = b"ohmytext", b"mynewtext"
    assert lcs_string(a, b) == b"mytext"
    assert lcs_length(a, b) == 6
    assert lcs_matches(a, b) == [Match(4, 7, 5, 8), Match(2, 3, 0, 1)]
    assert [match.length for match in lcs_matches(a, b)] == [4, 2]


@pytest.mark.parametrize(("a", "b"), [(b"", b""), (b"", b"abc"), (b"abc", b""), (b"abc", b"xyz")])
def test_nothing_in_common(a: bytes, b: bytes) -> None:
    assert lcs_length(a, b) == 0
    assert lcs_string(a, b) == b""
    assert lcs_matches(a, b) == []


_SMALL = st.binary(max_size=30) | st.lists(st.sampled_from(b"abc"), max_size=40).map(bytes)


@given(_SMALL, _SMALL)
def test_matches_make_up_a_subsequence_of_both_of_the_greatest_length(a: bytes, b: bytes) -> None:
    matches = lcs_matches(a, b)
    assert (
        lcs_length(a, b) == lcs_length(b, a) == _plain_length(a, b) == sum(match.length for match in matches)
    )
    for match in matches:
        assert a[match.a_start : match.a_end + 1] == b[match.b_start : match.b_end + 1]
    for later, earlier in itertools.pairwise(matches):
        assert earlier.a_end < later.a_start
        assert earlier.b_end < later.b_start
        assert (earlier.a_end + 1, earlier.b_end + 1) != (later.a_start, later.b_start)


def test_redis_server_finds_the_same_one(start_redis: Callable[..., Any]) -> None:
    """Of several with the same length, the choice and the order of matches are visible to clients."""
    rng = random.Random(22)
    pairs = []
    for _ in range(600):
        alphabet = rng.choice([b"ab", b"abcd", b"abcdefghijkl"])
        pairs.append([bytes(rng.choices(alphabet, k=rng.randrange(50))) for _ in range(2)])
    with redis.Redis(port=start_redis().port) as client:
        pipe = client.pipeline(transaction=False)
        for a, b in pairs:
            pipe.mset({"a": a, "b": b})
            pipe.execute_command("LCS", "a", "b")
            pipe.execute_command("LCS", "a", "b", "IDX")
        replies = pipe.execute()
    for number, (a, b) in enumerate(pairs):
        _, text, index = replies[3 * number : 3 * number + 3]
        index = index if isinstance(index, dict) else dict(zip(index[::2], index[1::2], strict=True))
        assert lcs_string(a, b) == text
        assert [tuple(match) for match in lcs_matches(a, b)] == [(*m[0], *m[1]) for m in index[b"matches"]]
        assert lcs_length(a, b) == index[b"len"]
