"""What a long step is doing, on a terminal; nothing anywhere else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.text import Text

from ctl.plan.progress import ChangeEvent, OnChangeEvent, Progress
from ctl.plan.steps import Note, StageDone, StageStarted
from ctl.render.console import stderr
from ctl.render.words import duration, plural, rate

BAR_WIDTH = 24


@contextmanager
def progress(*, quiet: bool) -> Iterator[OnChangeEvent]:
    """A line for each stage done, and for the one that runs a spinner with what it waits for or has moved.

    Notes are printed in any case. `quiet` is for --json.
    """
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


def bar(share: float) -> str:
    """`━━━━━━━━────────────────` for a third."""
    filled = min(BAR_WIDTH, round(share * BAR_WIDTH))
    return "━" * filled + "─" * (BAR_WIDTH - filled)


def progress_line(moved: Progress) -> str:
    """`━━━━━━━━────────────────  640 of 2,000 slots · 7,812 keys · 5.2 MB/s · 3 s left`."""
    share = moved.slots_done / moved.slots_total if moved.slots_total else 1.0
    parts = [
        f"{bar(share)}  {moved.slots_done:,} of {moved.slots_total:,} slots",
        plural(moved.keys_done, "key"),
    ]
    if moved.bytes_done and moved.elapsed_s:
        parts.append(rate(moved.bytes_done, moved.elapsed_s))
    if moved.left_s is not None:
        parts.append(f"{moved.left_s:.0f} s left")
    if moved.longest_pause_ms is not None:
        parts.append(f"longest pause {moved.longest_pause_ms:.0f} ms")
    return " · ".join(parts)
