"""CLIENT: looking at connections, naming, ending, pausing and unblocking them.

What concerns client-side caching (CACHING, TRACKING, TRACKINGINFO, GETREDIR) is in tracking.py.
"""

from __future__ import annotations

from collections.abc import Callable

from node.acl.service import Acl
from node.clients import Clients
from node.command.args import SYNTAX, integer
from node.command.call import Call
from node.command.client_line import client_line
from node.command.help import help_reply
from node.command.session import ReplyMode, Session
from node.command.spec import ADMIN, LOADING, NOSCRIPT, STALE, command, container
from node.commands.connection import NAME_REFUSED, check_attribute
from node.errors import CommandError
from node.integers import INT64_MAX
from node.resp.encode import OK, ONE, ZERO, error
from node.resp.encode import integer as number

_FLAGS = NOSCRIPT | LOADING | STALE
_ADMIN = ADMIN | _FLAGS
_CONNECTION = ("connection",)
_EVERYWHERE = ("request_policy:all_nodes", "response_policy:all_succeeded")
_OVER_CLIENTS = "O(N) where N is the number of client connections"
_TYPES = {
    b"normal": b"normal",
    b"slave": b"replica",
    b"replica": b"replica",
    b"master": b"master",
    b"pubsub": b"pubsub",
}
UNBLOCKED = b"UNBLOCKED client unblocked via CLIENT UNBLOCK"
PAUSED_BY_CLIENT = "client"

Wanted = Callable[[Session], bool]

container(b"CLIENT", group="connection", since="2.4.0", summary="A container for commands on connections.")


def session_type(session: Session) -> bytes:
    """normal, replica, pubsub or master: the words of CLIENT LIST TYPE."""
    if session.from_primary:
        return b"master"
    if session.is_replica:
        return b"replica"
    return b"normal" if session.subscriptions is None else b"pubsub"


def _type_named(word: bytes) -> bytes:
    found = _TYPES.get(word.lower())
    if found is None:
        raise CommandError(b"ERR Unknown client type '%b'" % word)
    return found


def _on_or_off(word: bytes) -> bool:
    if word.lower() not in (b"on", b"off"):
        raise CommandError(SYNTAX)
    return word.lower() == b"on"


def _too_many_arguments(argv: list[bytes]) -> CommandError:
    return CommandError(
        b"ERR unknown subcommand or wrong number of arguments for '%b'. Try CLIENT HELP." % argv[1][:128]
    )


# Who is there


@command(
    b"CLIENT|ID", arity=2, group="connection", since="5.0.0", flags=_FLAGS, categories=_CONNECTION,
    complexity="O(1)",
)  # fmt: skip
def id_(call: Call, _argv: list[bytes]) -> bytes:
    """Returns the number of this connection, which no other one ever has."""
    return number(call.session.id)


@command(
    b"CLIENT|INFO", arity=2, group="connection", since="6.2.0", flags=_FLAGS, categories=_CONNECTION,
    complexity="O(1)", tips=("nondeterministic_output",),
)  # fmt: skip
def info(call: Call, argv: list[bytes]) -> bytes:
    """Describes this connection."""
    return call.reply.verbatim(client_line(call.session, call.now_ms, argv) + b"\n")


@command(
    b"CLIENT|LIST", arity=-2, group="connection", since="2.4.0", flags=_ADMIN, categories=_CONNECTION,
    complexity=_OVER_CLIENTS, tips=("nondeterministic_output",), needs=Clients,
)  # fmt: skip
def list_(clients: Clients, call: Call, argv: list[bytes]) -> bytes:
    """Describes open connections."""
    option = argv[2].upper() if len(argv) > 3 else b""
    if option == b"ID":
        ids = [integer(word, b"ERR Invalid client ID") for word in argv[3:]]
        listed = [clients.sessions[number] for number in ids if number in clients.sessions]
    elif option == b"TYPE" and len(argv) == 4:
        wanted = _type_named(argv[3])
        listed = [session for session in clients if session_type(session) == wanted]
    elif len(argv) == 2:
        listed = list(clients)
    else:
        raise CommandError(SYNTAX)
    lines = [
        client_line(session, call.now_ms, argv if session is call.session else None) for session in listed
    ]
    return call.reply.verbatim(b"".join(line + b"\n" for line in lines))


