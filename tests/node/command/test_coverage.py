"""No command of the reference is missing, and no data command is without a test."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from node.command.spec import DECLARED
from node.commands import load_all

TESTS = Path(__file__).resolve().parents[2]
REFERENCE = TESTS / "fixtures" / "reference" / "commands.json"
DATA_GROUPS = {
    "string", "list", "hash", "set", "sorted-set", "stream", "bitmap", "hyperloglog", "geo", "generic",
    "transactions", "pubsub",
}  # fmt: skip


def _names(group_names: set[str] | None = None) -> list[str]:
    """Of commands and subcommands; None: of all groups."""
    names = []
    for command in json.loads(REFERENCE.read_text()):
        if group_names is None or command["group"] in group_names:
            names.append(command["name"])
            names += [sub["name"] for sub in command.get("subcommands", ())]
    return names


def _declared() -> set[str]:
    load_all()
    return {spec.name.decode().lower() for spec in DECLARED}


def test_every_command_of_the_reference_exists() -> None:
    assert [name for name in _names() if name not in _declared()] == []


@pytest.fixture(scope="module")
def words() -> set[str]:
    """Every word of upper-case letters in the tests that run commands."""
    found: set[str] = set()
    for directory in (TESTS / "compat", TESTS / "node" / "commands"):
        for path in directory.glob("*.py"):
            found |= set(re.findall(r"[A-Z_]{3,}", path.read_text().upper()))
    return found


@pytest.mark.parametrize("name", _names(DATA_GROUPS))
def test_every_data_command_is_tested(name: str, words: set[str]) -> None:
    """By name, in a differential or a unit test."""
    assert set(name.upper().split("|")) <= words
