"""Bytes of a client → requests, each a list of bytes: what RESP calls an array of bulk strings, and inline
commands.

Two readers share the work. The *quick* one hands a whole chunk to hiredis, whose C code is several times
faster than anything written here. But hiredis was made for replies: it reserves what a header announces,
knows no inline commands, and takes integers, nulls, maps and nested arrays where a request may hold bulk
strings only. So it is given only chunks that begin with `*` at a request's boundary and announce nothing
large, and its result is used only when it is lists of byte strings and the chunk ends where a request ends.
Whatever is out of the ordinary goes, from the same boundary, to the *careful* reader, which knows Redis's
limits and errors and can stop and continue at any byte. A large argument that comes in many chunks is kept as
these and copied once, when it is whole. A sentinel fed behind the chunk tells whether hiredis
is in the middle of something: it comes out as the last result exactly when it is not. It is an integer that
nobody can guess, since one that a client could send as well would tell a cut request from a whole one no
more. A chunk that can only be one request needs none: when it has come out, hiredis has nothing left.

hiredis gives simple strings, verbatim strings and big numbers the form of bulk strings, and sets, pushes and
attributes that of arrays. To tell them apart would cost every request time, so the quick reader takes them
for what they look like; no client sends them in a request, and nothing but that request depends on it.

Source: the RESP specification, "Sending commands to a Redis server" and "Inline commands".
"""

from __future__ import annotations

import re
import secrets
from itertools import chain

import hiredis

from node.integers import parse_integer
from node.words import split_words

MAX_INLINE_BYTES = 64 * 1024
MAX_HEADER_BYTES = 64 * 1024
MAX_ARGUMENT_COUNT = 2**31 - 1
MAX_UNAUTHENTICATED_ARGUMENTS = 10
MAX_UNAUTHENTICATED_BULK_BYTES = 16384
LARGE_BULK_BYTES = 256 * 1024
ALONE_BYTES_MAX = 4096

SPEAKS_TLS = b"this port does not speak TLS"

Request = list[bytes]

_TLS_HANDSHAKE = b"\x16\x03"  # a record's type and the version's first byte; no command begins so
_SENTINEL = secrets.randbelow(2**62) + 1
_SENTINEL_BYTES = b":%d\r\n" % _SENTINEL
_announces_much = re.compile(rb"\*\d{6}").search  # for arrays alone: hiredis reserves no room for strings
_ONLY_BYTES = {bytes}
_MAP = ord("%")  # `in` is quicker with an integer


