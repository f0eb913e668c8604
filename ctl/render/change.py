"""What verbs that change a cluster show before and after; `ctl.render.progress` is for the time between."""

from __future__ import annotations

from dataclasses import replace

from rich.console import Console
from rich.text import Text

from ctl.plan.change import Change, Configure, Move
from ctl.plan.change_file import to_json
from ctl.plan.wording import few_ranges, shown_value, step_title
from ctl.render.console import warn
from ctl.render.machine import Json
from ctl.render.words import duration, memory, plural, rate


def print_plan(console: Console, change: Change) -> None:
    """The steps with what they cost, and what is at risk."""
    console.print(Text(change.title, style="bold"))
    for number, step in enumerate(change.steps, start=1):
        line = Text(f"{number:>3}  {step_title(step, change.roster)}")
        if isinstance(step, Move):
            line.append(f"  {few_ranges(step.slots)}", style="dim")
            line.append(f"  {cost(step.keys, step.size_bytes)}", style="dim")
        console.print(line)
    if len(change.moves) > 1:
        slots = f"{change.slot_count:,} slots"
        console.print(Text(f"     in all {slots}, {cost(change.keys, change.size_bytes)}"))
    for risk in change.risks:
        warn(console, risk)


def cost(keys: int | None, size_bytes: int | None) -> str:
    """`24,412 keys, about 3.2M`."""
    if keys is None:
        return "keys not counted"
    words = "1 key" if keys == 1 else f"{keys:,} keys"
    return words if size_bytes is None else f"{words}, about {memory(size_bytes)}"


def plan_document(change: Change) -> dict[str, Json]:
    """For --json: the plan as --out writes it, with each step in words, and without passwords."""
    masked = tuple(_masked(step) if isinstance(step, Configure) else step for step in change.steps)
    document: dict[str, Json] = dict(to_json(replace(change, steps=masked)))
    del document["checksum"]
    return {**document, "plan": [step_title(step, change.roster) for step in change.steps]}


def _masked(step: Configure) -> Configure:
    before = {
        node: {name: shown_value(name, value) for name, value in values.items()}
        for node, values in step.before.items()
    }
    return Configure(
        {name: shown_value(name, value) for name, value in step.values.items()}, before, step.rewrite
    )


def outcome_line(
    *, slots: int, keys: int, size_bytes: int, atomic_slots: int, pause_ms: float | None, took_ms: int
) -> str:
    """What a run moved, in one line."""
    words = [f"{plural(slots, 'slot')} moved", f"{keys:,} keys"]
    if size_bytes:
        words.append(f"{memory(size_bytes)} ({rate(size_bytes, max(took_ms, 1) / 1000)})")
    line = f"{', '.join(words)} in {duration(took_ms)}"
    if atomic_slots:
        line += ", in one step for clients"
    if pause_ms is not None:
        line += f" (longest pause {pause_ms:.0f} ms)"
    return line
