"""The table of commands: declarations → what the dispatcher runs.

`freeze` binds services to handlers and hangs subcommands under their containers. What a request needs
checking is decided here, once: `Table.fast` holds the commands whose requests need nothing but an arity check
and the route of one key (or no key at all), under their upper- and lower-case names; everything else, and
every other spelling, takes the dispatcher's full path.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from node.command.keyspec import Index, KeyFlag, KeyNum, KeySpec, Keyword, Range, find_keys, legacy_range
from node.command.spec import CommandSpec, Flag

TIME_UNIT_BITS = 7
"""Times of calls are counted in units of 2 ** 7 nanoseconds."""

Runner = Callable[..., Any]


class Command:
    """A command as it runs. `run(call, argv)` returns the encoded reply, or a Block.

    What it has cost (see `node.observe.commandstats`): `calls`, of which `failed_calls` ended with an error,
    besides `rejected_calls` that were refused and not run; `times`, how many calls took how long in units of
    `TIME_UNIT_BITS`. A request of up to `short_words` words takes about the same short time as any such.
    """

    __slots__ = (
        "arity",
        "calls",
        "failed_calls",
        "flags",
        "has_first_key",
        "has_keys",
        "has_one_key",
        "is_told",
        "is_write",
        "name",
        "rejected_calls",
        "run",
        "runs_script",
        "short_words",
        "spec",
        "subcommands",
        "times",
        "title",
    )

    def __init__(self, spec: CommandSpec, run: Runner | None) -> None:
        self.spec = spec
        self.name = spec.name
        self.title = spec.name.lower()
        self.arity = spec.arity
        self.flags = spec.flags
        self.is_write = bool(spec.flags & Flag.WRITE)
        self.is_told = bool(spec.flags & _MAY_CHANGE)
        self.has_keys = bool(spec.keys) or spec.find_keys is not None
        found = _keys_from_first(spec)
        self.has_first_key = found is not None
        self.has_one_key = found is not None and found.last == 0 and len(spec.keys) == 1
        self.run: Runner = run if run is not None else _container_only
        self.subcommands: dict[bytes, Command] | None = {} if spec.handler is None else None
        self.runs_script = _runs_script(spec)
        self.short_words = _short_words(spec)
        self.times: defaultdict[int, int] = defaultdict(int)
        self.forget_calls()

    def forget_calls(self) -> None:
        """CONFIG RESETSTAT."""
        self.calls = self.failed_calls = self.rejected_calls = 0
        self.times.clear()

    def arity_fits(self, count: int) -> bool:
        return count == self.arity if self.arity > 0 else count >= -self.arity

    def keys_of(self, argv: list[bytes]) -> list[tuple[int, KeyFlag]]:
        """Positions of the keys in a request. Raises ValueError when they cannot be told."""
        if self.spec.find_keys is not None:
            return self.spec.find_keys(argv)
        return find_keys(self.spec.keys, argv)

    @property
    def movable_keys(self) -> bool:
        """Whether (first, last, step) do not tell all: keywords, counts, or a function."""
        return self.spec.find_keys is not None or any(_is_movable(spec) for spec in self.spec.keys)

    def legacy_range(self) -> tuple[int, int, int]:
        return legacy_range(self.spec.keys)

    def all_flags(self) -> Flag:
        return self.flags | (Flag.MOVABLEKEYS if self.movable_keys else Flag(0))


_WORDS_OF_MANY = 8
_COUNTS = frozenset((b"LPOP", b"RPOP", b"SPOP", b"ZPOPMIN", b"ZPOPMAX"))
"""Fast without the last word, which says how many."""


def _short_words(spec: CommandSpec) -> int:
    if spec.name in _COUNTS:
        return 2
    if not spec.flags & Flag.FAST and spec.name != b"SET":
        return 0
    return spec.arity if spec.arity > 0 else _WORDS_OF_MANY


def _runs_script(spec: CommandSpec) -> bool:
    """EVAL and its kin: text or name, the number of keys, the keys, arguments."""
    return "scripting" in spec.categories and bool(spec.flags & Flag.SKIP_MONITOR)


def _is_ungated(command: Command) -> bool:
    """Whether the gates have nothing to say while no guard holds, but about the slot of a script's keys."""
    return command.runs_script or command.spec.name == b"PUBLISH"


def _container_only(*_: object) -> bytes:
    raise AssertionError("a container was run without its subcommand")


def _is_movable(spec: KeySpec) -> bool:
    return not (isinstance(spec.begin, Index) and isinstance(spec.find, Range)) or bool(
        spec.flags & KeyFlag.INCOMPLETE
    )


_MAY_CHANGE = Flag.WRITE | Flag.MAY_REPLICATE
_NEEDS_FULL_PATH = (
    Flag.BLOCKING | Flag.ADMIN | Flag.NO_AUTH | Flag.PUBSUB | Flag.ASKING | Flag.NO_MULTI | Flag.NOSCRIPT
)


