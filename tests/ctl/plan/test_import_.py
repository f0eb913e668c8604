"""ctl.plan.import_: commands of a server without slots, split for a cluster."""

from __future__ import annotations

from typing import Any

import pytest

from ctl.plan.import_ import Keys, command_table, plan_import, positions, positions_of, split
from ctl.plan.steps import PlanError
from gossip.slots import key_slot

A, B = b"a", b"b"
SLOT_A, SLOT_B = key_slot(A), key_slot(B)


def test_the_table_is_read_from_command() -> None:
    rows = [
        [b"GET", 2, [b"readonly"], 1, 1, 1, []],
        [b"sort", -2, [b"write", b"movablekeys"], 1, 1, 1],
        [b"zunionstore", -4, [b"write"], 1, 1, 1],
        b"nonsense",
    ]
    assert command_table(rows) == {
        b"get": Keys(1, 1, 1, movable=False),
        b"sort": Keys(1, 1, 1, movable=True),
        b"zunionstore": Keys(1, 1, 1, movable=True),
    }


@pytest.mark.parametrize(
    ("words", "keys", "places"),
    [
        (b"GET a", Keys(1, 1, 1, movable=False), [1]),
        (b"MSET a 1 b 2", Keys(1, -1, 2, movable=False), [1, 3]),
        (b"BLPOP a b 0", Keys(1, -2, 1, movable=False), [1, 2]),
        (b"PING", Keys(0, 0, 0, movable=False), []),
    ],
)
def test_keys_are_where_the_table_says(words: bytes, keys: Keys, places: list[int]) -> None:
    assert positions(words.split(), keys) == places


@pytest.mark.parametrize(
    ("words", "found", "places"),
    [
        (b"SORT a BY nosort STORE b", [A, B], [1, 5]),
        (b"ZUNIONSTORE a 2 2 b", [A, b"2", B], [1, 3, 4]),
        (b"GEORADIUS b 1 2 3 m STORE a", [B, A], [1, 7]),
        (b"X b a", [A, B], [2, 1]),
    ],
)
def test_keys_that_the_server_named_are_found(words: bytes, found: list[bytes], places: list[int]) -> None:
    assert positions_of(words.split(), found) == places


@pytest.mark.parametrize(
    ("words", "places", "parts"),
    [
        (b"SET a 1", [1], [(SLOT_A, b"SET a 1")]),
        (b"MSET a 1 b 2", [1, 3], [(SLOT_A, b"SET a 1"), (SLOT_B, b"SET b 2")]),
        (b"DEL a b a", [1, 2, 3], [(SLOT_A, b"DEL a"), (SLOT_B, b"DEL b"), (SLOT_A, b"DEL a")]),
        (b"MSET {x}1 1 {x}2 2", [1, 3], [(key_slot(b"x"), b"MSET {x}1 1 {x}2 2")]),
        (b"RESTORE-ASKING a 0 p", [1], [(SLOT_A, b"RESTORE a 0 p")]),
    ],
)
def test_what_is_many_commands_in_one_is_split(
    words: bytes, places: list[int], parts: list[tuple[int, bytes]]
) -> None:
    done = split(words.split(), places)
    assert not done.crossing
    assert [(slot, b" ".join(argv)) for slot, argv in done.parts] == parts


def test_other_commands_with_keys_in_several_slots_are_not_split() -> None:
    assert split([b"RENAME", A, B], [1, 2]).crossing


def test_other_databases_have_to_be_chosen(clusters: Any) -> None:
    snapshot = clusters.build(*clusters.three_shards())
    with pytest.raises(PlanError, match="database 3"):
        plan_import(snapshot, "refuse", "there", 5, {0, 3}, None, "copy")
    assert "5 keys" in plan_import(snapshot, "refuse", "there", 5, {0, 3}, 3, "copy").lines[0]
