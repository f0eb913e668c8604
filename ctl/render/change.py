"""What verbs that change a cluster show: the plan before, progress while it runs, the outcome."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from rich.console import Console
from rich.text import Text

from ctl.plan.change import Change, Configure, Move
from ctl.plan.change_file import to_json
from ctl.plan.progress import ChangeEvent, OnChangeEvent, Progress
from ctl.plan.steps import Note, StageDone, StageStarted
from ctl.plan.wording import few_ranges, shown_value, step_title
from ctl.render.console import stderr
from ctl.render.machine import Json
from ctl.render.words import duration, memory, plural

BAR_WIDTH = 24


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
        console.print(Text(f"  !  {risk}", style="yellow"))


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


@contextmanager
def change_progress(*, quiet: bool) -> Iterator[OnChangeEvent]:
    """A line for each stage done, and for the one that runs a bar with slots, keys, MB/s and what is left."""
    console = stderr()
    if quiet or not console.is_terminal:
        yield lambda event: None if quiet or not isinstance(event, Note) else console.print(event.text)
        return
    with console.status("") as status:
        stage = ""

        def show(event: ChangeEvent) -> None:
            nonlocal stage
            if isinstance(event, StageStarted):
                stage = event.title
                status.update(Text(stage, style="default"))
            elif isinstance(event, StageDone):
                done = Text("✓ ", style="green").append(event.title, style="default")
                console.print(done.append(f"  {duration(event.took_ms)}", style="dim"))
            elif isinstance(event, Note):
                console.print(Text(event.text, style="yellow"))
            elif isinstance(event, Progress):
                status.update(Text(progress_line(event), style="default"))
            else:
                status.update(Text(f"{stage}: {event.missing}", style="default", overflow="ellipsis"))

        yield show


def progress_line(progress: Progress) -> str:
    """`━━━━━━━━────────────────  640 of 2,000 slots · 7,812 keys · 5.2 MB/s · 3 s left`."""
    share = progress.slots_done / progress.slots_total if progress.slots_total else 1.0
    filled = min(BAR_WIDTH, round(share * BAR_WIDTH))
    bar = "━" * filled + "─" * (BAR_WIDTH - filled)
    parts = [
        f"{bar}  {progress.slots_done:,} of {progress.slots_total:,} slots",
        f"{progress.keys_done:,} keys",
    ]
    if progress.bytes_done and progress.elapsed_s:
        parts.append(f"{rate(progress.bytes_done, progress.elapsed_s)}")
    if progress.left_s is not None:
        parts.append(f"{progress.left_s:.0f} s left")
    if progress.longest_pause_ms is not None:
        parts.append(f"longest pause {progress.longest_pause_ms:.0f} ms")
    return " · ".join(parts)


def rate(size_bytes: int, took_s: float) -> str:
    return f"{size_bytes / 1e6 / took_s:.1f} MB/s"


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
