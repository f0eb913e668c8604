"""A migration as operators see it: what moves from where to where, how far it is, how it ended.

The states and their names are Valkey 9's. Where a source and a target of ours do more than that (a pause that
is given up and tried again), they go back to an earlier state.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum

from gossip.slots import SlotSet
from node.log import Log

Clock = Callable[[], int]
"""Unix time in milliseconds."""


class State(Enum):
    """The value is the word of GETSLOTMIGRATIONS."""

    # an import
    WAIT_ACK = "waiting-for-ack"
    RECEIVING = "receiving-snapshot"
    WAITING_FOR_PAUSED = "waiting-for-paused"
    FAILOVER_REQUESTED = "failover-requested"
    CLEANING_UP = "cleaning-up"
    ON_PRIMARY = "occurring-on-primary"

    # an export
    CONNECTING = "connecting"
    AUTHENTICATING = "reading-auth-response"
    ESTABLISHING = "reading-establish-response"
    WAITING_TO_SNAPSHOT = "waiting-to-snapshot"
    SNAPSHOTTING = "snapshotting"
    STREAMING = "replicating"
    WAITING_TO_PAUSE = "waiting-to-pause"
    PAUSED = "failover-paused"

    # both
    GRANTED = "failover-granted"

    # the end
    SUCCESS = "success"
    CANCELLED = "cancelled"
    FAILED = "failed"


ENDED = frozenset((State.SUCCESS, State.CANCELLED, State.FAILED))


def new_name() -> bytes:
    """40 random hexadecimal digits."""
    return secrets.token_hex(20).encode()


def ranges_text(slots: SlotSet) -> str:
    """`0-5 7-7`: ranges as this protocol writes them, with two numbers even for one slot."""
    return " ".join(f"{first}-{last}" for first, last in slots.ranges())


@dataclass(eq=False)
class Job:
    """Times are Unix milliseconds. `pause_ms` is how long writers were held back in the hand-over (a source;
    None before), `pauses` how often they were held back in all, `longest_pause_ms` the longest of those that
    were given up, `keys` how many the snapshot has (an import: how many have come), `sent_bytes` what went
    over the link, `cow_bytes` how much memory the snapshot's child did not share any more at its end (0 for a
    snapshot made in line, and for an import).

    Without `source` and `target` it is a replica's note of what its primary imports.
    """

    name: bytes
    imports: bool
    slots: SlotSet
    source: str
    target: str
    state: State
    created_ms: int
    log: Log
    clock: Clock
    updated_ms: int = 0
    acked_ms: int = 0
    message: str = ""
    pause_ms: float | None = None
    pauses: int = 0
    longest_pause_ms: float = 0.0
    sent_bytes: int = 0
    keys: int = 0
    cow_bytes: int = 0
    on_end: list[Callable[[], None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.updated_ms = self.acked_ms = self.created_ms

    @property
    def ended(self) -> bool:
        return self.state in ENDED

    @property
    def tracking_only(self) -> bool:
        return not self.target

    @property
    def label(self) -> str:
        """As the log names it."""
        kind, other = ("import", f"source_node_id: {self.source or 'unknown'}") if self.imports else (
            "export", f"target_node_id: {self.target}")  # fmt: skip
        name = self.name.decode("ascii", "backslashreplace")
        return f"{{name: {name}, operation: {kind}, {other}, slots: {ranges_text(self.slots)}}}"

    def move(self, state: State) -> None:
        """The next state; the end has `finish`."""
        assert not self.ended, f"{self.label} is over"
        before, self.state = self.state, state
        self.updated_ms = self.clock()
        self.log.verbose(f"Slot migration {self.label} state transition: {before.value} -> {state.value}")

    def finish(self, state: State, message: str = "") -> None:
        """The last state, with a word for the operator."""
        self.message = message
        self.move(state)
        text = f"Slot migration {self.label} finished. State: {state.value}, Message: {message or 'none'}"
        if self.pause_ms is not None:
            text += f", Pause: {self.pause_ms:.1f} ms"
        (self.log.warning if state is State.FAILED else self.log.notice)(text)
        for callback in self.on_end:
            callback()

    def fields(self) -> Iterator[tuple[str, str | int]]:
        """What GETSLOTMIGRATIONS tells: Valkey's fields in its order, and then ours."""
        yield "name", self.name.decode("latin-1")
        yield "operation", "IMPORT" if self.imports else "EXPORT"
        yield "slot_ranges", ranges_text(self.slots)
        if not self.tracking_only:
            yield "target_node", self.target
            yield "source_node", self.source
        yield "create_time", self.created_ms // 1000
        yield "last_update_time", self.updated_ms // 1000
        yield "last_ack_time", self.acked_ms // 1000
        yield "state", self.state.value
        yield "message", self.message
        yield "cow_size", self.cow_bytes
        yield "pause_ms", -1 if self.pause_ms is None else round(self.pause_ms)
        yield "pauses", self.pauses
        yield "keys", self.keys
        yield "sent_bytes", self.sent_bytes
