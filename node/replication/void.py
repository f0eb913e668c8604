"""A primary that has lost its data, and a replica that has them.

A primary without persistence that is restarted, by a supervisor that is quicker than the fail-over, comes
back empty, and its replicas would copy that: everything is lost, though everything was there. So a replica
looks at what a full synchronisation brings before it puts that in the place of its own data. It keeps its own
when

- they come from this primary, and nobody has ordered it to follow another one since,
- the primary tells a history that has nothing to do with ours: it has started anew, and from no file that
says where it was (a FLUSHALL, however it reaches us, is part of one and the same history), and
- there is next to nothing in it: less than a hundredth of the keys held here (clients may have written
already).

Then the replica goes on serving what it has, says so in the log, and asks again now and then. In a cluster it
stands for election, as CLUSTER FAILOVER FORCE would have it; the primary becomes its replica and gets the
data back; until that has happened, or its replicas have shown that they hold no more, it does not serve
either (`gossip.vacancy`). What the directive replica-refuse-empty-primary says decides: yes, no, or auto,
which is yes in a cluster.
"""

from __future__ import annotations

from collections.abc import Sequence

from node.config.config import Config
from node.config.table import CLUSTER_ENABLED, REPLICA_REFUSE_EMPTY_PRIMARY
from node.keyspace.database import Database
from node.persistence.snapshot import StreamPosition

_FEWER_BY = 100


class EmptyPrimary(Exception):  # noqa: N818  a condition of the other side, not a mistake
    """The primary has lost its data. The text begins behind its address."""

    def __init__(self, keys: int, held: int) -> None:
        super().__init__(
            f"was restarted without its data: it has {keys} keys, and {held} are held here, which are kept "
            "(replica-refuse-empty-primary)"
        )


def is_void(keys: int, held: int) -> bool:
    """Whether a data set of so many keys is next to nothing beside what is held here."""
    return keys * _FEWER_BY < held


def refuses_void(config: Config) -> bool:
    """What the directive says."""
    chosen = config[REPLICA_REFUSE_EMPTY_PRIMARY]
    return chosen == "yes" or (chosen == "auto" and config[CLUSTER_ENABLED])


def has_lost_data(config: Config, databases: Sequence[Database], position: StreamPosition | None) -> bool:
    """Whether a node that has just loaded what its files hold is one whose replicas would refuse it.

    `position` is where its replication stream goes on, None when it begins anew.
    """
    return position is None and not any(database.count for database in databases) and refuses_void(config)
