"""Moves slots by atomic migration: the nodes do it, ctl starts it, watches, and says what came of it.

`CLUSTER MIGRATESLOTS SLOTSRANGE a b … NODE id` makes the source stream a snapshot of the slots and then the
writes to them, and hand all of them over in one step; clients never see ASK. What fails or is cancelled
leaves everything as it was. Jobs are told by CLUSTER GETSLOTMIGRATIONS, at the source as EXPORT; a job goes
on when ctl is killed, so a move that is resumed first looks for one that runs already.

Source: the pages of these commands, Valkey 9.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import trio

from ctl.errors import CtlError, UnreachableError
from ctl.execute.fleet import Fleet
from ctl.execute.gather import ask, refused
from ctl.execute.slot_move import Moved, Route
from ctl.snapshot import Address
from gossip.slots import SlotSet
from node.resp.client import LinkError, Reply, ReplyError

LOOK_EVERY_S = 0.02
TRIES_MAX = 3
ENDED = ("success", "failed", "cancelled", "canceled")
PAUSE_FIELDS = ("pause_ms", "pause_duration_ms", "handover_pause_ms")


@dataclass(frozen=True, slots=True)
class Job:
    """An entry of GETSLOTMIGRATIONS that exports slots. `pause_ms` is None where the node does not tell."""

    name: str
    target_id: str
    slots: SlotSet
    state: str
    message: str
    pause_ms: float | None

    @property
    def ended(self) -> bool:
        return self.state in ENDED


async def knows_atomic(fleet: Fleet, nodes: Sequence[Address]) -> bool:
    """Whether all of `nodes` have CLUSTER MIGRATESLOTS. Raises LinkError."""
    for node in nodes:
        try:
            reply = await fleet.call(node, "COMMAND", "INFO", "cluster|migrateslots")
        except ReplyError:
            return False
        if not isinstance(reply, list) or not reply or not reply[0]:
            return False
    return True


async def exports(fleet: Fleet, source: Address) -> list[Job]:
    """The jobs that `source` knows in which it gives slots away. Raises ReplyError, LinkError."""
    reply = await fleet.call(source, "CLUSTER", "GETSLOTMIGRATIONS")
    assert isinstance(reply, list), reply
    jobs = [_fields(entry) for entry in reply]
    return [_job(fields) for fields in jobs if fields.get("operation", "").upper() == "EXPORT"]


def _fields(entry: Reply) -> dict[str, str]:
    assert isinstance(entry, list), entry
    words = [word.decode() if isinstance(word, bytes) else str(word) for word in entry]
    return dict(zip(words[::2], words[1::2], strict=True))


def _job(fields: dict[str, str]) -> Job:
    pairs = (word.partition("-") for word in fields["slot_ranges"].split())
    pause = next((fields[name] for name in PAUSE_FIELDS if name in fields), None)
    return Job(
        fields["name"],
        fields["target_node"],
        SlotSet.from_ranges([(int(first), int(last or first)) for first, _, last in pairs]),
        fields["state"].lower(),
        fields.get("message", ""),
        float(pause) if pause else None,
    )


class AtomicMover:
    """Moves groups of slots, a job each. `guard` and `on_moved` are as for `slot_move.Mover`."""

    def __init__(
        self,
        fleet: Fleet,
        on_moved: Callable[[Moved], None] = lambda _: None,
        guard: Callable[[], None] = lambda: None,
    ) -> None:
        self._fleet = fleet
        self._on_moved = on_moved
        self._guard = guard

    async def move(self, route: Route, slots: Sequence[int]) -> None:
        """Moves `slots`, in one step for clients. Raises CtlError when the nodes gave up, UnreachableError.

        Slots that the target owns already are left alone.
        """
        wanted = SlotSet(slots)
        failures = 0
        try:
            while left := wanted & (await ask(self._fleet, route.source)).myself.slots:
                job = await self._run(route, left)
                if job.state == "success":
                    self._on_moved(Moved(pause_ms=job.pause_ms))
                    await trio.sleep(LOOK_EVERY_S)
                    continue
                failures += 1
                if failures == TRIES_MAX:
                    raise CtlError(
                        f"{route.source} did not hand over slots {left}: {job.state} {job.message}".rstrip(),
                        "Everything is as it was; its log may say more.",
                    )
        except LinkError as error:
            raise UnreachableError(
                str(error), "`ctl cluster resume` goes on when it, or its replica, answers."
            ) from error
        self._on_moved(Moved(slots=len(wanted)))

    async def finish(self, source: Address, slots: SlotSet, *, cancel: bool) -> None:
        """Returns when `source` gives none of `slots` away any more.

        With `cancel` jobs are ended where all that run are about `slots` (a node can only end all it has);
        else they are waited for.
        """
        running = [job for job in await exports(self._fleet, source) if not job.ended]
        if cancel and running and not any(job.slots - slots for job in running):
            self._guard()
            await self._fleet.call(source, "CLUSTER", "CANCELSLOTMIGRATIONS")
        while any(not job.ended and job.slots & slots for job in await exports(self._fleet, source)):
            await trio.sleep(LOOK_EVERY_S)

    async def _run(self, route: Route, slots: SlotSet) -> Job:
        """One job for `slots`, to its end: one that runs already, else a new one."""
        jobs = await exports(self._fleet, route.source)
        running = [job for job in jobs if not job.ended and job.slots & slots]
        for job in running:
            if job.target_id != route.target_id:
                raise CtlError(
                    f"{route.source} is already handing slots {job.slots} over to {job.target_id[:8]}",
                    "Wait for it, or end it with CLUSTER CANCELSLOTMIGRATIONS.",
                )
        if running:
            return await self._ended(route, running[0].name)
        known = {job.name for job in jobs}
        self._guard()
        words: list[int] = [number for pair in slots.ranges() for number in pair]
        try:
            await self._fleet.call(
                route.source, "CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", *words, "NODE", route.target_id
            )
        except ReplyError as error:
            raise refused(route.source, "CLUSTER MIGRATESLOTS", error) from error
        started = [
            job
            for job in await exports(self._fleet, route.source)
            if job.name not in known and job.target_id == route.target_id and job.slots == slots
        ]
        if not started:
            raise CtlError(f"{route.source} does not know the migration that it has begun")
        return await self._ended(route, started[0].name)

    async def _ended(self, route: Route, name: str) -> Job:
        while True:
            jobs = {job.name: job for job in await exports(self._fleet, route.source)}
            if name not in jobs:
                raise CtlError(f"{route.source} has forgotten the migration that it had begun")
            if jobs[name].ended:
                return jobs[name]
            await trio.sleep(LOOK_EVERY_S)
