"""What a directive is: a name, a kind (how its value is read and shown), a default, rules for changing it.

The table (`table.py`) declares one `Directive[T]` for each name; `Config` holds the values. A directive knows
no value of its own, so that several nodes can live in one process.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


class ConfigError(Exception):
    """A value is refused. `reason` is the clause that CONFIG SET and the start-up message end with."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class FileLine:
    """A line CONFIG REWRITE has for a directive; if not `forced`, it only replaces a line that is there."""

    text: bytes
    forced: bool


class Kind(abc.ABC, Generic[T]):
    """How the values of a directive are read, shown by CONFIG GET and written to a file."""

    multi_arg = False  # takes any number of words; CONFIG SET splits its one argument at spaces
    accumulates = False  # several lines in a file add up, where otherwise the last one wins

    @abc.abstractmethod
    def parse(self, words: Sequence[bytes], old: T, /) -> T:
        """The value that `words` mean where `old` stood before. Raises ConfigError."""

    @abc.abstractmethod
    def format(self, value: T) -> bytes:
        """As CONFIG GET prints it."""

    def combine(self, earlier: T, later: T) -> T:
        """What two lines of one file mean together, for kinds that accumulate."""
        raise AssertionError(f"{type(self).__name__} does not accumulate: {earlier!r}, {later!r}")

    def written(self, value: T) -> bytes:
        """As it is written behind the name in a configuration file."""
        return self.format(value)

    def lines(self, name: bytes, value: T, default: T, /) -> list[FileLine]:
        """The lines of a configuration file; none means that the directive must not be in the file."""
        return [FileLine(name + b" " + self.written(value), value != default)]

    @abc.abstractmethod
    def describe(self) -> str:
        """A few words on what is accepted, for the documentation."""


@dataclass(frozen=True, slots=True, eq=False)
class Directive(Generic[T]):
    """One configuration directive, compared and hashed by identity: reading a value is one dict lookup.

    `ignored` says why a directive of redis-server means nothing to this server: it is accepted and shown, and
    has no effect. `later` says what does not happen yet that a directive is about: whoever sets it is told so
    in the log. `protected` ones need enable-protected-configs, `hidden` ones are shown only when named in
    full, the values of `sensitive` ones must not reach logs, `deny_loading` ones cannot change while data is
    loaded, and a `volatile` one names a file that may have changed: given again as it was, it is read again.
    """

    name: str
    kind: Kind[T]
    default: T
    doc: str
    alias: str = ""
    mutable: bool = True
    protected: bool = False
    hidden: bool = False
    sensitive: bool = False
    deny_loading: bool = False
    volatile: bool = False
    ignored: str = ""
    later: str = ""
    check: Callable[[T], None] | None = None  # raises ConfigError

    def parse(self, words: Sequence[bytes | str], old: T | None = None) -> T:
        """The value `words` stand for; `old` is what it was before (else the default). Raises ConfigError."""
        encoded = [
            word.encode("utf-8", "surrogateescape") if isinstance(word, str) else word for word in words
        ]
        if not self.kind.multi_arg and len(encoded) != 1:
            raise ConfigError("wrong number of arguments")
        value = self.kind.parse(encoded, self.default if old is None else old)
        if self.check is not None:
            self.check(value)
        return value

    @property
    def unserved_line(self) -> str:
        """For the log, when a value is given that asks for what comes later."""
        return f"Directive {self.name} is accepted but not served yet: {self.later}"

    def format(self, value: T) -> bytes:
        """As CONFIG GET prints it."""
        return self.kind.format(value)

    def lines(self, value: T) -> list[FileLine]:
        """The lines CONFIG REWRITE writes for it."""
        return self.kind.lines(self.name.encode(), value, self.default)
