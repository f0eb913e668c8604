"""The bytes of an AOF: every command with its offset, and damage where it is."""

from __future__ import annotations

import random

import hiredis
import pytest

from node.persistence.aof.scan import Annotation, AofFormatError, Batch, Scanner

Found = list[tuple[int, list[bytes] | bytes]]


def pack(*words: bytes) -> bytes:
    return bytes(hiredis.pack_command(words))


def scan(data: bytes, block_bytes: int = 1 << 20) -> tuple[Found, Scanner]:
    """Every command and annotation with its offset."""
    scanner, found = Scanner(), Found()
    for at in range(0, len(data), block_bytes):
        for item in scanner.feed(data[at : at + block_bytes]):
            if isinstance(item, Batch):
                assert item.offset_of(len(item.commands)) == item.end
                found += [(item.offset_of(n), argv) for n, argv in enumerate(item.commands)]
            else:
                found.append((item.offset, item.text))
    return found, scanner


def mixture(seed: int, count: int) -> tuple[bytes, Found]:
    rng = random.Random(seed)
    data, expected = b"", Found()
    words = [b"SET", b"", b"*1\r\n$1\r\n", b"#TS:1\r\n", b"x" * 5000, b"*1234567890\r\n", b"\r\n", b"$5"]
    for number in range(count):
        if rng.random() < 0.1:
            text = b"TS:%d" % number
            expected.append((len(data), text))
            data += b"#" + text + rng.choice([b"\r\n", b"\n"])
        else:
            argv = rng.choices(words, k=rng.randint(1, 6))
            expected.append((len(data), argv))
            data += pack(*argv)
    return data, expected


@pytest.mark.parametrize("block_bytes", [1, 7, 64, 4096, 1 << 20])
def test_commands_and_annotations_have_their_offsets_in_blocks_of_any_size(block_bytes: int) -> None:
    data, expected = mixture(1, 30 if block_bytes == 1 else 300)
    found, scanner = scan(data, block_bytes)
    assert found == expected
    assert (scanner.offset, scanner.rest) == (len(data), b"")


def test_a_cut_command_is_what_is_left() -> None:
    first, second = pack(b"SET", b"a", b"1"), pack(b"SET", b"b", b"22")
    for length in range(1, len(second)):
        found, scanner = scan(first + second[:length])
        assert len(found) == 1
        assert (scanner.offset, scanner.rest) == (len(first), second[:length])


@pytest.mark.parametrize(
    ("bad", "place"),
    [
        (b"SET a 1\r\n", 0),
        (b"+OK\r\n", 0),
        (b"*0\r\n", 0),
        (b"*-1\r\n", 0),
        (b"*x\r\n", 0),
        (b"*2\r\n+SET\r\n$1\r\na\r\n", 4),
        (b"*1\r\n:5\r\n", 4),
        (b"*1\r\n*1\r\n$1\r\na\r\n", 4),
        (b"*1\r\n$-1\r\n", 4),
        (b"*1\r\n$3\r\nabcd\r\n", 11),
        (b"*11111111111111111111111111111111111111", 0),
        (b"\0\0\0\0", 0),
        (b"%1\r\n$1\r\na\r\n$1\r\nb\r\n", 0),
    ],
)
def test_damage_is_found_where_it_is(bad: bytes, place: int) -> None:
    good = pack(b"SET", b"a", b"1") * 3
    with pytest.raises(AofFormatError) as caught:
        scan(good + bad)
    assert caught.value.offset == len(good) + place


def test_what_stands_before_damage_is_given_out_first() -> None:
    scanner = Scanner()
    items = scanner.feed(pack(b"A") * 3 + b"?")
    given = 0
    with pytest.raises(AofFormatError):  # noqa: PT012
        for item in items:
            assert isinstance(item, Batch)
            given += len(item.commands)
    assert given == 3
    assert scanner.offset == len(pack(b"A") * 3)


def test_a_header_that_announces_much_reserves_nothing() -> None:
    found, scanner = scan(b"*999999999\r\n$1\r\na\r\n")
    assert not found
    assert scanner.rest


def test_any_flipped_bit_is_another_file_damage_or_a_cut() -> None:
    """Nothing but AofFormatError is ever raised, and what is given out stands in the file as it is told."""
    data, _ = mixture(2, 40)
    rng = random.Random(3)
    for _ in range(1500):
        broken = bytearray(data)
        broken[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        scanner = Scanner()
        told = b""
        try:
            for item in scanner.feed(bytes(broken)):
                if isinstance(item, Annotation):
                    told = bytes(broken[: scanner.offset])
                else:
                    told += b"".join(pack(*argv) for argv in item.commands)
                assert broken.startswith(told)
        except AofFormatError as bad:
            assert scanner.offset <= bad.offset <= len(data)  # noqa: PT017