def _keys_from_first(spec: CommandSpec) -> Range | None:
    """Where a request's keys are when they begin at its first argument and nothing but the dispatcher's
    fast path is needed to run it; None otherwise.
    """
    if spec.handler is None or spec.flags & _NEEDS_FULL_PATH or spec.waits:
        return None
    if spec.find_keys is not None or not spec.keys:
        return None
    begin, find = spec.keys[0].begin, spec.keys[0].find
    if isinstance(begin, Index) and begin.index == 1 and isinstance(find, Range):
        return find
    return None


class Table:
    """All commands by upper-case name. `declared` are the same, whatever rename-command made of them.

    Whoever keeps one of the look-up tables sees them change when modules come and go. In a cluster
    (`by_slot`) only requests of one key go fast, since several keys must be seen to share a slot.
    """

    def __init__(self, commands: dict[bytes, Command], by_slot: bool) -> None:
        self.commands = commands
        self.declared: dict[bytes, Command] = {}
        self.fast_reads: dict[bytes, Command] = {}
        self.fast_all: dict[bytes, Command] = {}
        self.fast_ungated: dict[bytes, Command] = {}
        self._lookup: dict[bytes, Command] = {}
        self.by_slot = by_slot
        self.prepare()

    def prepare(self) -> None:
        """Makes the look-up tables; to be called again when commands were added."""
        commands = self.commands
        fast = {
            name: command
            for name, command in commands.items()
            if (command.has_one_key if self.by_slot else command.has_first_key)
        }
        _refill(self.fast_reads, {n: c for n, c in fast.items() if not c.flags & _MAY_CHANGE})
        _refill(self.fast_all, fast)
        _refill(self.fast_ungated, {name: c for name, c in commands.items() if _is_ungated(c)})
        _refill(self._lookup, commands)

    def add(self, commands: Mapping[bytes, Command]) -> None:
        """Of a module; none of the names is taken."""
        self.commands.update(commands)
        self.declared.update(commands)
        self.prepare()

    def remove(self, names: Iterable[bytes]) -> None:
        for name in names:
            del self.commands[name], self.declared[name]
        self.prepare()

    def lookup(self, name: bytes) -> Command | None:
        """A command (a container without its subcommand) by a name in any case."""
        return self._lookup.get(name) or self.commands.get(name.upper())

    def find(self, name: bytes) -> Command | None:
        """By full name as people and COMMAND INFO write it: `get`, `client|list`."""
        container, _, sub = name.upper().partition(b"|")
        command = self.commands.get(container)
        if sub and command is not None:
            return (command.subcommands or {}).get(sub)
        return command

    def walk(self) -> Iterable[Command]:
        """Every command and subcommand."""
        for command in self.commands.values():
            yield command
            yield from (command.subcommands or {}).values()


def _refill(table: dict[bytes, Command], commands: Mapping[bytes, Command]) -> None:
    """By the names that clients use, which rename-command may have changed, in both cases."""
    table.clear()
    for name, command in commands.items():
        table[name] = command
        table[name.lower()] = command


def freeze(declared: Iterable[CommandSpec], services: Mapping[type, object], by_slot: bool) -> Table:
    """Builds the table. Raises LookupError when a command needs a service that was not handed in.

    The table itself is among the services.
    """
    commands: dict[bytes, Command] = {}
    table = Table(commands, by_slot)
    services = {**services, Table: table}
    subcommands: list[Command] = []
    for spec in declared:
        command = Command(spec, _bound(spec, services))
        if b"|" in spec.name:
            subcommands.append(command)
            continue
        if spec.name in commands:
            raise LookupError(f"{spec.name.decode()} is declared twice")
        commands[spec.name] = command
    for command in subcommands:
        container, _, sub = command.name.partition(b"|")
        holder = commands[container]
        if holder.has_keys:
            raise LookupError(f"{container.decode()} is no container, but {command.name.decode()} says so")
        if holder.subcommands is None:  # COMMAND does something without a subcommand, too
            holder.subcommands = {}
        holder.subcommands[sub] = command
    table.declared = dict(commands)
    table.prepare()
    return table


def _bound(spec: CommandSpec, services: Mapping[type, object]) -> Runner | None:
    """The handler with its services as first arguments; None for a mere container."""
    if spec.handler is None or not spec.needs:
        return spec.handler
    for need in spec.needs:
        if need not in services:
            raise LookupError(f"{spec.name.decode()} needs {need.__name__}, which was not handed in")
    return partial(spec.handler, *(services[need] for need in spec.needs))


def describe_begin(begin: object) -> tuple[bytes, list[tuple[bytes, int | bytes]]]:
    """The begin_search step of a key specification in COMMAND INFO's words."""
    if isinstance(begin, Index):
        return b"index", [(b"index", begin.index)]
    if isinstance(begin, Keyword):
        return b"keyword", [(b"keyword", begin.keyword), (b"startfrom", begin.start_from)]
    return b"unknown", []


def describe_find(find: object) -> tuple[bytes, list[tuple[bytes, int | bytes]]]:
    """The find_keys step of a key specification in COMMAND INFO's words."""
    if isinstance(find, Range):
        return b"range", [(b"lastkey", find.last), (b"keystep", find.step), (b"limit", find.limit)]
    if isinstance(find, KeyNum):
        return b"keynum", [
            (b"keynumidx", find.count_index),
            (b"firstkey", find.first),
            (b"keystep", find.step),
        ]
    return b"unknown", []
