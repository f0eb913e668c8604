"""ctl.render.watch: a page fits the terminal, whatever there is to show."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from ctl.plan.watch import Happening, Moving, Sample
from ctl.render.watch import document, draw, slot_bar
from ctl.snapshot import ClusterSnapshot
from gossip.slots import SlotSet


def page(sample: Sample, width: int, height: int, happened: int = 0) -> list[str]:
    events = [(sample.at_s, Happening("role", f"event {n} " + "x" * 100)) for n in range(happened)]
    output = io.StringIO()
    console = Console(file=output, width=width, height=height, highlight=False, color_system=None)
    console.print(draw(None, sample, events, width, height, 1.0))
    return output.getvalue().splitlines()


def sample(snapshot: ClusterSnapshot, **more: Any) -> Sample:
    return Sample(1_700_000_000, 1, snapshot, **more)


@pytest.mark.parametrize(("width", "height"), [(80, 24), (130, 40), (60, 12), (40, 8)])
@pytest.mark.parametrize("happened", [0, 3, 100])
def test_a_page_fits(clusters: Any, width: int, height: int, happened: int) -> None:
    specs = clusters.three_shards()
    specs[1].answers = False
    moving = (Moving(clusters.node_id("a"), clusters.node_id("b"), SlotSet([7]), 30, 10),)
    lines = page(sample(clusters.build(*specs), moving=moving), width, height, happened)
    assert len(lines) <= height
    assert all(len(line) <= width for line in lines)


def test_at_80_columns_numbers_are_whole_and_the_state_is_cut(clusters: Any) -> None:
    specs = clusters.three_shards()
    specs[1].answers = False
    lines = page(sample(clusters.build(*specs)), 80, 24)
    assert lines[3].split() == ["Node", "Role", "Slots", "Ops/s", "Memory", "Clients", "Lag", "State"]
    row = next(line for line in lines if "10.0.0.2:7001" in line)
    assert row.split()[:4] == ["B", "10.0.0.2:7001", "primary", "5,462"]
    assert "unreachable: connection …" in row


def test_what_is_not_well_is_shown_first_where_not_all_fit(clusters: Any) -> None:
    specs = clusters.three_shards()
    specs[5].answers = False
    text = "\n".join(page(sample(clusters.build(*specs)), 80, 10))
    assert "10.0.0.6:7005" in text
    assert "more nodes that are well" in text


def test_the_bar_shows_shares_holes_and_moves(clusters: Any) -> None:
    specs = clusters.three_shards()
    specs[2].slots = "10923-16000"
    edit = {("a", "a"): {"migrating": {0: clusters.node_id("b")}}}
    snapshot = clusters.build(*specs, edit=edit)
    letters = {clusters.node_id(name): name.upper() for name in "abc"}
    bar = slot_bar(snapshot, letters, 64).plain
    assert len(bar) == 64
    assert bar[0] == "↔"
    assert bar[1:21] == "A" * 20
    assert bar[-1] == "·"


def test_when_nobody_answers_the_last_known_nodes_stay(clusters: Any) -> None:
    lines = page(sample(clusters.build(*clusters.three_shards()), silent="none of 6 nodes answers"), 80, 24)
    assert lines[0].startswith("no node answers: none of 6 nodes answers")
    assert sum("10.0.0." in line for line in lines) == 6


def test_a_document_a_sample(clusters: Any) -> None:
    now = sample(clusters.build(*clusters.three_shards()))
    told = document(None, now, [Happening("epoch", "text", ("id",))])
    assert told["time"] == "2023-11-14T22:13:20.000Z"
    assert told["events"] == [{"kind": "epoch", "text": "text", "nodes": ("id",)}]
    nodes = told["nodes"]
    assert isinstance(nodes, list)
    assert nodes[0]["ops_per_s"] is None