# What a client says of itself


@command(
    b"CLIENT|GETNAME", arity=2, group="connection", since="2.6.9", flags=_FLAGS, categories=_CONNECTION,
    complexity="O(1)",
)  # fmt: skip
def getname(call: Call, _argv: list[bytes]) -> bytes:
    """Returns the name of the connection."""
    return call.reply.optional(call.session.name or None)


@command(
    b"CLIENT|SETNAME", arity=3, group="connection", since="2.6.9", flags=_FLAGS, categories=_CONNECTION,
    complexity="O(1)", tips=_EVERYWHERE,
)  # fmt: skip
def setname(call: Call, argv: list[bytes]) -> bytes:
    """Names the connection; the empty name takes the name away."""
    check_attribute(argv[2], NAME_REFUSED)
    call.session.name = argv[2]
    return OK


@command(
    b"CLIENT|SETINFO", arity=4, group="connection", since="7.2.0", flags=_FLAGS, categories=_CONNECTION,
    complexity="O(1)", tips=_EVERYWHERE,
)  # fmt: skip
def setinfo(call: Call, argv: list[bytes]) -> bytes:
    """Tells name or version of the client's library."""
    attribute = argv[2].lower()
    if attribute not in (b"lib-name", b"lib-ver"):
        raise CommandError(b"ERR Unrecognized option '%b'" % argv[2])
    check_attribute(argv[3], b"ERR %b cannot contain spaces, newlines or special characters." % argv[2])
    if attribute == b"lib-name":
        call.session.lib_name = argv[3]
    else:
        call.session.lib_version = argv[3]
    return OK


@command(
    b"CLIENT|REPLY", arity=3, group="connection", since="3.2.0", flags=_FLAGS, categories=_CONNECTION,
    complexity="O(1)",
)  # fmt: skip
def reply(call: Call, argv: list[bytes]) -> bytes:
    """Turns replies on or off, or holds back that of the next command."""
    session, mode = call.session, argv[2].upper()
    if mode == b"ON":
        session.reply_mode = ReplyMode.ON
    elif mode == b"OFF":
        session.reply_mode = ReplyMode.OFF
    elif mode != b"SKIP":
        raise CommandError(SYNTAX)
    elif session.reply_mode is not ReplyMode.OFF:
        session.reply_mode = ReplyMode.SKIP_NEXT
    session.update_guard()
    return OK


@command(
    b"CLIENT|NO-EVICT", arity=3, group="connection", since="7.0.0", flags=_ADMIN, categories=_CONNECTION,
    complexity="O(1)",
)  # fmt: skip
def no_evict(call: Call, argv: list[bytes]) -> bytes:
    """Protects the connection from being closed to free memory."""
    call.session.no_evict = _on_or_off(argv[2])
    return OK


@command(
    b"CLIENT|NO-TOUCH", arity=3, group="connection", since="7.2.0", flags=_FLAGS, categories=_CONNECTION,
    complexity="O(1)",
)  # fmt: skip
def no_touch(call: Call, argv: list[bytes]) -> bytes:
    """Chooses whether this connection's commands count as uses of their keys."""
    call.session.no_touch = _on_or_off(argv[2])
    return OK


@command(
    b"CLIENT|CAPA", arity=-3, group="connection", since="8.0.0", flags=_FLAGS, categories=_CONNECTION,
    complexity="O(1)",
)  # fmt: skip
def capa(call: Call, argv: list[bytes]) -> bytes:
    """Tells what this client can do: `redirect`, which a replica outside of clusters then sends it to its
    primary with. Words that are not known are passed over. Source: https://valkey.io/commands/client-capa/
    """
    if any(word.lower() == b"redirect" for word in argv[2:]):
        call.session.follows_redirects = True
        call.session.update_guard()
    return OK


# What is done to others


