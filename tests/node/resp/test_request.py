"""The request parser: its quick and its careful reader agree, whatever the bytes and however they are cut."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.resp.request import (
    LARGE_BULK_BYTES,
    MAX_HEADER_BYTES,
    MAX_INLINE_BYTES,
    MAX_UNAUTHENTICATED_BULK_BYTES,
    SPEAKS_TLS,
    RequestParser,
)

MB = 1 << 20


def _encoded(request: list[bytes]) -> bytes:
    return b"*%d\r\n" % len(request) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in request)


def _fed(chunks: list[bytes], max_bulk_bytes: int = MB) -> tuple[list[list[bytes]], bytes | None]:
    """All requests, and the error."""
    parser = RequestParser(max_bulk_bytes)
    requests: list[list[bytes]] = []
    for chunk in chunks:
        requests += parser.feed(chunk)
        if parser.error is not None:
            break
    return requests, parser.error


def _bytewise(data: bytes) -> tuple[list[list[bytes]], bytes | None]:
    """What the careful reader alone makes of it: the quick one never gets a whole request."""
    return _fed([data[at : at + 1] for at in range(len(data))])


def _cut(data: bytes, cuts: list[int]) -> list[bytes]:
    points = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[start:end] for start, end in pairwise(points)]


_WORDS = st.one_of(
    st.binary(max_size=40),
    st.sampled_from([b"", b"\r\n", b"*1\r\n", b"$3\r\nabc\r\n", b"*0\r\n", b"%1\r\n", b"x" * 300]),
)
_REQUESTS = st.lists(st.lists(_WORDS, min_size=1, max_size=5), max_size=6)
_CUTS = st.lists(st.integers(0, 10_000), max_size=6)

# Pieces of what a broken or hostile client sends. Those that hiredis takes for strings or arrays stand only
# where a request begins, see the parser's docstring.
_PIECES = st.sampled_from(
    [
        b"*1\r\n$4\r\nPING\r\n", b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n", b"PING\r\n", b"SET k 'a b'\n", b"\r\n",
        b"\n", b"*0\r\n", b"*-1\r\n", b"*1\r\n", b"*x\r\n", b"*\r\n", b"*99999999999\r\n", b"*2147483647\r\n",
        b"*1000000\r\n", b"$1\r\n", b"$-1\r\n", b"$4\r\nPING\r\n", b"$2000000\r\n", b"$x\r\n", b":1\r\n",
        b"*01\r\n$04\r\nPING\r\n", b"*1\r\n*1\r\n$1\r\na\r\n", b"*1\r\n:1\r\n", b"*1\r\n$-1\r\n",
        b"*1\r\n#t\r\n", b"*1\r\n,1.5\r\n", b"*1\r\n_\r\n", b"*1\r\n-ERR\r\n", b"*1\r\n%1\r\n:1\r\n:2\r\n",
        b"\x00", b"*", b"$", b"\r", b'"', b"'", b"a b", b"\xff\xfe",
    ]
)  # fmt: skip


def test_an_empty_request_before_a_cut_one_is_not_taken_for_the_end():
    data = b"*1\r\n$4\r\nPING\r\n*0\r\n*2\r\n$3\r\nGET\r\n$1\r\nk\r\n"
    for cut in range(len(data)):
        assert _fed(_cut(data, [cut])) == ([[b"PING"], [b"GET", b"k"]], None)


@given(_REQUESTS, _CUTS)
def test_requests_come_out_as_they_went_in_however_they_are_cut(requests, cuts):
    data = b"".join(map(_encoded, requests))
    assert _fed(_cut(data, cuts)) == (requests, None)


@given(st.lists(_PIECES, max_size=8).map(b"".join), _CUTS)
@settings(max_examples=400)
def test_the_readers_agree_on_anything(data, cuts):
    wanted = _bytewise(data)
    assert _fed([data] if data else []) == wanted
    assert _fed(_cut(data, cuts)) == wanted


@given(st.binary(max_size=60), _CUTS)
def test_any_bytes_behind_a_good_request_leave_it_good(rest, cuts):
    requests, _ = _fed(_cut(_encoded([b"SET", b"k", b"v"]) + rest, cuts))
    assert requests[0] == [b"SET", b"k", b"v"]


@pytest.mark.parametrize("kind", [b"%1\r\n$1\r\na\r\n$1\r\nb\r\n", b"%0\r\n"])
def test_a_map_is_no_request(kind):
    """hiredis makes a dict of it, which no handler could take."""
    for data in (_encoded([b"PING"]) + kind, _encoded([b"PING"]) + kind + _encoded([b"PING"])):
        requests, _ = _fed([data])
        assert all(type(request) is list for request in requests)
        assert (requests, None) == _bytewise(data)


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"*x\r\n", b"invalid multibulk length"),
        (b"*2147483648\r\n", b"invalid multibulk length"),
        (b"*99999999999999999999\r\n", b"invalid multibulk length"),
        (b"*+1\r\n", b"invalid multibulk length"),
        (b"*1\r\nx\r\n", b"expected '$', got 'x'"),
        (b"*1\r\n:1\r\n", b"expected '$', got ':'"),
        (b"*1\r\n*1\r\n$1\r\na\r\n", b"expected '$', got '*'"),
        (b"*1\r\n$-1\r\n", b"invalid bulk length"),
        (b"*1\r\n$x\r\n", b"invalid bulk length"),
        (b"*1\r\n$1048577\r\n", b"invalid bulk length"),
        (b"'unbalanced\r\n", b"unbalanced quotes in request"),
        (b"*" + b"1" * (MAX_HEADER_BYTES + 1), b"too big mbulk count string"),
        (b"*1\r\n$" + b"1" * (MAX_HEADER_BYTES + 1), b"too big bulk count string"),
        (b"x" * (MAX_INLINE_BYTES + 1), b"too big inline request"),
        (b"x" * (MAX_INLINE_BYTES + 1) + b"\r\n", b"too big inline request"),
    ],
)
def test_errors_are_those_of_redis(data, error):
    assert _fed([data])[1] == b"Protocol error: " + error


def test_requests_before_an_error_are_served():
    data = _encoded([b"SET", b"k", b"v"]) + b"PING\r\n*1\r\n$-1\r\n" + _encoded([b"PING"])
    assert _fed([data]) == ([[b"SET", b"k", b"v"], [b"PING"]], b"Protocol error: invalid bulk length")


def test_nothing_is_reserved_for_what_is_only_announced():
    parser = RequestParser()
    assert parser.feed(b"*1000000000\r\n$500000000\r\n") == []
    assert parser.error is None
    assert parser.is_waiting
    assert parser.pending_bytes() < 100


def test_a_request_does_not_wait_for_as_much_as_the_one_before():
    chunks = [b"*1\r\n$10\r\n", b"x" * 10 + b"\r\n*1\r\n", b"$0\r\n\r\n"]
    assert _fed(chunks) == ([[b"x" * 10], [b""]], None)


def test_pending_bytes_grow_with_what_is_held():
    parser = RequestParser()
    parser.feed(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$100\r\n" + b"x" * 40)
    assert parser.pending_bytes() == 3 + 1 + 40
    assert parser.feed(b"x" * 60 + b"\r\n") == [[b"SET", b"k", b"x" * 100]]
    assert parser.pending_bytes() == 0
    assert not parser.is_waiting


def test_keys_of_every_byte():
    requests = [[b"SET", bytes((byte,)), bytes(range(256))] for byte in range(256)]
    data = b"".join(map(_encoded, requests))
    assert _fed([data]) == (requests, None)
    assert _fed([data[at : at + 7] for at in range(0, len(data), 7)]) == (requests, None)


def test_bounds_are_tighter_before_login():
    def error(data: bytes) -> bytes | None:
        parser = RequestParser()
        parser.authenticated = False
        parser.feed(data)
        return parser.error

    assert error(b"*11\r\n") == b"Protocol error: unauthenticated multibulk length"
    assert error(b"*2\r\n$4\r\nAUTH\r\n$%d\r\n" % (MAX_UNAUTHENTICATED_BULK_BYTES + 1)) == (
        b"Protocol error: unauthenticated bulk length"
    )
    assert error(b"*10\r\n") is None
    assert error(b"*2\r\n$4\r\nAUTH\r\n$%d\r\n" % MAX_UNAUTHENTICATED_BULK_BYTES) is None


def test_inline_words():
    data = b'SET k\t\'a b\' "\\x00\\n"\r\n\r\n  \nGET ""\n'
    assert _fed([data]) == ([[b"SET", b"k", b"a b", b"\x00\n"], [b"GET", b""]], None)


@pytest.mark.parametrize(
    "chunk_bytes", [1000, 4096, LARGE_BULK_BYTES - 1, LARGE_BULK_BYTES + 7, 3 * LARGE_BULK_BYTES]
)
@pytest.mark.parametrize("surplus", range(4))
def test_large_arguments_however_they_are_cut(chunk_bytes: int, surplus: int) -> None:
    """They are gathered in chunks, whose ends may be anywhere, in the line end behind them too."""
    large = bytes(range(256)) * (LARGE_BULK_BYTES // 256) + b"x" * surplus
    requests = [[b"SET", b"k", large], [b"RESTORE", large, b"0", large, b"REPLACE"], [b"PING"]]
    data = b"".join(map(_encoded, requests))
    chunks = [data[at : at + chunk_bytes] for at in range(0, len(data), chunk_bytes)]
    assert _fed(chunks) == (requests, None)


def test_a_large_argument_counts_as_pending() -> None:
    parser = RequestParser()
    parser.feed(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$%d\r\n" % (2 * LARGE_BULK_BYTES) + b"x" * 1000)
    parser.feed(b"x" * 500)
    assert parser.is_waiting
    assert parser.pending_bytes() == 1504


@pytest.mark.parametrize("behind", [b"\x01\x02\x00\x01\x00", b"\x03\x00\n\n\n"])
def test_a_tls_handshake_is_known_by_its_beginning(behind):
    """It has no line end that one could wait for, and the client waits too."""
    assert _fed([b"\x16\x03" + behind]) == _bytewise(b"\x16\x03" + behind)
    assert _fed([b"\x16\x03" + behind]) == ([], b"Protocol error: " + SPEAKS_TLS)
