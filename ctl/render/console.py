"""Where output goes: colours and width of a terminal, plain and unwrapped text for everything else."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.text import Text

PIPE_WIDTH = 10_000


def stdout() -> Console:
    return _console(sys.stdout.isatty(), stderr=False)


def stderr() -> Console:
    return _console(sys.stderr.isatty(), stderr=True)


def _console(terminal: bool, *, stderr: bool) -> Console:
    # The width is what a table may take, not what it takes: in a pipe no cell is ever cut.
    return Console(
        stderr=stderr, highlight=False, emoji=False, markup=False, width=None if terminal else PIPE_WIDTH
    )


def warn(console: Console, text: str) -> None:
    """A line, or several below each other, behind a mark."""
    lines = Text(text, style="yellow").wrap(console, max(console.width - 5, 10))
    for number, line in enumerate(lines):
        line.rstrip()
        console.print(Text("     " if number else "  !  ", style="yellow").append(line))
