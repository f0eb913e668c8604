"""Nothing of the reference's data commands is missing, and none is without a test."""

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
LATER: dict[str, str] = {}


def _names(group_names: set[str]) -> list[str]:
    names = []
    for command in json.loads(REFERENCE.read_text()):
        if command["group"] in group_names:
            names.append(command["name"])
            names += [sub["name"] for sub in command.get("subcommands", ())]
    return names


def _declared() -> set[str]:
    load_all()
    return {spec.name.decode().lower() for spec in DECLARED}


def test_every_data_command_of_the_reference_exists() -> None:
    missing = [name for name in _names(DATA_GROUPS) if name not in _declared() and name not in LATER]
    assert missing == []


def test_what_comes_later_is_not_there_yet() -> None:
    """An entry of LATER that has come goes from the list."""
    assert not _declared() & LATER.keys()


@pytest.fixture(scope="module")
def words() -> set[str]:
    """Every word of upper-case letters in the tests that run commands."""
    found: set[str] = set()
    for directory in (TESTS / "compat", TESTS / "node" / "commands"):
        for path in directory.glob("*.py"):
            found |= set(re.findall(r"[A-Z_]{3,}", path.read_text().upper()))
    return found


@pytest.mark.parametrize("name", [name for name in _names(DATA_GROUPS) if name not in LATER])
def test_every_data_command_is_tested(name: str, words: set[str]) -> None:
    """By name, in a differential or a unit test."""
    assert set(name.upper().split("|")) <= words
