"""A few cores in one process, coupled by handing messages over in memory.

`Town` is the smallest adapter there is: no delay, no loss, one clock, effects carried out at once and in
their order. What it can do to a node is what tests of single rules need: `kill` it (connections refused),
`freeze` it (connections stay open, nothing is answered), cut pairs of nodes. Long stories with faults are
the business of `gossip.testing.cluster`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import TypeVar

from gossip import nodes_conf
from gossip.core import Core
from gossip.effects import CloseLink, Effect, Log, OpenLink, Send
from gossip.member import Member
from gossip.messages import Header, Message, Ping
from gossip.settings import Settings
from gossip.slots import SLOT_COUNT
from gossip.state import ClusterState

START_MS = 1_700_000_000_000
SETTINGS = Settings(node_timeout_ms=1_000)

E = TypeVar("E", bound=Effect)
M = TypeVar("M", bound=Message)


@dataclass
class FakeHost:
    """The data beside a core, as a test sets it."""

    processed: int = 100
    age_ms: int | None = 0
    keys: dict[int, int] = field(default_factory=dict)
    in_step: int = 0

    def offset(self) -> int:
        return self.processed

    def data_age_ms(self, now_ms: int) -> int | None:  # noqa: ARG002
        return self.age_ms

    def has_keys(self) -> bool:
        return any(self.keys.values())

    def count_keys_in_slot(self, slot: int) -> int:
        return self.keys.get(slot, 0)

    def replicas_in_step(self) -> int:
        return self.in_step


@dataclass(eq=False)
class Resident:
    """One node of the town: its core, its data, and every batch of effects it asked for."""

    core: Core
    host: FakeHost
    batches: list[list[Effect]] = field(default_factory=list)
    alive: bool = True
    frozen: bool = False
    ends: dict[int, tuple[Resident, int]] = field(default_factory=dict)

    @property
    def me(self) -> Member:
        return self.core.state.me

    @property
    def id(self) -> str:
        return self.me.node_id

    def sees(self, other: Resident) -> Member:
        return self.core.state.members[other.id]

    def effects(self, kind: type[E]) -> list[E]:
        """Every effect of a kind so far."""
        return [effect for batch in self.batches for effect in batch if isinstance(effect, kind)]

    def sent(self, kind: type[M]) -> list[M]:
        """Every message of a kind so far."""
        return [send.message for send in self.effects(Send) if isinstance(send.message, kind)]

    def header(self) -> Header:
        """What it said of itself last."""
        return self.sent(Ping)[-1].header

    def logged(self, part: str) -> bool:
        return any(part in log.text for log in self.effects(Log))


class Town:
    def __init__(self) -> None:
        self.now_ms = START_MS
        self.residents: list[Resident] = []
        self.cuts: set[frozenset[Resident]] = set()
        self._queue: deque[Callable[[], None]] = deque()
        self._held_back: deque[Callable[[], None]] = deque()

    # building

    def add(self, settings: Settings = SETTINGS, *, node_id: str = "") -> Resident:
        """A node at its first start."""
        number = len(self.residents) + 1
        rng = Random(number)
        state = ClusterState.fresh(rng)
        if node_id:
            state.rename(state.me, node_id)
        return self.start(settings, state, rng)

    def start(self, settings: Settings, state: ClusterState, rng: Random) -> Resident:
        """A node with a past."""
        number = len(self.residents) + 1
        settings = settings.replace(port=7000 + number, bus_port=17000 + number)
        host = FakeHost()
        resident = Resident(Core(settings, state, host, rng, self.now_ms), host)
        self.residents.append(resident)
        self.carry_out(resident)
        return resident

    def join(self, *nodes: Resident) -> None:
        """Introduce all to the first, and wait until everybody knows everybody's name and role."""
        for other in nodes[1:]:
            self.order(nodes[0], nodes[0].core.meet, "127.0.0.1", other.me.port, other.me.bus_port)
        everybody = {node.id for node in nodes}

        def acquainted() -> bool:
            return all(
                {member.node_id for member in node.core.state.others() if member.is_primary}
                >= everybody - {node.id}
                for node in nodes
            )

        self.until(acquainted, 20_000)

    def cluster(self, primaries: int, replicas: int = 0, settings: Settings = SETTINGS) -> list[Resident]:
        """A cluster that is up: first the primaries, then their replicas, the first primary's first."""
        nodes = [self.add(settings) for _ in range(primaries * (1 + replicas))]
        for number, primary in enumerate(nodes[:primaries]):
            share = range(SLOT_COUNT * number // primaries, SLOT_COUNT * (number + 1) // primaries)
            self.order(primary, primary.core.set_config_epoch, number + 1)
            self.order(primary, primary.core.add_slots, share)
        self.join(*nodes)
        for number, replica in enumerate(nodes[primaries:]):
            self.order(replica, replica.core.replicate, nodes[number // replicas].id)
        self.until(
            lambda: all(
                node.core.ok and all(node.sees(other).primary is not None for other in nodes[primaries:])
                for node in nodes
            ),
            20_000,
        )
        self.run(settings.node_timeout_ms)
        return nodes

    def order(self, node: Resident, verb: Callable[..., object], *args: object, **options: object) -> None:
        """An operator's command; the time is its last argument."""
        verb(*args, self.now_ms, **options)
        self.carry_out(node)
        self.run(0)

    # time

    def run(self, ms: int) -> None:
        """Let time pass, from deadline to deadline."""
        end_ms = self.now_ms + ms
        self._deliver()
        while True:
            awake = [node for node in self.residents if node.alive and not node.frozen]
            due_ms = min((node.core.next_deadline_ms() for node in awake), default=end_ms + 1)
            if due_ms > end_ms:
                break
            self.now_ms = max(self.now_ms, due_ms)
            for node in awake:
                if node.core.next_deadline_ms() <= self.now_ms:
                    node.core.tick(self.now_ms)
                    self.carry_out(node)
            self._deliver()
        self.now_ms = end_ms

    def until(self, condition: Callable[[], bool], within_ms: int) -> int:
        """Let time pass until the condition holds; returns how long that took, to 10 ms."""
        begun_ms = self.now_ms
        while not condition():
            assert self.now_ms - begun_ms < within_ms, f"not within {within_ms} ms"
            self.run(10)
        return self.now_ms - begun_ms

    # faults

    def kill(self, node: Resident) -> None:
        """The process dies: its connections close, new ones are refused."""
        node.alive = False
        for link in list(node.ends):
            self._hang_up(node, link)
        self._deliver()

    def restart(self, node: Resident) -> Resident:
        """The process dies, and a new one starts from its nodes.conf, on its ports."""
        self.kill(node)
        rng = Random(self.now_ms)
        state = nodes_conf.load(nodes_conf.dump(node.core.state), self.now_ms, rng)
        host = FakeHost()
        again = Resident(Core(node.core.settings, state, host, rng, self.now_ms), host)
        self.residents[self.residents.index(node)] = again
        self.carry_out(again)
        return again

    def revive(self, node: Resident) -> None:
        """Something listens on the node's port again (with the memory of the one that died)."""
        node.alive = True

    def freeze(self, node: Resident) -> None:
        """The process stops: connections stay, what comes waits until `thaw`."""
        node.frozen = True

    def thaw(self, node: Resident) -> None:
        """The process goes on; what waited is delivered when time passes again."""
        node.frozen = False
        self._queue.extend(self._held_back)
        self._held_back.clear()

    def cut(self, *pairs: tuple[Resident, Resident]) -> None:
        """What these pairs send each other is lost."""
        self.cuts |= {frozenset(pair) for pair in pairs}

    def isolate(self, node: Resident) -> None:
        self.cut(*((node, other) for other in self.residents if other is not node))

    def heal(self) -> None:
        self.cuts.clear()

    # the network

    def say(self, sender: Resident, receiver: Resident, message: Message) -> None:
        """Hand a message that no core wrote to `receiver`, on the link from `sender`."""
        link = sender.sees(receiver).link
        assert link is not None
        self._send(sender, link.id, message)
        self._deliver()

    def carry_out(self, node: Resident) -> None:
        effects = node.core.drain()
        node.core.state.check()
        node.batches.append(effects)
        for effect in effects:
            if isinstance(effect, Send):
                self._send(node, effect.link, effect.message)
            elif isinstance(effect, OpenLink):
                self._connect(node, effect)
            elif isinstance(effect, CloseLink):
                self._hang_up(node, effect.link)

    def _connect(self, caller: Resident, wanted: OpenLink) -> None:
        listeners = [node for node in self.residents if node.me.bus_port == wanted.bus_port]

        def attempt() -> None:
            if any(frozenset((caller, node)) in self.cuts for node in listeners) or not caller.alive:
                return
            if caller.frozen:
                self._held_back.append(attempt)
                return
            callee = next((node for node in listeners if node.alive), None)
            if callee is not None and callee.frozen:
                self._held_back.append(attempt)
                return
            if callee is None:
                caller.core.link_failed(wanted.link, self.now_ms, refused=True)
            else:
                theirs = callee.core.accepted("127.0.0.1", "127.0.0.1", self.now_ms)
                caller.ends[wanted.link], callee.ends[theirs] = (callee, theirs), (caller, wanted.link)
                caller.core.link_opened(wanted.link, self.now_ms)
            self.carry_out(caller)

        self._queue.append(attempt)

    def _send(self, sender: Resident, link: int, message: Message) -> None:
        if link not in sender.ends:
            return
        receiver, theirs = sender.ends[link]

        def arrive() -> None:
            if receiver.frozen:
                self._held_back.append(arrive)
            elif receiver.alive and frozenset((sender, receiver)) not in self.cuts:
                receiver.core.receive(theirs, message, self.now_ms)
                self.carry_out(receiver)

        self._queue.append(arrive)

    def _hang_up(self, node: Resident, link: int) -> None:
        if link not in node.ends:
            return
        peer, theirs = node.ends.pop(link)
        peer.ends.pop(theirs, None)

        def notice() -> None:
            if peer.frozen:
                self._held_back.append(notice)
            elif peer.alive:
                peer.core.link_closed(theirs, self.now_ms)
                self.carry_out(peer)

        self._queue.append(notice)

    def _deliver(self) -> None:
        while self._queue:
            self._queue.popleft()()
