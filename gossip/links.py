"""The connections of the bus: opened, accepted, tied to members, and replaced when they go stale.

Each member with an address has an outbound link, opened as soon as the member is known and again whenever
it is lost, at most every RETRY_MS; for a member that is suspected or failed every SLOW_RETRY_MS is enough,
since one that comes back makes itself heard, and is connected to at once. From the moment we start to
connect, a PONG is due: a host that swallows our packets is timed out like one that accepts and says
nothing.

A link that brought nothing for half the node time-out, with a PING unanswered all that time, is replaced once
it is as old as the node time-out: the node may be well and only the connection dead.

The core names links by numbers of its own; a number is never used twice.
"""

from __future__ import annotations

from gossip.context import Context
from gossip.effects import CloseLink, LogLevel, OpenLink
from gossip.member import Link, LinkId, Member

RETRY_MS = 100
SLOW_RETRY_MS = 1_000


class Links:
    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._last_id = 0

    def connect(self, member: Member) -> None:
        """Open the outbound link of a member that has none."""
        assert member.link is None
        ctx = self._ctx
        member.link = self._new(inbound=False)
        member.link.member = member
        if member.ping_sent_ms == 0:
            member.ping_sent_ms = ctx.now_ms
        ctx.network.append(OpenLink(member.link.id, member.node_id, member.ip, member.bus_port))

    def accept(self, peer_ip: str, local_ip: str) -> LinkId:
        link = self._new(inbound=True)
        link.peer_ip, link.local_ip, link.is_open = peer_ip, local_ip, True
        return link.id

    def adopt(self, link: Link, member: Member) -> None:
        """The peer of an inbound link has named itself; an older inbound link of that member is closed."""
        assert link.member is None
        if member.inbound_link is not None:
            self.close(member.inbound_link)
        link.member, member.inbound_link = member, link

    def close(self, link: Link) -> None:
        self._ctx.network.append(CloseLink(link.id))
        self.lost(link)

    def lost(self, link: Link) -> None:
        """Forget a link that is closed; its member's outbound one is opened again soon."""
        ctx = self._ctx
        del ctx.links[link.id]
        link.is_open = False
        member = link.member
        if member is None:
            return
        link.member = None
        if member.inbound_link is link:
            member.inbound_link = None
        elif member.link is link:
            member.link = None
            ctx.timers.by(member, max(ctx.now_ms, link.created_ms + RETRY_MS))

    def failed(self, link: Link) -> None:
        """An outbound link could not be opened."""
        member = link.member
        self.lost(link)
        if member is not None:
            ctx = self._ctx
            retry_ms = SLOW_RETRY_MS if member.unreachable else RETRY_MS
            ctx.timers.by(member, ctx.now_ms + retry_ms)
            text = f"Connection with Node {member.node_id} at {member.ip}:{member.bus_port} failed"
            ctx.log(LogLevel.VERBOSE, text)

    def close_all_of(self, member: Member) -> None:
        for link in (member.link, member.inbound_link):
            if link is not None:
                self.close(link)
        self._ctx.timers.cancel(member)

    def stale_at_ms(self, member: Member) -> int:
        """When the member's outbound link counts as dead."""
        assert member.link is not None
        timeout_ms = self._ctx.settings.node_timeout_ms
        quiet_since_ms = max(member.ping_sent_ms, member.data_received_ms)
        return max(member.link.created_ms + timeout_ms, quiet_since_ms + timeout_ms // 2) + 1

    def _new(self, *, inbound: bool) -> Link:
        self._last_id += 1
        link = Link(self._last_id, inbound, self._ctx.now_ms)
        self._ctx.links[link.id] = link
        return link
