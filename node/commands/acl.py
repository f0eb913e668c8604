"""ACL: users and what they may do. See node.acl.

Source: https://redis.io/commands/?name=acl
"""

from __future__ import annotations

import secrets

from node.acl.log import Entry
from node.acl.selector import Selector
from node.acl.service import Acl
from node.acl.user import User
from node.command.args import integer
from node.command.call import Call
from node.command.help import help_reply
from node.command.registry import Command, Table
from node.command.spec import ADMIN, LOADING, NOSCRIPT, STALE, command, container
from node.errors import CommandError
from node.resp.encode import OK, Encoder, array, bulk, bulks
from node.resp.encode import integer as number

_FLAGS = NOSCRIPT | LOADING | STALE
_ADMIN = ADMIN | _FLAGS
_EVERYWHERE = ("request_policy:all_nodes", "response_policy:all_succeeded")
_OVER_USERS = "O(N). Where N is the number of configured users."
_ENTRIES = 10
_PASSWORD_BITS = 256
_PASSWORD_BITS_MAX = 4096
_REASONS = ("command", "key", "auth", "channel")

container(b"ACL", group="server", since="6.0.0", summary="A container for commands on users.")


def _check_at_most(argv: list[bytes], words: int) -> None:
    if len(argv) > words:
        raise CommandError(
            b"ERR unknown subcommand or wrong number of arguments for '%b'. Try ACL HELP." % argv[1][:128]
        )


# Users


@command(
    b"ACL|SETUSER", arity=-3, group="server", since="6.0.0", flags=_ADMIN, tips=_EVERYWHERE, needs=Acl,
    complexity="O(N). Where N is the number of rules provided.",
)  # fmt: skip
def setuser(acl: Acl, call: Call, argv: list[bytes]) -> bytes:
    """Makes a user, or changes one: by all of the rules, or by none."""
    acl.set_user(call.session, argv[2], argv[3:])
    return OK


@command(
    b"ACL|DELUSER", arity=-3, group="server", since="6.0.0", flags=_ADMIN, tips=_EVERYWHERE, needs=Acl,
    complexity="O(1) amortized time considering the typical user.",
)  # fmt: skip
def deluser(acl: Acl, call: Call, argv: list[bytes]) -> bytes:
    """Removes users, and disconnects their clients."""
    return number(acl.delete_users(call.session, argv[2:]))


@command(
    b"ACL|GETUSER", arity=3, group="server", since="6.0.0", flags=_ADMIN, needs=Acl,
    complexity="O(N). Where N is the number of password, command and pattern rules that the user has.",
)  # fmt: skip
def getuser(acl: Acl, call: Call, argv: list[bytes]) -> bytes:
    """Describes a user."""
    user = acl.users.get(argv[2])
    return call.reply.null if user is None else _described(user, call.reply)


def _described(user: User, encoder: Encoder) -> bytes:
    own, *others = user.selectors
    return encoder.map(
        [
            (bulk(b"flags"), encoder.set_of_bulks(user.flags())),
            (bulk(b"passwords"), bulks(user.passwords)),
            *_fields_of(own),
            (bulk(b"selectors"), array([encoder.map(_fields_of(selector)) for selector in others])),
        ]
    )


def _fields_of(selector: Selector) -> list[tuple[bytes, bytes]]:
    return [
        (bulk(b"commands"), bulk(selector.describe_commands())),
        (bulk(b"keys"), bulk(b" ".join(selector.describe_keys()))),
        (bulk(b"channels"), bulk(b" ".join(selector.describe_channels()))),
    ]


@command(
    b"ACL|LIST", arity=2, group="server", since="6.0.0", flags=_ADMIN, needs=Acl, complexity=_OVER_USERS,
)  # fmt: skip
def list_(acl: Acl, _call: Call, _argv: list[bytes]) -> bytes:
    """Describes all users, as files do."""
    return bulks(user.line() for user in acl.sorted_users())


@command(
    b"ACL|USERS", arity=2, group="server", since="6.0.0", flags=_ADMIN, needs=Acl, complexity=_OVER_USERS,
)  # fmt: skip
def users(acl: Acl, _call: Call, _argv: list[bytes]) -> bytes:
    """Names all users."""
    return bulks(user.name for user in acl.sorted_users())


@command(b"ACL|WHOAMI", arity=2, group="server", since="6.0.0", flags=_FLAGS, complexity="O(1)")
def whoami(call: Call, _argv: list[bytes]) -> bytes:
    """Names the user of this connection."""
    return bulk(call.session.user)


@command(
    b"ACL|LOAD", arity=2, group="server", since="6.0.0", flags=_ADMIN, needs=Acl, complexity=_OVER_USERS,
)  # fmt: skip
def load(acl: Acl, call: Call, _argv: list[bytes]) -> bytes:
    """Takes the users of the ACL file, in place of those there are."""
    acl.load(call.session)
    return OK


@command(
    b"ACL|SAVE", arity=2, group="server", since="6.0.0", flags=_ADMIN, needs=Acl, complexity=_OVER_USERS,
    tips=_EVERYWHERE,
)  # fmt: skip
def save(acl: Acl, _call: Call, _argv: list[bytes]) -> bytes:
    """Writes the users to the ACL file."""
    acl.save()
    return OK


