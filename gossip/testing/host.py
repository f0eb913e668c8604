"""The data beside a simulated core: replication reduced to an offset.

A primary that runs produces one byte a millisecond, unless its writes are held back. A replica that reaches
its primary has its full copy after SYNC_MS and from then on its primary's offset; one that does not reach it
stands still. Nothing is computed until somebody asks; `Cluster` asks on everybody's behalf (`catch_up`)
before it changes who reaches whom.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

SYNC_MS = 100


@dataclass
class SimHost:
    """What `gossip.settings.Host` asks for, in virtual time.

    `reach` returns the host that this one's replication stream comes from, or None when there is none.
    """

    now_ms: Callable[[], int]
    reach: Callable[[], SimHost | None]
    produced: int = 0
    produced_ms: int = 0
    held_until_ms: int = 0
    following_since_ms: int | None = None
    has_copy: bool = False
    heard_ms: int = 0

    def __post_init__(self) -> None:
        self.produced_ms = self.now_ms()

    # --- gossip.settings.Host ------------------------------------------------------------------------------

    def offset(self) -> int:
        self.catch_up()
        return self.produced

    def data_age_ms(self, now_ms: int) -> int | None:  # noqa: ARG002  (its clock may be off; ours is not)
        self.catch_up()
        return self.now_ms() - self.heard_ms if self.has_copy else None

    def has_keys(self) -> bool:
        return False

    def count_keys_in_slot(self, slot: int) -> int:  # noqa: ARG002
        return 0

    def replicas_in_step(self) -> int:
        return 0

    # --- what happens to it --------------------------------------------------------------------------------

    def follow(self) -> None:
        self.catch_up()
        self.following_since_ms, self.has_copy = self.now_ms(), False

    def lead(self) -> None:
        self.catch_up()
        self.following_since_ms, self.has_copy = None, True
        self.produced_ms = self.now_ms()

    def hold_writes(self, until_ms: int) -> None:
        self.catch_up()
        self.held_until_ms = until_ms

    def release_writes(self) -> None:
        self.catch_up()
        self.held_until_ms = 0
        self.produced_ms = self.now_ms()

    def catch_up(self) -> None:
        """Bring the offset up to now."""
        now_ms = self.now_ms()
        if self.following_since_ms is not None:
            source = self.reach()
            if source is not None and now_ms - self.following_since_ms >= SYNC_MS:
                self.has_copy, self.heard_ms = True, now_ms
                self.produced = source.offset()
        elif now_ms >= self.held_until_ms:
            self.produced += now_ms - max(self.produced_ms, self.held_until_ms)
            self.produced_ms = now_ms
