"""Many cores in one process and virtual time.

The simulator is the adapter of each core and nothing more: it reports links and messages, carries effects out
in order, and calls `tick` when a deadline comes. Every message crosses the network as the bytes of
`gossip.wire`, every Persist goes to the node's disk as a nodes.conf, and a restarted node begins with what is
there. So what is exercised is all that a real cluster runs but its sockets and files.

Nodes are counted from 1, as in scenarios. A node is a machine with an address, a disk and, while it runs, a
`Life`: one core with its links. Faults:

    crash      the process is killed; what was written stays
    power off  the machine too; what was written without fsync may be gone
    pause      the process stands still (SIGSTOP) and then finds all that came meanwhile at once
    strike     asked before each effect of each node whether its process is killed at that point

A run is determined by its seed. `trace` tells what happened, `digest` is a checksum over every effect.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from random import Random
from zlib import crc32

from gossip import nodes_conf, wire
from gossip.admin import FailoverMode, SlotAction
from gossip.core import Core
from gossip.effects import (
    BecomePrimary,
    CloseLink,
    Effect,
    FollowPrimary,
    Log,
    LogLevel,
    OpenLink,
    PauseWrites,
    Persist,
    ResumeWrites,
    Send,
    SlotsLost,
)
from gossip.errors import ClusterError
from gossip.messages import AuthAck, AuthRequest, Fail, ManualFailoverStart, Message, NodeFlag, NodeId
from gossip.settings import Settings
from gossip.slots import SLOT_COUNT, SlotSet
from gossip.state import ClusterState, random_node_id
from gossip.testing.agenda import Agenda
from gossip.testing.checkers import Safety, unsettled
from gossip.testing.host import SimHost
from gossip.testing.network import Address, End, Network, Phase, Weather

START_MS = 1_700_000_000_000
PORT = 7000
BUS_PORT = 17000
SAMPLE_MS = 1_000
TRACE_LINES = 5_000

_NODE_ID = re.compile(r"\b([0-9a-f]{40})(?: \(\))?")


def _set_stable(slot: int, core: Core, now_ms: int) -> None:
    core.set_slot(slot, SlotAction.STABLE, "", now_ms)


@dataclass
class Disk:
    """A node's nodes.conf: as the kernel has it, and as a power failure would leave it."""

    written: bytes | None = None
    durable: bytes | None = None


@dataclass
class SimNode:
    number: int
    ip: str
    settings: Settings
    rng: Random
    clock_offset_ms: int = 0
    disk: Disk = field(default_factory=Disk)
    life: Life | None = None

    @property
    def bus_address(self) -> Address:
        return (self.ip, self.settings.bus_port)


