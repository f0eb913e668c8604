"""Looks at a cluster again and again. A node that does not answer in time does not hold up the others."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import trio

from ctl.errors import UnreachableError
from ctl.execute.fleet import Credentials, Fleet, concurrently
from ctl.execute.gather import gather
from ctl.execute.survey import count_keys_in
from ctl.plan.watch import Moving, Sample
from ctl.snapshot import Address, ClusterSnapshot, Member
from ctl.survey import SlotMigration, parse_migrations
from gossip.slots import SlotSet
from node.resp.client import LinkError

PATIENCE_S = 1.0
COUNTED_SLOTS = 128


class Sampler:
    """Connections that are kept between looks."""

    def __init__(self, credentials: Credentials, seeds: Sequence[Address], *, interval_s: float) -> None:
        self._fleet = Fleet(credentials, timeout_s=max(0.2, min(PATIENCE_S, interval_s)))
        self._seeds = set(seeds)
        self._last: Sample | None = None
        self._knows_migrations: dict[str, bool] = {}

    async def sample(self) -> Sample:
        """Raises UnreachableError when nobody answers the first time; later that is a `silent` sample."""
        at_s, clock_s = time.time(), time.monotonic()
        try:
            snapshot = await gather(self._fleet, self._seeds)
        except UnreachableError as error:
            if self._last is None:
                raise
            self._last = replace(self._last, at_s=at_s, clock_s=clock_s, silent=error.text)
            return self._last
        # Asked first next time: whoever is up then leads to the others, whichever of them are gone by now.
        self._seeds |= {member.address for member in snapshot.members if member.address}
        moving = await self._moving(snapshot)
        self._last = Sample(at_s, clock_s, snapshot, moving, await self._migrations(snapshot))
        return self._last

    async def aclose(self) -> None:
        await self._fleet.__aexit__(None, None, None)

    async def _moving(self, snapshot: ClusterSnapshot) -> tuple[Moving, ...]:
        ways: dict[tuple[str, str], set[int]] = {}
        for member in snapshot.members:
            for slot, other in member.line.migrating.items():
                ways.setdefault((member.node_id, other), set()).add(slot)
            for slot, other in member.line.importing.items():
                ways.setdefault((other, member.node_id), set()).add(slot)
        found = []
        for (source, target), slots in sorted(ways.items()):
            left = await self._keys(snapshot.member(source), slots)
            moved = await self._keys(snapshot.member(target), slots)
            found.append(Moving(source, target, SlotSet(slots), left, moved))
        return tuple(found)

    async def _keys(self, member: Member | None, slots: set[int]) -> int | None:
        if member is None or member.view is None or len(slots) > COUNTED_SLOTS:
            return None
        try:
            counts = await count_keys_in(self._fleet, member.view.address, sorted(slots))
        except LinkError:
            return None
        return sum(counts.values()) if counts is not None else None

    async def _migrations(self, snapshot: ClusterSnapshot) -> tuple[SlotMigration, ...]:
        """Of all sources that know such jobs."""
        found: dict[str, SlotMigration] = {}

        async def one(member: Member) -> None:
            if member.view is None or not self._knows_migrations.get(member.node_id, True):
                return
            try:
                [reply] = await self._fleet.pipeline(member.view.address, [("CLUSTER", "GETSLOTMIGRATIONS")])
            except LinkError:
                return
            jobs = parse_migrations(reply)
            self._knows_migrations[member.node_id] = jobs is not None
            for job in jobs or ():
                if job.operation == "export" or job.name not in found:
                    found[job.name] = job

        await concurrently(partial(one, member) for member in snapshot.primaries)
        return tuple(found[name] for name in sorted(found))


async def every(interval_s: float, started: float, number: int) -> None:
    """Waits for the time of look `number`; when looks take longer than the interval, not at all."""
    await trio.sleep_until(max(trio.current_time(), started + number * interval_s))
