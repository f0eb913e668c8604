"""What this node says: headers, heartbeats with their gossip, and who is told.

A heartbeat carries our header, entries about some other members, and extensions. The entries are a tenth of
the members chosen at random, at least three: a member is then told of often enough that, within the
validity of a failure report, a majority's reports about a dead node reach every primary. All members we
suspect come on top, so that reports about them spread with every heartbeat. Left out are members in
handshake, without address, and those we have no link to that own no slots. A receiver that counts as failed
is told so: a primary that slept through its own failure needs to know (`gossip.confirmation`).

A replica repeats its primary's slots and config epoch; its flags and `replica_of` say that they are not its
own.

Source: the Redis cluster specification, "Heartbeat and gossip messages" and "Heartbeat packet content".
"""

from __future__ import annotations

from gossip.context import Context
from gossip.effects import Send
from gossip.member import Link, Member
from gossip.messages import (
    NO_FLAGS,
    AuthAck,
    AuthRequest,
    Extensions,
    Fail,
    ForgottenNode,
    GossipEntry,
    Header,
    ManualFailoverStart,
    Message,
    MessageFlag,
    MessageType,
    Module,
    NodeFlag,
    Ping,
    Publish,
    Update,
)

NO_EXTENSIONS = Extensions()


def type_of(message: Message) -> MessageType:
    """The type a message is counted as."""
    match message:
        case Ping(type=kind):
            return kind
        case Publish(sharded=sharded):
            return MessageType.PUBLISHSHARD if sharded else MessageType.PUBLISH
        case Fail():
            return MessageType.FAIL
        case Update():
            return MessageType.UPDATE
        case AuthRequest():
            return MessageType.FAILOVER_AUTH_REQUEST
        case AuthAck():
            return MessageType.FAILOVER_AUTH_ACK
        case ManualFailoverStart():
            return MessageType.MFSTART
        case Module():
            return MessageType.MODULE


def gossip_entry(member: Member) -> GossipEntry:
    return GossipEntry(
        node=member.node_id,
        ping_sent_s=member.ping_sent_ms // 1000,
        pong_received_s=member.pong_received_ms // 1000,
        ip=member.ip,
        port=member.port,
        bus_port=member.bus_port,
        flags=member.flags,
        plain_port=member.plain_port,
    )


class Speaker:
    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx

    # one message, one link

    def send(self, link: Link | None, message: Message) -> None:
        """Queue a message; what has no open link is lost, as on the wire."""
        if link is not None and link.is_open:
            self._ctx.network.append(Send(link.id, message))
            self._ctx.sent[type_of(message)] += 1

    def header(self, message_flags: MessageFlag = NO_FLAGS) -> Header:
        ctx = self._ctx
        me, settings = ctx.me, ctx.settings
        stands_for = ctx.state.my_primary or me
        flags = MessageFlag.EXT_DATA | message_flags
        if ctx.manual.paused:
            flags |= MessageFlag.PAUSED
        return Header(
            sender=me.node_id,
            flags=me.flags | NodeFlag.LIGHT_PUBLISH_SUPPORTED,
            current_epoch=ctx.state.current_epoch,
            config_epoch=stands_for.config_epoch,
            offset=ctx.host.offset(),
            slots=stands_for.slots,
            replica_of=me.primary.node_id if me.primary is not None else "",
            ip=settings.announce_ip,
            port=settings.client_port,
            bus_port=settings.peer_bus_port,
            plain_port=settings.client_plain_port,
            state_ok=ctx.ok,
            message_flags=flags,
        )

    def ping(self, link: Link | None, kind: MessageType = MessageType.PING) -> None:
        """Send a heartbeat. A PING or MEET on our own link starts the wait for its PONG."""
        if link is None or not link.is_open:
            return
        member = link.member
        if not link.inbound and kind is not MessageType.PONG:
            assert member is not None
            link.unanswered += 1
            if member.ping_sent_ms == 0:
                member.ping_sent_ms = self._ctx.now_ms
        gossip = tuple(gossip_entry(about) for about in self._talked_about(member))
        self.send(link, Ping(self.header(), kind, gossip, self._extensions(member)))

    def update(self, link: Link | None, about: Member) -> None:
        """Tell a node with stale claims who owns the slots now."""
        claimed = about.slots - self._ctx.state.unclaimed
        self.send(link, Update(self.header(), about.node_id, about.config_epoch, claimed))

    # many

    def broadcast(self, message: Message) -> None:
        for member in self._ctx.state.others():
            self.send(member.link, message)

    def broadcast_pong(self) -> None:
        """Tell every node of what changed here, without waiting for its next heartbeat."""
        for member in self._ctx.state.others():
            self.ping(member.link, MessageType.PONG)

    # content

    def _talked_about(self, receiver: Member | None) -> list[Member]:
        ctx = self._ctx
        count = len(ctx.state.members)
        wanted = min(max(count // 10, 3), count - 2)
        chosen: dict[str, Member] = {}
        for _ in range(wanted * 3):
            if len(chosen) >= wanted:
                break
            member = ctx.state.random_member(ctx.rng)
            if member.myself or member is receiver or member.pfail or member.handshake or member.no_address:
                continue
            if member.link is None and not member.slots:
                continue
            chosen[member.node_id] = member
        entries = list(chosen.values())
        entries += [member for member in ctx.suspected.values() if not member.no_address]
        if receiver is not None and receiver.failed:
            entries.append(receiver)
        return entries

    def _extensions(self, receiver: Member | None) -> Extensions:
        if receiver is None or not receiver.extensions:
            return NO_EXTENSIONS
        ctx = self._ctx
        hostname = ctx.settings.announce_hostname or None
        if not receiver.understands_shards:
            return Extensions(hostname=hostname)
        ctx.state.drop_old_forgotten(ctx.now_ms)
        return Extensions(
            hostname=hostname,
            human_nodename=ctx.settings.announce_human_nodename or None,
            client_ipv4=ctx.settings.announce_client_ipv4 or None,
            client_ipv6=ctx.settings.announce_client_ipv6 or None,
            shard_id=ctx.me.shard_id,
            forgotten=tuple(
                ForgottenNode(node_id, max((until_ms - ctx.now_ms) // 1000, 1))
                for node_id, until_ms in ctx.state.forgotten.items()
            ),
        )
