"""The table of commands against the recorded one of a server with Redis 7.2's commands (and 8.0's, by
`since`): tests/fixtures/reference/commands.json. Those of Redis 7.4, where hashes' fields got times to live,
are in redis-7.4.json, made of src/commands/*.json of that version, and those of Valkey 9 that move slots in
valkey-9.0.json, made in the same way.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from node.command.registry import Command, describe_begin, describe_find
from node.command.spec import DECLARED
from node.commands import load_all

_REFERENCE = Path(__file__).parents[2] / "fixtures" / "reference"
_RECORDED = tuple(_REFERENCE / name for name in ("commands.json", "redis-7.4.json", "valkey-9.0.json"))
_FIELDS = ("arity", "flags", "keys", "key_specs", "acl", "tips", "since", "group", "complexity")

_NESTED = "Redis 7.2 has words of their own for these inside MULTI, and the transaction goes on"
DELIBERATE: dict[tuple[str, str], str] = {("multi", "flags"): _NESTED, ("watch", "flags"): _NESTED}
DELIBERATE |= {
    ("cluster|migrateslots", "arity"): "Valkey takes fewer words and answers that they are too few",
    ("cluster|cancelslotmigrations", "arity"): "ALL may be said, to be sure what is meant",
    ("cluster|syncslots", "arity"): "nothing begins with less than a word of it",
}
"""(command, field) → why it differs here."""


def _recorded() -> dict[str, dict[str, Any]]:
    entries = {}
    for entry in (entry for file in _RECORDED for entry in json.loads(file.read_text())):
        entries[entry["name"]] = entry
        entries.update({sub["name"]: sub for sub in entry.get("subcommands", ())})
    return entries


def _table() -> dict[str, Command]:
    load_all()
    return {spec.name.lower().decode(): Command(spec, None) for spec in DECLARED}


RECORDED = _recorded()
TABLE = _table()


def _step(kind: bytes, spec: list[tuple[bytes, int | bytes]]) -> dict[str, dict[str, int | str]]:
    """A step of a key specification as it was recorded."""
    values = {name.decode(): value.decode() if isinstance(value, bytes) else value for name, value in spec}
    return {kind.decode(): values}


def _key_specs(command: Command) -> list[dict[str, Any]]:
    specs = []
    for spec in command.spec.keys:
        entry: dict[str, Any] = {
            "flags": sorted(name.decode() for name in spec.flags.names()),
            "begin_search": _step(*describe_begin(spec.begin)),
            "find_keys": _step(*describe_find(spec.find)),
        }
        if spec.notes:
            entry["notes"] = spec.notes
        specs.append(entry)
    return specs


def _ours(command: Command) -> dict[str, Any]:
    spec = command.spec
    return {
        "arity": spec.arity,
        "flags": sorted(name.decode() for name in command.all_flags().names()),
        "keys": list(command.legacy_range()),
        "key_specs": _key_specs(command),
        "acl": sorted(spec.acl_categories()),
        "tips": list(spec.tips),
        "since": spec.since,
        "group": spec.group,
        "complexity": spec.complexity,
    }


def _theirs(entry: dict[str, Any]) -> dict[str, Any]:
    found = {field: entry.get(field, "") for field in _FIELDS}
    found["flags"] = sorted(found["flags"])
    found["acl"] = sorted(found["acl"])
    found["key_specs"] = [spec | {"flags": sorted(spec["flags"])} for spec in entry["key_specs"]]
    return found


@pytest.mark.parametrize("name", sorted(TABLE))
def test_declaration_is_the_recorded_one(name):
    assert name in RECORDED, "the reference has no such command"
    ours, theirs = _ours(TABLE[name]), _theirs(RECORDED[name])
    differing = [field for field in _FIELDS if ours[field] != theirs[field]]
    wrong = {field: (ours[field], theirs[field]) for field in differing if (name, field) not in DELIBERATE}
    assert not wrong, "\n".join(f"{f}: {a!r}, recorded {b!r}" for f, (a, b) in wrong.items())


def test_every_deliberate_difference_is_one():
    for name, field in DELIBERATE:
        assert _ours(TABLE[name])[field] != _theirs(RECORDED[name])[field], (name, field)
