"""What `ctl cluster fix` is about to do, what it leaves alone, and which keys are on two nodes."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from ctl.plan.change_file import step_to_json
from ctl.plan.fix import Collision, Copy, Diagnosis
from ctl.plan.repairs import Bump, Settle
from ctl.plan.wording import step_title
from ctl.render.machine import Json, ranges
from ctl.render.words import memory
from ctl.snapshot import ClusterSnapshot

SHOWN_COLLISIONS = 20


def print_diagnosis(console: Console, diagnosis: Diagnosis, snapshot: ClusterSnapshot) -> None:
    """Steps in their order, then risks, colliding keys, and what is left."""
    change = diagnosis.change
    for number, step in enumerate(change.steps, start=1):
        console.print(Text(f"{number:>3}  {step_title(step, change.roster)}"))
        if isinstance(step, Settle | Bump):
            console.print(Text(f"     {step.reason}", style="dim"))
    for risk in change.risks:
        console.print(Text("risk ", style="bold yellow").append(risk, style="not bold default"))
    for collision in diagnosis.collisions[:SHOWN_COLLISIONS]:
        _print_collision(console, collision, snapshot)
    if (more := len(diagnosis.collisions) - SHOWN_COLLISIONS) > 0:
        console.print(Text(f"and {more} more keys on two nodes; --json lists all", style="dim"))
    print_left(console, diagnosis)


def print_left(console: Console, diagnosis: Diagnosis) -> None:
    for left in diagnosis.left:
        console.print(Text("left ", style="bold red").append(left.text, style="not bold default"))
        if left.action:
            console.print(Text("  → ", style="dim").append(left.action, style="not dim"))


def _print_collision(console: Console, collision: Collision, snapshot: ClusterSnapshot) -> None:
    word = "the same" if collision.same else "two values"
    name = collision.key.decode(errors="backslashreplace")
    console.print(Text(f"key {name} of slot {collision.slot} is on {len(collision.copies)} nodes, {word}:"))
    for copy in collision.copies:
        member = snapshot.member(copy.node)
        console.print(Text(f"     {member.name if member else copy.node[:8]}  {_copy(copy)}", style="dim"))


def _copy(copy: Copy) -> str:
    if copy.digest is None:
        return "not readable while the slot is closed there"
    parts = [f"{copy.kind} of {memory(copy.size_bytes)}", f"digest {copy.digest}"]
    if copy.ttl_ms is not None:
        parts.append(f"expires in {copy.ttl_ms / 1000:.0f} s")
    if copy.idle_s is not None:
        parts.append(f"last used {copy.idle_s} s ago")
    return ", ".join(parts)


def document(diagnosis: Diagnosis) -> dict[str, Json]:
    """The --json form of what is to be done and what is left."""
    change = diagnosis.change
    steps: list[Json] = [
        {"text": step_title(step, change.roster), **step_to_json(step)} for step in change.steps
    ]
    return {
        "steps": steps,
        "risks": change.risks,
        "left": [
            {
                "code": left.code,
                "text": left.text,
                "action": left.action or None,
                "slots": ranges(left.slots),
            }
            for left in diagnosis.left
        ],
        "collisions": [_collision(collision) for collision in diagnosis.collisions],
    }


def _collision(collision: Collision) -> dict[str, Json]:
    return {
        "key": collision.key.decode(errors="backslashreplace"),
        "slot": collision.slot,
        "same": collision.same,
        "copies": [
            {
                "node": copy.node,
                "type": copy.kind,
                "digest": copy.digest,
                "bytes": copy.size_bytes,
                "ttl_ms": copy.ttl_ms,
                "idle_s": copy.idle_s,
            }
            for copy in collision.copies
        ],
    }
