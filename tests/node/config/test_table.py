"""The table of directives against what two real servers told (tests/node/config/data)."""

from __future__ import annotations

import ast
import json
from functools import cache
from pathlib import Path

import pytest

from node.config import table
from node.config.__main__ import document
from node.config.config import Config
from node.config.directive import Directive
from node.config.table import BY_NAME, TABLE

DATA = Path(__file__).parent / "data"
PACKAGE = Path(table.__file__).parents[1]

# What is told (INFO, a warning) of directives that change nothing yet, or never.
TOLD_ONLY = {"HZ"}

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


@cache
def constants_read() -> frozenset[str]:
    """Names that the package uses outside of the table."""
    found: set[str] = set()
    for path in PACKAGE.rglob("*.py"):
        if path != Path(table.__file__):
            nodes = list(ast.walk(ast.parse(path.read_bytes())))
            found |= {node.id for node in nodes if isinstance(node, ast.Name)}
            found |= {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    return frozenset(found)


@pytest.mark.parametrize("directive", TABLE, ids=lambda d: d.name)
def test_a_directive_is_heeded_or_says_why_not(directive: Directive[object]) -> None:
    """None is accepted in silence: there is a reader or a marker, and the marker goes when a reader comes."""
    constant = directive.name.upper().replace("-", "_")
    if constant in TOLD_ONLY:
        assert directive.ignored or directive.later
    else:
        marked = bool(directive.ignored or directive.later)
        assert (constant in constants_read()) != marked, f"{constant} has {'both' if marked else 'neither'}"
    assert not (directive.ignored and directive.later)


def test_what_comes_later_is_told_to_whoever_asks_for_it() -> None:
    config = Config()
    told: list[str] = []
    config.notice = told.append
    assert config.unserved() == []
    config.set_many([(b"tls-session-cache-size", b"2"), (b"timeout", b"1")])
    assert told == [
        "Directive tls-session-cache-size is accepted but not served yet: "
        "Python's ssl module leaves it to OpenSSL"
    ]
    assert config.unserved() == [table.TLS_SESSION_CACHE_SIZE]


def test_to_do_without_is_no_demand() -> None:
    """`save ""` turns off what there is none of."""
    config = Config()
    told: list[str] = []
    config.notice = told.append
    config.set_many([(b"save", b""), (b"latency-tracking", b"no"), (b"slowlog-max-len", b"0")])
    assert told == []
    assert config.unserved() == []
