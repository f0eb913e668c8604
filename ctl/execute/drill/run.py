"""A drill from its first write to its report's data.

    clients write → all shards answer → fault → (so long) → healed → all is well again → clients stop
    → every key is read → keys are deleted → logs are read

Whatever happens after the fault began (an error, Ctrl-C, a signal that ends ctl), it is healed first, in a
shield. A first Ctrl-C ends the fault early and the drill goes on to its report; a second one ends ctl.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

import trio

from ctl.errors import CtlError
from ctl.execute.drill.clients import Group, Records, Shard, Workload
from ctl.execute.drill.faults import Fault, fault_for
from ctl.execute.drill.logs import Logs
from ctl.execute.drill.rolling import Rolling, until_well
from ctl.execute.fleet import Credentials, Fleet, telling
from ctl.execute.local import LocalCluster
from ctl.execute.watch import Sampler
from ctl.plan.drill import Drill
from ctl.plan.drill_history import History, Write, check
from ctl.plan.drill_outage import Outage, outage
from ctl.plan.drill_report import Limits, Report, grouped, judge, names_of
from ctl.plan.drill_timeline import Mark, condensed, mark_of, milestones
from ctl.plan.steps import OnEvent, StageDone, StageStarted, Waiting
from ctl.plan.watch import Sample, events
from ctl.snapshot import Address
from node.resp.client import LinkError, ReplyError

WARM_UP_TIMEOUT_S = 20.0
FINAL_READ_TIMEOUT_S = 20.0
CLEAN_UP_TIMEOUT_S = 10.0
HEAL_TIMEOUT_S = 90.0
POLL_EVERY_S = 0.1
LOOK_EVERY_S = 0.02
NODE_TIMEOUT_DEFAULT_MS = 15_000

T = TypeVar("T")


@dataclass(frozen=True)
class Terms:
    """How the drill is to be run, whatever it is."""

    credentials: Credentials
    cluster: LocalCluster | None
    commands: tuple[str | None, str | None]
    limits: Limits
    node_timeout_ms: int
    warm_up_s: float = 2.0
    recover_timeout_s: float = 60.0
    client_timeout_ms: int = 500
    rate: float = 100.0
    keys: int = 128


@dataclass
class Course:
    """What is noted on the way; times of trio's clock in seconds, `began_at_s` the time of day."""

    began_at_s: float = field(default_factory=time.time)
    fault_s: float = 0.0
    fault_at_s: float = 0.0
    healed_s: float | None = None
    recovered_s: float | None = None
    stopped_s: float = 0.0
    steps: list[tuple[float, str, str]] = field(default_factory=list)
    polled: list[tuple[float, Mark]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class Run:
    """One drill."""

    def __init__(self, drill: Drill, terms: Terms, fleet: Fleet, on_event: OnEvent) -> None:
        self._drill, self._terms, self._fleet, self._on_event = drill, terms, fleet, on_event
        self._interrupted = trio.Event()
        self._course = Course()
        self._records = Records()
        members = [member for side in drill.sides for member in side]
        self._addresses = [member.address for member in members if member.address]
        self._shards = [Shard(m.name, m.line.slots) for m in members if m.line.slots]
        timeout_s = terms.client_timeout_ms / 1000
        self._groups = [
            Group(
                "clients" if len(drill.sides) == 1 else f"side-{at}",
                self._addresses, terms.credentials, timeout_s, self._records,
            )
            for at in range(1, len(drill.sides) + 1)
        ]  # fmt: skip
        self._workload = Workload(self._groups, self._shards, self._records, rate=terms.rate, keys=terms.keys)
        self._logs = Logs(terms.cluster, fleet) if terms.cluster is not None else None
        self._fault = self._make_fault()

    async def run(self) -> Report:
        """Raises CtlError, and KeyboardInterrupt when the user interrupts it before the fault."""
        await self._fault.check()
        reports: list[Report] = []
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._heed_signals, nursery.cancel_scope)
                reports.append(await self._all())
                nursery.cancel_scope.cancel()
        except BaseExceptionGroup as group:
            raise telling(group) from None
        if not reports:
            raise KeyboardInterrupt
        return reports[0]

    async def _all(self) -> Report:
        if self._logs is not None:
            await self._logs.tell_more()
        try:
            async with trio.open_nursery() as clients:
                clients.start_soon(self._workload.run)
                if self._logs is None:
                    clients.start_soon(self._poll, clients.cancel_scope)
                try:
                    await self._stages()
                finally:
                    self._workload.stop()
            final = await self._stage("read every key", self._workload.read_all(FINAL_READ_TIMEOUT_S))
        finally:
            with trio.CancelScope(shield=True), trio.move_on_after(CLEAN_UP_TIMEOUT_S + 5):
                await self._workload.remove_all(CLEAN_UP_TIMEOUT_S)
                if self._logs is not None:
                    await self._logs.restore()
        return self._report(final)

    async def _stages(self) -> None:
        terms, course = self._terms, self._course
        await self._stage("clients write to all shards", self._warm_up())
        if self._interrupted.is_set():
            raise KeyboardInterrupt
        course.fault_s, course.fault_at_s = trio.current_time(), time.time()
        try:
            await self._stage(self._drill.title, self._break_it())
        finally:
            with trio.CancelScope(shield=True), trio.move_on_after(HEAL_TIMEOUT_S):
                await self._heal()
        try:
            await self._stage("all is well again", self._recover(terms.recover_timeout_s))
            course.recovered_s = trio.current_time()
        except CtlError as error:
            course.notes.append(error.text)
        with trio.move_on_after(min(1.0, terms.warm_up_s)):
            await self._interrupted.wait()
        course.stopped_s = trio.current_time()

    async def _stage(self, title: str, work: Awaitable[T]) -> T:
        began_s = trio.current_time()
        self._on_event(StageStarted(title))
        result = await work
        self._on_event(StageDone(title, round((trio.current_time() - began_s) * 1000)))
        return result

    async def _warm_up(self) -> None:
        """Returns when all writers have had successes for a while. Raises CtlError."""
        wanted = len(self._groups) * len(self._shards)
        with trio.move_on_after(WARM_UP_TIMEOUT_S) as scope:
            while len(self._workload.acked()) < wanted and not self._interrupted.is_set():
                await trio.sleep(LOOK_EVERY_S)
        if scope.cancelled_caught:
            errors = self._records.errors
            why = f": {errors[-1][2]}" if errors else ""
            raise CtlError(f"the clients could not write to all shards{why}", "Nothing was harmed.")
        with trio.move_on_after(self._terms.warm_up_s):
            await self._interrupted.wait()

    async def _break_it(self) -> None:
        """Injects, and lets it last."""
        drill = self._drill
        await self._fault.inject()
        if drill.kind == "partition":
            for group, side in zip(self._groups, drill.sides, strict=True):
                near = {member.address for member in side}
                group.cut = frozenset(address for address in self._addresses if address not in near)
        end_s = self._course.fault_s + drill.duration_s
        with trio.move_on_at(end_s):
            await self._interrupted.wait()

    async def _heal(self) -> None:
        for group in self._groups:
            group.cut = frozenset()
        try:
            await self._stage("heal", self._fault.heal())
        except CtlError as error:
            self._course.notes.append(f"healing failed: {error.text}")
        self._course.healed_s = trio.current_time()

    async def _recover(self, timeout_s: float) -> None:
        """All is well again, and every writer has a success. Raises CtlError."""
        since_s = trio.current_time()
        await until_well(self._fleet, self._addresses, len(self._addresses), timeout_s)
        wanted = len(self._groups) * len(self._shards)
        with trio.move_on_after(timeout_s):
            while len(self._workload.acked(since_s)) < wanted:
                await trio.sleep(LOOK_EVERY_S)
            return
        raise CtlError("not every client can write again")

    async def _heed_signals(self, everything: trio.CancelScope) -> None:
        """The first asks for an early end; with the second, what can be cancelled is."""
        with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as signals:
            async for _ in signals:
                if self._interrupted.is_set():
                    everything.cancel()
                self._interrupted.set()
                self._on_event(Waiting("interrupted: healing first, then the report"))

    async def _poll(self, clients: trio.CancelScope) -> None:
        """Looks at the nodes, for want of their logs, until the clients stop."""
        names = names_of(self._drill)
        sampler = Sampler(self._terms.credentials, self._addresses, interval_s=POLL_EVERY_S)
        before: Sample | None = None
        try:
            while not self._course.stopped_s and not clients.cancel_called:
                now = await sampler.sample()
                for each in events(before, now) if before is not None else ():
                    self._course.polled.append((trio.current_time(), mark_of(each, names, 0.0)))
                before = now
                await trio.sleep(POLL_EVERY_S)
        finally:
            await sampler.aclose()

    def _make_fault(self) -> Fault:
        terms = self._terms
        stop, start = terms.commands
        if self._drill.kind != "restart-rolling":
            return fault_for(self._drill, terms.cluster, self._fleet, stop, start)
        if terms.cluster is None and (stop is None or start is None):
            # Says what is missing.
            return fault_for(self._drill, None, self._fleet, stop, start)
        commands = (stop, start) if stop is not None and start is not None else None
        return Rolling(self._drill, terms.cluster, commands, self._fleet, self._note_step, self._interrupted)

    def _note_step(self, node: str, text: str) -> None:
        self._course.steps.append((trio.current_time(), node, text))
        self._on_event(Waiting(text))

    # What it has shown

    def _report(self, final: dict[str, int | None]) -> Report:
        course, drill, terms, records = self._course, self._drill, self._terms, self._records
        zero_ms = course.fault_s * 1000
        end_ms = course.stopped_s * 1000 - zero_ms
        writes = [
            (group, shard, replace(w, sent_ms=w.sent_ms - zero_ms, done_ms=w.done_ms - zero_ms))
            for group, shard, w in records.writes
        ]
        reads = [replace(r, sent_ms=r.sent_ms - zero_ms, done_ms=r.done_ms - zero_ms) for r in records.reads]
        findings = check(History(tuple(write for _, _, write in writes), tuple(reads), final))
        outages = self._outages(writes, end_ms)
        errors = grouped([(at_ms - zero_ms, kind, text) for at_ms, kind, text in records.errors])
        marks = self._marks(writes, outages)
        return Report(
            drill=drill,
            began_at_s=course.began_at_s,
            servers=_servers(drill),
            node_timeout_ms=terms.node_timeout_ms,
            client_timeout_ms=terms.client_timeout_ms,
            writers=len(self._groups) * len(self._shards),
            marks=tuple(marks),
            milestones=tuple(milestones(marks)),
            outages=outages,
            findings=findings,
            errors=errors,
            recovered_ms=None if course.recovered_s is None else course.recovered_s * 1000 - zero_ms,
            interrupted=self._interrupted.is_set(),
            notes=tuple(course.notes),
            verdict=judge(terms.limits, outages, findings, errors, recovered=course.recovered_s is not None),
        )

    def _outages(self, writes: Sequence[tuple[str, str, Write]], end_ms: float) -> tuple[Outage, ...]:
        found = []
        for at, group in enumerate(self._groups):
            for shard in self._shards:
                own = [write for name, of, write in writes if (name, of) == (group.name, shard.name)]
                expected = len(self._groups) == 1 or (
                    at == self._drill.majority and self._may_be_served(at, shard)
                )
                found.append(outage(shard.name, group.name, own, 0.0, end_ms, expected=expected))
        return tuple(found)

    def _may_be_served(self, at: int, shard: Shard) -> bool:
        """Whether a side has the shard's primary, or a replica of it that can take over."""
        side = self._drill.sides[at]
        primary = next(m for s in self._drill.sides for m in s if m.name == shard.name)
        return any(m is primary or m.line.primary_id == primary.node_id for m in side)

    def _marks(self, writes: Sequence[tuple[str, str, Write]], outages: Sequence[Outage]) -> list[Mark]:
        course, names = self._course, names_of(self._drill)
        zero_s = course.fault_s
        marks = [Mark(0.0, "", "fault", self._drill.title, "ctl")]
        if course.healed_s is not None and self._drill.kind != "restart-rolling":
            marks.append(Mark((course.healed_s - zero_s) * 1000, "", "healed", "healed", "ctl"))
        marks += [
            Mark((at_s - zero_s) * 1000, node, "step", text, "ctl") for at_s, node, text in course.steps
        ]
        marks += [replace(mark, at_ms=(at_s - zero_s) * 1000) for at_s, mark in course.polled]
        if self._logs is not None:
            marks += self._logs.marks(names, course.fault_at_s)
        first = _first_write(writes, outages)
        return condensed([*marks, first] if first is not None else marks)


