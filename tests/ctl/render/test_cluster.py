"""ctl.render.cluster: tables fit the terminal, and pipes get all columns."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from ctl.render.cluster import print_nodes, print_status
from ctl.snapshot import ClusterSnapshot


def shown(snapshot: ClusterSnapshot, width: int, what: Any = print_status) -> list[str]:
    output = io.StringIO()
    what(Console(file=output, width=width, highlight=False), snapshot)
    return output.getvalue().splitlines()


@pytest.mark.parametrize("width", [80, 140])
def test_status_fits_and_breaks_no_line(clusters: Any, width: int) -> None:
    text = shown(clusters.build(*clusters.three_shards()), width)
    assert text[0] == "cluster ok · 3 primaries, 3 replicas · 16384 of 16384 slots · epoch 9"
    assert len(text) == 2 + 6
    assert all(len(line) <= width for line in text)
    assert [line.split()[:3] for line in text[2:4]] == [
        ["10.0.0.1:7000", "primary", "0-5460"],
        ["10.0.0.4:7003", "replica", "10.0.0.1:7000"],
    ]


def test_columns_that_do_not_fit_are_left_out(clusters: Any) -> None:
    specs = clusters.three_shards()
    for number, spec in enumerate(specs):
        spec.host = f"192.168.100.10{number}"
    snapshot = clusters.build(*specs)
    assert "Memory" not in shown(snapshot, 80)[1]
    assert "Memory" in shown(snapshot, 140)[1]


def test_ids_are_whole_where_there_is_room(clusters: Any) -> None:
    snapshot = clusters.build(*clusters.three_shards())
    whole = clusters.node_id("a")
    assert any(whole in line for line in shown(snapshot, 140, print_nodes))
    narrow = shown(snapshot, 80, print_nodes)
    assert not any(whole in line for line in narrow)
    assert any(whole[:8] in line for line in narrow)


def test_failed_nodes_are_counted_apart_from_roles(clusters: Any) -> None:
    """After a fail-over the old primary keeps its flag in the others' eyes, and owns nothing."""
    specs = clusters.three_shards()
    specs[0].answers, specs[0].slots = False, ""
    specs[3].slots, specs[3].primary = "0-5460", None
    edit = {(viewer, "a"): {"flags": {"fail"}} for viewer in "bcxyz"}
    text = shown(clusters.build(*specs, edit=edit), 140)
    assert text[0] == "cluster ok · 3 primaries, 2 replicas, 1 failed · 16384 of 16384 slots · epoch 9"
    assert any("failed: connection refused" in line for line in text)


def test_a_node_that_does_not_answer_says_why(clusters: Any) -> None:
    specs = clusters.three_shards()
    specs[5].answers = False
    text = shown(clusters.build(*specs), 140)
    assert text[0].endswith("1 node not answering")
    assert any("unreachable: connection refused" in line for line in text)
