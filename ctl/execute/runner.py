"""Carries a Plan out. Steps of a stage run at the same time, those for one node in their order."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import TypeAlias

import trio

from ctl.errors import CtlError, UnreachableError
from ctl.execute.fleet import Fleet, concurrently
from ctl.execute.gather import gather_only, refused
from ctl.plan.steps import Await, OnEvent, Plan, Send, StageDone, StageStarted, Step, Waiting
from ctl.snapshot import Address
from node.resp.client import LinkError, ReplyError

OnWait: TypeAlias = Callable[[Waiting], None]

RETRY_EVERY_S = 0.02
LOOK_EVERY_S = 0.05


class PlanStoppedError(CtlError):
    """The plan was not finished; `stage` is the title of the one that was running."""

    def __init__(self, stage: str, text: str, hint: str = "", *, status: int = 1) -> None:
        super().__init__(text, hint, status=status)
        self.stage = stage


async def run(plan: Plan, fleet: Fleet, on_event: OnEvent, *, timeout_s: float) -> None:
    """Runs the stages in order and tells `on_event` of each.

    Raises PlanStoppedError when a node refuses a command, does not answer, or `timeout_s` for the whole has
    passed.
    """
    missing = ""

    def note(event: Waiting) -> None:
        nonlocal missing
        missing = event.missing
        on_event(event)

    deadline = trio.current_time() + timeout_s
    for stage in plan.stages:
        on_event(StageStarted(stage.title))
        started = trio.current_time()
        missing = ""
        try:
            with trio.fail_at(deadline):
                await concurrently(
                    partial(_run_in_order, steps, fleet, note) for steps in _by_node(stage.steps)
                )
        except trio.TooSlowError:
            text = f"not done in time, at: {stage.title}" + (f" ({missing})" if missing else "")
            raise PlanStoppedError(stage.title, text, "A larger --timeout gives it longer.") from None
        except CtlError as error:
            raise PlanStoppedError(stage.title, error.text, error.hint, status=error.status) from error
        on_event(StageDone(stage.title, round((trio.current_time() - started) * 1000)))


def _by_node(steps: Iterable[Step]) -> list[list[Step]]:
    groups: dict[Address | None, list[Step]] = {}
    for step in steps:
        groups.setdefault(step.node if isinstance(step, Send) else None, []).append(step)
    return list(groups.values())


async def _run_in_order(steps: list[Step], fleet: Fleet, on_wait: OnWait) -> None:
    for step in steps:
        if isinstance(step, Send):
            await _send(step, fleet, on_wait)
        else:
            await _await(step, fleet, on_wait)


async def _send(step: Send, fleet: Fleet, on_wait: OnWait) -> None:
    try:
        while True:
            try:
                await fleet.call(step.node, *step.command)
                return
            except ReplyError as error:
                # A node that loads (a new replica does, more than once) takes the command after that.
                if not error.text.startswith(("LOADING", step.retry_on or "LOADING")):
                    raise refused(step.node, " ".join(map(str, step.command)), error) from error
                on_wait(Waiting(f"{step.node} says {error.text}"))
            await trio.sleep(RETRY_EVERY_S)
    except LinkError as error:
        raise UnreachableError(str(error)) from error


async def _await(step: Await, fleet: Fleet, on_wait: OnWait) -> None:
    said = ""
    while missing := step.unmet(await gather_only(fleet, step.nodes, "replication")):
        if missing != said:
            said = missing
            on_wait(Waiting(missing))
        await trio.sleep(LOOK_EVERY_S)
