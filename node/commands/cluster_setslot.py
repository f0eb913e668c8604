"""CLUSTER SETSLOT: a slot's state or owner, told to our replicas before it takes effect here.

A primary that dies in the middle of a move leaves what it knew of it to the replica that takes its place: a
source's heir goes on sending clients with ASK after the keys that have left, a target's heir owns the slots
that were closed. So the order first goes into the replication stream, and is carried out, and answered, when
all replicas have acknowledged it, or refused when they do not in time (TIMEOUT, 2 s). A client that pipelines
orders waits for each in turn.

redis-server 7 refuses the order in the stream. So it is told to the replicas only when all of them say that
they know it (REPLCONF version, from 8.0 on, as Valkey's replicas and ours do), and else not at all.

Source: https://valkey.io/commands/cluster-setslot/; texts of errors are those of Redis 7.2 and Valkey 8.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from gossip.admin import SlotAction
from node.clients import Clients
from node.cluster.access import ClusterAccess
from node.command.call import Call
from node.command.session import Block, Session
from node.command.spec import ADMIN, NO_ASYNC_LOADING, STALE, command
from node.commands.cluster_admin import node_argument, slot_argument
from node.commands.waiting import deadline_ms
from node.errors import CommandError
from node.migration.access import MigrationAccess
from node.replication.replicas import Replica
from node.replication.service import Replication
from node.resp.encode import OK

DEFAULT_TIMEOUT_MS = b"2000"
_BAD_ACTION = b"ERR Invalid CLUSTER SETSLOT action or number of arguments. Try CLUSTER HELP"
_FAILING_OVER = b"TRYAGAIN A fail-over is under way"
_NO_REPLICAS = b"-NOREPLICAS Not enough good replicas to write.\r\n"


@command(
    b"CLUSTER|SETSLOT", arity=-4, group="cluster", since="3.0.0", flags=ADMIN | STALE | NO_ASYNC_LOADING,
    complexity="O(1)", needs=(ClusterAccess, MigrationAccess, Replication, Clients),
)  # fmt: skip
def setslot(
    access: ClusterAccess,
    moving: MigrationAccess,
    replication: Replication,
    clients: Clients,
    call: Call,
    argv: list[bytes],
) -> bytes | Block:
    """Binds a hash slot to a node."""
    session, cluster = call.session, access.cluster
    slot = slot_argument(argv[2])
    moving.refuse_if_moving(slot)
    action, node_id, deadline = _order(call, argv)
    told = session.from_primary

    def carry_out() -> None:
        moving.refuse_if_moving(slot)
        cluster.order(
            lambda core, now_ms: core.set_slot(slot, action, node_id, now_ms, told=told), in_rows=True
        )

    if told or session.deny_blocking or not (informed := _informed(replication)):
        carry_out()
        return OK
    if replication.primary.offset_held:
        raise CommandError(_FAILING_OVER)
    cluster.order(
        lambda core, now_ms: core.check_set_slot(slot, action, node_id, now_ms, told=told), in_rows=True
    )
    replication.stream.feed(call.db.index, argv[: 4 if action is SlotAction.STABLE else 5])
    then = partial(_answer, clients, session, carry_out)
    forget = replication.when_acknowledged(replication.stream.offset, len(informed), then)
    return Block(b"wait", deadline, lambda: _NO_REPLICAS, forget)


def _order(call: Call, argv: list[bytes]) -> tuple[SlotAction, str, int | None]:
    """What is to be done, the other node's id, and until when. Raises CommandError."""
    word = argv[3].upper().decode("latin-1")
    if word not in SlotAction.__members__:
        raise CommandError(_BAD_ACTION)
    action = SlotAction(word)
    end = 4 if action is SlotAction.STABLE else 5
    if len(argv) not in (end, end + 2):
        raise CommandError(_BAD_ACTION)
    timeout = DEFAULT_TIMEOUT_MS
    if len(argv) > end:
        if argv[end].upper() != b"TIMEOUT":
            raise CommandError(_BAD_ACTION)
        timeout = argv[end + 1]
    node_id = node_argument(argv[4]) if end > 4 else ""
    return action, node_id, deadline_ms(call, timeout)


def _informed(replication: Replication) -> list[Replica]:
    """The replicas that are to acknowledge the order; none when there is one that does not know it."""
    online = replication.primary.replicas.online()
    return online if all(replica.knows_setslot for replica in online) else []


def _answer(clients: Clients, session: Session, carry_out: Callable[[], None], _count: int) -> None:
    """All replicas have the order."""
    try:
        carry_out()
    except CommandError as refused:
        clients.unblock(session, refused.reply)
        return
    clients.unblock(session, OK)
