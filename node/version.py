"""Versions: ours, and that of the Redis whose behaviour we follow (what INFO and HELLO say)."""

from __future__ import annotations

SHOAL_VERSION = "0.1.0"
REDIS_VERSION = "7.4.0"
