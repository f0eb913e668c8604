"""Epochs: which of two configurations is newer, when there is no common clock.

The current epoch is the cluster's logical clock: every message carries it, and a node takes over any greater
one it sees. A config epoch is a primary's stamp on its slots, and the claim with the greater stamp wins. An
election makes a new one by majority: it adds one to the current epoch, asks for votes in it, and when it wins
stamps its slots with it. No two elections of one epoch can be won, so such stamps are unique.

Two things make a stamp without asking: a primary that finishes importing a slot, and an operator's order
(BUMPEPOCH, FAILOVER TAKEOVER). So two primaries may come to share one. Then the one with the smaller id takes
a new stamp; after finitely many steps all differ, since the greatest id of those that collide never moves.

Source: the Redis cluster specification, "Cluster current epoch", "Configuration epoch", "Conflict
resolution".
"""

from __future__ import annotations

from gossip.context import Context
from gossip.effects import LogLevel
from gossip.errors import ClusterError
from gossip.member import Member
from gossip.messages import Header


class Epochs:
    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx

    def observe(self, sender: Member, header: Header) -> None:
        """Catch up with the epochs in a member's header."""
        ctx = self._ctx
        if header.current_epoch > ctx.state.current_epoch:
            ctx.state.current_epoch = header.current_epoch
        if header.config_epoch > sender.config_epoch:
            sender.config_epoch = header.config_epoch
            ctx.save(fsync=True)

    def next(self) -> int:
        """Begin a new current epoch; it is on disk before anything is sent."""
        self._ctx.state.current_epoch += 1
        self._ctx.save(fsync=True)
        return self._ctx.state.current_epoch

    def bump(self) -> bool:
        """Stamp our slots anew without asking, unless our stamp is the greatest, or has to stay; whether it
        changed.
        """
        ctx = self._ctx
        if ctx.epoch_held or 0 != ctx.me.config_epoch == ctx.state.greatest_epoch():
            return False
        ctx.me.config_epoch = self.next()
        ctx.log(LogLevel.NOTICE, f"New configEpoch set to {ctx.me.config_epoch}")
        ctx.recheck()
        return True

    def resolve_collision(self, sender: Member, header: Header) -> None:
        """If another primary has our stamp, the one of us with the smaller id takes a new one."""
        ctx = self._ctx
        me = ctx.me
        if not (me.is_primary and sender.is_primary and header.config_epoch == me.config_epoch):
            return
        if sender.node_id <= me.node_id or ctx.epoch_held:
            return
        me.config_epoch = self.next()
        text = f"configEpoch collision with node {sender.label}. configEpoch set to {me.config_epoch}"
        ctx.log(LogLevel.VERBOSE, f"WARNING: {text}")

    def set_first(self, epoch: int) -> None:
        """CLUSTER SET-CONFIG-EPOCH: give a fresh, lonely node its stamp. Raises ClusterError otherwise."""
        ctx = self._ctx
        if epoch < 0:
            raise ClusterError(f"Invalid config epoch specified: {epoch}")
        if len(ctx.state.members) > 1:
            raise ClusterError(
                "The user can assign a config epoch only when the node does not know any other node."
            )
        if ctx.me.config_epoch != 0:
            raise ClusterError("Node config epoch is already non-zero")
        ctx.me.config_epoch = epoch
        ctx.state.current_epoch = max(ctx.state.current_epoch, epoch)
        ctx.log(LogLevel.NOTICE, f"configEpoch set to {epoch} via CLUSTER SET-CONFIG-EPOCH")
        ctx.save()
        ctx.recheck()
