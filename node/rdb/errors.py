"""What is wrong with bytes that should be RDB, and where."""

from __future__ import annotations


class RdbError(Exception):
    """Bytes that are not valid RDB. `offset` is the byte (from the start of the stream) they fail at."""

    def __init__(self, offset: int, text: str) -> None:
        super().__init__(f"{text} at byte {offset}")
        self.offset = offset
        self.text = text


class RdbTruncatedError(RdbError):
    """The bytes end inside an item: at least `missing` more are needed before another try makes sense."""

    def __init__(self, offset: int, missing: int) -> None:
        super().__init__(offset, f"the data ends {missing} bytes early")
        self.missing = missing


class RdbUnsupportedError(RdbError):
    """A value of a known type that has no registered reader."""

    def __init__(self, offset: int, type_code: int, type_name: str) -> None:
        super().__init__(offset, f"type {type_code} ({type_name}) is not supported yet")
        self.type_code = type_code


class RdbEmptyError(RdbError):
    """A collection without elements, read to its end: in a file the key is passed over, as Redis does."""


class DumpFooterError(RdbError):
    """A DUMP payload whose version is too new or whose checksum does not match its bytes."""
