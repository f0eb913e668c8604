"""What a request must pass on the full path, in Redis's order. A gate lets it pass, refuses it, or makes it
wait.

Source: the order of checks is that of Redis's command processing; the texts are those of Redis 7.2.
"""

from __future__ import annotations

from collections.abc import Callable

from gossip.slots import key_slot
from node.clients import Clients
from node.command.registry import Command
from node.command.session import Block, Session
from node.command.spec import Flag
from node.credentials import Credentials
from node.guards import Guard, Guards
from node.server.dispatch import Gate

NOAUTH = b"-NOAUTH Authentication required.\r\n"
CROSSSLOT = b"-CROSSSLOT Keys in request don't hash to the same slot\r\n"
NOREPLICAS = b"-NOREPLICAS Not enough good replicas to write.\r\n"
READONLY = b"-READONLY You can't write against a read only replica.\r\n"
MASTERDOWN = b"-MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.\r\n"
LOADING = b"-LOADING Shoal is loading the dataset in memory\r\n"

Route = Callable[[Session, Command, int, list[bytes], bool], bytes | None]
"""Session, command, slot, keys, asking → None when the slot is served here, else the redirect or error."""

_MAY_WRITE = Flag.WRITE | Flag.MAY_REPLICATE


def authentication(credentials: Credentials) -> Gate:
    """Lets only those pass that have logged in, where a password is set."""

    def gate(session: Session, command: Command, _argv: list[bytes]) -> bytes | None:
        if session.authenticated or command.flags & Flag.NO_AUTH or not credentials.required:
            return None
        return NOAUTH

    return gate


def routing(route: Route | None) -> Gate:
    """Finds the request's slot; in a cluster (`route` given) refuses keys of several slots and redirects."""

    def gate(session: Session, command: Command, argv: list[bytes]) -> bytes | None:
        asking = session.asking
        if asking:
            session.asking = False  # it holds for one command
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


def conditions(guards: Guards) -> Gate:
    """Refuses what the node's condition does not allow: see node.guards."""

    def gate(session: Session, command: Command, _argv: list[bytes]) -> bytes | None:
        if session.from_primary:
            return None
        flags = command.flags
        if flags & Flag.WRITE:
            if Guard.FEW_REPLICAS in guards:
                return NOREPLICAS
            if Guard.REPLICA in guards:
                return READONLY
        if Guard.STALE in guards and not flags & Flag.STALE:
            return MASTERDOWN
        if Guard.LOADING in guards and not flags & Flag.LOADING:
            return LOADING
        return None

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
