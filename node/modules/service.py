"""Modules: Python files that bring commands of their own.

A module is trusted: it runs in the node's process and may do whatever the node may. What it is protected
from is itself. It is run and looked at as a whole before anything of it is registered
(`node.modules.loader`), so that one which raises, or declares a command there is already, changes nothing.
And what a handler raises, or returns that is no reply, ends that command and not the node.

Its commands are as good as any: they are in COMMAND, under the rules of users, in the slots of a cluster, in
scripts and transactions, on the fast path. A module goes when nobody waits in one of its commands; an open
transaction that holds one is broken.

Source: https://redis.io/commands/?name=module
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from node.clients import Clients
from node.command.queue import Units
from node.command.registry import Command, Runner, Table
from node.command.session import Block, Session
from node.command.spec import CommandSpec, Flag
from node.config.config import Config
from node.errors import CommandError
from node.log import Log
from node.modules.loader import ModuleError, Source, check, described, hung_together, others_code, read
from node.modules.native import Commands
from node.observe.info import Fields
from node.resp.encode import Encoder, array, bulk, bulks, error
from node.resp.encode import integer as number
from node.words import quote

_API = 1
_PLAIN = re.compile(rb"[A-Za-z0-9_./:=,+-]+")

Settings = Callable[[bytes], Mapping[bytes, bytes]]
"""From a module's name to what its settings are to be, by full name, `module.setting`."""


@dataclass(frozen=True, slots=True)
class Module:
    """One that is loaded."""

    source: Source
    path: bytes  # as it was given
    args: Sequence[bytes]
    commands: Sequence[Command]

    @property
    def name(self) -> bytes:
        return self.source.name.encode()

    @property
    def holders(self) -> list[Command]:
        """The commands that are no subcommands."""
        return [command for command in self.commands if b"|" not in command.name]


