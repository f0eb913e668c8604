"""A drill's plan and report: on the terminal, as JSON, and as a page of Markdown or HTML."""

from __future__ import annotations

from dataclasses import asdict
from html import escape
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ctl.plan.drill import Drill
from ctl.plan.drill_report import Report
from ctl.render.console import warn
from ctl.render.drill_tables import Section, heading, sections, verdict_word
from ctl.render.machine import Json

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem;
  color: #1c2733; background: #fff }
h1 { font-size: 1.4rem } h2 { font-size: 1.1rem; margin-top: 2rem }
table { border-collapse: collapse; font-variant-numeric: tabular-nums }
th, td { text-align: left; padding: .2rem .9rem .2rem 0; border-bottom: 1px solid #d8dee6;
  vertical-align: top }
.PASSED { color: #17713c } .FAILED { color: #b3261e }
@media (prefers-color-scheme: dark) { body { color: #dbe3ec; background: #14191f }
  th, td { border-color: #333d49 } .PASSED { color: #62c78a } .FAILED { color: #ff8a80 } }
"""


def print_plan(console: Console, drill: Drill) -> None:
    """What is about to be done, and what is to be feared."""
    console.print(Text(drill.title, style="bold"))
    for risk in drill.risks:
        warn(console, risk)


def print_report(console: Console, report: Report) -> None:
    console.print(Text(heading(report), style="bold"))
    for section in sections(report):
        style = "bold red" if section.title.endswith("FAILED") else "bold"
        console.print(Text(f"\n{section.title}", style=style))
        for sentence in section.sentences:
            console.print(Text(sentence))
        if section.rows:
            table = Table(box=None, pad_edge=False, header_style="dim")
            for each in section.headings:
                table.add_column(each, justify="right" if each == "ms" else "left")
            for row in section.rows:
                table.add_row(*(Text(cell, style="red" if cell == "FAILED" else "") for cell in row))
            console.print(table)


def document(report: Report) -> dict[str, Json]:
    """The --json form; times in milliseconds after the fault."""
    found = report.findings
    lists = ("lost", "stale", "vanished", "phantoms", "replayed")
    return {
        "drill": report.drill.kind,
        "title": report.drill.title,
        "verdict": verdict_word(report).lower(),
        "judgements": [asdict(each) for each in report.verdict],
        "began_at_s": report.began_at_s,
        "interrupted": report.interrupted,
        "recovered_ms": report.recovered_ms,
        "servers": report.servers,
        "node_timeout_ms": report.node_timeout_ms,
        "client_timeout_ms": report.client_timeout_ms,
        "sides": [[member.name for member in side] for side in report.drill.sides],
        "victims": [member.name for member in report.drill.victims],
        "milestones": [asdict(each) for each in report.milestones],
        "outages": [asdict(each) for each in report.outages],
        "counts": {
            **{name: len(getattr(found, name)) for name in lists},
            **{
                name: getattr(found, name)
                for name in ("keys", "writes", "acked", "refused", "unknown", "reads", "unread", "undecided")
            },
        },
        **{name: [asdict(each) for each in getattr(found, name)] for name in lists},
        "errors": [asdict(each) for each in report.errors],
        "timeline": [asdict(each) for each in report.marks],
        "notes": report.notes,
    }


def page(report: Report, path: Path) -> str:
    """The text of a page: HTML for a name that ends so, else Markdown."""
    if path.suffix.lower() in (".html", ".htm"):
        return _html(report)
    return "\n".join([f"# {heading(report)}", *map(_markdown, sections(report)), ""])


def _markdown(section: Section) -> str:
    lines = [f"\n## {section.title}"]
    for sentence in section.sentences:
        lines += ["", sentence]
    if section.rows:
        lines += ["", _row(section.headings), _row(tuple("---" for _ in section.headings))]
        lines += [_row(row) for row in section.rows]
    return "\n".join(lines)


def _row(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _html(report: Report) -> str:
    title = escape(heading(report))
    body = "\n".join(_html_section(section, verdict_word(report)) for section in sections(report))
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<style>{_STYLE}</style></head>\n<body><h1>{title}</h1>\n{body}\n</body></html>\n"
    )


def _html_section(section: Section, verdict: str) -> str:
    mark = f' class="{verdict}"' if section.title.endswith(verdict) else ""
    parts = [f"<h2{mark}>{escape(section.title)}</h2>"]
    parts += [f"<p>{escape(sentence)}</p>" for sentence in section.sentences]
    if section.rows:
        parts += ["<table>", _html_row("th", section.headings)]
        parts += [_html_row("td", row) for row in section.rows] + ["</table>"]
    return "\n".join(parts)


def _html_row(tag: str, cells: tuple[str, ...]) -> str:
    return f"<tr>{''.join(f'<{tag}>{escape(cell)}</{tag}>' for cell in cells)}</tr>"