# What they may do


@command(
    b"ACL|CAT", arity=-2, group="server", since="6.0.0", flags=_FLAGS, needs=Acl,
    complexity="O(1) since the categories and commands are a fixed set.",
)  # fmt: skip
def cat(acl: Acl, _call: Call, argv: list[bytes]) -> bytes:
    """Names the categories, or the commands of one."""
    _check_at_most(argv, 3)
    if len(argv) == 2:
        return bulks(acl.catalog.categories())
    members = acl.catalog.members(argv[2])
    if members is None:
        raise CommandError(b"ERR Unknown category '%b'" % argv[2][:128])
    return bulks(member.title for member in members)


@command(
    b"ACL|DRYRUN", arity=-4, group="server", since="7.0.0", flags=_ADMIN, needs=(Acl, Table),
    complexity="O(1).",
)  # fmt: skip
def dryrun(acl: Acl, table: Table, _call: Call, argv: list[bytes]) -> bytes:
    """Tells whether a user may run a command, without running it."""
    user, request = acl.users.get(argv[2]), argv[3:]
    if user is None:
        raise CommandError(b"ERR User '%b' not found" % argv[2])
    found = _meant(table, request)
    if found is None:
        raise CommandError(b"ERR Command '%b' not found" % argv[3])
    if not found.arity_fits(len(request)):
        raise CommandError(b"ERR wrong number of arguments for '%b' command" % found.title)
    denial = acl.denial_of(user, found, request)
    return OK if denial is None else bulk(denial.full_text())


def _meant(table: Table, request: list[bytes]) -> Command | None:
    found = table.lookup(request[0])
    if found is not None and found.subcommands and len(request) > 1:
        return found.subcommands.get(request[1].upper())
    return found


@command(
    b"ACL|LOG", arity=-2, group="server", since="6.0.0", flags=_ADMIN, needs=Acl,
    complexity="O(N) with N being the number of entries shown.",
)  # fmt: skip
def log(acl: Acl, call: Call, argv: list[bytes]) -> bytes:
    """Tells what was denied lately, or forgets it."""
    _check_at_most(argv, 3)
    if len(argv) == 3 and argv[2].upper() == b"RESET":
        acl.log.entries.clear()
        return OK
    count = max(integer(argv[2]), 0) if len(argv) == 3 else _ENTRIES
    return array([_told(entry, call) for entry in acl.log.entries[:count]])


def _told(entry: Entry, call: Call) -> bytes:
    fields = (
        (b"count", number(entry.count)),
        (b"reason", bulk(_REASONS[entry.reason - 1].encode())),
        (b"context", bulk(entry.context.value)),
        (b"object", bulk(entry.object)),
        (b"username", bulk(entry.user)),
        (b"age-seconds", call.reply.double((call.now_ms - entry.updated_ms) / 1000)),
        (b"client-info", bulk(entry.client)),
        (b"entry-id", number(entry.id)),
        (b"timestamp-created", number(entry.created_ms)),
        (b"timestamp-last-updated", number(entry.updated_ms)),
    )
    return call.reply.map([(bulk(name), value) for name, value in fields])


@command(b"ACL|GENPASS", arity=-2, group="server", since="6.0.0", flags=_FLAGS, complexity="O(1)")
def genpass(_call: Call, argv: list[bytes]) -> bytes:
    """Makes up a password: hexadecimal digits for a number of bits, 256 unless told."""
    _check_at_most(argv, 3)
    bits = integer(argv[2]) if len(argv) == 3 else _PASSWORD_BITS
    if not 0 < bits <= _PASSWORD_BITS_MAX:
        raise CommandError(
            b"ERR ACL GENPASS argument must be the number of bits for the output password, a positive number "
            b"up to %d" % _PASSWORD_BITS_MAX
        )
    digits = (bits + 3) // 4
    return bulk(secrets.token_hex((digits + 1) // 2)[:digits].encode())


@command(
    b"ACL|HELP", arity=2, group="server", since="6.0.0", flags=LOADING | STALE, complexity="O(1)",
)  # fmt: skip
def help_(_call: Call, _argv: list[bytes]) -> bytes:
    """Returns helpful text about the subcommands."""
    return help_reply("ACL", _HELP)


_HELP = (
    "CAT [<category>]",
    "    Name the categories of commands, or the commands of one.",
    "DELUSER <username> [<username> ...]",
    "    Remove users, and disconnect their clients.",
    "DRYRUN <username> <command> [<arg> ...]",
    "    Tell whether a user may run a command, without running it.",
    "GENPASS [<bits>]",
    "    Make up a password of that many bits, 256 unless told.",
    "GETUSER <username>",
    "    Describe a user.",
    "LIST",
    "    Describe all users, as configuration files do.",
    "LOAD",
    "    Take the users of the ACL file, in place of those there are.",
    "LOG [<count>|RESET]",
    "    Show what was denied lately, or forget it.",
    "SAVE",
    "    Write the users to the ACL file.",
    "SETUSER <username> [<rule> ...]",
    "    Make a user, or change one.",
    "USERS",
    "    Name all users.",
    "WHOAMI",
    "    Name the user of this connection.",
)
