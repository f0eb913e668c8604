"""Commands become bytes as every server writes them."""

from __future__ import annotations

import hiredis
from hypothesis import given
from hypothesis import strategies as st

from node.persistence.aof.encoding import encode_commands

WORDS = st.binary(max_size=40) | st.sampled_from([b"x" * 1023, b"x" * 1024, b"x" * 5000, b"\r\n$3\r\n"])
COMMANDS = st.lists(st.lists(WORDS, min_size=1, max_size=6), max_size=20)


@given(COMMANDS, st.binary(max_size=5))
def test_they_are_arrays_of_bulk_strings(commands: list[list[bytes]], before: bytes) -> None:
    """Whatever their length and their words', in their order."""
    expected = b"".join(hiredis.pack_command(tuple(argv)) for argv in commands)
    assert encode_commands(commands, before) == before + expected


def test_nothing_is_nothing() -> None:
    assert encode_commands([]) == b""
