"""Carries a fail-over out and measures what clients feel: how long writes to the shard were not acknowledged.

While the promotion runs, a probe writes a key of the shard again and again, following MOVED like any client.
The longest time between two acknowledged writes is what a client would have waited; without a fail-over it is
that of a round trip and the probe's pause.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass

import trio

from ctl.errors import CtlError, UnreachableError
from ctl.execute.fleet import Fleet, telling
from ctl.execute.gather import gather_only, refused
from ctl.plan.failover import Failover, probe_key, uninformed, unlinked, unsettled
from ctl.snapshot import Address
from node.resp.client import Client, LinkError, ReplyError

PROBE_EVERY_S = 0.002
PROBE_TTL_S = 60
PROBE_START_S = 1.0
INTRODUCE_S = 3.0
# A node says OK to CLUSTER FAILOVER, and gives up in silence after five seconds.
ASK_AGAIN_S = 6.0
LOOK_EVERY_S = 0.02
# What a replica says whose primary failed, and also one that has no bus link to it at this moment.
NO_LINK = "Master is down or failed"


@dataclass(frozen=True, slots=True)
class FailoverReport:
    """Times in milliseconds from the command. `writes_refused_ms` is None for a shard without slots."""

    promoted_ms: int
    settled_ms: int
    writes_refused_ms: int | None


class Probe:
    """Writes a key of the shard until stopped; `longest_gap_s` is the longest time without a success."""

    def __init__(self, fleet: Fleet, failover: Failover) -> None:
        slots = failover.primary.line.slots
        self._fleet = fleet
        self._key = probe_key(slots, f"shoal-probe-{secrets.token_hex(6)}") if slots else None
        self._places = [member.address for member in (failover.primary, failover.replica) if member.address]
        self._client: Client | None = None
        self.since = trio.current_time()
        self.successes = 0
        self.longest_gap_s = 0.0

    async def run(self) -> None:
        """Until cancelled; then the key is deleted. Errors of nodes are what it is there to see."""
        if self._key is None:
            return
        try:
            while True:
                if await self._write(self._key):
                    now = trio.current_time()
                    self.longest_gap_s = max(self.longest_gap_s, now - self.since)
                    self.since, self.successes = now, self.successes + 1
                await trio.sleep(PROBE_EVERY_S)
        finally:
            with trio.CancelScope(shield=True), trio.move_on_after(1):
                await self._clean_up(self._key)

    def begin(self) -> float:
        """The fail-over starts now, at the time returned: what was before (the first connection) does not
        count.
        """
        now = trio.current_time()
        self.longest_gap_s = 0.0
        if not self.successes:
            self.since = now
        return now

    async def wrote_since(self, time: float) -> None:
        """Returns when a write has succeeded after `time`."""
        while not (self.successes and self.since > time):
            await trio.sleep(PROBE_EVERY_S)

    async def _write(self, key: bytes) -> bool:
        try:
            if self._client is None:
                self._client = await self._fleet.connect(self._places[0])
            await self._client.call("SET", key, self.successes, "EX", PROBE_TTL_S, timeout_s=1.0)
            return True
        except ReplyError as error:
            await self._leave()
            if error.code == "MOVED":
                moved_to = _moved_to(error.text, self._places[0])
                self._places = [moved_to, *(place for place in self._places if place != moved_to)]
        except LinkError:
            await self._leave()
            self._places = [*self._places[1:], self._places[0]]
        return False

    async def _leave(self) -> None:
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    async def _clean_up(self, key: bytes) -> None:
        try:
            client = await self._fleet.connect(self._places[0])
            await client.call("DEL", key)
            await client.aclose()
        except (LinkError, ReplyError):
            return  # it expires
        finally:
            await self._leave()


def _moved_to(text: str, asked: Address) -> Address:
    """The address of `MOVED 3999 host:port`; an empty host is that of the node that was asked."""
    where = text.split()[2]
    return Address(asked.host, int(where[1:])) if where.startswith(":") else Address.parse(where)


async def run_failover(
    failover: Failover,
    fleet: Fleet,
    observers: list[Address],
    on_progress: Callable[[str], None],
    *,
    timeout_s: float,
) -> FailoverReport:
    """Promotes, and returns when every one of `observers` that answers agrees and writes go through.

    Raises CtlError when the node refuses or the time is over.
    """
    probe = Probe(fleet, failover)
    last_step = ""

    def progress(step: str) -> None:
        nonlocal last_step
        last_step = step
        on_progress(step)

    try:
        with trio.fail_after(timeout_s):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(probe.run)
                report = await _promote(failover, fleet, probe, observers, progress)
                nursery.cancel_scope.cancel()
    except trio.TooSlowError:
        raise CtlError(
            f"not done after {timeout_s:g} s: {last_step}",
            "The replica's log may say more: `ctl cluster logs`.",
        ) from None
    except BaseExceptionGroup as group:
        raise telling(group) from None
    return report


async def _promote(
    failover: Failover, fleet: Fleet, probe: Probe, observers: list[Address], progress: Callable[[str], None]
) -> FailoverReport:
    replica = failover.replica.address
    assert replica is not None, "a replica that answers has an address"
    if failover.mode != "takeover":
        await _introduce(failover, fleet, replica, observers, progress)
    has_slots = bool(failover.primary.line.slots)
    if has_slots and failover.primary.healthy:
        progress("the probe has written nothing yet")
        # Connecting is not to be counted as refusal.
        with trio.move_on_after(PROBE_START_S):
            await probe.wrote_since(0)
    started = probe.begin()
    progress(f"{replica} is not a primary yet")
    while True:
        await _command(failover, fleet, replica)
        with trio.move_on_after(ASK_AGAIN_S):
            await _until_primary(fleet, replica)
            break
    promoted = trio.current_time()
    while unmet := unsettled(failover, await gather_only(fleet, observers, "replication")):
        progress(unmet)
        await trio.sleep(LOOK_EVERY_S)
    settled = trio.current_time()
    if has_slots:
        progress("no write has gone through yet")
        await probe.wrote_since(promoted)
    return FailoverReport(
        promoted_ms=round((promoted - started) * 1000),
        settled_ms=round((settled - started) * 1000),
        writes_refused_ms=round(probe.longest_gap_s * 1000) if has_slots else None,
    )


async def _introduce(
    failover: Failover,
    fleet: Fleet,
    replica: Address,
    observers: list[Address],
    progress: Callable[[str], None],
) -> None:
    """Returns when all know the replica as what it is, or after a while.

    Soon after another fail-over they may not: then voters deny it their votes as "a master node", the primary
    ignores its request, and the replica may try again only after twice the node time-out. A MEET makes it
    tell them now. A node that stays behind does not hold up the fail-over: a majority may do without it.
    """
    told: set[Address] = set()
    with trio.move_on_after(INTRODUCE_S):
        while True:
            snapshot = await gather_only(fleet, observers, "replication")
            behind = uninformed(failover, snapshot)
            missing = (
                f"{behind[0]} has not heard whose replica {replica} is"
                if behind
                else unlinked(failover, snapshot)
            )
            if missing is None:
                return
            progress(missing)
            for observer in set(behind) - told:
                told.add(observer)
                await _send(fleet, replica, "CLUSTER", "MEET", observer.host, str(observer.port))
            await trio.sleep(LOOK_EVERY_S)


async def _command(failover: Failover, fleet: Fleet, replica: Address) -> None:
    """Sends CLUSTER FAILOVER. A replica whose bus link to its primary is just being made anew refuses it."""
    deadline = trio.current_time() + INTRODUCE_S
    while True:
        try:
            await _send(fleet, replica, *failover.command)
            return
        except CtlError as error:
            if NO_LINK not in error.text or trio.current_time() > deadline:
                raise
        await trio.sleep(LOOK_EVERY_S)


async def _send(fleet: Fleet, node: Address, *words: str) -> None:
    """A node that loads takes the command after that."""
    while True:
        try:
            await fleet.call(node, *words)
            return
        except ReplyError as error:
            if error.code != "LOADING":
                raise refused(node, " ".join(words), error) from error
        except LinkError as error:
            raise UnreachableError(str(error)) from error
        await trio.sleep(LOOK_EVERY_S)


async def _until_primary(fleet: Fleet, address: Address) -> None:
    while True:
        try:
            reply = await fleet.call(address, "ROLE")
        except LinkError as error:
            raise UnreachableError(str(error)) from error
        if isinstance(reply, list) and reply[0] == b"master":
            return
        await trio.sleep(LOOK_EVERY_S)
