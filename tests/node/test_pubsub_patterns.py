"""The index of patterns finds what testing each would find."""

from __future__ import annotations

import random

from node.pubsub_patterns import REMEMBERED_CHANNELS, Patterns
from node.values.glob import glob_match

PIECES = [b"a", b"b", b"ab", b"*", b"?", b"[ab]", b"[^a]", b"\\*", b"\\", b"[", b"]", b"a-", b""]


def test_random_patterns_and_channels() -> None:
    for seed in range(30):
        rng = random.Random(seed)
        patterns, there = Patterns(), set()
        for _ in range(200):
            pattern = b"".join(rng.choices(PIECES, k=rng.randint(0, 5)))
            if pattern in there:
                patterns.remove(pattern)
                there.discard(pattern)
            else:
                patterns.add(pattern)
                there.add(pattern)
            channel = b"".join(rng.choices([b"a", b"b", b"*", b"-", b"]"], k=rng.randint(0, 4)))
            expected = sorted(each for each in there if glob_match(each, channel))
            assert sorted(patterns.match(channel)) == expected, (seed, channel)


def test_a_channel_looks_only_at_what_shares_its_text() -> None:
    """Of fifty thousand patterns with different texts none but the matching one is tested."""
    patterns = Patterns()
    for number in range(25_000):
        patterns.add(b"user:%d:*" % number)
        patterns.add(b"*:%d:logout" % number)
    tested = []
    for texts in (patterns._heads, patterns._tails):
        for filed in texts._patterns.values():
            for pattern, matches in filed.items():

                def spy(channel: bytes, pattern: bytes = pattern, matches=matches) -> bool:
                    tested.append(pattern)
                    return matches(channel)

                filed[pattern] = spy
    assert patterns.match(b"user:77:x:9:logout") == [b"user:77:*", b"*:9:logout"]
    assert tested == [b"user:77:*", b"*:9:logout"]
    patterns.match(b"user:77:x:9:logout")
    assert len(tested) == 2, "what was found is remembered"


def test_what_is_remembered_is_bounded_and_forgotten_with_every_change() -> None:
    patterns = Patterns()
    patterns.add(b"*a*")
    for number in range(3 * REMEMBERED_CHANNELS):
        patterns.match(b"a%d" % number)
    assert len(patterns._remembered) <= REMEMBERED_CHANNELS
    assert patterns.match(b"ab") == [b"*a*"]
    patterns.add(b"ab")
    assert sorted(patterns.match(b"ab")) == [b"*a*", b"ab"]
    patterns.remove(b"*a*")
    patterns.remove(b"ab")
    assert patterns.match(b"ab") == []
    assert not patterns._heads.lengths
    assert not patterns._tails.lengths
