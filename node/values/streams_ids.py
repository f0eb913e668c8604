"""Ids of stream entries: `<milliseconds>-<sequence>`, two unsigned integers of 64 bits.

An id is kept as one `int`, the milliseconds above the sequence, so that ids compare as they are ordered, and
the next and the previous one are one more and one less.

Source: https://redis.io/docs/data-types/streams/, "Entry IDs".
"""

from __future__ import annotations

import re
from typing import TypeAlias

StreamId: TypeAlias = int

SEQ_MAX = (1 << 64) - 1
MIN_ID: StreamId = 0
MAX_ID: StreamId = (1 << 128) - 1

_TEXT_BYTES_MAX = 127
_LOOSE = re.compile(rb"[ \t\n\v\f\r]*([+-]?)([0-9]+)\Z")
_CANONICAL_NEGATIVE = re.compile(rb"-[1-9][0-9]*\Z")


def make_id(ms: int, seq: int) -> StreamId:
    return ms << 64 | seq


def format_id(id: StreamId) -> bytes:
    return b"%d-%d" % (id >> 64, id & SEQ_MAX)


def next_id(last: StreamId, now_ms: int) -> StreamId:
    """The id that an entry added now gets: of this millisecond, or the one after `last` if that is later.

    `last` is not MAX_ID.
    """
    return now_ms << 64 if now_ms > last >> 64 else last + 1


def parse_id(text: bytes, missing_seq: int = 0) -> StreamId | None:
    """The id `<ms>-<seq>` or `<ms>`, which then has the sequence `missing_seq`; None when it is neither."""
    ms_text, dash, seq_text = text.partition(b"-")
    if ms_text.isdigit() and len(ms_text) < 19:
        if not dash:
            return int(ms_text) << 64 | missing_seq
        if seq_text.isdigit() and len(seq_text) < 19:
            return int(ms_text) << 64 | int(seq_text)
    return _parse_loosely(text, missing_seq)


def parse_ms(text: bytes) -> int | None:
    """The milliseconds of an id `<ms>-*`; None when it has not this form."""
    if text[-2:] != b"-*" or b"-" in text[:-2] or len(text) > _TEXT_BYTES_MAX:
        return None
    return _unsigned(text[:-2])


def _parse_loosely(text: bytes, missing_seq: int) -> StreamId | None:
    if len(text) > _TEXT_BYTES_MAX:
        return None
    ms_text, dash, seq_text = text.partition(b"\0")[0].partition(b"-")
    ms = _unsigned(ms_text)
    seq = _unsigned(seq_text) if dash else missing_seq
    return None if ms is None or seq is None else ms << 64 | seq


def _unsigned(text: bytes) -> int | None:
    """An unsigned integer as C's strtoull reads it, which is what Redis takes for one; a plain negative one
    is none.
    """
    found = _LOOSE.match(text)
    if found is None or _CANONICAL_NEGATIVE.match(text):
        return None
    value = int(found[2])
    if value > SEQ_MAX:
        return None
    return -value & SEQ_MAX if found[1] == b"-" else value
