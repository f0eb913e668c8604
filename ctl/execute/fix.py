"""What `ctl cluster fix` does: looks closely, and carries the repairs out.

Repairs need no journal. Each is read off the cluster itself, so a fix that was stopped is finished by the
next one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import trio

from ctl.errors import CtlError, UnreachableError
from ctl.execute.copies import find_collisions
from ctl.execute.fleet import Credentials, Fleet
from ctl.execute.lock import KEY as LOCK_KEY
from ctl.execute.lock import locked
from ctl.execute.runner import run
from ctl.execute.settle import mend
from ctl.execute.site import Site
from ctl.execute.survey import survey
from ctl.plan.change import Change, Leave, Step
from ctl.plan.check import check
from ctl.plan.findings.slots import open_anywhere, strays
from ctl.plan.fix import Collision
from ctl.plan.membership import plan_leave
from ctl.plan.repairs import Bump, Introduce, Settle
from ctl.plan.steps import Note, OnEvent, StageDone, StageStarted, Waiting
from ctl.plan.wording import step_title
from ctl.snapshot import Address
from ctl.survey import Survey
from gossip.slots import key_slot
from node.resp.client import LinkError, ReplyError

PASSING = ("map-disagreement", "epoch-collision", "stranger", "disputed-slots", "bus-link", "state-fail")
LOOK_EVERY_S = 0.2


async def settled_survey(fleet: Fleet, seeds: tuple[Address, ...], *, patience_s: float) -> Survey:
    """The cluster, looked at again for `patience_s` while there is something that may pass by itself."""
    with trio.move_on_after(patience_s) as patience:
        while True:
            with trio.CancelScope(shield=True):
                looked = await survey(fleet, seeds)
            if not any(finding.code in PASSING for finding in check(looked)):
                return looked
            await trio.sleep(LOOK_EVERY_S)
    assert patience.cancelled_caught
    return looked


async def collisions_of(fleet: Fleet, looked: Survey) -> list[Collision]:
    """Keys that are on several nodes, in slots that are open, uncovered or hold strays."""
    slots = open_anywhere(looked) | set(looked.snapshot.uncovered)
    for by_slot in strays(looked).values():
        slots |= by_slot.keys()
    try:
        return await find_collisions(fleet, looked, sorted(slots))
    except LinkError as error:
        raise UnreachableError(str(error)) from error
    except ReplyError as error:
        raise CtlError(f"cannot list keys: {error.text}") from error


async def carry_out(
    change: Change,
    fleet: Fleet,
    credentials: Credentials,
    seeds: tuple[Address, ...],
    on_event: OnEvent,
    *,
    timeout_s: float,
) -> None:
    """Does the repairs in order. Raises CtlError; what was done until then stays done, and is well."""
    site = Site(fleet, credentials, seeds, change.roster, None, timeout_s)
    site.say = lambda text: on_event(Waiting(text))
    async with _lock_if_possible(site, on_event, seeds) as site.guard:
        for step in change.steps:
            await trio.lowlevel.checkpoint()
            title = step_title(step, change.roster)
            on_event(StageStarted(title))
            started = trio.current_time()
            # A step leaves slots open for moments only it can explain, so Ctrl-C waits for its end.
            with trio.CancelScope(shield=True):
                await _do(site, step)
            on_event(StageDone(title, round((trio.current_time() - started) * 1000)))


async def _do(site: Site, step: Step) -> None:
    if isinstance(step, Settle | Bump | Introduce):
        await mend(site, step)
        return
    assert isinstance(step, Leave), f"not a repair: {step}"
    plan = plan_leave(await site.look(), step.node)
    await run(plan, site.fleet, lambda _: None, timeout_s=site.timeout_s)


@asynccontextmanager
async def _lock_if_possible(
    site: Site, on_event: OnEvent, seeds: tuple[Address, ...]
) -> AsyncIterator[Callable[[], None]]:
    """The cluster's lock, or none where the cluster refuses the write that takes it, as a broken one may."""
    snapshot = await site.look()
    if key_slot(LOCK_KEY) in snapshot.uncovered or not all(view.state_ok for view in snapshot.views):
        on_event(
            Note("The cluster refuses writes, so ctl cannot take its lock; see that no other ctl works.")
        )
        yield lambda: None
        return
    async with locked(site.credentials, seeds, "fix", site.say) as lock:
        yield lock.check
