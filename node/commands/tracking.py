"""CLIENT TRACKING and what belongs to it: client-side caching, see node.tracking.

Source: https://redis.io/commands/client-tracking/ and its neighbours.
"""

from __future__ import annotations

from node.clients import Clients
from node.command.args import SYNTAX, integer
from node.command.call import Call
from node.command.spec import LOADING, NOSCRIPT, STALE, command
from node.command.tracked import Tracked
from node.errors import CommandError
from node.resp.encode import OK, bulk, bulks
from node.resp.encode import integer as number
from node.tracking import Tracking

_FLAGS = NOSCRIPT | LOADING | STALE
_CONNECTION = ("connection",)


@command(
    b"CLIENT|TRACKING", arity=-3, group="connection", since="6.0.0", flags=_FLAGS, categories=_CONNECTION,
    complexity="O(1). Some options may introduce additional complexity.", needs=(Tracking, Clients),
)  # fmt: skip
def tracking(tracking: Tracking, clients: Clients, call: Call, argv: list[bytes]) -> bytes:
    """Chooses whether, and how, this client is told when what it has read is true no longer."""
    wanted = _options(clients, argv[3:])
    mode = argv[2].upper()
    if mode == b"ON":
        tracking.enable(call.session, wanted)
    elif mode == b"OFF":
        tracking.disable(call.session)
    else:
        raise CommandError(SYNTAX)
    return OK


def _options(clients: Clients, words: list[bytes]) -> Tracked:
    wanted = Tracked()
    rest = iter(words)
    for word in rest:
        option = word.upper()
        if option == b"BCAST":
            wanted.broadcasts = True
        elif option == b"OPTIN":
            wanted.opts_in = True
        elif option == b"OPTOUT":
            wanted.opts_out = True
        elif option == b"NOLOOP":
            wanted.no_loop = True
        elif option not in (b"REDIRECT", b"PREFIX") or (value := next(rest, None)) is None:
            raise CommandError(SYNTAX)
        elif option == b"PREFIX":
            wanted.prefixes.append(value)
        elif wanted.redirect_id:
            raise CommandError(b"ERR A client can only redirect to a single other client")
        else:
            wanted.redirect_id = integer(value)
            if wanted.redirect_id not in clients.sessions:
                raise CommandError(b"ERR The client ID you want redirect to does not exist")
    return wanted


@command(
    b"CLIENT|CACHING", arity=3, group="connection", since="6.0.0", flags=_FLAGS, categories=_CONNECTION,
    complexity="O(1)",
)  # fmt: skip
def caching(call: Call, argv: list[bytes]) -> bytes:
    """Says whether the client keeps what the next command, or transaction, reads."""
    tracked, mode = call.session.tracked, argv[2].upper()
    if tracked is None:
        raise CommandError(
            b"ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT "
            b"mode enabled"
        )
    if mode not in (b"YES", b"NO"):
        raise CommandError(SYNTAX)
    if mode == b"YES" and not tracked.opts_in:
        raise CommandError(b"ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.")
    if mode == b"NO" and not tracked.opts_out:
        raise CommandError(b"ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.")
    tracked.caching = True
    call.session.update_guard()
    return OK


@command(
    b"CLIENT|GETREDIR", arity=2, group="connection", since="6.0.0", flags=_FLAGS, categories=_CONNECTION,
    complexity="O(1)",
)  # fmt: skip
def getredir(call: Call, _argv: list[bytes]) -> bytes:
    """Returns the number of the connection that hears for this one: 0 is itself, -1 that tracking is off."""
    return number(_redirect_id(call.session.tracked))


def _redirect_id(tracked: Tracked | None) -> int:
    return -1 if tracked is None else tracked.redirect_id


@command(
    b"CLIENT|TRACKINGINFO", arity=2, group="connection", since="6.2.0", flags=_FLAGS, categories=_CONNECTION,
    complexity="O(1)",
)  # fmt: skip
def trackinginfo(call: Call, _argv: list[bytes]) -> bytes:
    """Tells how this connection's reads are tracked."""
    tracked = call.session.tracked
    fields = [
        (bulk(b"flags"), call.reply.set_of_bulks(_flags(tracked))),
        (bulk(b"redirect"), number(_redirect_id(tracked))),
        (bulk(b"prefixes"), bulks(tracked.prefixes if tracked is not None else ())),
    ]
    return call.reply.map(fields)


def _flags(tracked: Tracked | None) -> list[bytes]:
    if tracked is None:
        return [b"off"]
    flags = (
        (b"on", True),
        (b"bcast", tracked.broadcasts),
        (b"optin", tracked.opts_in),
        (b"caching-yes", tracked.opts_in and tracked.caching),
        (b"optout", tracked.opts_out),
        (b"caching-no", tracked.opts_out and tracked.caching),
        (b"noloop", tracked.no_loop),
        (b"broken_redirect", tracked.is_broken),
    )
    return [name for name, holds in flags if holds]
