"""What a request must pass on the full path, in Redis's order. A gate lets it pass, refuses it, or makes it
wait.

Source: the order of checks is that of Redis's command processing; the texts are those of Redis 7.2.
"""

from __future__ import annotations

from collections.abc import Callable

from gossip.slots import key_slot
from node.acl.service import Acl
from node.clients import Clients
from node.command.registry import Command
from node.command.session import Block, Session
from node.command.spec import Flag
from node.guards import Guard, Guards
from node.moving.flight import KeysInFlight
from node.resp.encode import error
from node.server.dispatch import Gate

NOAUTH = b"-NOAUTH Authentication required.\r\n"
CROSSSLOT = b"-CROSSSLOT Keys in request don't hash to the same slot\r\n"
NOREPLICAS = b"-NOREPLICAS Not enough good replicas to write.\r\n"
READONLY = b"-READONLY You can't write against a read only replica.\r\n"
MASTERDOWN = b"-MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.\r\n"
MISCONF = (
    b"-MISCONF Shoal is configured to save RDB snapshots, but it's currently unable to persist to disk. "
    b"Commands that may modify the data set are refused while stop-writes-on-bgsave-error says so. The log "
    b"tells the reason.\r\n"
)
LOADING = b"-LOADING Shoal is loading the dataset in memory\r\n"

Route = Callable[[Session, Command, int, list[bytes], bool], bytes | None]
"""Session, command, slot, keys, asking → None when the slot is served here, else the redirect or error."""

_IN_SUBSCRIBER_MODE = frozenset(
    (
        b"SUBSCRIBE", b"UNSUBSCRIBE", b"PSUBSCRIBE", b"PUNSUBSCRIBE", b"SSUBSCRIBE", b"SUNSUBSCRIBE",
        b"PING", b"QUIT", b"RESET",
    )
)  # fmt: skip
_MAY_WRITE = Flag.WRITE | Flag.MAY_REPLICATE


def authentication(acl: Acl) -> Gate:
    """Lets only those pass that have logged in, where a password is set."""

    def gate(session: Session, command: Command, _argv: list[bytes]) -> bytes | None:
        if session.authenticated or command.flags & Flag.NO_AUTH or not acl.required:
            return None
        return NOAUTH

    return gate


def permission(acl: Acl) -> Gate:
    """Refuses what the session's user may not do."""

    def gate(session: Session, command: Command, argv: list[bytes]) -> bytes | None:
        if not session.restricted:
            return None
        refusal = acl.refusal(session, command, argv)
        return None if refusal is None else error(refusal)

    return gate


def in_transaction(session: Session, command: Command, _argv: list[bytes]) -> bytes | None:
    """Refuses what cannot be queued."""
    if session.queue is not None and command.flags & Flag.NO_MULTI:
        return b"-ERR Command not allowed inside a transaction\r\n"
    return None


def routing(route: Route | None) -> Gate:
    """Finds the request's slot; in a cluster (`route` given) refuses keys of several slots and redirects."""

    def gate(session: Session, command: Command, argv: list[bytes]) -> bytes | None:
        asking = session.asking
        if asking and session.queue is None and command.name != b"MULTI":
            session.asking = False  # it holds for one command, or for one transaction
            session.update_guard()
        if not command.has_keys:
            return None
        try:
            keys = [argv[position] for position, _ in command.keys_of(argv)]
        except ValueError:
            return None  # the handler has the words for what is wrong with the request
        if not keys:
            return None
        slot = session.call.slot = key_slot(keys[0])
        if route is None or session.from_primary:
            return None
        if any(key_slot(key) != slot for key in keys[1:]):
            return CROSSSLOT
        return route(session, command, slot, keys, asking)

    return gate


