"""The door commands have to the cluster, which is there in cluster mode only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gossip.settings import Host
from node.cluster.service import Cluster
from node.config.config import Config
from node.errors import CommandError

DISABLED = b"ERR This instance has cluster support disabled"


@dataclass
class ClusterAccess:
    """`installed` is None when cluster-enabled is no."""

    config: Config
    installed: Cluster | None
    host: Host
    is_loading: Callable[[], bool]

    @property
    def cluster(self) -> Cluster:
        """Raises CommandError without cluster mode."""
        if self.installed is None:
            raise CommandError(DISABLED)
        return self.installed

    def require(self) -> None:
        """For commands that need the mode but not the service. Raises CommandError."""
        if self.installed is None:
            raise CommandError(DISABLED)
