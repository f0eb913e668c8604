"""The logs of a local cluster's nodes during a drill, told in detail meanwhile."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from ctl.execute.fleet import Fleet, concurrently
from ctl.execute.local import LocalCluster
from ctl.plan.drill_timeline import Mark, marks_of
from ctl.snapshot import Address
from node.resp.client import LinkError, ReplyError


class Logs:
    """Reads what is written from now on. Suspicions are logged at level debug alone, so that is the level
    until `restore`.
    """

    def __init__(self, cluster: LocalCluster, fleet: Fleet) -> None:
        self._cluster, self._fleet = cluster, fleet
        self._levels: dict[Address, str] = {}
        self._sizes = {
            node.port: path.stat().st_size if (path := cluster.log_path(node)).exists() else 0
            for node in cluster.nodes
        }

    async def tell_more(self) -> None:
        """Where CONFIG is refused, the level stays as it is."""
        await concurrently(partial(self._raise_level, node) for node in self._cluster.addresses)

    async def restore(self) -> None:
        """The levels of before; a node that was started anew has its own."""
        await concurrently(partial(self._set, node, level) for node, level in self._levels.items())

    def marks(self, names: Mapping[str, str], fault_at_s: float) -> list[Mark]:
        found: list[Mark] = []
        for node in self._cluster.nodes:
            with self._cluster.log_path(node).open("rb") as file:
                file.seek(self._sizes[node.port])
                lines = file.read().decode(errors="replace").splitlines()
            found += marks_of(lines, str(self._cluster.address(node)), names, fault_at_s)
        return found

    async def _raise_level(self, node: Address) -> None:
        try:
            reply = await self._fleet.call(node, "CONFIG", "GET", "loglevel")
        except (LinkError, ReplyError):
            return
        if isinstance(reply, list) and len(reply) == 2 and isinstance(reply[1], bytes):
            self._levels[node] = reply[1].decode()
            await self._set(node, "debug")

    async def _set(self, node: Address, level: str) -> None:
        try:
            await self._fleet.call(node, "CONFIG", "SET", "loglevel", level)
        except (LinkError, ReplyError):
            return