class Life:
    """One run of a node's process, from start to crash; what `gossip.testing.network` calls a Process."""

    def __init__(self, cluster: Cluster, node: SimNode) -> None:
        self.cluster = cluster
        self.node = node
        self.machine = node.number - 1
        self.dead = False
        self.paused = False
        self._inbox: deque[Callable[[], None]] = deque()
        self._ends: dict[int, End] = {}
        self._armed_ms: int | None = None
        self.host = SimHost(lambda: cluster.agenda.now_ms, self._replication_source)
        self._followed: Address | None = None
        if node.disk.written is None:
            state = ClusterState.fresh(node.rng)
            node.disk.written = node.disk.durable = nodes_conf.dump(state)
        else:
            state = nodes_conf.load(node.disk.written, self.now_ms, node.rng)
        self.core = Core(node.settings, state, self.host, node.rng, self.now_ms)

    @property
    def now_ms(self) -> int:
        """The node's clock, which may be off."""
        return self.cluster.agenda.now_ms + self.node.clock_offset_ms

    # --- what the network reports --------------------------------------------------------------------------

    def deliver(self, event: Callable[[], None]) -> None:
        if self.dead:
            return
        if self.paused:
            self._inbox.append(event)
        else:
            event()

    def link_opened(self, end: End) -> None:
        self.core.link_opened(end.link, self.now_ms)
        self.carry_out()

    def link_failed(self, end: End, *, refused: bool) -> None:
        del self._ends[end.link]
        self.core.link_failed(end.link, self.now_ms, refused=refused)
        self.carry_out()

    def link_accepted(self, end: End, peer_ip: str) -> None:
        end.link = self.core.accepted(peer_ip, self.node.ip, self.now_ms)
        self._ends[end.link] = end
        self.carry_out()

    def link_closed(self, end: End) -> None:
        del self._ends[end.link]
        self.core.link_closed(end.link, self.now_ms)
        self.carry_out()

    def received(self, end: End, frame: bytes) -> None:
        message = wire.decode(frame)
        assert message is not None
        self.core.receive(end.link, message, self.now_ms)
        self.carry_out()

    def peer(self, link: int) -> int:
        """The number of the node at the other end of an open link."""
        peer = self._ends[link].peer
        assert peer is not None
        return peer.process.machine + 1

    # --- time ----------------------------------------------------------------------------------------------

    def resume(self) -> None:
        """Run again: what came meanwhile and the timers, in either order."""
        self.paused = False
        if self.node.rng.random() < 0.5:
            self._wake()
        while self._inbox and not (self.dead or self.paused):
            self._inbox.popleft()()
        self._wake()

    def _arm(self) -> None:
        if self.dead:
            return
        due_ms = self.core.next_deadline_ms() - self.node.clock_offset_ms
        if self._armed_ms is None or due_ms < self._armed_ms:
            self._armed_ms = due_ms
            self.cluster.agenda.at(due_ms, lambda: self._fire(due_ms))

    def _fire(self, armed_ms: int) -> None:
        if armed_ms == self._armed_ms:
            self._armed_ms = None
            self._wake()

    def _wake(self) -> None:
        if self.dead or self.paused:
            return
        if self.core.next_deadline_ms() <= self.now_ms:
            self.core.tick(self.now_ms)
        self.carry_out()

    # --- effects -------------------------------------------------------------------------------------------

    def carry_out(self) -> None:
        for effect in self.core.drain():
            if self.cluster.struck(self.node.number):
                return
            # An input that ends a link may have made the core speak on it first: lost, as on a socket.
            if isinstance(effect, Send) and effect.link not in self._ends:
                continue
            self.cluster.observe(self, effect)
            self._perform(effect)
        self._arm()

    def _perform(self, effect: Effect) -> None:
        network = self.cluster.network
        match effect:
            case Send(link, message):
                end = self._ends[link]
                if end.phase is Phase.OPEN:
                    network.send(end, self.cluster.encode(message))
            case OpenLink(link, _, ip, bus_port):
                self._ends[link] = network.connect(self, link, (ip, bus_port))
            case CloseLink(link):
                network.close(self._ends.pop(link))
            case Persist(fsync):
                self._persist(fsync)
            case FollowPrimary(_, host, port):
                self.cluster.catch_up()
                self._followed = (host, port)
                self.host.follow()
            case BecomePrimary():
                self.cluster.catch_up()
                self._followed = None
                self.host.lead()
            case PauseWrites(until_ms):
                self.host.hold_writes(until_ms - self.node.clock_offset_ms)
            case ResumeWrites():
                self.host.release_writes()
            case _:
                pass  # routing, logs and deletions touch nothing that is simulated

    def _persist(self, fsync: bool) -> None:
        disk = self.node.disk
        disk.written = nodes_conf.dump(self.core.state)
        if fsync:
            disk.durable = disk.written

    def _replication_source(self) -> SimHost | None:
        if self._followed is None or self.paused or self.dead:
            return None
        source = self.cluster.nodes_by_ip[self._followed[0]]
        life = source.life
        if life is None or life.paused:
            return None
        if not self.cluster.network.reachable(self.machine, life.machine):
            return None
        # A replica that has no copy itself has nothing to pass on; a ring of replicas never gets one.
        if life.host.following_since_ms is not None and not life.host.has_copy:
            return None
        return life.host


