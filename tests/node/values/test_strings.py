"""String values: numbers, ranges, sums."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
import redis

from node.errors import CommandError
from node.integers import parse_integer
from node.values import strings

MAX = 512 * 1024 * 1024


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b"0", 0),
        (b"-1", -1),
        (b"9223372036854775807", 2**63 - 1),
        (b"-9223372036854775808", -(2**63)),
        (b"1000000000000000000", 10**18),
    ],
)
def test_canonical_decimals_in_64_bits_are_integers(text: bytes, value: int) -> None:
    assert parse_integer(text) == value
    assert strings.as_int(text) == strings.as_int(value) == value
    assert strings.encoded(text) == value
    assert strings.as_bytes(value) == text
    assert strings.length(value) == len(text)


@pytest.mark.parametrize(
    "text",
    [
        *(
            b"",
            b"-",
            b"+1",
            b" 1",
            b"1 ",
            b"1\n",
            b"01",
            b"-0",
            b"-01",
            b"00",
            b"1_0",
            b"1.0",
            b"1e3",
            b"0x1",
        ),
        *(
            b"9223372036854775808",
            b"-9223372036854775809",
            b"18446744073709551616",
            b"1" * 5000,
            b"-" + b"1" * 5000,
        ),
        *("\u0663".encode(), b"--1", b"-\xb2", b"\xb2"),
    ],
)
def test_nothing_else_is_an_integer(text: bytes) -> None:
    assert parse_integer(text) is None
    assert strings.encoded(text) is text
    with pytest.raises(CommandError) as error:
        strings.as_int(text)
    assert error.value.text == b"ERR value is not an integer or out of range"


def test_sums_stay_in_64_bits() -> None:
    assert strings.add_int(None, 5) == 5
    assert strings.add_int(b"2", -5) == -3
    assert strings.add_int(2**63 - 2, 1) == 2**63 - 1
    for value, increment in ((2**63 - 1, 1), (-(2**63), -1)):
        with pytest.raises(CommandError, match="ERR increment or decrement would overflow"):
            strings.add_int(value, increment)


@pytest.mark.parametrize(
    ("value", "increment", "total"),
    [
        (b"10.50", b"0.1", b"10.6"),
        (b"5.0e3", b"2.0e2", b"5200"),
        (b"3.0e3", b"0", b"3000"),
        (None, b"-1.5", b"-1.5"),
        (10, b"-10.0", b"0"),
        (b"0.1", b"0.2", b"0.3"),
        (b"-0", b"-0.0", b"0"),
        (b"1e-18", b"0", b"0"),
        (b"1", b"1e-17", b"1.00000000000000001"),
        (2**63 - 1, b"0", b"9223372036854775807"),
        (2**63 - 1, b"1", b"9223372036854775808"),
        (b"0x10", b".5", b"16.5"),
        (b"1.", b"+1", b"2"),
    ],
)
def test_float_sums_are_those_of_long_doubles(
    value: bytes | int | None, increment: bytes, total: bytes
) -> None:
    assert strings.add_float(value, increment) == total


@pytest.mark.parametrize(
    "text",
    [b"", b" 1", b"1 ", b"nan", b"1e", b"0x", b".", b"abc", b"1e5000", b"1e-5000", b"0" * 5120, b"1_0"],
)
def test_what_strtold_refuses_is_no_float(text: bytes) -> None:
    for value, increment in ((text, b"1"), (b"1", text), (b"inf", text)):
        with pytest.raises(CommandError) as error:
            strings.add_float(value, increment)
        assert error.value.text == b"ERR value is not a valid float"


@pytest.mark.parametrize(("value", "increment"), [(b"inf", b"1"), (1, b"-INF"), (b"1e4932", b"1e4932")])
def test_infinite_sums_are_refused(value: bytes | int, increment: bytes) -> None:
    with pytest.raises(CommandError, match="ERR increment would produce NaN or Infinity"):
        strings.add_float(value, increment)


def test_range_indexes() -> None:
    data = b"This is a string"
    assert strings.get_range(data, 0, 3) == b"This"
    assert strings.get_range(data, -3, -1) == b"ing"
    assert strings.get_range(data, 0, -1) == data
    assert strings.get_range(data, 10, 100) == b"string"
    assert strings.get_range(data, -100, 1) == b"Th"
    assert strings.get_range(data, 5, 3) == b""
    assert strings.get_range(12345, 1, -2) == b"234"
    assert strings.get_range(b"", 0, -1) == b""


def test_set_range_pads_with_zero_bytes() -> None:
    assert strings.set_range(b"Hello World", 6, b"Redis", MAX) == b"Hello Redis"
    assert strings.set_range(None, 3, b"x", MAX) == b"\0\0\0x"
    assert strings.set_range(123, 1, b"ab45", MAX) == b"1ab45"
    assert strings.set_range(b"abc", MAX * 2, b"", MAX) == b"abc"


def test_strings_do_not_grow_beyond_the_limit() -> None:
    assert strings.append(b"ab", b"cd", 4) == strings.set_range(b"ab", 2, b"cd", 4) == b"abcd"
    too_long = "ERR string exceeds maximum allowed size"
    with pytest.raises(CommandError, match=too_long):
        strings.append(b"ab", b"cde", 4)
    with pytest.raises(CommandError, match=too_long):
        strings.set_range(None, 2**63 - 1, b"x", MAX)
    with pytest.raises(CommandError, match="ERR offset is out of range"):
        strings.set_range(b"ab", -1, b"", MAX)


def test_lcs_of_strings_whose_table_exceeds_the_limit_is_refused() -> None:
    strings.check_lcs(b"abc", b"", 16)
    with pytest.raises(CommandError, match="transient memory for LCS exceeds proto-max-bulk-len"):
        strings.check_lcs(b"abc", b"", 15)


def _number(rng: random.Random) -> bytes:
    """A text that is a number, in one of the ways that strtold knows, or close to one."""
    whole = str(rng.randrange(10 ** rng.randrange(1, 24)))
    part = str(rng.randrange(10 ** rng.randrange(1, 24))).rjust(rng.randrange(24), "0")
    text = rng.choice(
        [
            whole,
            f"{rng.randrange(10000)}.{rng.randrange(100)}",
            f"{whole}.{part}",
            f".{part}",
            f"{rng.random()}e{rng.randrange(-20, 20)}",
            f"{rng.random()}E{rng.randrange(-5100, 5100)}",
            f"0x{rng.randrange(2**70):x}.{rng.randrange(2**30):x}p{rng.randrange(-80, 20)}",
            f"0x1p{rng.randrange(-16600, 16400)}",
            rng.choice(
                ["inf", "nan", "Infinity", "1e", "0x", "0x.p1", "1 ", "1d5", "1e99999999999", "0e99999"]
            ),
            "".join(rng.choices("0123456789", k=rng.randrange(4200, 5125))),
        ]
    )
    return (rng.choice(["", "", "-", "+"]) + text).encode()


def test_incrbyfloat_matches_redis_server(start_redis: Callable[..., Any]) -> None:
    """Over many random pairs, sums and refusals are the same bytes."""
    rng = random.Random(20)
    pairs = [(_number(rng), _number(rng)) for _ in range(1500)]
    with redis.Redis(port=start_redis().port) as client:
        pipe = client.pipeline(transaction=False)
        for value, increment in pairs:
            pipe.set("k", value)
            pipe.execute_command("INCRBYFLOAT", "k", increment)
            pipe.get("k")
        replies = pipe.execute(raise_on_error=False)
    for number, (value, increment) in enumerate(pairs):
        reply, stored = replies[3 * number + 1 : 3 * number + 3]
        expected = str(reply).removeprefix("ERR ").encode() if isinstance(reply, Exception) else stored
        try:
            ours = strings.add_float(strings.encoded(value), increment)
        except CommandError as error:
            ours = error.text.removeprefix(b"ERR ")
        assert ours == expected, (value, increment)


def test_ranges_match_redis_server(start_redis: Callable[..., Any]) -> None:
    rng = random.Random(21)
    cases = [
        (
            b"hello world"[: rng.randrange(12)],
            rng.randrange(-15, 15),
            rng.randrange(-15, 15),
            b"XY"[: rng.randrange(3)],
        )
        for _ in range(2000)
    ]
    with redis.Redis(port=start_redis().port) as client:
        pipe = client.pipeline(transaction=False)
        for data, start, end, patch in cases:
            pipe.set("k", data)
            pipe.getrange("k", start, end)
            pipe.setrange("k", abs(start), patch)
            pipe.get("k")
        replies = pipe.execute()
    for number, (data, start, end, patch) in enumerate(cases):
        _, part, _, patched = replies[4 * number : 4 * number + 4]
        assert strings.get_range(data, start, end) == part
        assert strings.set_range(data, abs(start), patch, MAX) == patched
