"""Follows sources that go on serving: a snapshot into the cluster, then every write after it.

For each source two things happen at the same time. Its link is read as fast as it sends, the snapshot into a
temporary file and the stream behind it into memory, so that the source never waits for us and keeps no
backlog; and what was read is carried over as fast as the cluster takes it. What is read is acknowledged each
second, as a replica does.

Following ends with Ctrl-C (what was read until then is still carried over), or by a cut-over: once the
cluster is a step behind only, the sources' writes are paused (CLIENT PAUSE … WRITE), the last ones are
carried over, and the pause goes on for a while, so that clients can be sent to the cluster without one write
that is lost or made twice.
"""

from __future__ import annotations

import tempfile
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import IO

import trio

from ctl.errors import CtlError
from ctl.execute.backup import Meter, naming
from ctl.execute.backup_files import READ_BYTES
from ctl.execute.backup_link import Link, open_link
from ctl.execute.call import call_each
from ctl.execute.fleet import Fleet, concurrently, telling
from ctl.execute.import_ import Order, Origin, unmoved
from ctl.execute.import_apply import BEGIN_ANEW, Applier, FollowError, key_table
from ctl.execute.restore import stoppable, target_of
from ctl.execute.restore_load import Functions, Loader, Reading
from ctl.plan.backup import Transfer
from ctl.plan.restore import Outcome
from ctl.snapshot import Address, parse_info
from node.resp.client import LinkError, ReplyError, encode_command

ACK_EVERY_S = 1.0
LOOK_EVERY_S = 1.0
STREAM_BYTES_MAX = 1 << 30
NEARLY_BYTES = 64 * 1024
DRAIN_S = 30.0
UNPAUSE_S = 5.0


class Follower:
    """One source. `read` and `carry` run side by side."""

    def __init__(self, link: Link, node: Address, applier: Applier, reading: Reading, meter: Meter) -> None:
        self.node = node
        self.loaded = False
        self._reading = reading
        self._link = link
        self._applier = applier
        self._meter = meter
        self._spool: IO[bytes] = tempfile.TemporaryFile(prefix="shoal-import-")  # noqa: SIM115  see `close`
        self._spooled = trio.Event()
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._more = trio.Event()
        self.received = link.position.offset
        self.applied = link.position.offset

    async def read(self) -> None:
        """Until cancelled. Raises CtlError when the source is lost."""
        with naming(self.node, ""):
            await self._link.begin()
            async for piece in self._link.snapshot():
                await trio.to_thread.run_sync(self._spool.write, piece)
                self._meter.add(len(piece))
            self._spooled.set()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._acknowledge)
                await self._read_stream()

    async def _read_stream(self) -> None:
        stream = self._link.stream
        while True:
            data = await stream.read_some()
            self.received += len(data)
            self._waiting.append(data)
            self._waiting_bytes += len(data)
            self._more.set()
            if self._waiting_bytes > STREAM_BYTES_MAX:
                raise FollowError(
                    f"{self.node} writes faster than the cluster takes it", "Try at a calmer time."
                )

    async def _acknowledge(self) -> None:
        while True:
            await self._link.stream.send(encode_command(["REPLCONF", "ACK", self.received]))
            await trio.sleep(ACK_EVERY_S)

    async def load(self) -> None:
        """The snapshot into the cluster."""
        await self._spooled.wait()
        with naming(self.node, ""):
            await self._reading.feed(self._spool_pieces())

    async def _spool_pieces(self) -> AsyncIterator[bytes]:
        self._spool.seek(0)
        while piece := await trio.to_thread.run_sync(self._spool.read, READ_BYTES):
            yield piece

    async def carry(self) -> None:
        """The stream into the cluster, until cancelled. A step that has begun is finished."""
        while True:
            while not self._waiting:
                self._more = trio.Event()
                await self._more.wait()
            with trio.CancelScope(shield=True):
                await self.drain(1)
            await trio.lowlevel.checkpoint()

    async def drain(self, pieces: int | None = None) -> None:
        """What was read so far, or so many pieces of it."""
        count = len(self._waiting) if pieces is None else pieces
        data = b"".join([self._waiting.popleft() for _ in range(count)])
        self._waiting_bytes -= len(data)
        if data:
            await self._applier.feed(data)
            self.applied += len(data)

    async def close(self) -> None:
        self._spool.close()
        await self._link.aclose()


