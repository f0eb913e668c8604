"""Words and quotes of redis.conf lines."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.words import quote, split_words


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"", []),
        (b"  \t ", []),
        (b"save 900 1", [b"save", b"900", b"1"]),
        (b'logfile ""', [b"logfile", b""]),
        (b'a "b c" d', [b"a", b"b c", b"d"]),
        (rb'"\x00\xfF\n\r\t\a\b\"\\\q"', [b'\x00\xff\n\r\t\a\b"\\q']),
        (rb'"\xZ1"', [b"xZ1"]),
        (rb"'a\'b\n'", [rb"a'b\n"]),
        (b'ab"cd"', [b"abcd"]),
        (rb"a\nb", [rb"a\nb"]),
    ],
)
def test_words(line: bytes, words: list[bytes]) -> None:
    assert split_words(line) == words


@pytest.mark.parametrize("line", [b'"a', b"'a", b'"a"b', b"'a'b", b'"a\\', b'"a\\"', b"x 'y\\'"])
def test_unbalanced_quotes(line: bytes) -> None:
    assert split_words(line) is None


@given(st.lists(st.binary(max_size=20), max_size=4))
def test_quoted_words_are_read_back(words: list[bytes]) -> None:
    assert split_words(b" ".join(quote(word) for word in words)) == words