class Modules:
    """One per node. `bind` comes first; the application sets `units` and `categories` (of ACL rules), and
    hangs into `on_change` who must know that there are other commands.
    """

    units: Units

    def __init__(self, config: Config, log: Log, clients: Clients) -> None:
        self._config = config
        self._log = log
        self._clients = clients
        self._services: dict[type, object] = {}
        self._table: Table | None = None
        self.by_name: dict[bytes, Module] = {}
        self.categories: Callable[[], Sequence[str]] = list
        self.on_change: list[Callable[[Table], None]] = []
        config.contribute("loadmodule", self._config_lines)

    def bind(self, table: Table, services: Mapping[type, object]) -> None:
        """The table that modules add to, and what their handlers may need."""
        self._table, self._services = table, {**services, Table: table}

    # Loading

    def load(self, path: bytes, args: Sequence[bytes], settings: Settings) -> None:
        """MODULE LOAD, LOADEX. Raises ModuleError, which is logged; then everything is as before."""
        shown = path.decode("utf-8", "surrogateescape")
        try:
            source = read(Path(self._config.resolve(shown)))
            try:
                module = self._started(source, path, args, settings)
            except BaseException:
                source.forget()
                raise
        except ModuleError as wrong:
            self._log.warning(f"Module {shown} failed to load: {wrong}")
            if isinstance(cause := wrong.__cause__, BaseException):
                self._log.notice("".join(traceback.format_exception(cause)).rstrip())
            raise
        self._register(module)
        self._log.notice(f"Module '{source.name}' loaded from {shown}")

    def _started(self, source: Source, path: bytes, args: Sequence[bytes], settings: Settings) -> Module:
        assert self._table is not None, "bind comes first"
        if source.name.encode() in self.by_name:
            raise ModuleError(f"there is a module {source.name} already")
        check(source.specs, self._table, self.categories())
        _set(source, settings(source.name.encode()))
        commands = [self._command(source, spec) for spec in source.specs]
        on_load = source.hook("on_load")
        if on_load is not None:
            with others_code("on_load raised"):
                on_load(list(args))
        return Module(source, path, tuple(args), commands)

    def _command(self, source: Source, spec: CommandSpec) -> Command:
        spec = replace(spec, flags=spec.flags | Flag.MODULE, module=source.name)
        assert self._table is not None, "bind comes first"
        if spec.handler is None:
            return Command(spec, None)
        given: list[object] = []
        for need in spec.needs:
            if need is Commands:
                given.append(Commands(self._table, lambda: self.units, spec))
            elif need in self._services:
                given.append(self._services[need])
            else:
                raise ModuleError(f"{spec.name.decode()} needs {need.__name__}, which there is not")
        return Command(spec, self._guarded(source.name, spec, given))

    def _guarded(self, module: str, spec: CommandSpec, given: list[object]) -> Runner:
        """The handler, whose failures are replies."""
        handler: Callable[..., Any] = spec.handler  # type: ignore[assignment]
        may_wait = spec.waits or bool(spec.flags & Flag.BLOCKING)
        calls = any(isinstance(each, Commands) for each in given)
        name = spec.name.decode()

        def failed(why: str) -> bytes:
            self._log.warning(f"Module '{module}' failed in {name}: {why}")
            return error(f"ERR module '{module}' failed in {name}: {why}".encode("utf-8", "replace"))

        def run(call: Any, argv: list[bytes]) -> bytes | Block:
            try:
                reply: object = handler(*given, call, argv)
            except CommandError:
                raise
            except Exception as wrong:  # noqa: BLE001  the module's fault, whatever it is
                self._log.notice("".join(traceback.format_exception(wrong)).rstrip())
                return failed(described(wrong))
            if type(reply) is bytes and reply:
                return reply
            if isinstance(reply, Block):
                if may_wait and not call.session.deny_blocking:
                    return reply
                reply.cancel()
                return failed("it must not wait here")
            return failed(f"it returned {type(reply).__name__} in place of a reply")

        def run_as_unit(call: Any, argv: list[bytes]) -> bytes | Block:
            with self.units.unit(call.session):
                try:
                    reply = run(call, argv)
                finally:
                    mixed = bool(call.changes.log)
                    if mixed:
                        call.rewrite()
                if mixed and type(reply) is bytes and reply[:1] != b"-":
                    return failed("it has changed a key by itself, too; replicas are not told")
                return reply

        return run_as_unit if calls else run

    def _register(self, module: Module) -> None:
        assert self._table is not None, "bind comes first"
        self._table.add(hung_together(module.commands))
        self.by_name[module.name] = module
        self._changed()

    def _changed(self) -> None:
        assert self._table is not None, "bind comes first"
        for tell in self.on_change:
            tell(self._table)

    # Unloading

    def unload(self, name: bytes) -> None:
        """Raises ModuleError."""
        module = self.by_name.get(name)
        if module is None:
            raise ModuleError("no such module with that name")
        if any(self._waits_in(module, session) for session in self._clients):
            raise ModuleError(
                "the module has blocked clients. Please wait for them to be unblocked and try again"
            )
        on_unload = module.source.hook("on_unload")
        if on_unload is not None:
            with others_code("on_unload raised"):
                on_unload()
        gone = set(module.commands)
        for session in self._clients:
            if session.queue is not None and any(each.command in gone for each in session.queue.requests):
                session.queue.broken = True
        assert self._table is not None, "bind comes first"
        self._table.remove(command.name for command in module.holders)
        del self.by_name[name]
        module.source.forget()
        self._changed()
        self._log.notice(f"Module {module.source.name} unloaded")

    def _waits_in(self, module: Module, session: Session) -> bool:
        return session.blocked is not None and session.last_command in module.commands

    # Told

    def listing(self, encoder: Encoder) -> bytes:
        """MODULE LIST, and what HELLO tells."""
        return array([_described(module, encoder) for module in self.by_name.values()])

    def info(self) -> Fields:
        for module in self.by_name.values():
            source = module.source
            yield (
                "module",
                f"name={source.name},ver={source.version},api={_API},filters=0,usedby=[],using=[],options=[]",
            )

    def _config_lines(self) -> Iterator[bytes]:
        for module in self.by_name.values():
            words = (word if _PLAIN.fullmatch(word) else quote(word) for word in (module.path, *module.args))
            yield b" ".join([b"loadmodule", *words])


def _set(source: Source, settings: Mapping[bytes, bytes]) -> None:
    """Gives the module's SETTINGS the values they are to have. Raises ModuleError."""
    for full_name, value in settings.items():
        holder, _, name = full_name.decode("utf-8", "replace").partition(".")
        if holder != source.name or name not in source.settings:
            raise ModuleError(f"it has no setting {holder}.{name}")
        source.settings[name] = value.decode("utf-8", "surrogateescape")
    if source.settings:
        source.python.SETTINGS.update(source.settings)


def _described(module: Module, encoder: Encoder) -> bytes:
    return encoder.map(
        [
            (bulk(b"name"), bulk(module.name)),
            (bulk(b"ver"), number(module.source.version)),
            (bulk(b"path"), bulk(module.path)),
            (bulk(b"args"), bulks(module.args)),
        ]
    )
