"""What a long step is doing, on a terminal; nothing anywhere else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.text import Text

from ctl.plan.steps import Event, Note, OnEvent, StageDone, StageStarted
from ctl.render.console import stderr
from ctl.render.words import duration


@contextmanager
def progress(*, quiet: bool) -> Iterator[OnEvent]:
    """A line for each stage done, and a spinner for the one that runs. Notes are printed in any case.

    `quiet` is for --json.
    """
    console = stderr()
    if quiet or not console.is_terminal:
        yield lambda event: None if quiet or not isinstance(event, Note) else console.print(event.text)
        return
    with console.status("") as status:
        stage = ""

        def show(event: Event) -> None:
            nonlocal stage
            if isinstance(event, StageStarted):
                stage = event.title
                status.update(Text(stage))
            elif isinstance(event, StageDone):
                done = Text("✓ ", style="green").append(event.title, style="default")
                console.print(done.append(f"  {duration(event.took_ms)}", style="dim"))
            elif isinstance(event, Note):
                console.print(Text(event.text, style="yellow"))
            else:
                status.update(Text(f"{stage}: {event.missing}", style="default", overflow="ellipsis"))

        yield show
