"""A replica that cannot save: it may not refuse what its primary has written."""

from __future__ import annotations

import contextlib
import os
import shutil
from typing import Any

import pytest
import redis

KINDS = ["shoal→shoal", pytest.param("shoal→redis", marks=pytest.mark.slow)]
REASON = "Replica was unable to write command to disk"


def with_a_failed_snapshot(lab: Any, kinds: str) -> tuple[Any, Any]:
    """Primary and replica, in step; the replica's directory is gone, and its snapshot has failed."""
    primary, replica, _ = lab.pair(kinds)
    replica.call("CONFIG", "SET", "replica-ignore-disk-write-errors", "yes")
    replica.log = replica.log.rename(replica.directory.with_suffix(".log"))
    shutil.rmtree(replica.directory)
    replica.call("CONFIG", "SET", "save", "3600 1")
    primary.call("SET", "k", "v")
    with contextlib.suppress(redis.ResponseError):  # redis-server says later that it cannot
        replica.call("BGSAVE")
    lab.wait_until(lambda: replica.info("persistence")["rdb_last_bgsave_status"] == "err", "it has failed")
    lab.in_step(primary, replica)
    return primary, replica


@pytest.mark.parametrize("kinds", KINDS)
def test_it_goes_on_if_told_so(lab: Any, kinds: str) -> None:
    """replica-ignore-disk-write-errors: its own clients hear MISCONF, its primary is obeyed."""
    primary, replica = with_a_failed_snapshot(lab, kinds)
    replica.call("CONFIG", "SET", "replica-read-only", "no")
    with pytest.raises(redis.ResponseError, match="MISCONF"):
        replica.call("SET", "mine", "v")
    primary.call("SET", "k", "w")
    lab.wait_until(lambda: replica.call("GET", "k") == b"w", "it is applied")
    lab.wait_until(lambda: "unable to write to disk" in replica.logged(), "it is told")
    lab.in_step(primary, replica)


@pytest.mark.parametrize("kinds", KINDS)
def test_it_ends_otherwise(lab: Any, kinds: str) -> None:
    """It was told to keep what it cannot keep. Not before the primary writes: its PINGs are harmless."""
    primary, replica = with_a_failed_snapshot(lab, kinds)
    replica.call("CONFIG", "SET", "replica-ignore-disk-write-errors", "no")
    assert replica.call("DBSIZE") == 1
    primary.call("SET", "k", "w")
    assert replica.process.wait(lab.deadline_s) in (1, -6)  # redis-server aborts
    assert REASON in replica.logged()
    os.makedirs(replica.directory, exist_ok=True)
