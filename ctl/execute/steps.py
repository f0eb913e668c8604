"""Carries out the steps of a change that move no slots. Each looks first whether it is done already."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import trio

from ctl.errors import CtlError, UnreachableError
from ctl.execute import local_growth
from ctl.execute.fleet import Fleet
from ctl.execute.gather import ask, gather_only, refused
from ctl.execute.local import LocalCluster, wait_ready
from ctl.execute.runner import run
from ctl.execute.settle import mend
from ctl.execute.site import Site, addresses
from ctl.plan.change import Attach, Configure, Join, Leave, Move, Start, Step, Stop
from ctl.plan.create import refuse_unless_empty
from ctl.plan.membership import plan_attach, plan_join, plan_leave
from ctl.plan.repairs import Bump, Introduce, Settle
from ctl.plan.steps import Event, Plan, Waiting
from ctl.snapshot import Address, ClusterSnapshot, Member, NodeView
from node.resp.client import LinkError, ReplyError


class RevertedError(CtlError):
    """The step failed and has undone what it had done: nothing is left to resume."""


async def do(site: Site, step: Step) -> None:
    """Raises CtlError."""
    site.guard()
    match step:
        case Start(address):
            await _start(site, address)
        case Stop(address, remove):
            site.local = await local_growth.end_node(_local(site), address.port, remove=remove)
        case Join():
            await _join(site, step)
        case Leave():
            await _leave(site, step)
        case Attach():
            await _attach(site, step)
        case Configure():
            await _configure(site, step, dict.fromkeys(step.before, step.values))
        case Settle() | Bump() | Introduce():
            await mend(site, step)
        case Move():
            raise AssertionError("moves are carried out by ctl.execute.move_step")


async def undo(site: Site, step: Step, undone: Step) -> None:
    """Carries out `undone`, which `ctl.plan.change.undo_of` made of `step`. Raises CtlError."""
    if isinstance(step, Configure):
        await _configure(site, step, step.before)
    elif isinstance(undone, Leave) and not undone.node:
        found = next((m for m in (await site.look()).members if m.address == undone.address), None)
        if found is not None:
            await _leave(site, Leave(found.node_id, undone.address))
    else:
        await do(site, undone)


def _local(site: Site) -> LocalCluster:
    if site.local is None:
        raise CtlError("this plan starts or ends processes of a local cluster", "Name it with --dir.")
    return site.local


async def _start(site: Site, address: Address) -> None:
    site.local = local_growth.start_node(_local(site), address.port)
    node = next(node for node in site.local.nodes if node.port == address.port)
    try:
        with trio.fail_after(site.timeout_s):
            await wait_ready(site.local, [node], site.fleet)
    except trio.TooSlowError:
        raise CtlError(f"{address} does not answer after {site.timeout_s:g} s") from None


async def view_of(fleet: Fleet, address: Address) -> NodeView:
    """Of a node that need not be a member yet. Raises CtlError."""
    try:
        return await ask(fleet, address)
    except ReplyError as error:
        raise refused(address, "CLUSTER NODES", error) from error
    except LinkError as error:
        raise UnreachableError(str(error), "Start it first.") from error


async def _run(site: Site, plan: Plan) -> None:
    def on_event(event: Event) -> None:
        if isinstance(event, Waiting):
            site.say(event.missing)

    await run(plan, site.fleet, on_event, timeout_s=site.timeout_s)


async def _join(site: Site, step: Join) -> None:
    newcomer = await view_of(site.fleet, step.address)
    if step.node and newcomer.myself.node_id != step.node:
        raise CtlError(f"{step.address} is another node now than when the plan was made")
    snapshot = await site.look()
    members = [view for view in snapshot.views if view.myself.node_id != newcomer.myself.node_id]
    ids = {view.myself.node_id for view in members}
    if not {line.node_id for line in newcomer.others} & ids:
        refuse_unless_empty([newcomer])
    await _run(site, plan_join(members, newcomer))
    await _copy_functions(site, members, newcomer)


async def restore_roles(site: Site, nodes: Iterable[str]) -> None:
    """Makes `nodes`, by their ids, primaries again that were some for the plan, with the replicas they had.

    A primary that gives its last slot away becomes a replica of whoever took it, and its replicas follow. It
    has no data of its own then; a soft reset and a new introduction make it an empty primary. FLUSHALL is for
    those replicas: redis-server empties itself at a reset without a trace in its replication stream, so one
    that had the same primary would continue where it was, and keep the data of that.
    """
    for node in nodes:
        seat, member = site.roster.seat(node), (await site.look()).member(node)
        if seat is None or seat.primary is not None or member is None or member.is_primary:
            continue
        if member.view is None:
            raise UnreachableError(f"{member.name} does not answer: {member.reason}")
        site.guard()
        await _call(site, member, "CLUSTER RESET", "CLUSTER", "RESET", "SOFT")
        await _call(site, member, "FLUSHALL", "FLUSHALL")
        await _join(site, Join(node, member.view.address))
        for follower in site.roster.seats:
            if follower.primary == node:
                await _attach(site, Attach(follower.node, None, node, None))


async def _copy_functions(site: Site, members: list[NodeView], newcomer: NodeView) -> None:
    """A primary that gets slots needs the functions that clients call there; who knows none has none."""
    from_whom = next((view.address for view in members if view.myself.is_primary), None)
    if from_whom is None:
        return
    try:
        if not await site.fleet.call(from_whom, "FUNCTION", "LIST"):
            return
        payload = await site.fleet.call(from_whom, "FUNCTION", "DUMP")
    except ReplyError:
        return
    assert isinstance(payload, bytes), payload
    try:
        await site.fleet.call(newcomer.address, "FUNCTION", "RESTORE", payload, "REPLACE")
    except ReplyError as error:
        raise refused(newcomer.address, "the functions of the cluster", error) from error


async def _leave(site: Site, step: Leave) -> None:
    snapshot = await site.look()
    followers = [member.name for member in snapshot.replicas_of(step.node)]
    member = snapshot.member(step.node)
    if followers or (member is not None and member.line.slots):
        kept = f"replicas ({', '.join(followers)})" if followers else "slots"
        raise CtlError(f"{member.name if member else step.node[:8]} still has {kept}")
    if step.address is not None and step.address not in addresses(snapshot):
        # Nobody may know it any more, and it has to be told too.
        alone = await gather_only(site.fleet, [step.address])
        snapshot = ClusterSnapshot((*snapshot.views, *alone.views), snapshot.unreachable)
    await _run(site, plan_leave(snapshot, step.node))


async def _attach(site: Site, step: Attach) -> None:
    snapshot = await site.look()
    replica = _member_of(snapshot, step)
    primary = site.primary(snapshot, step.primary)
    await _run(site, plan_attach(addresses(snapshot), replica, primary.node_id))


def _member_of(snapshot: ClusterSnapshot, step: Attach) -> NodeView:
    for member in snapshot.members:
        if member.view and (
            member.node_id == step.node or (not step.node and member.address == step.address)
        ):
            return member.view
    raise UnreachableError(f"{step.address or step.node[:8]} does not answer")


async def _configure(site: Site, step: Configure, wanted: Mapping[str, Mapping[str, str]]) -> None:
    """All nodes, or none: where one refuses, those before it get back what they had."""
    snapshot = await site.look()
    nodes = [member for member in snapshot.members if member.node_id in wanted]
    if silent := [member.name for member in nodes if not member.reachable]:
        raise UnreachableError(f"{', '.join(silent)} does not answer")
    changed: list[Member] = []
    for member in nodes:
        try:
            await _set(site, member, wanted[member.node_id])
        except CtlError as error:
            for done in changed:
                await _set(site, done, step.before[done.node_id])
            raise RevertedError(error.text, "Nothing was changed.", status=error.status) from error
        changed.append(member)
    if step.rewrite:
        for member in nodes:
            await _call(site, member, "CONFIG REWRITE", "CONFIG", "REWRITE")
    password = step.values.get("requirepass")
    if password is not None and site.local is not None:
        site.local = local_growth.with_password(site.local, next(iter(wanted.values()))["requirepass"])


async def _set(site: Site, member: Member, values: Mapping[str, str]) -> None:
    words = [word for pair in values.items() for word in pair]
    await _call(site, member, f"CONFIG SET {' '.join(values)}", "CONFIG", "SET", *words)


async def _call(site: Site, member: Member, what: str, *words: str) -> None:
    assert member.view is not None, "looked at before"
    site.guard()
    try:
        await site.fleet.call(member.view.address, *words)
    except ReplyError as error:
        raise refused(member.view.address, what, error) from error
    except LinkError as error:
        raise UnreachableError(str(error)) from error
