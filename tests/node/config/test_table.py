"""The table of directives against what two real servers told (tests/node/config/data)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from node.config import table
from node.config.__main__ import document
from node.config.config import Config
from node.config.directive import Directive
from node.config.table import BY_NAME, TABLE

DATA = Path(__file__).parent / "data"

# Where the recorded servers were started with options, or Valkey 8.0 chose another default than Redis 7.2.
STARTED_WITH = {"daemonize", "enable-debug-command", "save"}
VALKEY_CHANGED = {
    "lazyfree-lazy-eviction",
    "lazyfree-lazy-expire",
    "lazyfree-lazy-server-del",
    "lazyfree-lazy-user-del",
    "lazyfree-lazy-user-flush",
    "repl-backlog-size",
    "replica-lazy-flush",
    "slave-lazy-flush",
    "syslog-ident",
}


@pytest.mark.parametrize(
    ("recording", "changed"), [("config-redis-7.0.15.json", set()), ("config-valkey.json", VALKEY_CHANGED)]
)
def test_every_recorded_directive_is_known_with_its_default(recording: str, changed: set[str]) -> None:
    recorded: dict[str, str] = json.loads((DATA / recording).read_text())
    assert len(recorded) > 180
    ours = {
        name: BY_NAME[name.encode()].format(BY_NAME[name.encode()].default).decode("latin-1")
        for name in recorded
    }
    differing = {name for name in recorded if ours[name] != recorded[name]}
    assert differing == STARTED_WITH | changed


def test_names_are_unique_and_constants_are_named_after_them() -> None:
    assert len(BY_NAME) == len(TABLE) + sum(bool(directive.alias) for directive in TABLE)
    for directive in TABLE:
        assert getattr(table, directive.name.upper().replace("-", "_")) is directive


@pytest.mark.parametrize("directive", [d for d in TABLE if d.name != "dir"], ids=lambda d: d.name)
def test_defaults_are_read_back_as_they_are_shown(directive: Directive[object]) -> None:
    shown = directive.format(directive.default)
    if directive.name == "replicaof":
        assert shown == b""
    else:
        words = shown.split(b" ") if directive.kind.multi_arg else [shown]
        assert directive.parse(words) == directive.default


def test_values_have_the_type_of_their_directive() -> None:
    config = Config()
    assert config[table.MAXCLIENTS] + 1 == 10001
    assert config[table.CLIENT_OUTPUT_BUFFER_LIMIT].replica.soft_seconds == 60
    assert config[table.BIND] == ("*", "-::*")


def test_the_documentation_lists_every_directive_that_is_not_hidden() -> None:
    rows = [line.split("`")[1] for line in document().splitlines() if line.startswith("| `")]
    assert sorted(rows) == sorted(directive.name for directive in TABLE if not directive.hidden)
