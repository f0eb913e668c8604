"""What the cluster service needs of the rest of the node, and what it does to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from gossip.slots import SlotSet, key_slot
from node.blocking import Blocking
from node.clients import Clients
from node.clock import Clock
from node.cluster.routing import Router
from node.cluster.service import Hands
from node.command.session import Session
from node.command.spec import Flag
from node.keyspace.database import Database
from node.lifecycle import Lifecycle
from node.log import Log


class Replicating(Protocol):
    """The part of the replication service that the cluster uses."""

    def follow(self, host: str, port: int) -> None: ...
    def promote(self) -> None: ...
    def offset(self) -> int: ...
    def data_age_ms(self, now_ms: int) -> int | None: ...
    def hold_offset(self, until_ms: int) -> None: ...
    def replicas_in_step(self) -> int: ...


class DataHost:
    """Answers what the gossip core asks of the data beside it (gossip.settings.Host)."""

    def __init__(self, clock: Clock, database: Database, replication: Replicating) -> None:
        self._clock = clock
        self._database = database
        self._replication = replication

    def offset(self) -> int:
        return self._replication.offset()

    def data_age_ms(self, now_ms: int) -> int | None:  # noqa: ARG002 - the core's clock is not replication's
        return self._replication.data_age_ms(self._clock.update())

    def has_keys(self) -> bool:
        return self._database.count > 0

    def count_keys_in_slot(self, slot: int) -> int:
        return self._database.slot_count(slot)

    def replicas_in_step(self) -> int:
        return self._replication.replicas_in_step()


def cluster_hands(
    clock: Clock,
    database: Database,
    lift_slots: Callable[[SlotSet], int],
    keys_gone: Callable[[], None],
    clients: Clients,
    lifecycle: Lifecycle,
    log: Log,
    replication: Replicating,
    routes_changed: Callable[[], None],
) -> Hands:
    """How the core's local effects reach the rest of the node. `lift_slots` takes slots out of sight and
    deletes their keys by and by; `keys_gone` is called when keys were dropped without a record of it.
    """

    def drop_slots(slots: SlotSet) -> None:
        dropped = lift_slots(slots)
        if dropped:
            keys_gone()
            log.notice(f"Deleting {dropped} keys of slots that other nodes own now ({slots})")

    def flush_all() -> None:
        database.clear()
        keys_gone()

    def pause_writes(duration_ms: int) -> None:
        until_ms = clock.update() + duration_ms
        clients.pause("failover", until_ms, all_commands=False)
        replication.hold_offset(until_ms)

    def resume_writes() -> None:
        clients.unpause("failover")
        replication.hold_offset(0)

    return Hands(
        follow=replication.follow,
        promote=replication.promote,
        drop_slots=drop_slots,
        pause_writes=pause_writes,
        resume_writes=resume_writes,
        flush_all=flush_all,
        fatal=lambda why: lifecycle.request_shutdown(why, exit_status=1),
        role_changed=routes_changed,
    )


def end_lost_waits(blocking: Blocking, router: Router) -> None:
    """Redirects those who wait for keys that will not come to be here: their slots have moved away."""

    def verdict(session: Session, keys: list[bytes]) -> bytes | None:
        command = session.last_command
        reads = command is not None and bool(command.flags & Flag.READONLY)
        return router.route_waiting(session, key_slot(keys[0]), reads)

    blocking.recheck(verdict)


def key_exists(session: Session, key: bytes) -> bool:
    """For routing in a slot on the move."""
    call = session.call
    return call.db.peek(key, key_slot(key), call.now_ms) is not None
