"""Commands of the group connection that concern the caller's own session; CLIENT is in client.py."""

from __future__ import annotations

from node.acl.service import Acl
from node.acl.user import DEFAULT
from node.command.args import SYNTAX, int32, integer
from node.command.call import Call
from node.command.session import ReplyMode, Session
from node.command.spec import ALLOW_BUSY, FAST, LOADING, NO_AUTH, NOSCRIPT, STALE, command
from node.config.config import Config
from node.config.table import CLUSTER_ENABLED
from node.errors import CommandError
from node.identity import Identity
from node.modules.service import Modules
from node.observe.monitor import Monitors
from node.pubsub import PubSub
from node.resp.encode import OK, PONG, RESP2, RESP3, array, bulk, simple
from node.resp.encode import integer as number
from node.tracking import Tracking
from node.transactions import Transactions
from node.version import REDIS_VERSION

_SESSION = NOSCRIPT | LOADING | STALE | FAST | NO_AUTH | ALLOW_BUSY
_CATEGORIES = ("connection",)

NAME_REFUSED = b"ERR Client names cannot contain spaces, newlines or special characters."
_NO_PASSWORD = (
    b"ERR AUTH <password> called without any password configured for the default user. "
    b"Are you sure your configuration is correct?"
)
_WRONGPASS = b"WRONGPASS invalid username-password pair or user is disabled."
_HELLO_NOAUTH = (
    b"NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH "
    b"<user> <pass> option can be used to authenticate the client and select the RESP protocol version at "
    b"the same time"
)


@command(
    b"PING", arity=-1, group="connection", since="1.0.0", flags=FAST, categories=_CATEGORIES,
    complexity="O(1)", tips=("request_policy:all_shards", "response_policy:all_succeeded"),
)  # fmt: skip
def ping(call: Call, argv: list[bytes]) -> bytes:
    """Returns the server's liveliness response: PONG, or the argument."""
    if len(argv) > 2:
        raise CommandError(b"ERR wrong number of arguments for 'ping' command")
    if call.session.in_subscriber_mode:  # where all is arrays, and a reply is told by its first word
        return array([bulk(b"pong"), bulk(argv[1] if len(argv) > 1 else b"")])
    if len(argv) == 1:
        return PONG
    return bulk(argv[1])


@command(
    b"ECHO", arity=2, group="connection", since="1.0.0", flags=LOADING | STALE | FAST,
    categories=_CATEGORIES, complexity="O(1)",
)  # fmt: skip
def echo(_call: Call, argv: list[bytes]) -> bytes:
    """Returns the given string."""
    return bulk(argv[1])


@command(
    b"SELECT", arity=2, group="connection", since="1.0.0", flags=LOADING | STALE | FAST,
    categories=_CATEGORIES, complexity="O(1)", needs=Config,
)  # fmt: skip
def select(config: Config, call: Call, argv: list[bytes]) -> bytes:
    """Changes the selected database."""
    index = int32(argv[1])
    if config[CLUSTER_ENABLED] and index != 0:
        raise CommandError(b"ERR SELECT is not allowed in cluster mode")
    if not 0 <= index < len(call.databases):
        raise CommandError(b"ERR DB index is out of range")
    call.db = call.databases[index]
    return OK


@command(
    b"QUIT", arity=-1, group="connection", since="1.0.0", flags=_SESSION, categories=_CATEGORIES,
    complexity="O(1)", deprecated_since="7.2.0", replaced_by="just closing the connection",
)  # fmt: skip
def quit_(call: Call, _argv: list[bytes]) -> bytes:
    """Closes the connection."""
    call.session.close_after_reply()
    return OK


