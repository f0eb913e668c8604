"""The steps of a repair, beside those of other changes.

Like all steps of a change they name nodes by id, are idempotent, and say what is to be, not what to send:
the executor looks at the cluster again before it does anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from gossip.slots import SlotSet

Keep = Literal["", "source", "target", "newer"]


@dataclass(frozen=True, slots=True)
class Settle:
    """`slots` belong to `owner`, are closed everywhere, and all of their keys that answering primaries hold
    are there. `keys` is how many have to be moved, as counted when the plan was made.

    `keep` says which copy survives where a key is on two nodes with two values: the one on the node that it
    moves from, the one on `owner`, or the one used last; empty for none, then both stay where they are.
    """

    kind: ClassVar[str] = "settle"
    owner: str
    slots: SlotSet
    keys: int
    keep: Keep
    reason: str


@dataclass(frozen=True, slots=True)
class Bump:
    """`node` takes a new, largest configuration epoch, so that its claims count everywhere."""

    kind: ClassVar[str] = "bump"
    node: str
    reason: str


@dataclass(frozen=True, slots=True)
class Introduce:
    """`node` gets to know `other`."""

    kind: ClassVar[str] = "introduce"
    node: str
    other: str