async def follow(order: Order, origin: Origin, on_progress: Callable[[Transfer], None]) -> Outcome:
    """Until Ctrl-C, or until the cut-over is done. Raises CtlError."""
    outcome = Outcome()
    async with target_of(order.into, "import") as (routes, _), Fleet(order.credentials) as fleet:
        meter = Meter(on_progress, origin.title)
        table = await key_table(routes.fleet, routes.primaries[0])
        loader = Loader(routes, order.into.existing, outcome, lambda _, keys: meter.add(0, keys))
        functions = Functions(routes, order.into.existing, outcome)
        followers: list[Follower] = []

        async def begin(node: Address) -> None:
            with naming(node, ""):
                link = await open_link(fleet, node, timeout_s=order.timeout_s, snapshot_only=False)
            applier = Applier(routes, table, outcome, order.db or 0)
            reading = Reading(loader, functions, order.db or 0)
            followers.append(Follower(link, node, applier, reading, meter))

        async def load_all() -> None:
            await concurrently(follower.load for follower in followers)

        async def carry_all() -> None:
            await loader.run(load_all)
            if outcome.conflict_count:
                return
            for follower in followers:
                follower.loaded = True
            async with trio.open_nursery() as nursery:
                for follower in followers:
                    nursery.start_soon(follower.carry)
                nursery.start_soon(_watch, fleet, origin, followers, meter)
                if order.mode == "cutover":
                    await _cut_over(fleet, followers, order)
                    nursery.cancel_scope.cancel()

        async def work() -> None:
            await concurrently(partial(begin, node) for node in origin.nodes)
            try:
                async with trio.open_nursery() as nursery:
                    for follower in followers:
                        nursery.start_soon(follower.read)
                    await carry_all()
                    nursery.cancel_scope.cancel()
            except BaseExceptionGroup as group:
                raise telling(group) from None

        try:
            await _until_stopped(work, followers, outcome)
        finally:
            with trio.CancelScope(shield=True):
                for follower in followers:
                    await follower.close()
        outcome.took_ms = round((trio.current_time() - meter.started) * 1000)
    return outcome


async def _until_stopped(
    work: Callable[[], Awaitable[None]], followers: list[Follower], outcome: Outcome
) -> None:
    """Ctrl-C ends following well, once the snapshot is in."""

    async def run() -> None:
        try:
            await work()
        except trio.Cancelled:
            if not followers or not all(follower.loaded for follower in followers):
                raise
            with trio.move_on_after(DRAIN_S, shield=True):
                await concurrently(follower.drain for follower in followers)
            if behind := sum(follower.received - follower.applied for follower in followers):
                raise FollowError(f"stopped {behind:,} bytes behind the sources") from None
            outcome.notes.append(
                "Following ended by Ctrl-C; later writes at the source are not in the cluster."
            )

    await stoppable(run, outcome, BEGIN_ANEW)


async def _watch(fleet: Fleet, origin: Origin, followers: list[Follower], meter: Meter) -> None:
    """Says how far behind the cluster is, and notices when slots of a source cluster move."""
    while True:
        await unmoved(fleet, origin)
        behind = sum(follower.received - follower.applied for follower in followers)
        meter.title = f"{origin.title} · following, {behind:,} bytes behind"
        meter.add(0)
        await trio.sleep(LOOK_EVERY_S)


async def _cut_over(fleet: Fleet, followers: list[Follower], order: Order) -> None:
    """Pauses the sources' writes once the cluster is near, and returns when it has all. Raises CtlError."""
    while any(follower.received - follower.applied > NEARLY_BYTES for follower in followers):
        await trio.sleep(0.01)
    paused_until = trio.current_time() + order.pause_s
    goals: dict[Address, int] = {}

    async def pause(node: Address) -> None:
        try:
            await fleet.call(node, "CLIENT", "PAUSE", round(order.pause_s * 1000), "WRITE")
            reply = await fleet.call(node, "INFO", "replication")
        except (ReplyError, LinkError) as error:
            raise CtlError(f"{node} could not be paused: {error}", BEGIN_ANEW) from error
        assert isinstance(reply, bytes), reply
        goals[node] = int(parse_info(reply.decode())["master_repl_offset"])

    try:
        await concurrently(partial(pause, follower.node) for follower in followers)
        while any(follower.applied < goals[follower.node] for follower in followers):
            if trio.current_time() > paused_until - order.pause_s / 10:
                raise CtlError(
                    "the pause of the sources is nearly over, and the cluster does not have all yet",
                    "The sources go on serving. Import again with --replace and a longer --pause.",
                )
            await trio.sleep(0.005)
    except BaseException:
        with trio.move_on_after(UNPAUSE_S, shield=True):
            await call_each(fleet, [follower.node for follower in followers], ["CLIENT", "UNPAUSE"])
        raise
