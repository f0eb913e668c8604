"""Runs a change from one end to the other, forward or back: lock, journal, steps, and a last look at the map.

    locked → still the cluster of the plan → journal → steps in order → map verified → journal removed

Moves that follow each other run together. Whatever stops the run, an error, Ctrl-C or a kill, the journal
stays and says which steps had begun; `resume` does those that are not done, `rollback` undoes those that had
begun, in the opposite order. Both find out from the cluster how far a step got.

A half-moved slot is not rolled back as it is: its source would have to be told that the slot is its own again
before it has got its keys back, and would deny those keys to clients meanwhile. So the slot is moved to its
end and then back.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import trio

from ctl.errors import CtlError, StoppedByUserError
from ctl.execute import steps
from ctl.execute.fleet import Credentials, Fleet
from ctl.execute.gather import gather
from ctl.execute.journal import Journal, Unfinished, state_directory, unfinished
from ctl.execute.local import JOURNALS, LocalCluster
from ctl.execute.lock import locked
from ctl.execute.move_step import Meter, Movers, Numbered
from ctl.execute.site import Site, addresses, primary_addresses
from ctl.execute.slot_move import agreed
from ctl.plan.change import Change, Move, Step, check_current, undo_of
from ctl.plan.leftover import plan_leftover
from ctl.plan.progress import OnChangeEvent
from ctl.plan.steps import StageDone, StageStarted, Waiting
from ctl.plan.wording import step_title
from ctl.snapshot import Address, ClusterSnapshot

HINT = "`ctl cluster resume` goes on, `ctl cluster rollback` undoes what was done."


@dataclass(frozen=True, slots=True)
class Where:
    """The cluster that a change is for. Without `atomic` keys move by MIGRATE, whatever the nodes know."""

    seeds: tuple[Address, ...]
    credentials: Credentials
    local: LocalCluster | None
    timeout_s: float
    atomic: bool = True

    @property
    def journals(self) -> list[Path]:
        """Where journals of this cluster may be; new ones go to the first."""
        local = [self.local.directory / JOURNALS] if self.local else []
        return [*local, state_directory()]


@dataclass(frozen=True, slots=True)
class Result:
    """What a run did. `slots` were moved now, `atomic_slots` of them by atomic migration."""

    change: Change
    direction: str
    slots: int
    keys: int
    size_bytes: int
    atomic_slots: int
    longest_pause_ms: float | None
    took_ms: int
    snapshot: ClusterSnapshot


async def run_change(where: Where, change: Change, on_event: OnChangeEvent) -> Result:
    """Carries `change` out. Raises PlanError when the cluster is not (any more) what it was planned for,
    CtlError when another change is under way or was not finished, or a step fails.
    """
    async with _site(where, change, on_event) as site:
        snapshot = await site.look()
        check_current(change, snapshot)
        if left := unfinished(where.journals, snapshot):
            raise CtlError(f"a {left[0].change.verb} was not finished: {left[0].change.title}", HINT)
        journal = Journal.create(where.journals[0], change)
        run = Run(site, journal, change, on_event)
        return await run.guarded(run.forward)


async def resume(where: Where, found: Unfinished, on_event: OnChangeEvent) -> Result:
    """Does what is left of a change. Raises as `run_change`."""
    return await _go_on(where, found, on_event, "resume")


async def rollback(where: Where, found: Unfinished, on_event: OnChangeEvent) -> Result:
    """Undoes what was done of a change. Raises PlanError when it went too far for that."""
    for number in found.begun:
        undo_of(found.change.steps[number])
    return await _go_on(where, found, on_event, "rollback")


def leftover(snapshot: ClusterSnapshot) -> Unfinished | None:
    """What is to be finished without a journal, by the open slots. Raises PlanError."""
    change = plan_leftover(snapshot)
    if change is None:
        return None
    return Unfinished(None, change, frozenset(range(len(change.steps))), frozenset(), rolling_back=False)


async def _go_on(where: Where, found: Unfinished, on_event: OnChangeEvent, direction: str) -> Result:
    if found.path is None:
        journal = Journal.create(where.journals[0], found.change)
    else:
        journal = Journal.reopen(found)
    try:
        async with _site(where, found.change, on_event) as site:
            run = Run(site, journal, found.change, on_event, found)
            journal.direction(direction)
            return await run.guarded(run.forward if direction == "resume" else run.backward)
    finally:
        journal.close()


@asynccontextmanager
async def _site(where: Where, change: Change, on_event: OnChangeEvent) -> AsyncIterator[Site]:
    """The cluster under the lock."""

    def say(missing: str) -> None:
        on_event(Waiting(missing))

    async with Fleet(where.credentials) as fleet:
        snapshot = await gather(fleet, where.seeds)
        seeds = tuple(addresses(snapshot))
        async with locked(where.credentials, tuple(primary_addresses(snapshot)), change.verb, say) as lock:
            yield Site(
                fleet,
                where.credentials,
                seeds,
                change.roster,
                where.local,
                where.timeout_s,
                lock.check,
                say,
                where.atomic,
            )


class Run:
    """One run of a change. `found` is the journal that it goes on with."""

    def __init__(
        self,
        site: Site,
        journal: Journal,
        change: Change,
        on_event: OnChangeEvent,
        found: Unfinished | None = None,
    ) -> None:
        self._site = site
        self._journal = journal
        self._change = change
        self._on_event = on_event
        self._done = set(found.done) if found else set()
        self._begun = set(found.begun) if found else set()
        self._resumed = found is not None
        self._meter = Meter(change.slot_count, change.keys, change.size_bytes)
        self._meter.on_progress = on_event
        self._started = trio.current_time()

    async def guarded(self, direction: Callable[[], Awaitable[None]]) -> Result:
        """The outcome of `direction`. Raises CtlError that says what to do after it was stopped."""
        try:
            await direction()
            await self._verify(backward=direction == self.backward)
        except trio.Cancelled:
            text = f"stopped after {self._meter.slots} of {self._change.slot_count} slots"
            raise StoppedByUserError(text if self._change.moves else "stopped", HINT) from None
        except CtlError as error:
            if not self._begun or isinstance(error, steps.RevertedError):
                self._journal.finish()
                raise
            hint = error.hint if "resume" in error.hint else f"{error.hint} {HINT}".strip()
            raise CtlError(error.text, hint, status=error.status) from error
        finally:
            self._journal.close()
        self._journal.finish()
        return await self._result(direction)

    async def forward(self) -> None:
        left = [(number, step) for number, step in enumerate(self._change.steps) if number not in self._done]
        for together in _stages(left):
            await self._stage(together, backward=False)

    async def backward(self) -> None:
        begun = [(number, self._change.steps[number]) for number in sorted(self._begun, reverse=True)]
        for together in _stages(begun):
            await self._stage(together, backward=True)

    async def _stage(self, together: Sequence[tuple[int, Step]], *, backward: bool) -> None:
        """Moves, or one other step."""
        moves = [Numbered(number, step) for number, step in together if isinstance(step, Move)]
        if moves:
            await self._moves(moves, backward=backward)
            return
        [(number, step)] = together
        title = ("undo: " if backward else "") + step_title(step, self._change.roster)
        started = self._begin([number], title)
        undone = undo_of(step) if backward else None
        if undone is not None:
            await steps.undo(self._site, step, undone)
        elif not backward:
            await steps.do(self._site, step)
        self._end(number, title, started)

    async def _moves(self, moves: Sequence[Numbered], *, backward: bool) -> None:
        count = sum(len(each.move.slots) for each in moves)
        title = f"move {count} slots" + (" back" if backward else "")
        started = self._begin([each.number for each in moves], title)
        if backward:
            await steps.restore_roles(self._site, {each.move.source for each in moves})
        movers = Movers(self._site, self._meter, resumed=self._resumed, backward=backward)
        await movers.run(moves, self._journal.slots, self._journal.done)
        self._on_event(StageDone(title, _ms_since(started)))

    def _begin(self, numbers: Sequence[int], title: str) -> float:
        for number in numbers:
            self._journal.begin(number)
            self._begun.add(number)
        self._on_event(StageStarted(title))
        return trio.current_time()

    def _end(self, number: int, title: str, started: float) -> None:
        self._journal.done(number)
        self._on_event(StageDone(title, _ms_since(started)))

    async def _verify(self, *, backward: bool) -> None:
        """All nodes that answer have to name the owners that the change was to bring about."""
        moves = [move for number, move in enumerate(self._change.steps) if isinstance(move, Move)]
        if backward:
            moves = [m for n, m in enumerate(self._change.steps) if isinstance(m, Move) and n in self._begun]
        snapshot = await self._site.look()
        owners: dict[int, str] = {}
        for move in moves:
            node = self._site.primary(snapshot, move.source if backward else move.target).node_id
            owners.update(dict.fromkeys(move.slots, node))
        if owners:
            await agreed(self._site.fleet, addresses(snapshot), owners, self._site.say)

    async def _result(self, direction: Callable[[], Awaitable[None]]) -> Result:
        meter = self._meter
        return Result(
            change=self._change,
            direction="rolled back" if direction == self.backward else "done",
            slots=meter.slots,
            keys=meter.keys,
            size_bytes=meter.size_bytes,
            atomic_slots=meter.atomic_slots,
            longest_pause_ms=meter.longest_pause_ms,
            took_ms=_ms_since(self._started),
            snapshot=await self._site.look(),
        )


def _ms_since(started_s: float) -> int:
    return round((trio.current_time() - started_s) * 1000)


def _stages(numbered: Sequence[tuple[int, Step]]) -> list[list[tuple[int, Step]]]:
    """Moves in a row together, any other step alone."""
    stages: list[list[tuple[int, Step]]] = []
    for number, step in numbered:
        if isinstance(step, Move) and stages and isinstance(stages[-1][-1][1], Move):
            stages[-1].append((number, step))
        else:
            stages.append([(number, step)])
    return stages
