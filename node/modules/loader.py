"""From a module's file to declarations that the table of commands can take, or to the reason why not.

The file is run as a Python module under a name of its own, so two files of one name do not meet, and a file
that was changed is read again. What it declares with `@command` is taken from `node.command.spec.DECLARED`,
which stays what the node itself declares. Nothing is registered here: a module that raises, or declares what
cannot be, has changed nothing.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from types import ModuleType
from typing import Any

from node.command.keyspec import Index, KeyNum, KeySpec, Range
from node.command.registry import Command, Table
from node.command.spec import DECLARED, CommandSpec, Flag

_numbers = count(1)


class ModuleError(Exception):
    """A module cannot be loaded or unloaded; the text says why."""


@dataclass(frozen=True, slots=True)
class Source:
    """A file that was run. `settings` are those it has, with the values they have unless told otherwise."""

    name: str
    version: int
    specs: Sequence[CommandSpec]
    settings: dict[str, str]
    python: ModuleType

    def hook(self, name: str) -> Callable[..., object] | None:
        """`on_load` or `on_unload`, if there is one. Raises ModuleError."""
        found = getattr(self.python, name, None)
        if found is not None and not callable(found):
            raise ModuleError(f"{name} is no function")
        return found

    def forget(self) -> None:
        sys.modules.pop(self.python.__name__, None)


def read(path: Path) -> Source:
    """Runs the file. Raises ModuleError; then it has left nothing behind."""
    try:
        text = path.read_bytes()
    except OSError as failed:
        raise ModuleError(f"{path}: {failed.strerror}") from None
    python = ModuleType(f"shoal_module_{next(_numbers)}")
    python.__file__ = str(path)
    before = len(DECLARED)
    sys.modules[python.__name__] = python
    try:
        with others_code("it raised"):
            exec(compile(text, str(path), "exec"), python.__dict__)
        return _source(python, path, DECLARED[before:])
    except BaseException:
        del sys.modules[python.__name__]
        raise
    finally:
        del DECLARED[before:]


@contextmanager
def others_code(what: str) -> Iterator[None]:
    """Whatever a module's code raises, to exit included, is a ModuleError with the line it came from."""
    try:
        yield
    except ModuleError:
        raise
    except (Exception, SystemExit) as failed:  # the module's fault, whatever it is
        raise ModuleError(f"{what} {described(failed)}") from failed


def described(failed: BaseException) -> str:
    """An exception in a line: its kind, its text, and the last line of the module it passed."""
    text = f"{type(failed).__name__}: {failed}" if str(failed) else type(failed).__name__
    trace, line = failed.__traceback__, None
    while trace is not None:
        if trace.tb_frame.f_globals.get("__name__", "").startswith("shoal_module_"):
            line = trace.tb_lineno
        trace = trace.tb_next
    text = text.replace("\r", " ").replace("\n", " ")
    return text if line is None else f"{text} (line {line})"


def _source(python: ModuleType, path: Path, specs: Sequence[CommandSpec]) -> Source:
    name = getattr(python, "NAME", path.stem)
    version = getattr(python, "VERSION", 1)
    settings = getattr(python, "SETTINGS", {})
    if type(name) is not str or not name.isascii() or not name.replace("-", "_").isidentifier():
        raise ModuleError("NAME must be a str of letters, digits, - and _")
    if type(version) is not int:
        raise ModuleError("VERSION must be an int")
    if type(settings) is not dict or not all(type(word) is str for pair in settings.items() for word in pair):
        raise ModuleError("SETTINGS must be a dict of str to str")
    if not specs:
        raise ModuleError("it declares no command")
    return Source(name, version, specs, dict(settings), python)


# What is declared


def check(specs: Sequence[CommandSpec], table: Table, categories: Sequence[str]) -> None:
    """Raises ModuleError at the first declaration that the table cannot take."""
    new: set[bytes] = set()
    for spec in specs:
        try:
            _check_form(spec, categories)
            if b"|" not in spec.name and (spec.name in table.declared or table.lookup(spec.name)):
                raise ModuleError("there is such a command already")
            if spec.name in new:
                raise ModuleError("it is declared twice")
            holder = spec.name.partition(b"|")[0]
            if holder != spec.name and holder not in new:
                raise ModuleError(f"no container {holder.decode()} is declared above it")
        except ModuleError as wrong:
            raise ModuleError(f"{_shown(spec.name)}: {wrong}") from None
        new.add(spec.name)


def _shown(name: Any) -> str:
    return name.decode("utf-8", "backslashreplace") if type(name) is bytes else repr(name)


def _check_form(spec: CommandSpec, categories: Sequence[str]) -> None:
    name: Any = spec.name
    if type(name) is not bytes:
        raise ModuleError("the name of a command must be bytes")
    if not name or name != name.upper() or not all(0x21 <= byte <= 0x7E for byte in name):
        raise ModuleError("the name of a command must be printable ASCII in upper case")
    arity: Any = spec.arity
    if type(arity) is not int or arity == 0 or abs(arity) < (2 if b"|" in name else 1):
        raise ModuleError("the arity counts the name (and a subcommand's); negative means at least so many")
    if not isinstance(spec.flags, Flag):
        raise ModuleError("flags are those of node.modules.api, joined by |")
    if spec.flags & Flag.WRITE and spec.flags & Flag.READONLY:
        raise ModuleError("a command either writes or only reads")
    for category in spec.categories:
        if category not in categories:
            raise ModuleError(f"there is no category {category}")
    for each in spec.keys:
        _check_keys(each, arity)
    if spec.handler is not None:
        _check_signature(spec)


def _check_keys(spec: Any, arity: int) -> None:
    if not isinstance(spec, KeySpec):
        raise ModuleError("keys are made by key(), keys() and counted_keys()")
    if not isinstance(spec.begin, Index):
        return
    last = spec.begin.index
    if isinstance(spec.find, Range):
        last += max(spec.find.last, 0)
    if last < 1 or (last >= abs(arity) and not isinstance(spec.find, KeyNum)):
        raise ModuleError(f"by its arity a request may have no word {last}, which is to be a key")


def _check_signature(spec: CommandSpec) -> None:
    assert spec.handler is not None
    given = [*spec.needs, "call", "argv"]
    try:
        inspect.signature(spec.handler).bind(*given)
    except (TypeError, ValueError):
        raise ModuleError(f"its handler must take {len(given)} arguments") from None
    if inspect.iscoroutinefunction(spec.handler):
        raise ModuleError("its handler must not be async: nothing in a handler waits")


def hung_together(commands: Sequence[Command]) -> dict[bytes, Command]:
    """By name, subcommands under their containers."""
    by_name: dict[bytes, Command] = {}
    for command in commands:
        holder, _, sub = command.name.partition(b"|")
        if not sub:
            by_name[command.name] = command
            continue
        container = by_name[holder]
        if container.subcommands is None:
            container.subcommands = {}
        container.subcommands[sub] = command
    return by_name
