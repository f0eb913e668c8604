"""The values of a node's directives: typed reading, changes with hooks, and what the CONFIG command needs.

Reading is one dict lookup: `config[MAXCLIENTS]` is an int. What reads a value for every command keeps a copy
of its own and refreshes it in a hook (`on_change`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from node.config.directive import ConfigError, Directive, FileLine
from node.config.rewrite import FILE_ONLY, replace_file, rewritten
from node.config.table import BY_NAME, CLUSTER_ENABLED, DIR, REPLICAOF, TABLE
from node.errors import CommandError
from node.values.glob import compile_glob

T = TypeVar("T")
Hook = Callable[[], None]


class Config:
    """The configuration of one node.

    `path` is the absolute path of the file it was read from, "" if there was none. What lies outside is
    handed in: `warn` and `notice` (lines for the log), `is_loading` (whether a data set is being loaded).
    """

    def __init__(self, path: str = "", warn: Callable[[str], None] = lambda _text: None) -> None:
        self.path = path
        self.warn = warn
        self.notice: Callable[[str], None] = lambda _text: None
        self.is_loading: Callable[[], bool] = lambda: False
        self._other_lines: dict[str, Callable[[], Iterable[bytes]]] = {}
        self._values: dict[Directive[Any], Any] = {directive: directive.default for directive in TABLE}
        self._values[DIR] = os.getcwd()
        self._hooks: dict[Directive[Any], list[Hook]] = {}

    def __getitem__(self, directive: Directive[T]) -> T:
        value: T = self._values[directive]
        return value

    def store(self, directive: Directive[T], value: T) -> None:
        """Set a value with no checks or hooks: at the start, and after commands (REPLICAOF) that did it."""
        self._values[directive] = value

    def on_change(self, directive: Directive[T], hook: Callable[[T], None]) -> None:
        """Call `hook` with each new value that CONFIG SET gives; it may raise ConfigError to refuse it.

        A hook that refuses must have left things as they were.
        """
        self.on_change_of((directive,), lambda: hook(self[directive]))

    def on_change_of(self, directives: Iterable[Directive[Any]], hook: Hook) -> None:
        """The same for directives that are applied together: one CONFIG SET of several calls `hook` once."""
        for directive in directives:
            self._hooks.setdefault(directive, []).append(hook)

    def resolve(self, path: str) -> str:
        """A path as it is meant in a directive: relative to `dir`."""
        return os.path.join(self[DIR], path)

    def unserved(self) -> list[Directive[Any]]:
        """Directives that ask for what this server does not do yet. To ask for less than nothing is fine."""
        return [directive for directive in TABLE if self._is_unserved(directive)]

    def _is_unserved(self, directive: Directive[Any]) -> bool:
        value = self._values[directive]
        return bool(directive.later and value and value != directive.default)

    def get(self, patterns: Iterable[bytes]) -> list[tuple[bytes, bytes]]:
        """What CONFIG GET answers: names (aliases too), values. Hidden directives must be named in full."""
        found: dict[bytes, tuple[bytes, bytes]] = {}
        for pattern in patterns:
            for name in self._names(pattern):
                directive = BY_NAME[name.lower()]
                found.setdefault(name.lower(), (name, directive.format(self._values[directive])))
        return list(found.values())

    def _names(self, pattern: bytes) -> list[bytes]:
        """The names `pattern` means; one without magic is given back in the case the client wrote it in."""
        if not any(magic in pattern for magic in b"*?["):
            return [pattern] if pattern.lower() in BY_NAME else []
        matches = compile_glob(pattern, nocase=True)
        return [name for name, directive in BY_NAME.items() if not directive.hidden and matches(name)]

    def set_many(self, pairs: Sequence[tuple[bytes, bytes]], *, allow_protected: bool = False) -> None:
        """CONFIG SET: all of the pairs of name and value, or none. Raises CommandError with Redis's texts.

        `allow_protected` is whether this client may change protected directives.
        """
        directives = _settable(pairs, allow_protected, self.is_loading())
        values: dict[Directive[Any], Any] = {}
        for directive, (name, text) in zip(directives, pairs, strict=True):
            words = [text] if not directive.kind.multi_arg else text.split(b" ") if text else []
            try:
                values[directive] = directive.parse(words, self._values[directive])
            except ConfigError as error:
                raise _failed(name.lower(), error.reason) from None
        self._apply(
            {
                directive: value
                for directive, value in values.items()
                if directive.volatile or value != self._values[directive]
            }
        )

    def _apply(self, values: Mapping[Directive[Any], Any]) -> None:
        before = {directive: self._values[directive] for directive in values}
        self._values.update(values)
        done: list[Hook] = []
        for directive in values:
            for hook in self._hooks.get(directive, ()):
                if hook in done:
                    continue
                try:
                    hook()
                except ConfigError as error:
                    self._roll_back(before, done)
                    raise _failed(directive.name.encode(), error.reason) from None
                done.append(hook)
        for directive in filter(self._is_unserved, values):
            self.notice(directive.unserved_line)

    def _roll_back(self, before: Mapping[Directive[Any], Any], done: Iterable[Hook]) -> None:
        self._values.update(before)
        for hook in done:
            try:
                hook()
            except ConfigError as error:
                self.warn(f"Failed applying restored failed CONFIG SET command: {error.reason}")

    def contribute(self, word: str, lines: Callable[[], Iterable[bytes]]) -> None:
        """Have CONFIG REWRITE replace the lines of a `word` that is no directive (user, loadmodule).

        Where nobody contributes, such lines stay as they are.
        """
        self._other_lines[word] = lines

    def rewritten(self, old: bytes) -> bytes:
        """The text of the configuration file after CONFIG REWRITE, where it was `old`."""
        directives = [(directive.name.encode(), self._lines(directive)) for directive in TABLE]
        for word, lines in self._other_lines.items():
            directives.append((word.encode(), [FileLine(line, True) for line in lines()]))
        return rewritten(old, directives, _full_name)

    def _lines(self, directive: Directive[Any]) -> list[FileLine]:
        if directive is REPLICAOF and self[CLUSTER_ENABLED]:
            return []
        return directive.lines(self._values[directive])

    def rewrite(self) -> None:
        """CONFIG REWRITE. Raises CommandError when there is no file, or it cannot be read or written."""
        if not self.path:
            raise CommandError(b"ERR The server is running without a config file")
        try:
            replace_file(self.path, self.rewritten(_read(self.path)))
        except OSError as error:
            self.warn(f"CONFIG REWRITE failed: {error.strerror}")
            raise CommandError(f"ERR Rewriting config file: {error.strerror}".encode()) from error
        self.notice("CONFIG REWRITE executed with success.")


def _settable(
    pairs: Sequence[tuple[bytes, bytes]], allow_protected: bool, loading: bool
) -> list[Directive[Any]]:
    """What CONFIG SET names: each must be known, changeable and named once. Raises CommandError."""
    directives: dict[bytes, Directive[Any]] = {}  # a name and its alias are not duplicates; the last counts
    for name, _ in pairs:
        directive = BY_NAME.get(name.lower())
        if directive is None:
            raise CommandError(b"ERR Unknown option or number of arguments for CONFIG SET - '%s'" % name)
        if not directive.mutable:
            raise _failed(name, "can't set immutable config")
        if directive.protected and not allow_protected:
            raise _failed(name, "can't set protected config")
        if directive.deny_loading and loading:
            raise CommandError(b"LOADING Redis is loading the dataset in memory")
        if name.lower() in directives:
            raise _failed(name, "duplicate parameter")
        directives[name.lower()] = directive
    return list(directives.values())


def _failed(name: bytes, reason: str) -> CommandError:
    return CommandError(
        b"ERR CONFIG SET failed (possibly related to argument '%s') - %s" % (name, os.fsencode(reason))
    )


def _full_name(word: bytes) -> bytes | None:
    directive = BY_NAME.get(word)
    if directive is not None:
        return directive.name.encode()
    # A name with a dot belongs to a module.
    return word if word in FILE_ONLY or b"." in word else None


def _read(path: str) -> bytes:
    """A file that is not there is empty: CONFIG REWRITE creates it."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return b""
