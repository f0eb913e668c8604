"""Numbers in arguments are read as Redis reads them, which is C's way and not Python's."""

from __future__ import annotations

import math

import pytest

from node.command.args import c_float, finite_float, within
from node.errors import CommandError


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b"1", 1.0),
        (b"0", 0.0),
        (b"+1.5e3", 1500.0),
        (b".5", 0.5),
        (b"5.", 5.0),
        (b"0x10", 16.0),
        (b"-0X1.8p1", -3.0),
        (b"inf", math.inf),
        (b"-INFINITY", -math.inf),
        (b"5e-324", 5e-324),
        (b"0e-999", 0.0),
        (b"0x0p5", 0.0),
    ],
)
def test_floats(text, value):
    assert finite_float(text) == value


def test_minus_zero_keeps_its_sign():
    assert math.copysign(1, finite_float(b"-0")) == -1


@pytest.mark.parametrize(
    "text",
    [b"", b"x", b" 1", b"1 ", b"1_0", b"1\0", b"\x1f1", b"nan", b"-nan", b"1e", b".", b"0x", b"1e400",
     b"-1e400", b"1e-400", b"0x1p-2000", b"0x1p2000", "١".encode()],
)  # fmt: skip
def test_what_is_no_float_or_out_of_range(text):
    with pytest.raises(CommandError) as refused:
        finite_float(text, b"ERR no")
    assert refused.value.text == b"ERR no"


def test_out_of_range_is_infinite_or_zero_where_c_says_so():
    assert (c_float(b"1e400"), c_float(b"-0x1p2000"), c_float(b"1e-400")) == (math.inf, -math.inf, 0)
    assert c_float(b"nan") is None


@pytest.mark.parametrize("text", [b"0", b"4", b"x", b"", b"9223372036854775808"])
def test_one_error_for_what_is_out_of_bounds_and_what_is_no_integer(text):
    assert [within(number, 1, 3, b"ERR no") for number in (b"1", b"3")] == [1, 3]
    with pytest.raises(CommandError) as refused:
        within(text, 1, 3, b"ERR no")
    assert refused.value.text == b"ERR no"
