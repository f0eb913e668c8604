"""The gossip core: what a node of the cluster knows, and what it does when something happens.

The core is a state machine without input or output of its own. An adapter tells it what happened, and when;
the core changes its state and notes effects; the adapter fetches them with `drain` and carries them out in
order. `gossip.effects` says what each one asks for, and in which order they come.

    link = core.accepted(peer_ip, local_ip, now_ms)      a connection to our bus port
    core.link_opened(link, now_ms) / link_failed(…)      what became of an OpenLink
    core.receive(link, message, now_ms)                  a frame, decoded
    core.link_closed(link, now_ms) / bad_frame(…)        the end of a link
    core.tick(now_ms)                                    at `next_deadline_ms()` at the latest
    core.meet(…), core.failover(…), …                    an operator's order
    effects = core.drain()                               after every one of these

Rules for the adapter. Times are Unix milliseconds and never run backwards. `drain` follows each input
without anything in between, and its local effects are carried out without waiting: a PauseWrites, say, must
hold before any client's command is run, because the offset it goes with has been read already. A Persist
ends before what comes after it begins. Before serving clients after having waited, the adapter asks
`woke_up`.

The parts, each a module with its theory on top: detector (who is alive), handshake (who belongs, and where),
hearsay (gossip read), speaker (heartbeats written), claims (who owns what), epochs, election, failover,
replica_migration, confirmation, vacancy and health (may we serve), admin (the operator). They share a
`Context` and do not know the core.

Source: the Redis cluster specification.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from random import Random

from gossip.admin import Admin, FailoverMode, SlotAction
from gossip.claims import Claims
from gossip.confirmation import Confirmation
from gossip.context import Context, Duty
from gossip.detector import Detector
from gossip.effects import Deliver, Effect, LogLevel
from gossip.election import Candidate, Voter
from gossip.epochs import Epochs
from gossip.failover import ManualFailover, Roles
from gossip.handover import Handover, Question
from gossip.handshake import Handshake
from gossip.health import Down, Health
from gossip.hearsay import Hearsay
from gossip.links import Links
from gossip.member import Link, LinkId, Member
from gossip.messages import (
    AuthAck,
    AuthRequest,
    Fail,
    Header,
    ManualFailoverStart,
    Message,
    MessageFlag,
    MessageType,
    Module,
    NodeFlag,
    NodeId,
    Ping,
    Publish,
    Update,
)
from gossip.replica_migration import ReplicaMigration
from gossip.settings import Host, Settings
from gossip.slots import SlotSet
from gossip.speaker import Speaker, type_of
from gossip.state import ClusterState
from gossip.vacancy import Vacancy

ALIVE_FRACTION = 3


class Core:
    """One node's part in the cluster. `state` is for reading; only the core changes it."""

    def __init__(self, settings: Settings, state: ClusterState, host: Host, rng: Random, now_ms: int) -> None:
        """Take up the work, alone or with the members `state` brings from a file."""
        ctx = self._ctx = Context(state, settings, host, rng, now_ms)
        self.state = state
        self._speaker = Speaker(ctx)
        self._links = Links(ctx)
        self._epochs = Epochs(ctx)
        self._detector = Detector(ctx, self._speaker, self._links)
        self._handshake = Handshake(ctx, self._links)
        self._hearsay = Hearsay(ctx, self._detector, self._handshake)
        self._manual = ManualFailover(ctx, self._speaker)
        self._roles = Roles(ctx, self._speaker, self._manual)
        self._claims = Claims(ctx, self._speaker, self._roles)
        self._voter = Voter(ctx, self._speaker)
        self._candidate = Candidate(ctx, self._speaker, self._epochs, self._roles)
        self._migration = ReplicaMigration(ctx, self._roles)
        self._confirmation = Confirmation(ctx, self._speaker)
        self._vacancy = Vacancy(ctx)
        self._health = Health(ctx, self._confirmation, self._vacancy)
        self._handover = Handover(ctx, self._speaker, self._epochs)
        self._admin = Admin(
            ctx, self._speaker, self._handshake, self._epochs, self._roles, self._manual, self._candidate
        )
        self._duties: dict[Duty, Callable[[], None]] = {
            Duty.ALIVE: self._stay_awake,
            Duty.RANDOM_PING: self._detector.ping_random,
            Duty.HEALTH: self._recheck,
            Duty.QUORUM: self._health.watch_quorum,
            Duty.CONFIRM: self._confirmation.proceed,
            Duty.ELECTION: self._candidate.proceed,
            Duty.MANUAL_FAILOVER: self._manual.proceed,
            Duty.REPLICA_MIGRATION: self._migration.check,
        }
        self._start()

    def _start(self) -> None:
        ctx = self._ctx
        self.state.lead_with(tls=ctx.settings.tls_first)
        self._announce()
        for member in self.state.others():
            member.created_ms = ctx.now_ms
            member.pfail = False
            # Times of the last run mean nothing now, but that there was one does.
            member.ping_sent_ms = 0
            member.pong_received_ms = ctx.now_ms if member.pong_received_ms else 0
            member.failed_ms = ctx.now_ms if member.failed else 0
            ctx.timers.by(member, ctx.now_ms)
        self._stay_awake()
        ctx.timers.at(Duty.RANDOM_PING, ctx.now_ms + ctx.rng.randrange(1_000))
        self._migration.check()
        self._confirmation.begin(paused=False)
        self._settle()

    # the frame around every input

    @contextmanager
    def _input(self, now_ms: int) -> Iterator[Context]:
        self._pass_time(now_ms)
        yield self._ctx
        self._settle()

    def _pass_time(self, now_ms: int) -> bool:
        """Set the time; whether it had a gap in which we cannot have been running."""
        ctx = self._ctx
        gap_ms = now_ms - ctx.now_ms
        ctx.now_ms = max(now_ms, ctx.now_ms)
        if gap_ms <= ctx.settings.node_timeout_ms:
            return False
        ctx.log(LogLevel.WARNING, f"This node was paused for {gap_ms} milliseconds.")
        self._detector.shift(gap_ms)
        self._confirmation.begin(paused=True)
        return True

    def _settle(self) -> None:
        """Draw the conclusions from what an input changed, until nothing follows any more."""
        ctx = self._ctx
        if ctx.me.is_replica:
            self._roles.refresh()
            if ctx.manual.active:
                self._manual.proceed()
            self._candidate.proceed()
        while ctx.recheck_wanted:
            ctx.recheck_wanted = False
            self._confirmation.proceed()
            self._health.update()

    def _recheck(self) -> None:
        self._ctx.recheck_wanted = True

    def _stay_awake(self) -> None:
        period_ms = max(self._ctx.settings.node_timeout_ms // ALIVE_FRACTION, 10)
        self._ctx.timers.at(Duty.ALIVE, self._ctx.now_ms + period_ms)

    # time

    def next_deadline_ms(self) -> int:
        """When `tick` is due at the latest; there is always something to wait for."""
        next_ms = self._ctx.timers.next_ms()
        assert next_ms is not None
        return next_ms

    def tick(self, now_ms: int) -> None:
        """Do what time brings."""
        with self._input(now_ms) as ctx:
            while (key := ctx.timers.pop(ctx.now_ms)) is not None:
                if isinstance(key, Duty):
                    self._duties[key]()
                elif self._handshake.expired(key):
                    self._handshake.forget(key)
                else:
                    self._detector.examine(key)

    def woke_up(self, now_ms: int) -> bool:
        """Whether this process did not run for longer than the node time-out; if so, drain before serving.

        Cheap enough for every turn of an event loop: it is what keeps a primary that was stopped from
        acknowledging what waits in its sockets (`gossip.confirmation`).
        """
        if now_ms - self._ctx.now_ms <= self._ctx.settings.node_timeout_ms:
            self._ctx.now_ms = max(now_ms, self._ctx.now_ms)
            return False
        self._pass_time(now_ms)
        self._settle()
        return True

    # links

    def accepted(self, peer_ip: str, local_ip: str, now_ms: int) -> LinkId:
        """A peer has connected to our bus port; returns the name of the link."""
        with self._input(now_ms):
            return self._links.accept(peer_ip, local_ip)

    def link_opened(self, link_id: LinkId, now_ms: int) -> None:
        """An OpenLink has succeeded."""
        with self._input(now_ms) as ctx:
            link = ctx.links.get(link_id)
            if link is None or link.member is None:
                return
            link.is_open = True
            member = link.member
            member.refused_since_ms = 0
            kind = MessageType.MEET if member.wants_meet else MessageType.PING
            self._speaker.ping(link, kind)
            member.wants_meet = False

    def link_failed(self, link_id: LinkId, now_ms: int, *, refused: bool) -> None:
        """An OpenLink has failed; `refused`: the host itself answered that nothing listens there."""
        with self._input(now_ms) as ctx:
            link = ctx.links.get(link_id)
            if link is None or link.member is None:
                return
            member = link.member
            self._links.failed(link)
            if refused:
                self._detector.refused(member)
            else:
                member.refused_since_ms = 0

    def link_closed(self, link_id: LinkId, now_ms: int) -> None:
        """A link has ended on its peer's side, or by an error."""
        with self._input(now_ms) as ctx:
            if (link := ctx.links.get(link_id)) is not None:
                self._links.lost(link)

    def bad_frame(self, link_id: LinkId, problem: str, now_ms: int) -> None:
        """What came on a link is no frame of the bus: the link is closed."""
        with self._input(now_ms) as ctx:
            if (link := ctx.links.get(link_id)) is not None:
                who = link.member.label if link.member is not None else link.peer_ip
                ctx.log(LogLevel.WARNING, f"Closing cluster bus link with {who}: {problem}")
                self._links.close(link)

    # messages

    def receive(self, link_id: LinkId, message: Message, now_ms: int) -> None:
        """A message came on a link."""
        with self._input(now_ms) as ctx:
            link = ctx.links.get(link_id)
            if link is None:
                return
            ctx.received[type_of(message)] += 1
            sender = self._sender(link, message.header)
            if sender is not None and sender.myself:
                self._met_ourselves(link)
                return
            if sender is not None:
                sender.data_received_ms = ctx.now_ms
                self._health.heard(sender)
                if sender.link is None:
                    ctx.timers.by(sender, ctx.now_ms)
                if message.header is not None:
                    self._observe(sender, message.header)
            if isinstance(message, Ping):
                self._heartbeat(link, sender, message)
            elif sender is not None:
                self._from_member(link, sender, message)
            elif isinstance(message, Fail):
                text = f"Ignoring FAIL message from unknown node {message.header.sender} about {message.node}"
                ctx.log(LogLevel.NOTICE, text)

    def _sender(self, link: Link, header: Header | None) -> Member | None:
        """The member that speaks; None for a stranger."""
        if header is None:
            return link.member if link.member is not None and not link.member.handshake else None
        member = self.state.members.get(header.sender)
        if member is None or member.handshake:
            return None
        if link.inbound and link.member is None and not member.myself:
            self._links.adopt(link, member)
        return member

    def _met_ourselves(self, link: Link) -> None:
        """Somebody bears our name: we were told to meet ourselves, or a copy of our nodes.conf is about."""
        member = link.member
        if member is not None and member.handshake:
            self._handshake.forget(member)
        elif member is not None and member.link is link:
            self._handshake.answered_by_another(member)
        elif (
            link.inbound
            and member is None
            and any(other.handshake and other.link is not None for other in self.state.members.values())
        ):
            # Very likely the other end of our own handshake; its outbound end needs this answer.
            self._speaker.ping(link, MessageType.PONG)
        else:
            text = f"A node at {link.peer_ip} uses my node ID; is my nodes.conf used twice? Closing its link."
            self._ctx.log(LogLevel.WARNING, text)
            self._links.close(link)

    def _observe(self, sender: Member, header: Header) -> None:
        if header.message_flags & MessageFlag.EXT_DATA:
            sender.extensions = True
        sender.light_publish = bool(header.flags & NodeFlag.LIGHT_PUBLISH_SUPPORTED)
        self._epochs.observe(sender, header)
        sender.offset = header.offset
        sender.offset_ms = self._ctx.now_ms
        self._manual.observe(sender, header)

    def _heartbeat(self, link: Link, sender: Member | None, ping: Ping) -> None:
        """PING, PONG or MEET."""
        header = ping.header
        if ping.type is not MessageType.PONG:
            if ping.type is MessageType.MEET or not self._ctx.me.ip:
                self._handshake.learn_own_address(link)
            if sender is None and ping.type is MessageType.MEET:
                self._handshake.met(link, header)
            self._speaker.ping(link, MessageType.PONG)
        if not link.inbound:
            member = link.member
            assert member is not None
            if ping.type is MessageType.PONG:
                link.unanswered = max(link.unanswered - 1, 0)
            if member.handshake:
                if not self._handshake.finish(link, header):
                    return
                sender = member
                sender.data_received_ms = self._ctx.now_ms
                self._observe(sender, header)
            elif member is not sender:
                self._handshake.answered_by_another(member)
                return
        if sender is not None:
            self._learn(link, sender, ping)

    def _learn(self, link: Link, sender: Member, ping: Ping) -> None:
        """Take in all that a member's heartbeat tells."""
        header = ping.header
        sender.no_failover = bool(header.flags & NodeFlag.NOFAILOVER)
        if ping.type is MessageType.PING:
            self._handshake.update_address(sender, link, header)
        elif not link.inbound:
            if sender.extensions and ping.extensions.shard_id is None:
                sender.silent_pongs += 1
            self._detector.answered(sender)
        self._claims.learn_role(sender, header)
        self._claims.compare(sender, header)
        self._claims.leave_sub_replica()
        self._epochs.resolve_collision(sender, header)
        self._hearsay.listen(sender, ping)
        self._hearsay.read_extensions(sender, ping.extensions)
        if ping.type is MessageType.PONG and not link.inbound and sender.node_id in self.state.members:
            self._confirmation.answered(sender, link, ping)
            self._handover.answered(sender, link)

    def _from_member(self, link: Link, sender: Member, message: Message) -> None:
        match message:
            case Fail(node=node):
                about = self.state.members.get(node)
                if about is not None and not (about.failed or about.myself or about.handshake):
                    text = f"FAIL message received from {sender.label} about {about.label}"
                    self._ctx.log(LogLevel.NOTICE, text)
                    self._detector.mark_failed(about)
            case Update():
                self._claims.updated(message)
            case AuthRequest(header=header):
                self._candidate.rival_asked(header)
                self._voter.asked(sender, header)
            case AuthAck(header=header):
                self._candidate.voted(sender, header)
            case ManualFailoverStart():
                self._manual.requested(link, sender)
            case Publish(channel=channel, payload=payload, sharded=sharded):
                self._ctx.local.append(Deliver(channel, payload, sharded))
            case Module() | Ping():
                pass

    # the operator

    def meet(self, ip: str, port: int, bus_port: int, now_ms: int) -> None:
        """CLUSTER MEET. Raises ClusterError, as do all orders."""
        with self._input(now_ms):
            self._handshake.meet(ip, port, bus_port)

    def forget(self, node_id: NodeId, now_ms: int) -> None:
        """CLUSTER FORGET."""
        with self._input(now_ms):
            self._admin.forget(node_id)

    def add_slots(self, slots: Iterable[int], now_ms: int) -> None:
        """CLUSTER ADDSLOTS and ADDSLOTSRANGE; the slots are in range."""
        with self._input(now_ms):
            self._admin.add_slots(slots)

    def del_slots(self, slots: Iterable[int], now_ms: int) -> None:
        """CLUSTER DELSLOTS and DELSLOTSRANGE; the slots are in range."""
        with self._input(now_ms):
            self._admin.del_slots(slots)

    def flush_slots(self, now_ms: int) -> None:
        """CLUSTER FLUSHSLOTS."""
        with self._input(now_ms):
            self._admin.flush_slots()

    def set_slot(
        self, slot: int, action: SlotAction, node_id: NodeId, now_ms: int, *, told: bool = False
    ) -> None:
        """CLUSTER SETSLOT; `node_id` is "" for STABLE. `told`: by our primary, as its replica."""
        with self._input(now_ms):
            self._admin.set_slot(slot, action, node_id, told=told)

    def check_set_slot(
        self, slot: int, action: SlotAction, node_id: NodeId, now_ms: int, *, told: bool = False
    ) -> None:
        """Raises ClusterError for what `set_slot` would refuse now."""
        with self._input(now_ms):
            self._admin.check_set_slot(slot, action, node_id, told=told)

    def take_slots(self, slots: SlotSet, above_epoch: int, now_ms: int) -> None:
        """The end of an atomic migration: they are ours, with a config epoch above all we know and
        `above_epoch`, and everybody is told. Not while `hold_epoch` is on.
        """
        with self._input(now_ms):
            self._handover.take(slots, above_epoch)

    def hold_epoch(self, on: bool) -> None:
        """While on, our config epoch stays: slots were granted to a node that may have taken them under a
        greater one, and a new epoch of ours would take them back.
        """
        self._ctx.epoch_held = on

    def keep_slots(self, now_ms: int) -> None:
        """A migration away from us is off: our claim is renewed above any that its target may have made."""
        with self._input(now_ms):
            self._handover.keep()

    def ask_majority(self, on_settled: Callable[[], None], now_ms: int) -> Question:
        """Calls back once a majority of primaries has answered with our claims before them
        (`gossip.handover`); never, if it does not. `on_settled` may not give orders.
        """
        with self._input(now_ms):
            return self._handover.ask(on_settled)

    def forget_question(self, question: Question, now_ms: int) -> None:
        """The answer is not wanted any more."""
        with self._input(now_ms):
            self._handover.forget(question)

    def replicate(self, node_id: NodeId, now_ms: int) -> None:
        """CLUSTER REPLICATE."""
        with self._input(now_ms):
            self._admin.replicate(node_id)

    def failover(self, mode: FailoverMode, now_ms: int) -> None:
        """CLUSTER FAILOVER."""
        with self._input(now_ms):
            self._admin.failover(mode)

    def reset(self, now_ms: int, *, hard: bool) -> None:
        """CLUSTER RESET."""
        with self._input(now_ms):
            self._admin.reset(hard=hard)

    def set_config_epoch(self, epoch: int, now_ms: int) -> None:
        """CLUSTER SET-CONFIG-EPOCH."""
        with self._input(now_ms):
            self._epochs.set_first(epoch)

    def bump_epoch(self, now_ms: int) -> tuple[bool, int]:
        """CLUSTER BUMPEPOCH: whether our config epoch changed, and what it is now."""
        with self._input(now_ms) as ctx:
            return self._epochs.bump(), ctx.me.config_epoch

    def save_config(self, now_ms: int) -> None:
        """CLUSTER SAVECONFIG."""
        with self._input(now_ms) as ctx:
            ctx.save(fsync=True)

    def adopt_keys(self, slots: SlotSet, now_ms: int) -> None:
        """Keys of these slots were loaded from disk: agree with them. Once, at start."""
        with self._input(now_ms):
            self._admin.adopt_keys(slots)

    def lost_data(self, now_ms: int) -> None:
        """Nothing was there to load, and no file tells why: our replicas are asked first. Once, at start."""
        with self._input(now_ms):
            self._vacancy.begin()

    def publish(self, channel: bytes, payload: bytes, now_ms: int, *, sharded: bool) -> None:
        """A client published here: tell every node, or (SPUBLISH) those of our shard.

        Those that know light messages (ours and Valkey's) get these: all else that a header says is in the
        heartbeats, and to take it in costs a receiver many times what the message does.
        """
        with self._input(now_ms):
            members = self.state.shard() if sharded else list(self.state.others())
            light = Publish(None, channel, payload, sharded)
            for member in members:
                if member.light_publish:
                    self._speaker.send(member.link, light)
            older = [member for member in members if not member.light_publish]
            if older:
                full = Publish(self._speaker.header(), channel, payload, sharded)
                for member in older:
                    self._speaker.send(member.link, full)

    @property
    def settings(self) -> Settings:
        return self._ctx.settings

    @settings.setter
    def settings(self, settings: Settings) -> None:
        """CONFIG SET; every deadline is computed anew."""
        ctx = self._ctx
        ctx.settings = settings
        self.state.lead_with(tls=settings.tls_first)
        self._announce()
        for member in self.state.members.values():
            if not member.myself:
                ctx.timers.by(member, ctx.now_ms)
        self._stay_awake()
        ctx.save()
        ctx.recheck()
        self._settle()

    def _announce(self) -> None:
        """Our own entry shows what we announce."""
        me, settings = self._ctx.me, self._ctx.settings
        me.ip = settings.announce_ip or me.ip
        me.port, me.plain_port = settings.client_port, settings.client_plain_port
        me.bus_port = settings.peer_bus_port
        me.hostname, me.human_nodename = settings.announce_hostname, settings.announce_human_nodename
        me.client_ipv4, me.client_ipv6 = settings.announce_client_ipv4, settings.announce_client_ipv6
        me.no_failover = settings.replica_no_failover

    # reading

    def drain(self) -> list[Effect]:
        """What is to be done now, in order."""
        return self._ctx.take()

    @property
    def ok(self) -> bool:
        """The cluster's state as seen here; while it is not ok, keys are not served."""
        return self._ctx.ok

    @property
    def down(self) -> Down:
        """Why it is not ok."""
        return self._health.down

    def peer_of(self, link_id: LinkId) -> NodeId | None:
        """Who is at the other end of a link; None while that is not known."""
        link = self._ctx.links.get(link_id)
        return link.member.node_id if link is not None and link.member is not None else None

    @property
    def links(self) -> list[Link]:
        """All open links and those being opened, oldest first (CLUSTER LINKS)."""
        return list(self._ctx.links.values())

    @property
    def sent(self) -> Counter[MessageType]:
        """How many messages of each type were sent (CLUSTER INFO)."""
        return self._ctx.sent

    @property
    def received(self) -> Counter[MessageType]:
        """How many messages of each type were received (CLUSTER INFO)."""
        return self._ctx.received

    @property
    def pausing_for_failover(self) -> bool:
        """Whether a replica of ours is taking over by agreement."""
        return self._ctx.manual.paused

    def count_failure_reports(self, node_id: NodeId, now_ms: int) -> int:
        """CLUSTER COUNT-FAILURE-REPORTS."""
        with self._input(now_ms):
            return self._detector.count_reports(self._admin.member(node_id))

    def replicas(self, node_id: NodeId) -> list[Member]:
        """CLUSTER REPLICAS."""
        return self._admin.replicas(node_id)
