"""What a member's heartbeat says of others, and what its extensions say of itself.

Gossip is believed only from a known member, and never about ourselves. A voting primary's flags about a
member are failure reports, or withdraw them. A fresher time of its last PONG spares us a PING of our own.
Who cannot be reached here but can be there may be found at the address told there. Who is not known here is
taken in, unless an operator had it forgotten a short while ago.

Extensions: the host name, a name for people, the shard's id, and nodes its sender was told to forget, which
we then forget too. A peer that supports extensions and sends none does not know yet that we do; that says
nothing about its host name.

Source: the Redis cluster specification, "Heartbeat packet content"; the page of CLUSTER FORGET.
"""

from __future__ import annotations

from gossip.context import Context
from gossip.detector import Detector
from gossip.handshake import Handshake
from gossip.member import Member
from gossip.messages import Extensions, GossipEntry, NodeFlag, Ping
from gossip.speaker import NO_EXTENSIONS
from gossip.state import is_node_id

UNREACHABLE = NodeFlag.PFAIL | NodeFlag.FAIL
CLOCK_TOLERANCE_MS = 500


class Hearsay:
    def __init__(self, ctx: Context, detector: Detector, handshake: Handshake) -> None:
        self._ctx = ctx
        self._detector = detector
        self._handshake = handshake

    def listen(self, sender: Member, ping: Ping) -> None:
        members = self._ctx.state.members
        for entry in ping.gossip:
            about = members.get(entry.node)
            if about is None:
                if is_node_id(entry.node):
                    self._handshake.heard_of(entry)
            elif not (about.myself or about.handshake):
                self._about_member(sender, about, entry)

    def _about_member(self, sender: Member, about: Member, entry: GossipEntry) -> None:
        ctx = self._ctx
        if entry.flags & UNREACHABLE:
            if sender.votes:
                self._detector.report(about, sender)
            return
        if sender.votes and about.failure_reports:
            self._detector.withdraw(about, sender)
        if about.ping_sent_ms == 0 and not about.failure_reports:
            told_ms = entry.pong_received_s * 1000
            if about.pong_received_ms < told_ms <= ctx.now_ms + CLOCK_TOLERANCE_MS:
                about.pong_received_ms = told_ms
        if about.unreachable or about.no_address:
            self._handshake.hear_address(about, entry)

    def read_extensions(self, sender: Member, said: Extensions) -> None:
        if sender.extensions and said == NO_EXTENSIONS:
            return
        ctx = self._ctx
        names = (said.hostname or "", said.human_nodename or "", said.availability_zone or "")
        addresses = (said.client_ipv4 or "", said.client_ipv6 or "")
        known = (sender.hostname, sender.human_nodename, sender.availability_zone)
        if names != known or addresses != (sender.client_ipv4, sender.client_ipv6):
            sender.hostname, sender.human_nodename, sender.availability_zone = names
            sender.client_ipv4, sender.client_ipv6 = addresses
            ctx.save()
            ctx.routes_changed = True
        if said.shard_id is not None:
            sender.silent_pongs = 0
            self._learn_shard(sender, said.shard_id)
        for forgotten in said.forgotten:
            self._forget_too(forgotten.node, forgotten.ttl_s)

    def _learn_shard(self, sender: Member, shard_id: str) -> None:
        """The primary's word decides for a shard; a replica speaks for one whose primary we do not know."""
        if sender.primary is None and self._ctx.state.set_shard(sender, shard_id):
            self._ctx.save()

    def _forget_too(self, node_id: str, ttl_s: int) -> None:
        ctx = self._ctx
        member = ctx.state.members.get(node_id)
        if member is None or member.myself or member.handshake or member is ctx.me.primary:
            return
        ctx.state.forgotten[node_id] = ctx.now_ms + ttl_s * 1000
        self._handshake.forget(member)
