"""The table of commands: with the services that handlers need, the users' rights, and other names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from node.acl.files import AclFileError
from node.acl.service import Acl
from node.command.registry import Table, freeze
from node.command.renames import RenameError, rename
from node.command.spec import DECLARED
from node.commands import load_all
from node.config.file import ConfigFileError, Line
from node.modules.loader import ModuleError
from node.modules.service import Modules
from node.server.process import CannotStartError


def command_table(
    services: Iterable[object],
    lines: Mapping[str, Sequence[Line]],
    acl: Acl,
    modules: Modules,
    *,
    by_slot: bool,
) -> Table:
    """All commands, bound to `services`. `lines` of the configuration: `user`, `rename-command`,
    `loadmodule`, and the settings of modules.

    Raises ConfigFileError, and CannotStartError for what is wrong with a user.
    """
    load_all()
    by_type: Mapping[type, object] = {type(part): part for part in services}
    table = freeze(DECLARED, by_type, by_slot=by_slot)
    acl.bind(table)
    _rename(table, lines.get("rename-command", ()))
    modules.bind(table, by_type)
    _load_modules(modules, lines)
    try:
        acl.load_at_start(lines.get("user", ()))
    except AclFileError as wrong:
        raise CannotStartError(f"Aborting startup because of ACL errors: {wrong}") from None
    return table


def _load_modules(modules: Modules, lines: Mapping[str, Sequence[Line]]) -> None:
    """Before users are read, whose rules may name commands of modules. Raises ConfigFileError."""
    settings = {name.encode(): several[-1] for name, several in lines.items() if "." in name}
    for line in lines.get("loadmodule", ()):
        try:
            modules.load(line.words[1], line.words[2:], lambda name: _settings_of(name, settings))
        except ModuleError as wrong:
            raise ConfigFileError(f"Can't load module: {wrong}", line) from None
    for name, line in settings.items():
        if name.partition(b".")[0] not in modules.by_name:
            raise ConfigFileError("No loadmodule line loads the module of this setting", line)


def _settings_of(module: bytes, lines: Mapping[bytes, Line]) -> Mapping[bytes, bytes]:
    return {name: b" ".join(line.words[1:]) for name, line in lines.items() if name.startswith(module + b".")}


def _rename(table: Table, lines: Sequence[Line]) -> None:
    for line in lines:
        try:
            _, name, new_name = line.words
            rename(table, name, new_name)
        except ValueError:
            raise ConfigFileError("Bad directive or wrong number of arguments", line) from None
        except RenameError as refused:
            raise ConfigFileError(str(refused), line) from None
