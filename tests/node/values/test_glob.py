"""Glob patterns: the edges of the rules, and the same answers as redis-server's KEYS and CONFIG GET."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from node.values.glob import compile_glob, glob_match

CASES = [
    (b"", b"", True),
    (b"", b"a", False),
    (b"*", b"", False),  # redis-server's matcher needs a byte to begin with
    (b"*", b"a", True),
    (b"a*", b"a", True),
    (b"a**", b"a", True),
    (b"h?llo", b"hello", True),
    (b"h?llo", b"hllo", False),
    (b"h[ae]llo", b"hallo", True),
    (b"h[^e]llo", b"hello", False),
    (b"h[a-c]llo", b"hbllo", True),
    (b"h[c-a]llo", b"hbllo", True),  # swapped ends
    (b"[]", b"a", False),
    (b"[]a]", b"]a]", False),
    (b"[^", b"a", True),
    (b"[", b"a", False),
    (b"[a", b"a", True),
    (b"[a-]", b"_", True),  # a range from a to the bracket, and no end
    (b"[\\]]", b"]", True),
    (b"\\*", b"*", True),
    (b"\\*", b"a", False),
    (b"a\\", b"a\\", True),
    (b"*.txt", b"a.txt", True),
    (b"*.txt", b"a.txt.", False),
    (b"*a*b*c*", b"xxaxxbxxcxx", True),
    (b"*a*b*c*", b"xxaxxcxxbxx", False),
    (b"a\nb*", b"a\nb\n", True),
    (b"\xff*\x00", b"\xff..\x00", True),
]


@pytest.mark.parametrize(("pattern", "string", "expected"), CASES)
def test_rules(pattern: bytes, string: bytes, expected: bool) -> None:
    assert compile_glob(pattern)(string) is expected
    assert glob_match(pattern, string) is expected


def test_case_is_folded_for_ascii_letters_only() -> None:
    assert compile_glob(b"ab[c-e]*", nocase=True)(b"ABDx")
    assert not compile_glob(b"\xe9", nocase=True)(b"\xc9")


def test_an_escaped_member_of_a_class_keeps_its_case() -> None:
    assert not compile_glob(b"[\\a]", nocase=True)(b"A")
    assert compile_glob(b"[a]", nocase=True)(b"A")


ALPHABET = st.sampled_from([bytes((byte,)) for byte in b"aabAzB*?[]^-\\\n\xe9"])
TEXT = st.lists(ALPHABET, max_size=12).map(b"".join)


@given(pattern=TEXT, string=TEXT, nocase=st.booleans())
def test_compiled_and_direct_matching_agree(pattern: bytes, string: bytes, nocase: bool) -> None:
    assert compile_glob(pattern, nocase)(string) is glob_match(pattern, string, nocase)


@pytest.mark.parametrize("length", [30, 400])  # compiled, and matched directly
def test_many_stars_do_not_take_exponential_time(length: int) -> None:
    """Plain backtracking would need more than 2**30 steps."""
    matches = compile_glob(b"*a" * length + b"*b")
    began = time.process_time()
    assert not matches(b"a" * 2000)
    assert time.process_time() - began < 1.0


def _random_text(chance: random.Random, alphabet: bytes, longest: int) -> bytes:
    return bytes(chance.choices(alphabet, k=chance.randint(1, longest)))


def _replies(client: redis.Redis, command: list[bytes], patterns: list[bytes]) -> list[Any]:
    pipeline: Any = client.pipeline(transaction=False)
    for pattern in patterns:
        pipeline.execute_command(*command, pattern)
    return list(pipeline.execute())


def test_keys_of_redis_server_agree(start_redis: Callable[..., Any]) -> None:
    chance = random.Random(7)
    keys = {b"", *(_random_text(chance, b"abcAB*[]^-\\?\x80\xfe\n", 6) for _ in range(150))}
    patterns = [_random_text(chance, b"aabbcAB***??[[]]^^--\\\x80\xfe", 9) for _ in range(2000)]
    patterns = [pattern for pattern in patterns if pattern != b"*"]  # KEYS * does not match at all
    with redis.Redis(port=start_redis().port) as client:
        client.mset(dict.fromkeys(keys, b""))
        replies = _replies(client, [b"KEYS"], patterns)
    for pattern, reply in zip(patterns, replies, strict=True):
        assert {key for key in keys if compile_glob(pattern)(key)} == set(reply), pattern
        assert {key for key in keys if glob_match(pattern, key)} == set(reply), pattern


def test_patterns_without_case_of_redis_server_agree(start_redis: Callable[..., Any]) -> None:
    """CONFIG GET matches names without regard to case."""
    chance = random.Random(8)
    patterns = [b"*" + _random_text(chance, b"aAeERr-*?[[]]^-Z_\\", 7) for _ in range(500)]
    with redis.Redis(port=start_redis().port, protocol=3) as client:
        client.set_response_callback("CONFIG GET", lambda reply, **_options: reply)
        names = set(client.execute_command("CONFIG GET", "*"))
        replies = _replies(client, [b"CONFIG GET"], patterns)
    assert len(names) > 100
    for pattern, reply in zip(patterns, replies, strict=True):
        assert {name for name in names if compile_glob(pattern, nocase=True)(name)} == set(reply), pattern
