"""ctl.render.change and ctl.plan.wording"""

from __future__ import annotations

from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from ctl.plan.change import Attach, Change, Configure, Join, Leave, Move, Roster, Start, Stop
from ctl.plan.progress import Progress
from ctl.render.change import cost, outcome_line, plan_document, print_plan
from ctl.render.console import warn
from ctl.render.progress import progress, progress_line
from ctl.snapshot import Address
from gossip.slots import SlotSet


def test_a_plan_says_what_is_done_what_it_costs_and_what_is_at_risk(clusters: Any) -> None:
    a, b, x = map(clusters.node_id, "abx")
    at = Address("10.0.0.9", 7009)
    steps = (
        Start(at),
        Join("", at),
        Move(a, b, SlotSet(range(10)), 1200, 3_400_000),
        Move(a, clusters.node_id("c"), SlotSet([77]), 1, None),
        Attach("", at, b, None),
        Attach(x, None, b, a),
        Leave(a, None),
        Stop(at, remove=True),
        Configure({"maxmemory": "1gb", "requirepass": "s3cret"}, {a: {}, b: {}}, rewrite=True),
    )
    roster = Roster.of(clusters.build(*clusters.three_shards()))
    change = Change("any", "all at once", roster, steps, ("Beware.",))
    out = StringIO()
    print_plan(Console(file=out, width=200, highlight=False), change)
    assert out.getvalue().splitlines() == [
        "all at once",
        "  1  start a node at 10.0.0.9:7009",
        "  2  join 10.0.0.9:7009",
        "  3  move 10 slots from 10.0.0.1:7000 to 10.0.0.2:7001  0-9  1,200 keys, about 3.2M",
        "  4  move slot 77 from 10.0.0.1:7000 to 10.0.0.3:7002  77  1 key",
        "  5  make 10.0.0.9:7009 a replica of 10.0.0.2:7001",
        "  6  make 10.0.0.4:7003 a replica of 10.0.0.2:7001",
        "  7  have every node forget 10.0.0.1:7000",
        "  8  stop the node at 10.0.0.9:7009 and remove its files",
        "  9  set maxmemory '1gb', requirepass '***' on 2 nodes, and write it to their files",
        "     in all 11 slots, 1,201 keys",
        "  !  Beware.",
    ]
    document = plan_document(change)
    assert len(document["plan"]) == 9  # type: ignore[arg-type]
    assert "s3cret" not in repr(document)


def test_a_long_risk_stays_behind_its_mark(clusters: Any) -> None:
    out = StringIO()
    warn(Console(file=out, width=20, highlight=False), "one two three four five")
    assert out.getvalue().splitlines() == ["  !  one two three", "     four five"]


def test_no_time_is_promised_before_there_is_a_pace() -> None:
    assert Progress(0, 3000, 3, 11_000, 0, None, 1.0, None).left_s is None
    assert Progress(0, 3000, 5_500, 11_000, 0, None, 2.0, None).left_s == 2.0


def test_costs() -> None:
    assert cost(None, None) == "keys not counted"
    assert cost(0, 0) == "0 keys, about 0B"


def test_progress_tells_slots_keys_pace_and_what_is_left() -> None:
    line = progress_line(Progress(640, 2000, 7812, 24_412, 10_000_000, None, 2.0, 12.4))
    assert line.endswith("  640 of 2,000 slots · 7,812 keys · 5.0 MB/s · 4 s left · longest pause 12 ms")
    assert line.count("━") == 8
    assert progress_line(Progress(0, 10, 0, 0, 0, 0, 0.0, None)).endswith("0 of 10 slots · 0 keys")


def test_the_outcome_is_one_line() -> None:
    line = outcome_line(slots=9, keys=1200, size_bytes=2_000_000, atomic_slots=9, pause_ms=3.2, took_ms=2000)
    assert (
        line
        == "9 slots moved, 1,200 keys, 1.9M (1.0 MB/s) in 2.0 s, in one step for clients (longest pause 3 ms)"
    )
    assert outcome_line(slots=1, keys=0, size_bytes=0, atomic_slots=0, pause_ms=None, took_ms=5) == (
        "1 slot moved, 0 keys in 5 ms"
    )


def test_nothing_is_drawn_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with progress(quiet=False) as on_event:
        on_event(Progress(1, 2, 0, 0, 0, 0, 1.0, None))
    assert capsys.readouterr() == ("", "")
