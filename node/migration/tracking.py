"""What a replica knows of the imports of its primary (`node.migration.service`)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gossip.slots import SlotSet
from node.command.session import Session
from node.log import Log
from node.migration.job import Job, State
from node.migration.staging import Staging, StagingError


@dataclass
class Tracked:
    """One import. Without `staging` it has succeeded, at `ended_ms`."""

    job: Job
    source: str
    staging: Staging | None
    ended_ms: float = 0.0


class Tracking:
    """All of them, and the session that stands for the primary: while one is open it sees requests first.

    `publish` makes what is staged visible, and returns how many keys that are.
    """

    def __init__(self, log: Log, now_ms: Callable[[], float], publish: Callable[[Staging], int]) -> None:
        self._log = log
        self._now_ms = now_ms
        self._publish = publish
        self._link: Session | None = None
        self._tracked: dict[bytes, Tracked] = {}

    def follow(self, session: Session | None) -> None:
        """The session that stands for the primary."""
        self._link = session
        self._choose()

    def _choose(self) -> None:
        if self._link is not None:
            pending = any(each.staging is not None for each in self._tracked.values())
            self._link.taken = self._take if pending else None

    def add(self, job: Job, source: str, staging: Staging) -> None:
        self._tracked[job.name] = Tracked(job, source, staging)
        self._choose()

    def find(self, name: bytes) -> Tracked | None:
        """The one of this name, if it is open."""
        tracked = self._tracked.get(name)
        return None if tracked is None or tracked.staging is None else tracked

    def open_ones(self) -> list[Tracked]:
        return [each for each in self._tracked.values() if each.staging is not None]

    def take_all(self) -> list[Tracked]:
        """Forgets all, and gives them to who goes on with them."""
        tracked = list(self._tracked.values())
        self._tracked.clear()
        self._choose()
        self._link = None
        return tracked

    def _take(self, words: list[bytes]) -> bool:
        """A request of the primary."""
        assert self._link is not None
        for tracked in self._tracked.values():
            if tracked.staging is not None and tracked.staging.owns(words):
                try:
                    tracked.staging.apply(self._link, words)
                except StagingError as wrong:
                    self._log.warning(f"== CRITICAL == An import of our primary cannot be followed: {wrong}")
                return True
        return False

    def end(self, tracked: Tracked, *, success: bool, why: str) -> None:
        """FINISH, or what stands for it."""
        staging, tracked.staging = tracked.staging, None
        assert staging is not None
        tracked.ended_ms = self._now_ms()
        if success:
            tracked.job.keys = self._publish(staging)
            tracked.job.finish(State.SUCCESS, why)
        else:
            self._tracked.pop(tracked.job.name, None)
            tracked.job.finish(State.FAILED, why)
        self._choose()


def owned(slots: SlotSet, owner: SlotSet) -> bool:
    """Whether all of `slots` are among those of `owner`."""
    return not slots - owner
