"""Errors a client caused: their text is the reply."""

from __future__ import annotations


class CommandError(Exception):
    """The client's fault. `text` is the exact wire text with its code, without the leading dash and CRLF."""

    def __init__(self, text: bytes) -> None:
        super().__init__(text.decode("utf-8", "backslashreplace"))
        self.text = text

    @property
    def reply(self) -> bytes:
        """The whole RESP error line; a line break in what the client sent is made a space."""
        return b"-" + self.text.replace(b"\r", b" ").replace(b"\n", b" ") + b"\r\n"
