"""Random faults, drawn from a seed, for a while; and whole runs of them (`play`)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from random import Random

from gossip.admin import SlotAction
from gossip.core import Core
from gossip.errors import ClusterError
from gossip.messages import NodeId
from gossip.settings import Settings
from gossip.testing.checkers import InvariantError
from gossip.testing.cluster import Cluster
from gossip.testing.network import Weather

NODE_TIMEOUT_MS = 2_000
CLOCK_SPREAD_MS = 300
QUIET_MS = 5_000
SETTLE_MS = 120_000
NOTED_LINES = 60


def play(seed: int, node_count: int, replicas: int, chaos_ms: int, *, moves: bool = False) -> Cluster:
    """Form a cluster, make its life hard, and see that it recovers; all of it determined by the arguments.

    With `moves`, slots are moved meanwhile. Whoever finishes importing a slot makes an epoch without asking,
    so that two primaries may share one until they hear of each other; that rule is not checked then.

    Raises InvariantError when it does not recover or broke a rule on the way. Whatever is raised carries the
    seed and the end of the trace as notes.
    """
    settings = Settings(node_timeout_ms=NODE_TIMEOUT_MS)
    cluster = Cluster(seed, node_count, settings, CLOCK_SPREAD_MS)
    try:
        cluster.form(replicas)
        cluster.advance(QUIET_MS)
        cluster.safety.epochs_are_elected = not moves
        Chaos(cluster, Random(seed), NODE_TIMEOUT_MS, moves=moves).run(chaos_ms)
        difference = cluster.settle(SETTLE_MS)
        if difference is not None:
            raise InvariantError(f"still not at rest {SETTLE_MS} ms after the last fault: {difference}")
    except Exception as error:
        error.add_note("\n".join(list(cluster.trace)[-NOTED_LINES:]))
        error.add_note(
            f"seed {seed}: again with play({seed}, {node_count}, {replicas}, {chaos_ms}, moves={moves})"
        )
        raise
    return cluster


def _set_slot(slot: int, action: SlotAction, name: NodeId, core: Core, now_ms: int) -> None:
    core.set_slot(slot, action, name, now_ms)


class Chaos:
    """Makes a cluster's life hard, one fault after the other, several at a time.

    Every fault ends by itself, some time later; `Cluster.settle` ends what is left. `node_timeout_ms` sets
    the scale: a fault may be too short to be noticed or long enough for a fail-over.
    """

    def __init__(self, cluster: Cluster, rng: Random, node_timeout_ms: int, *, moves: bool) -> None:
        self._cluster = cluster
        self._rng = rng
        self._node_timeout_ms = node_timeout_ms
        self._faults: list[Callable[[], None]] = [
            self._crash,
            self._crash,
            self._crash_between_effects,
            self._power_off,
            self._pause,
            self._pause,
            self._partition,
            self._partition,
            self._bad_weather,
            self._manual_failover,
        ]
        if moves:
            self._faults += [self._move_slots, self._move_slots]

    def run(self, for_ms: int) -> None:
        cluster, rng = self._cluster, self._rng
        end_ms = cluster.agenda.now_ms + for_ms
        while cluster.agenda.now_ms < end_ms:
            rng.choice(self._faults)()
            cluster.advance(rng.randint(1, 2 * self._node_timeout_ms))

    def _running(self) -> int | None:
        """Any node whose process runs."""
        numbers = [node.number for node in self._cluster.nodes if node.life and not node.life.paused]
        return self._rng.choice(numbers) if numbers else None

    def _some_time_ms(self) -> int:
        return self._rng.randint(1, 4 * self._node_timeout_ms)

    def _restart_later(self, number: int) -> None:
        def restart() -> None:
            if self._cluster[number].life is None:
                self._cluster.start(number)

        self._cluster.agenda.after(self._some_time_ms(), restart)

    def _crash(self) -> None:
        number = self._running()
        if number is not None:
            self._cluster.crash(number)
            self._restart_later(number)

    def _power_off(self) -> None:
        number = self._running()
        if number is not None:
            self._cluster.power_off(number)
            self._restart_later(number)

    def _crash_between_effects(self) -> None:
        """The node that carries out some effect soon is killed before it."""
        effects_left = self._rng.randint(1, 200)

        def strike(number: int) -> bool:
            nonlocal effects_left
            effects_left -= 1
            if effects_left:
                return False
            self._cluster.strike = None
            self._restart_later(number)
            return True

        self._cluster.strike = strike

    def _pause(self) -> None:
        number = self._running()
        if number is not None:
            self._cluster.pause(number, self._some_time_ms())

    def _partition(self) -> None:
        numbers = [node.number for node in self._cluster.nodes]
        self._rng.shuffle(numbers)
        cut = self._rng.randint(1, len(numbers) // 2)
        self._cluster.partition([sorted(numbers[:cut])])
        self._cluster.agenda.after(self._some_time_ms(), self._cluster.heal)

    def _bad_weather(self) -> None:
        network = self._cluster.network
        slowest_ms = self._rng.choice((5, 50, 500))
        network.weather = Weather(
            (1, slowest_ms), self._rng.choice((0, 0.05, 0.3)), self._rng.choice((0, 0.02))
        )
        self._cluster.note(f"weather {network.weather}")

        def clear() -> None:
            network.weather = Weather()

        self._cluster.agenda.after(self._some_time_ms(), clear)

    def _manual_failover(self) -> None:
        """An operator asks some replica to take over; whether that succeeds is not our business."""
        replicas = [
            node.number
            for node in self._cluster.nodes
            if node.life and not node.life.paused and node.life.core.state.me.primary is not None
        ]
        if replicas:
            force = self._rng.random() < 0.5
            number = self._rng.choice(replicas)
            self._cluster.note(f"{number} is told to take over{' by force' if force else ''}")
            self._cluster.try_failover(number, force=force)

    def _move_slots(self) -> None:
        """An operator moves some slots; a node that is down misses the order to hand them over."""
        owners = [
            node.number
            for node in self._cluster.nodes
            if node.life and not node.life.paused and node.life.core.state.me.slots
        ]
        if len(owners) < 2:
            return
        source, target = self._rng.sample(owners, 2)
        slots = list(self._cluster.core(source).state.me.slots)
        first = self._rng.randrange(len(slots))
        moved = slots[first : first + self._rng.randint(1, 3)]
        self._cluster.note(f"slots {moved} are to move from {source} to {target}")
        prepared = self._order(target, SlotAction.IMPORTING, moved, source) and self._order(
            source, SlotAction.MIGRATING, moved, target
        )

        def hand_over() -> None:
            # The target first, as all tools do: it must claim the slots before the source lets go of them,
            # and, as ctl sees to, with a greater epoch, or an old claim of the source's takes them back.
            if self._is_acquainted(target, source) and self._order(target, SlotAction.NODE, moved, target):
                self._order(source, SlotAction.NODE, moved, target)

        if prepared:
            self._cluster.agenda.after(self._rng.randint(1, self._node_timeout_ms), hand_over)

    def _is_acquainted(self, number: int, other: int) -> bool:
        """Whether a node knows another's config epoch."""
        life, others = self._cluster[number].life, self._cluster[other].life
        if life is None or others is None:
            return False
        seen = life.core.state.members.get(self._cluster.name_of(other))
        return seen is not None and seen.config_epoch == others.core.state.me.config_epoch

    def _order(self, number: int, action: SlotAction, slots: list[int], peer: int) -> bool:
        """CLUSTER SETSLOT at a node for some slots; whether it ran, agreed and lived to say so."""
        name = self._cluster.name_of(peer)
        for slot in slots:
            life = self._cluster[number].life
            if life is None or life.paused:
                return False
            try:
                self._cluster.act(number, partial(_set_slot, slot, action, name))
            except ClusterError as refusal:
                self._cluster.note(f"{number} refuses {action.value} of {slot}: {refusal}")
                return False
            if life.dead:
                return False
        return True
