"""From arguments and redis.conf to a Config: the start of a node.

The file comes first, then standard input if `-` is given, then the options of the command line, written as
lines of a file; the last word on a directive counts. A line that is wrong ends the start with a report that
names it. The syntax is that of redis.io/docs/management/config: a directive and its words, quotes as in
`split_words`, # comments.
"""

from __future__ import annotations

import difflib
import glob
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from node.config.config import Config
from node.config.directive import ConfigError, Directive
from node.config.rewrite import FILE_ONLY
from node.config.table import (
    BUS_PORT_OFFSET,
    BY_NAME,
    CLUSTER_ENABLED,
    CLUSTER_PORT,
    DATABASES,
    LOGFILE,
    PORT,
    REPLICAOF,
)
from node.words import quote, split_words

COMMAND_LINE = "the command line"
_INCLUDE_DEPTH = 16
_PORT_MAX = 65535
_DEPRECATED = frozenset((b"list-max-ziplist-entries", b"list-max-ziplist-value", b"lua-replicate-commands"))


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a configuration: where it stands (`number` from 1), its text, and its words."""

    source: str
    number: int
    text: bytes
    words: tuple[bytes, ...] = ()


class ConfigFileError(Exception):
    """The node cannot start with this configuration. `line` is None when no single line is at fault."""

    def __init__(self, reason: str, line: Line | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.line = line

    def report(self, version: str) -> str:
        """What is printed to standard error before the exit with status 1."""
        if self.line is None:
            return f"Fatal error, {self.reason}\n"
        text = _shown(self.line).decode("utf-8", "backslashreplace")
        return (
            f"\n*** FATAL CONFIG FILE ERROR (Shoal {version}) ***\n"
            f"Reading the configuration file, at line {self.line.number} of {self.line.source}\n"
            f">>> '{text}'\n{self.reason}\n"
        )


@dataclass(frozen=True, slots=True)
class Arguments:
    """The command line taken apart. `path` is absolute, "" without a file; `options` are lines of a file."""

    path: str = ""
    stdin: bool = False
    options: bytes = b""
    sentinel: bool = False
    help: bool = False
    version: bool = False


@dataclass(slots=True)
class Startup:
    """A configuration that was read. `others` are the lines that other parts of the node own, by first word:
    user, loadmodule, rename-command, sentinel, and module.name."""

    config: Config
    others: dict[str, list[Line]] = field(default_factory=dict)


def parse_arguments(argv: Sequence[str]) -> Arguments:
    """redis-server's style, without the program's name: `[file.conf] [--directive value …]… [-]`."""
    if argv and argv[0] in ("-v", "--version"):
        return Arguments(version=True)
    if argv and argv[0] in ("-h", "--help"):
        return Arguments(help=True)
    path = ""
    rest = list(argv)
    if rest and not rest[0].startswith("-"):
        path = os.path.abspath(rest.pop(0))
    stdin = bool(rest) and (rest[-1] == "-" or (rest[0] == "-" and not path))
    if stdin:
        rest.pop(-1 if rest[-1] == "-" else 0)
    sentinel = "--sentinel" in rest
    return Arguments(path, stdin, _options(word for word in rest if word != "--sentinel"), sentinel)


def _options(words: Iterable[str]) -> bytes:
    """`--name value` as lines of a file.

    A word with two dashes begins a new option only if the one before has a value, since a value may begin
    with dashes too; --save alone is an exception, as for redis-server: it means `save ""`.
    """
    lines: list[list[bytes]] = []
    complete = True
    for word in words:
        encoded = os.fsencode(word)
        if lines and lines[-1] == [b"save"] and word.startswith("--"):
            lines[-1].append(b'""')
            complete = True
        if complete and word.startswith("--"):
            lines.append([encoded[2:].strip()])
            complete = len(split_words(encoded) or ()) != 1
        elif not lines:
            raise ConfigFileError(
                "Bad directive or wrong number of arguments", Line(COMMAND_LINE, 1, encoded)
            )
        else:
            lines[-1].append(quote(encoded))
            complete = True
    if lines and lines[-1] == [b"save"]:
        lines[-1].append(b'""')
    return b"".join(b" ".join(line) + b"\n" for line in lines)


def load(arguments: Arguments, read_stdin: Callable[[], bytes] | None = None) -> Startup:
    """Read the file, standard input and options. Raises ConfigFileError."""
    reader = _Reader(Config(arguments.path), arguments.sentinel)
    if arguments.path:
        reader.read_file(arguments.path, None)
    if arguments.stdin:
        reader.read_text((read_stdin or sys.stdin.buffer.read)(), "standard input")
    reader.read_text(arguments.options, COMMAND_LINE)
    return reader.finish()


class _Reader:
    """Takes lines in one by one; later lines override earlier ones."""

    def __init__(self, config: Config, sentinel: bool) -> None:
        self.startup = Startup(config)
        self.config = config
        self.sentinel = sentinel
        self.at: dict[Directive[Any], Line] = {}  # the last line of each directive that was given
        self.open_files: list[str] = []

    def read_file(self, path: str, included_by: Line | None) -> None:
        real = os.path.realpath(path)
        if real in self.open_files or len(self.open_files) >= _INCLUDE_DEPTH:
            raise ConfigFileError(f"include goes round in a circle, or too deep, at '{path}'", included_by)
        try:
            with open(path, "rb") as file:
                text = file.read()
        except (OSError, ValueError) as error:
            raise ConfigFileError(
                f"can't open config file '{path}': {_reason(error)}", included_by
            ) from error
        self.open_files.append(real)
        self.read_text(text, path)
        self.open_files.pop()

    def read_text(self, text: bytes, source: str) -> None:
        for number, raw in enumerate(text.split(b"\n"), 1):
            stripped = raw.strip(b" \t\r\n")
            if not stripped or stripped.startswith(b"#"):
                continue
            words = split_words(stripped)
            if words is None:
                raise ConfigFileError(
                    "Unbalanced quotes in configuration line", Line(source, number, stripped)
                )
            if words:
                self.take(Line(source, number, stripped, (words[0].lower(), *words[1:])))

    def take(self, line: Line) -> None:
        name, arguments = line.words[0], line.words[1:]
        directive = BY_NAME.get(name)
        if directive is not None:
            self.assign(directive, arguments, line)
        elif name == b"include" and len(arguments) == 1:
            self.include(os.fsdecode(arguments[0]), line)
        elif name == b"sentinel" and arguments and not self.sentinel:
            raise ConfigFileError("sentinel directive while not in sentinel mode", line)
        elif arguments and (name in FILE_ONLY - {b"include"} or b"." in name):
            self.startup.others.setdefault(_text(name), []).append(line)
        elif not (name in _DEPRECATED and len(arguments) == 1) and line.words != (b"sentinel",):
            raise ConfigFileError("Bad directive or wrong number of arguments" + _nearest(name), line)

    def assign(self, directive: Directive[Any], arguments: Sequence[bytes], line: Line) -> None:
        if directive.kind.multi_arg and len(arguments) == 1 and arguments[0]:
            split = split_words(arguments[0])
            if split is None:
                raise ConfigFileError("Unbalanced quotes in configuration line", line)
            arguments = split
        old = self.config[directive]
        try:
            value = directive.parse(arguments, old)
        except ConfigError as error:
            raise ConfigFileError(error.reason, line) from error
        if directive.kind.accumulates and directive in self.at:
            value = directive.kind.combine(old, value)
        self.config.store(directive, value)
        self.at[directive] = line

    def include(self, pattern: str, line: Line) -> None:
        path = self.config.resolve(pattern)
        if not any(magic in pattern for magic in "*?["):
            self.read_file(path, line)
            return
        for found in sorted(glob.glob(path)):
            self.read_file(found, line)

    def finish(self) -> Startup:
        """What can only be judged when all lines are known."""
        config = self.config
        if config[CLUSTER_ENABLED]:
            if not config[CLUSTER_PORT] and config[PORT] > _PORT_MAX - BUS_PORT_OFFSET:
                raise ConfigFileError(
                    f"the bus needs a port {BUS_PORT_OFFSET} above this one: choose one up to "
                    f"{_PORT_MAX - BUS_PORT_OFFSET}, or set cluster-port",
                    self.at.get(PORT),
                )
            if config[REPLICAOF] is not None:
                raise ConfigFileError(
                    "replicaof directive not allowed in cluster mode", self.at.get(REPLICAOF)
                )
            config.store(DATABASES, 1)
        if config[LOGFILE]:
            path = config.resolve(config[LOGFILE])
            try:
                open(path, "ab").close()
            except (OSError, ValueError) as error:
                raise ConfigFileError(
                    f"Can't open the log file: {_reason(error)}", self.at.get(LOGFILE)
                ) from error
        return self.startup


def _shown(line: Line) -> bytes:
    """The text without passwords: reports end up in logs."""
    name, _, rest = line.text.partition(b" ")
    directive = BY_NAME.get(name.lower())
    if name.lower() == b"user":
        return b"user %b ..." % rest.strip().partition(b" ")[0]
    return name + b" ..." if directive is not None and directive.sensitive else line.text


def _reason(error: OSError | ValueError) -> str:
    return getattr(error, "strerror", None) or str(error)


def _nearest(name: bytes) -> str:
    """A hint, when a known directive looks much like this one."""
    known = [_text(other) for other, directive in BY_NAME.items() if not directive.hidden]
    close = difflib.get_close_matches(_text(name), known, n=1, cutoff=0.7)
    return f" (did you mean '{close[0]}'?)" if close else ""


def _text(name: bytes) -> str:
    return name.decode("utf-8", "backslashreplace")
