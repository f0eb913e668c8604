"""Commands of a single server, made fit for a cluster: which slots they touch, and how to split them.

A replication stream (or an AOF) of a server without slots has commands whose keys are all over the cluster.
Most have one key. Of those with several, MSET, DEL and the like are nothing but many commands in one, and are
split. What is left (RENAME, SUNIONSTORE, …) has to run where all its keys are; see
`ctl.execute.import_apply`. What would undo the cluster's own data (FLUSHALL, SWAPDB) is never carried over.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from ctl.plan.restore import Existing, Restore, at_risk, check_target
from ctl.plan.steps import PlanError
from ctl.snapshot import ClusterSnapshot
from gossip.slots import key_slot

Argv = Sequence[bytes]
# MULTI and EXEC: what is between them runs one by one, since its keys may be anywhere.
IGNORED = frozenset({b"ping", b"multi", b"exec", b"publish", b"spublish", b"replconf", b"select"})
FOR_ALL = frozenset({b"function", b"script"})
FORBIDDEN = frozenset({b"flushall", b"flushdb", b"swapdb", b"move", b"debug", b"migrate"})
_NUMBERED = frozenset({b"zunionstore", b"zinterstore", b"zdiffstore"})


@dataclass(frozen=True, slots=True)
class Keys:
    """Where a command has keys, as COMMAND says: first, last (negative from the end), step.

    `movable`: only the server can tell.
    """

    first: int
    last: int
    step: int
    movable: bool


@dataclass(frozen=True, slots=True)
class Split:
    """Commands of one slot each. One whose keys are in several is `crossing` and has no parts."""

    parts: tuple[tuple[int, Argv], ...]
    crossing: bool = False


def command_table(reply: Iterable[object]) -> dict[bytes, Keys]:
    """Of COMMAND's reply, by name in lower case."""
    table = {}
    for row in reply:
        if not isinstance(row, list) or len(row) < 6:
            continue
        name, _, flags, first, last, step = row[:6]
        if isinstance(name, bytes) and isinstance(flags, list):
            assert isinstance(first, int)
            assert isinstance(last, int)
            assert isinstance(step, int)
            movable = b"movablekeys" in flags or name.lower() in _NUMBERED
            table[name.lower()] = Keys(first, last, step, movable)
    return table


def positions(argv: Argv, keys: Keys) -> list[int]:
    """Where the keys are in `argv`, unless they are movable."""
    if not keys.first:
        return []
    last = keys.last if keys.last >= 0 else len(argv) + keys.last
    return list(range(keys.first, min(last, len(argv) - 1) + 1, max(keys.step, 1)))


def positions_of(argv: Argv, found: Sequence[bytes]) -> list[int]:
    """Where `found`, the keys that the server named, are in `argv`."""
    if argv[0].lower() in _NUMBERED:
        return [1, *range(3, 3 + int(argv[2]))]
    places, start = [], 1
    for key in found:
        at = next((at for at in (*range(start, len(argv)), *range(1, start)) if argv[at] == key), None)
        assert at is not None, (argv, key)
        places.append(at)
        start = at + 1
    return places


def split(argv: Argv, places: Sequence[int]) -> Split:
    """The parts of a command whose keys are at `places`."""
    slots = {key_slot(argv[at]) for at in places}
    name = argv[0].lower()
    if name == b"restore-asking":
        argv = [b"RESTORE", *argv[1:]]
    if len(slots) == 1:
        return Split(((slots.pop(), argv),))
    if name in (b"mset", b"msetnx"):
        pairs = zip(argv[1::2], argv[2::2], strict=True)
        return Split(tuple((key_slot(key), (b"SET", key, value)) for key, value in pairs))
    if name in (b"del", b"unlink"):
        return Split(tuple((key_slot(key), (argv[0], key)) for key in argv[1:]))
    return Split((), crossing=True)


def plan_import(
    snapshot: ClusterSnapshot,
    existing: Existing,
    source: str,
    keys: int | None,
    databases: set[int],
    db: int | None,
    mode: Literal["copy", "scan", "live", "cutover"],
) -> Restore:
    """What is about to happen. Raises PlanError where it cannot."""
    if db is None and (others := sorted(databases - {0})):
        raise PlanError(
            f"{source} has keys in database {others[0]}, and a cluster has database 0 alone",
            "Say which is meant: --db N.",
        )
    there = check_target(snapshot, "skip", 0)
    targets = [member.name for member in snapshot.primaries if member.line.slots]
    how = {
        "copy": "as they are at one moment, from a snapshot; the source keeps them",
        "scan": "by SCAN and DUMP; writes meanwhile may or may not be in it; the source keeps them",
        "live": "from a snapshot, then every write that follows, until Ctrl-C",
        "cutover": "from a snapshot, then every write that follows; then writes at the source are paused",
    }[mode]
    counted = "keys" if keys is None else f"{keys:,} keys"
    risks = list(at_risk(there, existing)) if existing != "refuse" else []
    if existing == "refuse" and there:
        risks.append(f"The cluster has {there:,} keys; if one has the same name, both stay as they are.")
    lines = (f"{counted}, {how}", f"into {len(targets)} primaries: {', '.join(targets)}")
    return Restore(f"import from {source}", lines, tuple(risks))
