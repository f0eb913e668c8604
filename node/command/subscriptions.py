"""What a session is subscribed to."""

from __future__ import annotations


class Subscriptions:
    """Channels, patterns and shard channels, each in the order they came."""

    __slots__ = ("channels", "patterns", "shard_channels")

    def __init__(self) -> None:
        self.channels: dict[bytes, None] = {}
        self.patterns: dict[bytes, None] = {}
        self.shard_channels: dict[bytes, None] = {}

    @property
    def count(self) -> int:
        """What confirmations of channels and patterns tell; those of shard channels tell of these alone."""
        return len(self.channels) + len(self.patterns)

    def __bool__(self) -> bool:
        return bool(self.channels or self.patterns or self.shard_channels)