class RequestParser:
    """Feeds on chunks as they come from the socket; one per connection.

    `error` is set to the text of a protocol error (without the leading `-ERR `) when the client broke the
    protocol: the requests returned by that call are still good, what follows them is not, and nothing more
    may be fed.
    """

    __slots__ = (
        "_args",
        "_args_left",
        "_bulk_bytes",
        "_chunk_bytes",
        "_chunks",
        "_needed_bytes",
        "_pending",
        "_reader",
        "authenticated",
        "error",
        "max_bulk_bytes",
    )

    def __init__(self, max_bulk_bytes: int = 512 * 1024 * 1024) -> None:
        self.max_bulk_bytes = max_bulk_bytes
        self.authenticated = True
        self.error: bytes | None = None
        self._reader = hiredis.Reader()
        self._pending = bytearray()  # what the careful reader has not consumed
        self._needed_bytes = 0  # how long _pending must be before it is worth another look
        self._args: Request = []
        self._args_left = 0  # arguments the request in progress still lacks
        self._bulk_bytes = -1  # announced length of the argument in progress, -1 before its header
        self._chunks: list[bytes] = []  # of that argument when it is large
        self._chunk_bytes = 0

    @property
    def is_waiting(self) -> bool:
        """Whether an unfinished request is held."""
        return bool(self._pending or self._args_left)

    def pending_bytes(self) -> int:
        """How much of an unfinished request is held, in bytes."""
        return len(self._pending) + self._chunk_bytes + sum(map(len, self._args))

    def feed(self, data: bytes) -> list[Request]:
        """The requests that are complete with `data`, in order. May set `error`."""
        # Most chunks of who does not pipeline: no second header, and the first one has a short count.
        is_short = 3 < len(data) < ALONE_BYTES_MAX
        is_alone = is_short and data[0] == 42 and 42 not in data[1:] and 13 in data[2:4]
        if is_alone and not (self._pending or self._args_left or self._chunks) and self.authenticated:
            reader = self._reader
            reader.feed(data)
            try:
                request = reader.gets()
                if request and not reader.has_data():
                    for word in request:
                        if type(word) is not bytes:
                            break
                    else:
                        return [request]
            except (hiredis.ProtocolError, TypeError):
                pass  # read again below, where the error is found
            self._reader = hiredis.Reader()
        return self._feed_any(data)

    def _feed_any(self, data: bytes) -> list[Request]:
        requests: list[Request] = []
        if self._chunks:
            self._chunks.append(data)
            self._chunk_bytes += len(data)
            if self._chunk_bytes < self._bulk_bytes + 2:
                return requests
            data = self._large_argument()
            if not self._args_left:
                requests.append(self._args)
                self._args = []
        if self._pending or self._args_left:
            self._pending += data
            if len(self._pending) < self._needed_bytes:
                return requests
            self._needed_bytes = 0
            data = bytes(self._pending)
            self._pending.clear()
            data = self._careful(data, requests, one=True)
        while data and self.error is None:
            if data[0] != 42 or not self.authenticated or _announces_much(data):
                data = self._careful(data, requests, one=False)
            else:
                data = self._quick(data, requests)
        return requests

    def _quick(self, data: bytes, requests: list[Request]) -> bytes:
        """Hands `data` to hiredis; returns what is left, which is not for hiredis."""
        reader = self._reader
        reader.feed(data + _SENTINEL_BYTES)
        try:
            found = list(iter(reader.gets, False))
            if found and found[-1] == _SENTINEL:
                found.pop()
                words = found[0] if len(found) == 1 else chain.from_iterable(found)
                strings = set(map(type, words)) == _ONLY_BYTES
                if strings and all(found) and not (_MAP in data and dict in map(type, found)):
                    requests += found
                    return b""
        except (hiredis.ProtocolError, TypeError):
            found = []
        self._reader = hiredis.Reader()
        boundary = wire_length(found)
        if 0 < boundary < len(data) and data[boundary] == 42:
            requests += found
            data = data[boundary:]
        return self._careful(data, requests, one=False)

    def _careful(self, data: bytes, requests: list[Request], one: bool) -> bytes:
        """Reads requests from `data`, only the first when `one`; keeps an unfinished one for the next call.

        Returns what is left for the quick reader: with `one`, all behind the request.
        """
        pos, end = 0, len(data)
        while pos < end:
            if self._args_left:
                pos = self._arguments(data, pos)
            elif data[pos] == 42:
                pos = self._count(data, pos)
            else:
                pos = self._inline(data, pos, requests)
            if self.error is not None:
                return b""
            if pos < 0:
                return b""
            if self._args and not self._args_left:
                requests.append(self._args)
                self._args = []
                if one:
                    return data[pos:]
        return b""

    def _wait(self, data: bytes, pos: int, needed_bytes: int = 0) -> int:
        """Keeps data[pos:] until at least `needed_bytes` are there."""
        self._pending += data[pos:]
        self._needed_bytes = needed_bytes
        return -1

    def _fail(self, text: bytes) -> int:
        self.error = b"Protocol error: " + text
        return -1

    def _count(self, data: bytes, pos: int) -> int:
        """Reads `*<count>\\r\\n` at `pos`; returns the position behind it, -1 when it must wait or fails."""
        line_end = data.find(b"\r\n", pos)
        if line_end < 0:
            if len(data) - pos > MAX_HEADER_BYTES:
                return self._fail(b"too big mbulk count string")
            return self._wait(data, pos)
        count = parse_integer(data[pos + 1 : line_end])
        if count is None or count > MAX_ARGUMENT_COUNT:
            return self._fail(b"invalid multibulk length")
        if count > MAX_UNAUTHENTICATED_ARGUMENTS and not self.authenticated:
            return self._fail(b"unauthenticated multibulk length")
        self._args_left = max(count, 0)
        return line_end + 2

    def _arguments(self, data: bytes, pos: int) -> int:
        """Reads arguments of the request in progress; returns the position behind, -1 when it must wait."""
        end = len(data)
        while self._args_left:
            if self._bulk_bytes < 0:
                pos = self._length(data, pos)
                if pos < 0:
                    return -1
            after = pos + self._bulk_bytes
            if after + 2 > end:
                if self._bulk_bytes >= LARGE_BULK_BYTES:
                    self._chunks = [data[pos:]]
                    self._chunk_bytes = end - pos
                    return -1
                return self._wait(data, pos, self._bulk_bytes + 2)
            self._args.append(data[pos:after])
            self._bulk_bytes = -1
            self._args_left -= 1
            pos = after + 2
        return pos

    def _large_argument(self) -> bytes:
        """Takes the argument that has become whole from its chunks; returns what came behind it."""
        chunks, self._chunks = self._chunks, []
        surplus = self._chunk_bytes - self._bulk_bytes  # from two bytes, the line end, on
        rest = b""
        while surplus:
            last = chunks.pop()
            behind = min(surplus, len(last))
            rest = last[len(last) - behind :] + rest
            surplus -= behind
            if behind < len(last):
                chunks.append(last[:-behind])
        self._args.append(b"".join(chunks))
        self._args_left -= 1
        self._bulk_bytes = -1
        self._chunk_bytes = 0
        return rest[2:]

    def _length(self, data: bytes, pos: int) -> int:
        """Reads `$<length>\\r\\n` at `pos`."""
        line_end = data.find(b"\r\n", pos)
        if line_end < 0:
            if len(data) - pos > MAX_HEADER_BYTES:
                return self._fail(b"too big bulk count string")
            return self._wait(data, pos)
        if data[pos] != 36:
            return self._fail(b"expected '$', got '%c'" % data[pos])
        length = parse_integer(data[pos + 1 : line_end])
        if length is None or not 0 <= length <= self.max_bulk_bytes:
            return self._fail(b"invalid bulk length")
        if length > MAX_UNAUTHENTICATED_BULK_BYTES and not self.authenticated:
            return self._fail(b"unauthenticated bulk length")
        self._bulk_bytes = length
        return line_end + 2

    def _inline(self, data: bytes, pos: int, requests: list[Request]) -> int:
        if data.startswith(_TLS_HANDSHAKE, pos):
            return self._fail(SPEAKS_TLS)
        line_end = data.find(b"\n", pos)
        if line_end < 0:
            if len(data) - pos > MAX_INLINE_BYTES:
                return self._fail(b"too big inline request")
            return self._wait(data, pos)
        if line_end - pos > MAX_INLINE_BYTES:
            return self._fail(b"too big inline request")
        line = data[pos:line_end]
        args = split_words(line[:-1] if line.endswith(b"\r") else line)
        if args is None:
            return self._fail(b"unbalanced quotes in request")
        if args:
            requests.append(args)
        return line_end + 1


def wire_length(requests: list[Request]) -> int:
    """How many bytes these requests take on the wire when every header is canonical; 0 when one is no
    request.
    """
    length = 0
    for request in requests:
        if type(request) is not list or not request or set(map(type, request)) != _ONLY_BYTES:
            return 0
        length += 3 + len(str(len(request)))
        for argument in request:
            size = len(argument)
            length += size + 6 if size < 10 else size + 5 + len(str(size))
    return length