class Cluster:
    """`node_count` machines, none running yet; see `form` and `start`."""

    def __init__(
        self, seed: int, node_count: int, settings: Settings | None = None, clock_spread_ms: int = 0
    ) -> None:
        self.rng = Random(seed)
        self.agenda = Agenda(START_MS)
        self.network = Network(self.agenda, Random(self.rng.getrandbits(64)), node_count)
        self.strike: Callable[[int], bool] | None = None
        self.trace: deque[str] = deque(maxlen=TRACE_LINES)
        self.digest = 0
        self.safety = Safety()
        self.nodes: list[SimNode] = []
        self._numbers: dict[NodeId, int] = {}
        self._encoded: tuple[Message, bytes] | None = None
        base = replace(settings or Settings(), port=PORT, bus_port=BUS_PORT)
        for number in range(1, node_count + 1):
            offset_ms = self.rng.randint(-clock_spread_ms, clock_spread_ms)
            ip = f"10.0.{number >> 8}.{number & 255}"
            node = SimNode(number, ip, base, Random(self.rng.getrandbits(64)), offset_ms)
            self.nodes.append(node)
            self.network.place(node.bus_address, number - 1)
        self.nodes_by_ip = {node.ip: node for node in self.nodes}
        self.agenda.after(SAMPLE_MS, self._sample)

    def __getitem__(self, number: int) -> SimNode:
        return self.nodes[number - 1]

    def core(self, number: int) -> Core:
        life = self[number].life
        assert life is not None, f"node {number} does not run"
        return life.core

    def cores(self) -> list[Core]:
        """Those of the processes that run, paused or not."""
        return [node.life.core for node in self.nodes if node.life is not None]

    # --- forming a cluster ---------------------------------------------------------------------------------

    def form(self, replicas: int) -> None:
        """Give every node a nodes.conf of one formed cluster, and start them all.

        The first nodes are the primaries, with equal shares of the slots; their replicas follow in turns.
        """
        count = len(self.nodes)
        primary_count = count // (replicas + 1)
        ids = [random_node_id(self.rng) for _ in self.nodes]
        shards = [random_node_id(self.rng) for _ in range(primary_count)]
        records = []
        for index, node in enumerate(self.nodes):
            shard = index % primary_count
            is_primary = index < primary_count
            share = (shard * SLOT_COUNT // primary_count, (shard + 1) * SLOT_COUNT // primary_count - 1)
            record = nodes_conf.NodeRecord(
                node=ids[index],
                flags=NodeFlag.PRIMARY if is_primary else NodeFlag.REPLICA,
                ip=node.ip,
                port=PORT,
                bus_port=BUS_PORT,
                replica_of="" if is_primary else ids[shard],
                config_epoch=shard + 1,
                slots=SlotSet.from_ranges([share]) if is_primary else SlotSet(),
                shard_id=shards[shard],
            )
            records.append(record)
        for index, node in enumerate(self.nodes):
            seen = list(records)
            seen[index] = replace(seen[index], flags=seen[index].flags | NodeFlag.MYSELF)
            conf = nodes_conf.NodesConf(tuple(seen), primary_count, 0)
            node.disk.written = node.disk.durable = nodes_conf.render(conf)
        for node in self.nodes:
            self.start(node.number)

    # --- faults --------------------------------------------------------------------------------------------

    def start(self, number: int) -> None:
        """Start the node's process from what is on its disk."""
        node = self[number]
        assert node.life is None, f"node {number} runs already"
        self.catch_up()
        self.note(f"{number} starts")
        life = node.life = Life(self, node)
        self._numbers[life.core.state.me.node_id] = number
        self.network.listen(node.bus_address, life)
        life.carry_out()

    def crash(self, number: int) -> None:
        self._end(number, "crashes")
        self.network.process_died(self[number].bus_address)

    def power_off(self, number: int) -> None:
        self._end(number, "loses power")
        self.network.power_off(self[number].bus_address)
        disk = self[number].disk
        if self.rng.random() < 0.5:
            disk.written = disk.durable

    def _end(self, number: int, what: str) -> None:
        node = self[number]
        assert node.life is not None, f"node {number} does not run"
        self.catch_up()
        self.note(f"{number} {what}")
        node.life.dead = True
        node.life = None

    def pause(self, number: int, for_ms: int | None = None) -> None:
        """Stop the process, for good or for a while."""
        life = self[number].life
        assert life is not None, f"node {number} does not run"
        self.catch_up()
        self.note(f"{number} is stopped")
        life.paused = True
        if for_ms is not None:
            self.agenda.after(for_ms, lambda: self._resume(number, life))

    def resume(self, number: int) -> None:
        life = self[number].life
        assert life is not None, f"node {number} does not run"
        self._resume(number, life)

    def _resume(self, number: int, life: Life) -> None:
        if life.paused and not life.dead:
            self.note(f"{number} continues")
            life.resume()

    def partition(self, groups: list[list[int]]) -> None:
        self.catch_up()
        self.note("partition " + " | ".join(",".join(map(str, group)) for group in groups))
        self.network.partition([[number - 1 for number in group] for group in groups])

    def heal(self) -> None:
        self.catch_up()
        self.note("heal")
        self.network.heal()

    def struck(self, number: int) -> bool:
        """Whether the node's process is killed now, before its next effect."""
        if self.strike is None or not self.strike(number):
            return False
        self.crash(number)
        return True

    def catch_up(self) -> None:
        """Let replication run up to now, before something changes who reaches whom."""
        for node in self.nodes:
            if node.life is not None:
                node.life.host.catch_up()

    # --- running -------------------------------------------------------------------------------------------

    def advance(self, for_ms: int) -> None:
        self.agenda.run_until(self.agenda.now_ms + for_ms)

    def advance_until(self, done: Callable[[], bool], within_ms: int, step_ms: int = 50) -> bool:
        """Let time pass until `done`; whether it came to that."""
        deadline_ms = self.agenda.now_ms + within_ms
        while not done():
            if self.agenda.now_ms >= deadline_ms:
                return False
            self.advance(step_ms)
        return True

    def act(self, number: int, command: Callable[[Core, int], None]) -> None:
        """Run an admin verb of a node's core: `command(core, now_ms)`."""
        life = self[number].life
        assert life is not None, f"node {number} does not run"
        command(life.core, life.now_ms)
        life.carry_out()

    def try_failover(self, number: int, *, force: bool) -> bool:
        """CLUSTER FAILOVER [FORCE] at a replica; whether the node accepted the order."""
        mode = FailoverMode.FORCE if force else FailoverMode.NORMAL
        try:
            self.act(number, lambda core, now_ms: core.failover(mode, now_ms))
        except ClusterError as refusal:
            self.note(f"{number} refuses: {refusal}")
            return False
        return True

    def settle(self, within_ms: int) -> str | None:
        """End all faults, start what is down, and wait for rest; what is not at rest by then, if anything."""
        self.strike = None
        self.network.weather = Weather()
        self.heal()
        for node in self.nodes:
            if node.life is None:
                self.start(node.number)
            elif node.life.paused:
                self.resume(node.number)
        self._close_slots()
        self.advance_until(lambda: unsettled(self.cores()) is None, within_ms, step_ms=500)
        return unsettled(self.cores())

    def _close_slots(self) -> None:
        """End migrations nobody will finish, as an operator would: an importing node heeds no claims."""
        for node in self.nodes:
            assert node.life is not None
            state = node.life.core.state
            for slot in [*state.migrating, *state.importing]:
                with suppress(ClusterError):
                    self.act(node.number, partial(_set_stable, slot))

    def _sample(self) -> None:
        self.safety.sample(self.cores())
        self.agenda.after(SAMPLE_MS, self._sample)

    # --- telling -------------------------------------------------------------------------------------------

    def encode(self, message: Message) -> bytes:
        """A broadcast is one message on many links, and is encoded once."""
        if self._encoded is None or self._encoded[0] is not message:
            self._encoded = (message, wire.encode(message))
        return self._encoded[1]

    def observe(self, life: Life, effect: Effect) -> None:
        """Look at an effect that is about to be carried out. Raises InvariantError."""
        node = life.node
        if isinstance(effect, Send):
            self.digest = crc32(self.encode(effect.message), self.digest)
            self.safety.about_to_send(node.number, life.peer(effect.link), effect.message, node.disk.durable)
        text = self._describe(life, effect)
        if text is not None:
            self.note(f"{node.number} {text}")

    def note(self, text: str) -> None:
        seconds = (self.agenda.now_ms - START_MS) / 1000
        self.digest = crc32(f"{seconds} {text}".encode(), self.digest)
        self.trace.append(f"{seconds:10.3f}  {text}")

    def _describe(self, life: Life, effect: Effect) -> str | None:
        """What of an effect is worth a line in the trace."""
        match effect:
            case Send(link, AuthAck(header)):
                return f"votes for {life.peer(link)} in epoch {header.current_epoch}"
            case Send(link, AuthRequest(header)):
                return f"asks {life.peer(link)} for its vote in epoch {header.current_epoch}"
            case Send(link, Fail(_, failed)):
                return f"tells {life.peer(link)} that {self.number_of(failed)} failed"
            case Send(link, ManualFailoverStart()):
                return f"asks {life.peer(link)} to hold its writes"
            case FollowPrimary(name, _, _):
                return f"follows {self.number_of(name)}"
            case BecomePrimary():
                return "becomes a primary"
            case SlotsLost(slots):
                return f"loses slots {slots}"
            case PauseWrites() | ResumeWrites():
                return "holds writes" if isinstance(effect, PauseWrites) else "lets writes go on"
            case Log(level, text) if level in (LogLevel.NOTICE, LogLevel.WARNING):
                return "logs: " + _NODE_ID.sub(lambda found: self.number_of(found[1]), text)
            case _:
                return None

    def name_of(self, number: int) -> NodeId:
        """The id under which a node, running or not, last ran."""
        return next(name for name, one in reversed(self._numbers.items()) if one == number)

    def number_of(self, name: str) -> str:
        """The number of a node that has run, or a shortened id."""
        number = self._numbers.get(name)
        return name[:8] if number is None else str(number)
