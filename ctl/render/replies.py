"""A reply as redis-cli shows it, and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeAlias, runtime_checkable

from ctl.render.machine import Json


@runtime_checkable
class ErrorText(Protocol):
    """An error reply: what has a text."""

    text: str


Shown: TypeAlias = "bytes | int | ErrorText | Sequence[Shown] | None"


def lines(reply: Shown) -> list[str]:
    """`(integer) 3`, `(nil)`, `(error) ERR …`, numbered elements; text as it is."""
    if reply is None:
        return ["(nil)"]
    if isinstance(reply, int):
        return [f"(integer) {reply}"]
    if isinstance(reply, bytes):
        return _text_lines(reply)
    if isinstance(reply, ErrorText):
        return [f"(error) {reply.text}"]
    return _array_lines(reply)


def _text_lines(reply: bytes) -> list[str]:
    try:
        text = reply.decode()
    except UnicodeDecodeError:
        return [repr(reply)[1:]]
    printable = all(char.isprintable() or char in "\r\n\t" for char in text)
    return (text.splitlines() or [""]) if printable else [repr(reply)[1:]]


def _array_lines(reply: Sequence[Shown]) -> list[str]:
    if not reply:
        return ["(empty array)"]
    width = len(str(len(reply)))
    result = []
    for number, element in enumerate(reply, start=1):
        first, *rest = lines(element)
        result.append(f"{number:>{width}}) {first}")
        result += [" " * (width + 2) + line for line in rest]
    return result


def to_json(reply: Shown) -> Json:
    """Text as a string (bytes that are not UTF-8 as `\\xff` escapes), an error as `{"error": text}`."""
    if reply is None or isinstance(reply, int):
        return reply
    if isinstance(reply, bytes):
        return reply.decode(errors="backslashreplace")
    if isinstance(reply, ErrorText):
        return {"error": reply.text}
    return [to_json(element) for element in reply]
