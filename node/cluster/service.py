"""The node's part in the cluster: drives the gossip core and carries out what it wants.

One driver, no concurrency: whatever happens (a frame, a deadline, an operator's order, a process that wakes
up) is told to the core, and then `carry_out` does its effects in their order. Local effects and nodes.conf
come before anything is sent; a node that cannot write nodes.conf ends, since a vote it cannot remember must
not be given.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import TypeGuard, TypeVar

import trio

from gossip.core import Core
from gossip.effects import (
    BecomePrimary,
    CloseLink,
    Deliver,
    Effect,
    FlushAll,
    FollowPrimary,
    Log,
    OpenLink,
    PauseWrites,
    Persist,
    ResumeWrites,
    RoutesChanged,
    Send,
    SlotsLost,
)
from gossip.errors import ClusterError
from gossip.member import LinkId, Member
from gossip.messages import Message, MessageType, Ping
from gossip.settings import Host
from gossip.slots import SlotSet
from gossip.state import ClusterState
from node.clock import SteadyClock
from node.cluster.bus import Bus, Secure, unsecured
from node.cluster.endpoints import audience
from node.cluster.nodes_file import NodesFile, NodesFileError
from node.cluster.routing import KeyExists, Router
from node.cluster.settings import FOLLOWED, bus_port, core_settings
from node.command.session import Session
from node.config import table as directives
from node.config.config import Config
from node.errors import CommandError
from node.log import Log as NodeLog

T = TypeVar("T")


@dataclass
class Hands:
    """What the core's local effects do to the rest of the node; handed in by node.app."""

    follow: Callable[[str, int], None]
    promote: Callable[[], None]
    drop_slots: Callable[[SlotSet], None]
    pause_writes: Callable[[int], None]  # for so many milliseconds
    resume_writes: Callable[[], None]
    flush_all: Callable[[], None]
    fatal: Callable[[str], None]
    role_changed: Callable[[], None]
    deliver: list[Callable[[bytes, bytes, bool], object]] = field(default_factory=list)


