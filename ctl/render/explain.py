"""An explanation as sentences with their evidence below."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from ctl.plan.explain import Explanation
from ctl.render.machine import Json

MARKS = {"plain": ("·", "dim"), "good": ("✓", "green"), "bad": ("!", "bold red")}


def print_explanation(console: Console, explanation: Explanation) -> None:
    for statement in explanation.statements:
        mark, style = MARKS[statement.tone]
        console.print(Text(f"{mark} ", style=style).append(statement.text, style="not bold not dim default"))
        for line in statement.evidence:
            console.print(Text(f"    {line}", style="dim"))


def document(explanation: Explanation) -> dict[str, Json]:
    return {
        "kind": explanation.kind,
        "subject": explanation.subject,
        **explanation.facts,
        "statements": [
            {"text": each.text, "tone": each.tone, "evidence": each.evidence}
            for each in explanation.statements
        ],
    }
