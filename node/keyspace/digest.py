"""The digest of a data set: what DEBUG DIGEST tells, by which two servers are seen to hold the same.

Keys have no order and are xored in, each with its value and whether it expires; databases have one.

Source: debug.c of Redis 7.0.
"""

from __future__ import annotations

from collections.abc import Iterable

from node.keyspace.database import Database
from node.values.digest import ABSENT, mixed, value_digest, xored


def dataset_digest(databases: Iterable[Database]) -> bytes:
    """Twenty bytes, zeros when there is no key. Keys whose time is over count while they are there."""
    digest = ABSENT
    for database in databases:
        if not database.count:
            continue
        digest = mixed(digest, database.index.to_bytes(4, "big"))
        at = database.deadlines.at
        for partition in database.slots:
            for key, value in (partition or {}).items():
                one = value_digest(value, expires=key in at, start=mixed(ABSENT, key))
                digest = xored(digest, one)
    return digest