@command(
    b"CLIENT|KILL", arity=-3, group="connection", since="2.4.0", flags=_ADMIN, categories=_CONNECTION,
    complexity=_OVER_CLIENTS, needs=(Clients, Acl),
)  # fmt: skip
def kill(clients: Clients, acl: Acl, call: Call, argv: list[bytes]) -> bytes:
    """Closes connections."""
    caller = call.session
    if len(argv) == 3:
        address = argv[2]
        killed = _kill(clients, caller, [lambda session: session.address == address])
        if not killed:
            raise CommandError(b"ERR No such client")
        return OK
    wanted: list[Wanted] = []
    skip_me = True
    for at in range(2, len(argv), 2):
        if at + 1 == len(argv):
            raise CommandError(SYNTAX)
        option, value = argv[at].upper(), argv[at + 1]
        if option == b"SKIPME":
            if value.lower() not in (b"yes", b"no"):
                raise CommandError(SYNTAX)
            skip_me = value.lower() == b"yes"
        else:
            wanted.append(_kill_filter(option, value, acl, call.now_ms))
    if skip_me:
        wanted.append(lambda session: session is not caller)
    return number(_kill(clients, caller, wanted))


def _kill_filter(option: bytes, value: bytes, acl: Acl, now_ms: int) -> Wanted:
    if option == b"ID":
        wanted_id = integer(value, b"ERR client-id should be greater than 0")
        if wanted_id < 1:
            raise CommandError(b"ERR client-id should be greater than 0")
        return lambda session: session.id == wanted_id
    if option == b"TYPE":
        wanted_type = _type_named(value)
        return lambda session: session_type(session) == wanted_type
    if option == b"ADDR":
        return lambda session: session.address == value
    if option == b"LADDR":
        return lambda session: session.local_address == value
    if option == b"USER":
        if not acl.has_user(value):
            raise CommandError(b"ERR No such user '%b'" % value)
        return lambda session: session.authenticated and session.user == value
    if option == b"MAXAGE":
        age_s = integer(value, b"ERR maxage is not an integer or out of range")
        if age_s < 1:
            raise CommandError(b"ERR maxage should be greater than 0")
        return lambda session: (now_ms - session.created_ms) // 1000 >= age_s
    raise CommandError(SYNTAX)


def _kill(clients: Clients, caller: Session, wanted: list[Wanted]) -> int:
    """Closes the sessions that are all of `wanted`, the caller's after its reply; returns how many."""
    killed = 0
    for session in clients:
        if not all(fits(session) for fits in wanted):
            continue
        killed += 1
        if session is caller:
            session.close_after_reply()
        else:
            session.transport.close(after_output=False)
    return killed


@command(
    b"CLIENT|PAUSE", arity=-3, group="connection", since="3.0.0", flags=_ADMIN, categories=_CONNECTION,
    complexity="O(1)", needs=Clients,
)  # fmt: skip
def pause(clients: Clients, call: Call, argv: list[bytes]) -> bytes:
    """Lets all commands, or only those that write, wait for some milliseconds."""
    if len(argv) > 4:
        raise _too_many_arguments(argv)
    mode = argv[3].upper() if len(argv) == 4 else b"ALL"
    if mode not in (b"WRITE", b"ALL"):
        raise CommandError(b"ERR CLIENT PAUSE mode must be WRITE or ALL")
    timeout_ms = integer(argv[2], b"ERR timeout is not an integer or out of range")
    if timeout_ms < 0:
        raise CommandError(b"ERR timeout is negative")
    if timeout_ms > INT64_MAX - call.now_ms:
        raise CommandError(b"ERR timeout is out of range")
    clients.pause(PAUSED_BY_CLIENT, call.now_ms + timeout_ms, all_commands=mode == b"ALL")
    return OK


@command(
    b"CLIENT|UNPAUSE", arity=2, group="connection", since="6.2.0", flags=_ADMIN, categories=_CONNECTION,
    complexity="O(N) Where N is the number of paused clients", needs=Clients,
)  # fmt: skip
def unpause(clients: Clients, _call: Call, _argv: list[bytes]) -> bytes:
    """Lets the commands go on that CLIENT PAUSE holds back."""
    clients.unpause(PAUSED_BY_CLIENT)
    return OK