def _first_write(writes: Sequence[tuple[str, str, Write]], outages: Sequence[Outage]) -> Mark | None:
    """The end of the longest time in which writes were tried in vain, of clients that can be served."""
    for worst in sorted(outages, key=lambda each: -each.longest_ms):
        own = [write for group, shard, write in writes if (group, shard) == (worst.clients, worst.shard)]
        inside = [write for write in own if worst.begin_ms < write.done_ms <= worst.end_ms]
        if worst.expected and worst.over and len(inside) > 1:
            text = f"the first write to {worst.shard} is accepted again, after {worst.longest_ms:.0f} ms"
            return Mark(worst.end_ms, inside[-1].node, "write", text, "clients")
    return None


def _servers(drill: Drill) -> tuple[str, ...]:
    """Name and version of every kind of server that takes part."""
    found = set()
    for side in drill.sides:
        for member in side:
            info = member.view.info if member.view is not None else {}
            name = info.get("server_name", "redis")
            found.add(f"{name} {info.get(f'{name}_version') or info.get('redis_version', '')}".strip())
    return tuple(sorted(found))


async def run_drill(drill: Drill, terms: Terms, on_event: OnEvent) -> Report:
    """Raises CtlError; KeyboardInterrupt when it was interrupted before the fault."""
    async with Fleet(terms.credentials) as fleet:
        return await Run(drill, terms, fleet, on_event).run()


async def node_timeout(fleet: Fleet, nodes: Sequence[Address]) -> int:
    """In milliseconds, of the first node that tells it; Redis's default where CONFIG is not allowed."""
    for node in nodes:
        try:
            reply = await fleet.call(node, "CONFIG", "GET", "cluster-node-timeout")
        except (LinkError, ReplyError):
            continue
        if isinstance(reply, list) and len(reply) == 2 and isinstance(reply[1], bytes):
            return int(reply[1])
    return NODE_TIMEOUT_DEFAULT_MS
