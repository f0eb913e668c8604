"""CLUSTER MIGRATESLOTS and its like: slots move from node to node at one go.

Source: https://valkey.io/commands/cluster-migrateslots/ and those beside it; texts of errors are Valkey 9's.
"""

from __future__ import annotations

from gossip.slots import SlotSet
from node.cluster.access import ClusterAccess
from node.command.args import SYNTAX
from node.command.call import Call
from node.command.spec import ADMIN, NO_ASYNC_LOADING, STALE, command
from node.errors import CommandError
from node.migration.access import MigrationAccess
from node.migration.protocol import NAME_BYTES, read_ranges
from node.resp.encode import OK, array, bulk
from node.resp.encode import integer as number

_ADMINISTRATION = ADMIN | STALE | NO_ASYNC_LOADING


@command(
    b"CLUSTER|MIGRATESLOTS", arity=-7, group="cluster", since="9.0.0", flags=_ADMINISTRATION,
    complexity="O(N) where N is the total number of the slots between all start slot and end slot arguments.",
    needs=(ClusterAccess, MigrationAccess),
)  # fmt: skip
def migrateslots(access: ClusterAccess, door: MigrationAccess, _call: Call, argv: list[bytes]) -> bytes:
    """Moves slots with their keys to other nodes, each set of slots at one go."""
    migrations = door.migrations
    migrations.check_can_start()
    state = access.cluster.core.state

    def check(slot: int) -> None:
        owner = state.owner(slot)
        if owner is None:
            raise CommandError(b"ERR Slot %d has no node served." % slot)
        if not owner.myself:
            raise CommandError(b"ERR Slots are not served by this node.")
        if migrations.exported(slot):
            raise CommandError(b"ERR I am already migrating slot %d." % slot)
        if slot in seen:
            raise CommandError(b"ERR Slot ranges in migrations overlap")

    seen = SlotSet()
    wanted: list[tuple[SlotSet, str]] = []
    at = 2
    while at < len(argv):
        if argv[at].upper() != b"SLOTSRANGE":
            raise CommandError(SYNTAX)
        slots, at = read_ranges(argv, at + 1, check)
        seen = seen | slots
        if at + 1 >= len(argv) or argv[at].upper() != b"NODE":
            raise CommandError(SYNTAX)
        wanted.append((slots, _target(access, argv[at + 1])))
        at += 2
    migrations.migrate(wanted)
    return OK


def _target(access: ClusterAccess, name: bytes) -> str:
    if len(name) != NAME_BYTES:
        raise CommandError(b"ERR Invalid node name: %b" % name)
    member = access.cluster.core.state.members.get(name.decode("latin-1"))
    if member is None:
        raise CommandError(b"ERR Unknown node name: %b" % name)
    if member.myself:
        raise CommandError(b"ERR Target node can not be this node.")
    if member.is_replica:
        raise CommandError(b"ERR Target node is not a master")
    return member.node_id


@command(
    b"CLUSTER|GETSLOTMIGRATIONS", arity=2, group="cluster", since="9.0.0", flags=_ADMINISTRATION,
    complexity="O(N), where N is the number of active slot import and export jobs.", needs=MigrationAccess,
)  # fmt: skip
def getslotmigrations(door: MigrationAccess, call: Call, _argv: list[bytes]) -> bytes:
    """Tells of ongoing and recent migrations of slots from and to this node."""
    told = []
    for job in door.migrations.jobs:
        pairs = [
            (bulk(name.encode()), number(value) if isinstance(value, int) else bulk(value.encode()))
            for name, value in job.fields()
        ]
        told.append(call.reply.map(pairs))
    return array(told)


@command(
    b"CLUSTER|CANCELSLOTMIGRATIONS", arity=-2, group="cluster", since="9.0.0", flags=_ADMINISTRATION,
    complexity="O(N), where N is the number of slot migration operations being cancelled.",
    needs=MigrationAccess,
)  # fmt: skip
def cancelslotmigrations(door: MigrationAccess, _call: Call, argv: list[bytes]) -> bytes:
    """Ends all migrations of slots away from this node."""
    if len(argv) > 3 or (len(argv) == 3 and argv[2].upper() != b"ALL"):
        raise CommandError(SYNTAX)
    door.migrations.cancel()
    return OK


@command(
    b"CLUSTER|SYNCSLOTS", arity=-3, group="cluster", since="9.0.0", flags=_ADMINISTRATION,
    complexity="Depends on subcommand.", needs=MigrationAccess,
)  # fmt: skip
def syncslots(door: MigrationAccess, call: Call, argv: list[bytes]) -> bytes:
    """What nodes say to each other while slots move; nothing for clients."""
    migrations, word = door.migrations, argv[2].upper()
    if word == b"ESTABLISH":
        migrations.establish(call.session, argv)
        return OK
    if word == b"FINISH":
        migrations.finish(call.session, argv)
        return OK
    if call.session.from_primary:
        return OK
    if word in _ON_A_LINK:
        raise CommandError(b"ERR CLUSTER SYNCSLOTS %b should only be used by slot migration clients" % word)
    raise CommandError(SYNTAX)


_ON_A_LINK = (
    b"SNAPSHOT-EOF", b"REQUEST-PAUSE", b"PAUSED", b"REQUEST-FAILOVER", b"FAILOVER-GRANTED", b"ACK", b"CAPA",
    b"DECLINED", b"RESUMED",
)  # fmt: skip
