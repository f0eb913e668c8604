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
from node.server.process import CannotStartError


def command_table(
    services: Iterable[object], lines: Mapping[str, Sequence[Line]], acl: Acl, *, by_slot: bool
) -> Table:
    """All commands, bound to `services`. `lines` of the configuration: `user` and `rename-command`.

    Raises ConfigFileError, and CannotStartError for what is wrong with a user.
    """
    load_all()
    table = freeze(DECLARED, {type(part): part for part in services}, by_slot=by_slot)
    acl.bind(table)
    _rename(table, lines.get("rename-command", ()))
    try:
        acl.load_at_start(lines.get("user", ()))
    except AclFileError as wrong:
        raise CannotStartError(f"Aborting startup because of ACL errors: {wrong}") from None
    return table


def _rename(table: Table, lines: Sequence[Line]) -> None:
    for line in lines:
        try:
            _, name, new_name = line.words
            rename(table, name, new_name)
        except ValueError:
            raise ConfigFileError("Bad directive or wrong number of arguments", line) from None
        except RenameError as refused:
            raise ConfigFileError(str(refused), line) from None
