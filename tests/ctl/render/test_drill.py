"""A drill's report on a terminal, as JSON, and as pages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from ctl.plan.drill import plan_drill
from ctl.plan.drill_history import Findings, Lost
from ctl.plan.drill_outage import Outage
from ctl.plan.drill_report import ClientErrors, Judgement, Report
from ctl.plan.drill_timeline import Mark, milestones
from ctl.render.drill import document, page, print_report


@pytest.fixture
def report(clusters: Any) -> Report:
    drill = plan_drill(clusters.build(*clusters.three_shards()), "kill", node_timeout_ms=2000)
    marks = (Mark(0, "", "fault", "kill <it>", "ctl"), Mark(812.4, "n", "pfail", "a | b"))
    return Report(
        drill=drill,
        began_at_s=1_800_000_000,
        servers=("shoal 0.1.0",),
        node_timeout_ms=2000,
        client_timeout_ms=500,
        writers=3,
        marks=marks,
        milestones=tuple(milestones(marks)),
        outages=(Outage("s", "clients", 1234.5, -3, 1231.5, False, 10, 9, 8),),
        findings=Findings(keys=3, writes=9, acked=8, lost=[Lost(f"k{at}", at, 5.0, "n") for at in range(30)]),
        errors=(ClientErrors("CLUSTERDOWN", 3, 1, 2, "down"),),
        recovered_ms=None,
        interrupted=True,
        notes=("healing failed: no",),
        verdict=(Judgement("acknowledged writes lost", "0", "30", False),),
    )


def test_the_terminal_shows_verdict_losses_and_outages(report: Report) -> None:
    console = Console(width=200, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    print_report(console, report)
    console.file.close()
    text = console.export_text()
    assert "Verdict: FAILED" in text
    assert "Interrupted" in text
    assert "healing failed: no" in text
    assert "30 acknowledged writes lost" in text
    assert "The first 20 lost ones are listed" in text
    assert "1234, not over" in text
    assert "CLUSTERDOWN" in text


def test_the_document_has_everything_and_is_json(report: Report) -> None:
    told = json.loads(json.dumps(document(report)))
    assert (told["drill"], told["verdict"], told["interrupted"]) == ("kill", "failed", True)
    assert len(told["lost"]) == told["counts"]["lost"] == 30
    assert told["milestones"][1] == {"name": "first PFAIL", "at_ms": 812.4, "node": "n"}
    assert told["outages"][0]["over"] is False
    assert told["victims"] == ["10.0.0.1:7000"]


def test_a_page_of_markdown_escapes_its_tables(report: Report) -> None:
    text = page(report, Path("x.md"))
    assert text.startswith("# Drill kill: kill 10.0.0.1:7000")
    assert "\n## Verdict: FAILED\n" in text
    assert "| 812 | n | a \\| b |" in text


def test_a_page_of_html_is_whole_and_escaped(report: Report) -> None:
    text = page(report, Path("x.HTML"))
    assert text.startswith("<!doctype html>")
    assert '<h2 class="FAILED">Verdict: FAILED</h2>' in text
    assert "kill &lt;it&gt;" in text
    assert "<it>" not in text