@command(
    b"RESET", arity=1, group="connection", since="6.2.0", flags=_SESSION, categories=_CATEGORIES,
    complexity="O(1)", needs=(Acl, Transactions, PubSub, Monitors, Tracking),
)  # fmt: skip
def reset(
    acl: Acl,
    transactions: Transactions,
    pubsub: PubSub,
    monitors: Monitors,
    tracking: Tracking,
    call: Call,
    _argv: list[bytes],
) -> bytes:
    """Makes the connection as it was when it was new."""
    session = call.session
    if session.is_replica or session.from_primary:
        raise CommandError(b"ERR can only reset normal client connections")
    transactions.discard(session)
    pubsub.forget(session)
    monitors.remove(session)
    tracking.disable(session)
    call.db = call.databases[0]
    session.speak(RESP2)
    session.name = b""
    session.asking = session.readonly = session.no_touch = session.no_evict = False
    session.reply_mode = ReplyMode.ON
    acl.begin(session)
    return simple(b"RESET")


@command(
    b"AUTH", arity=-2, group="connection", since="1.0.0", flags=_SESSION, categories=_CATEGORIES,
    complexity="O(N) where N is the number of passwords defined for the user", needs=Acl,
)  # fmt: skip
def auth(acl: Acl, call: Call, argv: list[bytes]) -> bytes:
    """Authenticates the connection."""
    if len(argv) > 3:
        raise CommandError(SYNTAX)
    if len(argv) == 2 and acl.default_needs_no_password:
        raise CommandError(_NO_PASSWORD)
    user = argv[1] if len(argv) == 3 else DEFAULT
    if not acl.authenticate(call.session, user, argv[-1], argv[0]):
        raise CommandError(_WRONGPASS)
    return OK


@command(
    b"HELLO", arity=-1, group="connection", since="6.0.0", flags=_SESSION, categories=_CATEGORIES,
    complexity="O(1)", needs=(Acl, Identity, Modules),
)  # fmt: skip
def hello(acl: Acl, identity: Identity, modules: Modules, call: Call, argv: list[bytes]) -> bytes:
    """Chooses the protocol version, optionally logs in and names the connection, and says who answers."""
    version = 0
    if len(argv) > 1:
        version = integer(argv[1], b"ERR Protocol version is not an integer or out of range")
        if version not in (2, 3):
            raise CommandError(b"NOPROTO unsupported protocol version")
    login, name = _hello_options(argv)
    session = call.session
    if login is not None and not acl.authenticate(session, *login, argv[0]):
        raise CommandError(_WRONGPASS)
    if acl.required and not session.authenticated:
        raise CommandError(_HELLO_NOAUTH)
    if name is not None:
        session.name = name
    if version:
        session.speak(RESP3 if version == 3 else RESP2)
    return _greeting(identity, modules, session)


def _hello_options(argv: list[bytes]) -> tuple[tuple[bytes, bytes] | None, bytes | None]:
    """User and password of AUTH, the name of SETNAME; None for what is not given."""
    login, name = None, None
    at = 2
    while at < len(argv):
        option, left = argv[at].upper(), len(argv) - at - 1
        if option == b"AUTH" and left >= 2:
            login = (argv[at + 1], argv[at + 2])
            at += 3
        elif option == b"SETNAME" and left >= 1:
            name = argv[at + 1]
            check_attribute(name, NAME_REFUSED)
            at += 2
        else:
            raise CommandError(b"ERR Syntax error in HELLO option '%b'" % argv[at])
    return login, name


def _greeting(identity: Identity, modules: Modules, session: Session) -> bytes:
    call = session.call
    fields = [
        (bulk(b"server"), bulk(b"redis")),
        (bulk(b"version"), bulk(REDIS_VERSION.encode())),
        (bulk(b"proto"), number(call.reply.version)),
        (bulk(b"id"), number(session.id)),
        (bulk(b"mode"), bulk(identity.mode.encode())),
        (bulk(b"role"), bulk(b"replica" if identity.is_replica() else b"master")),
        (bulk(b"modules"), modules.listing(call.reply)),
    ]
    return call.reply.map(fields)


def check_attribute(value: bytes, refusal: bytes) -> None:
    """What CLIENT LIST will show must be printable ASCII without spaces. Raises CommandError(refusal)."""
    if any(not 0x21 <= byte <= 0x7E for byte in value):
        raise CommandError(refusal)