def redirecting(clients: Clients, guards: Guards, primary: Callable[[], tuple[str, int] | None]) -> Gate:
    """Outside of clusters: sends clients that can follow (CLIENT CAPA redirect) from a replica to `primary`,
    with what they want to write, and to read unless they said READONLY. While the node is paused, as it is
    when it becomes a replica by FAILOVER, they wait: they would be sent back and forth.
    """

    def gate(session: Session, command: Command, _argv: list[bytes]) -> bytes | Block | None:
        if not session.follows_redirects:
            return None
        whom = primary()
        wanted = Flag.WRITE if session.readonly else Flag.WRITE | Flag.READONLY
        if whom is None or not command.flags & wanted:
            return None
        if session.queue is not None and session.queue.broken and command.name == b"EXEC":
            return None
        if Guard.PAUSED in guards:
            return clients.postpone(session)
        return error(b"REDIRECT %b:%d" % (whom[0].encode(), whom[1]))

    return gate


def subscriber_mode(session: Session, command: Command, _argv: list[bytes]) -> bytes | None:
    """Refuses what a RESP2 client must not ask for while it is subscribed."""
    if not session.in_subscriber_mode or command.name in _IN_SUBSCRIBER_MODE:
        return None
    return (
        b"-ERR Can't execute '%b': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed "
        b"in this context\r\n" % command.title
    )


def monitoring(session: Session, command: Command, _argv: list[bytes]) -> bytes | None:
    """Refuses what touches keys to a client that monitors; EXEC's requests were asked one by one."""
    if session.monitors and command.flags & (_MAY_WRITE | Flag.READONLY) and command.name != b"EXEC":
        return b"-ERR Replica can't interact with the keyspace\r\n"
    return None


def conditions(guards: Guards) -> Gate:
    """Refuses what the node's condition does not allow: see node.guards."""
    held = guards.held

    def gate(session: Session, command: Command, _argv: list[bytes]) -> bytes | None:
        if not held or session.from_primary:
            return None
        flags = command.flags
        if Guard.DISK in guards and (flags & Flag.WRITE or command.name == b"PING"):
            return MISCONF
        if flags & Flag.WRITE:
            if Guard.FEW_REPLICAS in guards:
                return NOREPLICAS
            if Guard.REPLICA in guards:
                return READONLY
        if Guard.STALE in guards and not flags & Flag.STALE:
            return MASTERDOWN
        if Guard.LOADING in guards and not flags & Flag.LOADING:
            return LOADING
        if Guard.LOADING_BESIDE in guards and flags & Flag.NO_ASYNC_LOADING:
            return LOADING
        return None

    return gate


def busy(guards: Guards, text: Callable[[], bytes]) -> Gate:
    """Refuses all but a few requests while a script runs for long; `text` is what it is called."""

    def gate(_session: Session, command: Command, _argv: list[bytes]) -> bytes | None:
        if Guard.BUSY not in guards or command.flags & Flag.ALLOW_BUSY:
            return None
        return error(text())

    return gate


def in_flight(flight: KeysInFlight) -> Gate:
    """Makes requests wait that would write keys which are being moved to another server."""

    def gate(session: Session, command: Command, argv: list[bytes]) -> Block | None:
        if not len(flight) or session.from_primary or (session.queue is not None and command.name != b"EXEC"):
            return None
        return flight.hindrance(session, command, argv)

    return gate


def writable_file(guards: Guards, failure: Callable[[], str]) -> Gate:
    """Refuses writes while the append-only file cannot be written; PING tells it to those who only ask."""

    def gate(session: Session, command: Command, _argv: list[bytes]) -> bytes | None:
        if Guard.APPEND_ONLY not in guards or session.from_primary:
            return None
        if not command.flags & _MAY_WRITE and command.name != b"PING":
            return None
        return error(b"MISCONF Errors writing to the AOF file: %b" % failure().encode())

    return gate


def pausing(clients: Clients, guards: Guards) -> Gate:
    """Makes requests wait while the node is paused."""

    def gate(session: Session, command: Command, _argv: list[bytes]) -> Block | None:
        if Guard.PAUSED not in guards or session.from_primary or session.is_replica:
            return None
        pause = clients.paused()
        if pause is not None and (pause.all_commands or command.flags & _MAY_WRITE):
            return clients.postpone(session)
        return None

    return gate
