"""`ctl cluster add-node`"""

from __future__ import annotations

from typing import Any

import click

from ctl.commands.changing import Terms, build, change_options, make_change
from ctl.commands.common import Verb, address
from ctl.errors import UsageError
from ctl.execute.create import resolve
from ctl.execute.fleet import Fleet
from ctl.execute.local_growth import next_port
from ctl.execute.steps import view_of
from ctl.plan.change import Change
from ctl.plan.create import refuse_unless_empty
from ctl.plan.failover import find_one
from ctl.plan.grow import neediest, plan_add, zone_of
from ctl.plan.steps import PlanError
from ctl.snapshot import Address, ClusterSnapshot, Member, NodeView


@click.command("add-node", cls=Verb)
@click.argument("where", type=address, required=False, metavar="[HOST:PORT]")
@click.option("--replica", is_flag=True, help="As a replica of the primary that needs one most.")
@click.option("--replica-of", metavar="NODE", help="As a replica of this primary.")
@change_options
def command(where: Address | None, replica: bool, replica_of: str | None, **options: Any) -> None:
    """Join one more node, or start one.

    HOST:PORT runs and is empty; without it one more node of the local cluster is started. It becomes a
    primary without slots (`ctl cluster rebalance --use-empty` gives it some), or a replica. A replica goes to
    the primary with the fewest, and away from its host and availability zone.
    """
    if replica and replica_of:
        raise UsageError("--replica and --replica-of are two ways, not one", "Give one of them.")
    terms = Terms.of(options)
    if where is None and terms.where.local is None:
        raise UsageError(
            "no address of a node is given", "Only for a local cluster ctl can start one itself."
        )

    async def plan(fleet: Fleet, snapshot: ClusterSnapshot) -> Change:
        view = None
        if where is None:
            assert terms.where.local is not None, "checked above"
            at = Address(terms.where.local.host, next_port(terms.where.local))
        else:
            [at] = await resolve([where])
            view = await view_of(fleet, at)
        primary = _primary_for(snapshot, at, view, replica=replica, replica_of=replica_of)
        steps = plan_add(snapshot, at, view, primary, start=where is None)
        if view is not None:
            refuse_unless_empty([view])
        role = f"as a replica of {primary.name}" if primary else "as a primary without slots"
        return await build(fleet, snapshot, "add-node", f"add {at} {role}", steps)

    make_change(terms, plan)


def _primary_for(
    snapshot: ClusterSnapshot, at: Address, view: NodeView | None, *, replica: bool, replica_of: str | None
) -> Member | None:
    """Whose replica it is to be; None for a primary. Raises PlanError."""
    if replica_of is None:
        return neediest(snapshot, at.host, zone_of(view)) if replica else None
    primary = find_one(snapshot, replica_of)
    if not primary.is_primary:
        raise PlanError(f"{primary.name} is a replica itself", "A replica follows a primary.")
    if not primary.healthy:
        raise PlanError(f"{primary.name} does not answer: {primary.reason or 'others say it failed'}")
    return primary