@command(
    b"CLIENT|UNBLOCK", arity=-3, group="connection", since="5.0.0", flags=_ADMIN, categories=_CONNECTION,
    complexity="O(log N) where N is the number of client connections", needs=Clients,
)  # fmt: skip
def unblock(clients: Clients, _call: Call, argv: list[bytes]) -> bytes:
    """Ends the wait of a client in a blocking command, as its time-out or an error would."""
    if len(argv) > 4:
        raise _too_many_arguments(argv)
    reason = argv[3].upper() if len(argv) == 4 else b"TIMEOUT"
    if reason not in (b"TIMEOUT", b"ERROR"):
        raise CommandError(b"ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR")
    session = clients.sessions.get(integer(argv[2]))
    if session is None or session.blocked is None or not session.blocked.may_time_out:
        return ZERO
    clients.unblock(session, error(UNBLOCKED) if reason == b"ERROR" else session.blocked.timed_out())
    return ONE


@command(
    b"CLIENT|HELP", arity=2, group="connection", since="5.0.0", flags=LOADING | STALE,
    categories=_CONNECTION, complexity="O(1)",
)  # fmt: skip
def help_(_call: Call, _argv: list[bytes]) -> bytes:
    """Returns helpful text about the subcommands."""
    return help_reply("CLIENT", _HELP)


_HELP = (
    "CACHING (YES|NO)",
    "    Say whether the client keeps what the next command reads, with OPTIN or OPTOUT.",
    "CAPA <capability> [<capability> ...]",
    "    Tell what this client can do: REDIRECT, to be sent to the primary by a replica outside of clusters.",
    "GETNAME",
    "    Return the name of this connection.",
    "GETREDIR",
    "    Return the number of the connection that hears for this one while it tracks.",
    "ID",
    "    Return the number of this connection.",
    "INFO",
    "    Describe this connection.",
    "KILL <ip:port>",
    "    Close the connection that comes from <ip:port>.",
    "KILL <option> <value> [<option> <value> [...]]",
    "    Close all connections that fit every option:",
    "    * ADDR (<ip:port>|<unixsocket>:0): they come from there.",
    "    * LADDR (<ip:port>|<unixsocket>:0): they were made to there.",
    "    * ID <client-id>: the one of that number.",
    "    * MAXAGE <seconds>: they are at least that old.",
    "    * TYPE (NORMAL|MASTER|REPLICA|PUBSUB): they are of that type.",
    "    * USER <username>: they are logged in under that name.",
    "    * SKIPME (YES|NO): spare the caller (the default), or not.",
    "LIST [TYPE (NORMAL|MASTER|REPLICA|PUBSUB) | ID <client-id> [<client-id> ...]]",
    "    Describe connections: all, those of a type, or those of the given numbers.",
    "NO-EVICT (ON|OFF)",
    "    Protect this connection from being closed to free memory.",
    "NO-TOUCH (ON|OFF)",
    "    Do not count this connection's commands as uses of their keys.",
    "PAUSE <milliseconds> [WRITE|ALL]",
    "    Let all commands wait, or those that write.",
    "REPLY (ON|OFF|SKIP)",
    "    Send replies to this connection, send none, or hold back the next one.",
    "SETINFO (LIB-NAME|LIB-VER) <value>",
    "    Tell name or version of the client's library.",
    "SETNAME <name>",
    "    Name this connection.",
    "TRACKING (ON|OFF) [REDIRECT <id>] [BCAST] [PREFIX <prefix> [...]]",
    "         [OPTIN] [OPTOUT] [NOLOOP]",
    "    Be told when keys change that this connection has read, or that have a prefix.",
    "TRACKINGINFO",
    "    Describe how this connection tracks.",
    "UNBLOCK <client-id> [TIMEOUT|ERROR]",
    "    End the wait of a client in a blocking command.",
    "UNPAUSE",
    "    End the pause that PAUSE began.",
)
