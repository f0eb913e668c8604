"""`ctl cluster remove-node`"""

from __future__ import annotations

from typing import Any

import click

from ctl.commands.changing import Terms, build, change_options, make_change
from ctl.commands.common import Verb
from ctl.execute.fleet import Fleet
from ctl.plan.change import Change, Stop
from ctl.plan.failover import find_one
from ctl.plan.grow import plan_remove
from ctl.snapshot import ClusterSnapshot


@click.command("remove-node", cls=Verb)
@click.argument("node")
@change_options
def command(node: str, **options: Any) -> None:
    """Take a node out without losing anything.

    Its slots move to the other primaries, which are even after it as far as can be; its replicas follow
    others; then all nodes forget it. A process that ctl started is stopped, and its files are removed.
    """
    terms = Terms.of(options)

    async def plan(fleet: Fleet, snapshot: ClusterSnapshot) -> Change:
        member = find_one(snapshot, node)
        local = terms.where.local
        ports = [each.port for each in local.nodes] if local else []
        steps = plan_remove(snapshot, member, ports)
        ends = [f"The data files of {member.name} are removed."] if isinstance(steps[-1], Stop) else []
        once = "Once it is forgotten this cannot be rolled back, only finished."
        return await build(fleet, snapshot, "remove-node", f"remove {member.name}", steps, once, *ends)

    make_change(terms, plan)