class Cluster:
    """One per node in cluster mode. Raises NodesFileError at construction when nodes.conf cannot be used.

    `in_script`, set by the application: whether a script runs, in whose midst `hear` may be called.
    """

    def __init__(
        self,
        config: Config,
        log: NodeLog,
        host: Host,
        hands: Hands,
        key_exists: KeyExists,
        rng: Random,
        secure: Secure = unsecured,
    ) -> None:
        self._config = config
        self._log = log
        self._clock = SteadyClock()
        self._hands = hands
        self._sleep: trio.CancelScope | None = None
        self._due_ms = 0  # until when the timekeeper sleeps
        self._busy = False
        self._running = False
        self._to_persist: Persist | None = None
        self._to_send: list[Effect] = []
        self._put_off: list[Effect] = []
        self.in_script: Callable[[], bool] = lambda: False
        self._file = NodesFile(config.resolve(config[directives.CLUSTER_CONFIG_FILE]))
        now_ms = self._clock.now_ms()
        state = self._file.load(now_ms, rng)
        if state is None:
            state = ClusterState.fresh(rng)
            log.notice(f"No cluster configuration found, I'm {state.me.node_id}")
        else:
            log.notice(f"Node configuration loaded, I'm {state.me.node_id}")
        self._bus_port = bus_port(config)
        self.core = Core(core_settings(config, self._bus_port), state, host, rng, now_ms)
        self._file.save(state, fsync=True)
        self.bus = Bus(
            self,
            timeout_s=lambda: self.core.settings.node_timeout_ms / 1000,
            send_limit_bytes=lambda: config[directives.CLUSTER_LINK_SENDBUF_LIMIT],
            source_address=lambda: config[directives.BIND_SOURCE_ADDR],
            secure=secure,
            warn=log.warning,
        )
        self.cut: frozenset[str] = frozenset()  # whom a fault on purpose keeps us from: node ids
        self.router = Router(
            self.core,
            self.endpoint,
            lambda: config[directives.CLUSTER_ALLOW_READS_WHEN_DOWN],
            lambda: config[directives.CLUSTER_ALLOW_PUBSUBSHARD_WHEN_DOWN],
            key_exists,
        )
        config.on_change_of(FOLLOWED, self._settings_changed)
        self._state = state

    async def run(self, listeners: list[socket.socket]) -> None:
        """The task; runs until cancelled."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.bus.run, listeners, self._started)
                nursery.start_soon(self._keep_time)
        finally:
            self._running = False
            self._file.close()

    def _started(self) -> None:
        self._running = True
        self.carry_out()

    # What happens is told to the core

    def wake(self) -> None:
        """Called before every turn: a primary that was stopped must not serve what waits in its sockets."""
        if self.core.woke_up(self._clock.now_ms()):
            self.carry_out()

    def hear(self) -> None:
        """For a command that keeps the loop for long (a script): peers are heard and answered, and time
        passes, so that they go on to count on this node.

        What would change data or role under that command (`_UNSETTLING`) waits for its end.
        """
        if not self._running:
            return
        self.bus.hear()
        now_ms = self._clock.now_ms()
        if now_ms >= self.core.next_deadline_ms():
            self.core.tick(now_ms)
            self.carry_out()

    def order(self, what: Callable[[Core, int], T], *, in_rows: bool = False) -> T:
        """An operator's order. Raises CommandError with Redis's text when the core refuses it.

        Orders that come `in_rows` are carried out in memory at once; nodes.conf is written, and others are
        told, once for all of a turn, before its replies leave (`end_of_turn`).
        """
        try:
            return what(self.core, self._clock.now_ms())
        except ClusterError as refused:
            raise CommandError(f"{refused.code} {refused}".encode()) from None
        finally:
            if in_rows:
                self._hold()
            else:
                self.carry_out()

    def end_of_turn(self) -> None:
        """Called before replies leave: what orders in rows left to do is done."""
        if self._to_persist or self._to_send or self._put_off:
            self.carry_out()

    def accepted(self, peer_ip: str, local_ip: str) -> LinkId:
        link = self.core.accepted(peer_ip, local_ip, self._clock.now_ms())
        self.carry_out()
        return link

    def opened(self, link: LinkId) -> None:
        self.core.link_opened(link, self._clock.now_ms())
        self.carry_out()

    def failed(self, link: LinkId, *, refused: bool) -> None:
        self.core.link_failed(link, self._clock.now_ms(), refused=refused)
        self.carry_out()

    def closed(self, link: LinkId) -> None:
        self.core.link_closed(link, self._clock.now_ms())
        self.carry_out()

    def received(self, link: LinkId, message: Message) -> None:
        if self.cut and self._is_lost(link, message):
            return
        self.core.receive(link, message, self._clock.now_ms())
        self.carry_out()

    def bad_frame(self, link: LinkId, problem: str) -> None:
        self.core.bad_frame(link, problem, self._clock.now_ms())
        self.carry_out()

    def publish(self, channel: bytes, message: bytes, sharded: bool) -> None:
        """A client has published here: tells every node, or (a shard channel) those of our shard."""
        self.core.publish(channel, message, self._clock.now_ms(), sharded=sharded)
        self.carry_out()

    async def _keep_time(self) -> None:
        """Ticks the core at each of its deadlines."""
        while True:
            self._due_ms = self.core.next_deadline_ms()
            with trio.move_on_after(max(0, self._due_ms - self._clock.now_ms()) / 1000) as self._sleep:
                await trio.sleep_forever()
            self._sleep = None
            now_ms = self._clock.now_ms()
            if now_ms >= self.core.next_deadline_ms():
                self.core.tick(now_ms)
                self.carry_out()

    def _settings_changed(self) -> None:
        self.core.settings = core_settings(self._config, self._bus_port)
        self.carry_out()

    # What the core wants is carried out

    def carry_out(self) -> None:
        """Does the effects that have gathered, in order, and arms the next deadline."""
        if self._busy or not self._running:
            return  # the outer call, or the start, does what is left
        self._busy = True
        try:
            self._do_held()
            self._do_put_off()
            while effects := self.core.drain():
                for effect in effects:
                    self._do(effect)
        except NodesFileError as failed:
            self._hands.fatal(f"{failed}; this node ends, since it must not promise what it cannot keep")
        finally:
            self._busy = False
        self._arm()

    def _hold(self) -> None:
        """Does what concerns this process alone; the disk and the network come with `carry_out`, in order."""
        if self._busy or not self._running:
            return
        for effect in self.core.drain():
            if isinstance(effect, Persist):
                self._to_persist = Persist(effect.fsync or (self._to_persist or effect).fsync)
            elif isinstance(effect, Send | OpenLink | CloseLink):
                self._to_send.append(effect)
            else:
                self._do(effect)

    def _do_held(self) -> None:
        persist, self._to_persist = self._to_persist, None
        sends, self._to_send = self._to_send, []
        if persist is not None:
            self._do(persist)
        last = {effect.link: effect for effect in sends if _is_pong(effect)}
        for effect in sends:
            # Of several heartbeats to a peer, the last has all that the ones before it say.
            if not _is_pong(effect) or last[effect.link] is effect:
                self._do(effect)

    def _do_put_off(self) -> None:
        if not self.in_script():
            effects, self._put_off = self._put_off, []
            for effect in effects:
                self._do(effect)

    def _do(self, effect: Effect) -> None:
        hands = self._hands
        if isinstance(effect, _UNSETTLING) and self.in_script():
            self._put_off.append(effect)
            return
        match effect:
            case Send(link=link, message=message):
                if not (self.cut and self._is_lost(link, None)):
                    self.bus.send(link, message)
            case Persist(fsync=fsync):
                self._file.save(self._state, fsync=fsync)
            case RoutesChanged():
                self.router.rebuild()
                hands.role_changed()
            case Log(level=level, text=text):
                getattr(self._log, level.value)(text)
            case OpenLink(link=link, ip=ip, bus_port=port):
                self.bus.open(link, ip, port)
            case CloseLink(link=link):
                self.bus.close(link)
            case FollowPrimary(host=host, port=port):
                hands.follow(host, port)
            case BecomePrimary():
                hands.promote()
            case SlotsLost(slots=slots):
                hands.drop_slots(slots)
            case PauseWrites(until_ms=until_ms):
                hands.pause_writes(until_ms - self._clock.now_ms())
            case ResumeWrites():
                hands.resume_writes()
            case FlushAll():
                hands.flush_all()
            case Deliver(channel=channel, payload=payload, sharded=sharded):
                for deliver in hands.deliver:
                    deliver(channel, payload, sharded)

    # Faults on purpose

    def cut_off(self, peers: frozenset[str]) -> None:
        """From now on frames to and from these node ids vanish."""
        self.cut = peers

    def join(self, peers: frozenset[str]) -> None:
        """They do not any more. A link keeps order and loses nothing, so those that did otherwise end."""
        self.cut = frozenset()
        for link in [each.id for each in self.core.links if self.core.peer_of(each.id) in peers]:
            self.bus.close(link)
            self.closed(link)

    def slow_syncs(self, before_sync: Callable[[], None]) -> None:
        """`before_sync` is called before nodes.conf is synced."""
        self._file.before_sync = before_sync

    def _is_lost(self, link: LinkId, message: Message | None) -> bool:
        header = message.header if message is not None else None
        return self.core.peer_of(link) in self.cut or (header is not None and header.sender in self.cut)

    def _arm(self) -> None:
        """Wakes the timekeeper when the next deadline is sooner than it knows."""
        if self._sleep is not None and self.core.next_deadline_ms() < self._due_ms:
            self._sleep.cancel()

    # What clients are told

    def endpoint(self, session: Session, member: Member) -> str:
        """The address of a redirect; its host is empty for the one that the client used already."""
        told = audience(self._config, session.address, over_tls=session.over_tls)
        return f"{told.host(member) or ''}:{told.port(member)}"


_UNSETTLING = (FollowPrimary, BecomePrimary, SlotsLost, FlushAll)


def _is_pong(effect: Effect) -> TypeGuard[Send]:
    message = effect.message if isinstance(effect, Send) else None
    return isinstance(message, Ping) and message.type is MessageType.PONG
