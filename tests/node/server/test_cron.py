"""Background work."""

from __future__ import annotations


def test_active_expire_effort_gives_expired_keys_more_time(node, client):
    """From 1 to 10, and never so much that a turn is long."""
    slices = []
    for effort in ("1", "5", "10"):
        client.call("CONFIG", "SET", "active-expire-effort", effort)
        slices.append(node.cron.expire_slice_s)
    assert slices == sorted(set(slices))
    assert slices[-1] < 0.01
