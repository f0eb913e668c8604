"""ctl.execute.journal"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest

from ctl.errors import CtlError
from ctl.execute.journal import Journal, read, state_directory, unfinished
from ctl.plan.change import Change, Move, Roster
from gossip.slots import SlotSet


@pytest.fixture
def change(clusters: Any) -> Change:
    roster = Roster.of(clusters.build(*clusters.three_shards()))
    a, b = clusters.node_id("a"), clusters.node_id("b")
    return Change("reshard", "move", roster, (Move(a, b, SlotSet([1])), Move(a, b, SlotSet([2]))))


def test_it_tells_what_had_begun_and_what_was_done(tmp_path: Path, change: Change) -> None:
    journal = Journal.create(tmp_path / "state", change)
    journal.begin(0)
    journal.slots(0, [1])
    journal.done(0)
    journal.begin(1)
    journal.close()
    found = read(journal.path)
    assert found is not None
    assert (found.change, found.begun, found.done) == (change, {0, 1}, {0})
    assert not found.rolling_back
    assert stat.S_IMODE(journal.path.stat().st_mode) == 0o600


def test_it_goes_on_where_it_was_and_forgets_a_line_that_was_cut_off(tmp_path: Path, change: Change) -> None:
    journal = Journal.create(tmp_path, change)
    journal.begin(0)
    journal.close()
    with journal.path.open("a") as file:
        file.write('{"kind": "beg')
    found = read(journal.path)
    assert found is not None
    assert found.begun == {0}
    again = Journal.reopen(found)
    again.direction("rollback")
    again.close()
    found = read(journal.path)
    assert found is not None
    assert found.rolling_back


def test_one_ctl_at_a_time_writes_it(tmp_path: Path, change: Change) -> None:
    journal = Journal.create(tmp_path, change)
    found = read(journal.path)
    assert found is not None
    with pytest.raises(CtlError, match="another ctl is at work"):
        Journal.reopen(found)
    journal.close()
    Journal.reopen(found).finish()
    assert not journal.path.exists()


def test_a_kill_before_the_plan_was_on_disk_left_nothing_to_do(tmp_path: Path) -> None:
    path = tmp_path / "x.journal"
    path.write_text('{"kind": "plan", "for')
    assert read(path) is None


@pytest.mark.parametrize("text", ["{}\n", "[]\n", "x\n", '{"kind":"plan","format":1,"plan":{}}\n'])
def test_a_damaged_one_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.journal"
    path.write_text(text)
    with pytest.raises(CtlError, match=r"x\.journal is damaged"):
        read(path)


def test_journals_of_other_clusters_are_passed_over(tmp_path: Path, change: Change, clusters: Any) -> None:
    Journal.create(tmp_path, change).close()
    assert len(unfinished([tmp_path, tmp_path / "none"], clusters.build(*clusters.three_shards()))) == 1
    assert unfinished([tmp_path], clusters.build(clusters.node("q", slots="0-16383"))) == []


def test_a_directory_that_cannot_be_written_stops_before_anything_is_done(
    tmp_path: Path, change: Change
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CtlError, match="cannot write a journal") as caught:
        Journal.create(tmp_path / "file" / "state", change)
    assert caught.value.hint == "Nothing was done."


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_stops_before_the_next_step(tmp_path: Path, change: Change) -> None:
    journal = Journal.create(tmp_path, change)
    with open("/dev/full", "wb", buffering=0) as full:
        whole, journal._descriptor = journal._descriptor, full.fileno()
        with pytest.raises(CtlError, match="cannot write the journal"):
            journal.begin(0)
        journal._descriptor = whole
    journal.close()


def test_where_journals_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/x")
    assert state_directory() == Path("/x/shoal")
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", "/h")
    assert state_directory() == Path("/h/.local/state/shoal")
