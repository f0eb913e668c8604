"""How nodes come to know each other, and how they keep up with each other's addresses.

A node joins because an operator says so (CLUSTER MEET), or because a member tells of it:

    meet(address) ──▶ stand-in member, random name ──link opens──▶ MEET ──PONG──▶ renamed, a member
    MEET received from a stranger ──▶ stand-in member ──link opens──▶ PING ──PONG──▶ renamed, a member
    gossip of a member about a node unknown ──▶ a member at once, by the name told

MEET is the only message that makes a stranger trusted, and it is sent only on an operator's word; so two
clusters do not merge because an address was used again. A stand-in that does not answer within the node
time-out (at least a second) is dropped. If the name behind the stand-in turns out to be known already, the
known member takes over the address and the stand-in goes.

Addresses. A node announces its ports in every header, and its address when it is configured to; otherwise the
address its PINGs come from is taken. When they differ from what we know, the member has moved. A node whose
link answers with another name is not there any more: its address is dropped until gossip brings a new one.
A node learns its own address from the address a MEET reached it at.

Source: the Redis cluster specification, "Nodes handshake".
"""

from __future__ import annotations

from ipaddress import ip_address

from gossip.context import Context
from gossip.effects import LogLevel
from gossip.errors import ClusterError
from gossip.links import Links
from gossip.member import Link, Member
from gossip.messages import GossipEntry, Header, NodeFlag, NodeId
from gossip.state import random_node_id


class Handshake:
    def __init__(self, ctx: Context, links: Links) -> None:
        self._ctx = ctx
        self._links = links

    # joining

    def meet(self, ip: str, port: int, bus_port: int) -> None:
        """Start a handshake with the node at an address; does nothing while one is under way.

        Raises ClusterError for what is no address.
        """
        try:
            normal_ip = str(ip_address(ip))
        except ValueError:
            normal_ip = ""
        if not (normal_ip and 0 < port < 65536 and 0 < bus_port < 65536):
            raise ClusterError(f"Invalid node address specified: {ip}:{port}")
        self._stand_in(normal_ip, port, bus_port, wants_meet=True)

    def met(self, link: Link, header: Header) -> None:
        """A stranger sent MEET: find out who it is by a link of our own."""
        self._stand_in(header.ip or link.peer_ip, header.port, header.bus_port, plain_port=header.plain_port)

    def _stand_in(
        self, ip: str, port: int, bus_port: int, *, plain_port: int = 0, wants_meet: bool = False
    ) -> None:
        ctx = self._ctx
        for member in ctx.state.members.values():
            if member.handshake and (member.ip, member.port, member.bus_port) == (ip, port, bus_port):
                return
        member = self._new_member(random_node_id(ctx.rng), ip, port, bus_port, plain_port)
        member.handshake, member.wants_meet = True, wants_meet
        ctx.state.add(member)

    def heard_of(self, entry: GossipEntry) -> None:
        """A member tells of a node that we do not know: take it in under that name."""
        ctx = self._ctx
        if not entry.ip or not entry.bus_port or entry.flags & (NodeFlag.NOADDR | NodeFlag.HANDSHAKE):
            return
        if ctx.state.is_forgotten(entry.node, ctx.now_ms):
            return
        member = self._new_member(entry.node, entry.ip, entry.port, entry.bus_port, entry.plain_port)
        member.is_replica = bool(entry.flags & NodeFlag.REPLICA)
        member.is_primary = not member.is_replica and bool(entry.flags & NodeFlag.PRIMARY)
        member.no_failover = bool(entry.flags & NodeFlag.NOFAILOVER)
        if entry.flags & NodeFlag.FAIL:
            member.failed, member.failed_ms = True, ctx.now_ms
        ctx.state.add(member)
        ctx.save()

    def _new_member(self, node_id: NodeId, ip: str, port: int, bus_port: int, plain_port: int) -> Member:
        ctx = self._ctx
        member = Member(node_id, ip, port, bus_port, plain_port, created_ms=ctx.now_ms)
        member.shard_id = random_node_id(ctx.rng)
        ctx.timers.by(member, ctx.now_ms)
        return member

    def expired(self, member: Member) -> bool:
        age_ms = self._ctx.now_ms - member.created_ms
        return member.handshake and age_ms > self._ctx.settings.handshake_timeout_ms

    def finish(self, link: Link, header: Header) -> bool:
        """The peer of a stand-in has told its name; whether the stand-in is a member now."""
        ctx = self._ctx
        member = link.member
        assert member is not None
        known = ctx.state.members.get(header.sender)
        if known is not None:
            if not known.myself:
                self.update_address(known, link, header)
            self.forget(member)
            return False
        ctx.state.rename(member, header.sender)
        ctx.state.forgotten.pop(header.sender, None)
        member.handshake = False
        member.is_replica = bool(header.flags & NodeFlag.REPLICA)
        member.is_primary = not member.is_replica
        ctx.log(LogLevel.DEBUG, f"Handshake with node {member.node_id} completed.")
        ctx.save()
        ctx.recheck()
        return True

    def forget(self, member: Member) -> None:
        """Drop a member and its links."""
        ctx = self._ctx
        self._links.close_all_of(member)
        ctx.suspected.pop(member.node_id, None)
        if ctx.manual.replica is member:
            ctx.manual.replica = None
        ctx.state.remove(member)
        ctx.save()
        ctx.recheck()

    # addresses

    def update_address(self, member: Member, link: Link, header: Header) -> None:
        """Take over the address a message came from, if it differs from what we knew."""
        if link is member.link:
            return
        ip = header.ip or link.peer_ip
        if not ip:
            return
        self._move(member, ip, header.port, header.bus_port, header.plain_port)

    def hear_address(self, member: Member, entry: GossipEntry) -> None:
        """We cannot reach the member, but who tells of it can: go by the address told."""
        if entry.ip and entry.bus_port and not entry.flags & NodeFlag.NOADDR:
            self._move(member, entry.ip, entry.port, entry.bus_port, entry.plain_port)

    def _move(self, member: Member, ip: str, port: int, bus_port: int, plain_port: int) -> None:
        ctx = self._ctx
        new = (ip, port, bus_port, plain_port)
        if new == (member.ip, member.port, member.bus_port, member.plain_port):
            return
        if member.link is not None and (ip, bus_port) != (member.ip, member.bus_port):
            self._links.close(member.link)
        member.ip, member.port, member.bus_port, member.plain_port = new
        member.no_address = False
        member.refused_since_ms = 0
        if member.link is None:
            ctx.timers.by(member, ctx.now_ms)
        ctx.log(LogLevel.NOTICE, f"Address updated for node {member.label}, now {ip}:{port}")
        ctx.save()
        ctx.recheck()

    def answered_by_another(self, member: Member) -> None:
        """Somebody else lives at the member's address."""
        ctx = self._ctx
        ctx.log(LogLevel.DEBUG, f"PONG contains mismatching sender ID. About node {member.label}")
        member.no_address = True
        member.ip, member.port, member.bus_port, member.plain_port = "", 0, 0, 0
        if member.link is not None:
            self._links.close(member.link)
        ctx.timers.cancel(member)
        ctx.save()
        ctx.recheck()

    def learn_own_address(self, link: Link) -> None:
        """Take the address a peer reached us at, unless one is configured."""
        me = self._ctx.me
        if self._ctx.settings.announce_ip or not link.local_ip or link.local_ip == me.ip:
            return
        me.ip = link.local_ip
        self._ctx.log(LogLevel.NOTICE, f"IP address for this node updated to {me.ip}")
        self._ctx.save()
        self._ctx.recheck()
