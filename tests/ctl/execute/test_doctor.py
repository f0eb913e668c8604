"""ctl.execute.doctor: what the replies mean."""

from __future__ import annotations

import pytest

from ctl.execute.doctor import is_open, slow_commands, written_bytes_per_s
from ctl.plan.doctor_facts import SlowCommand
from ctl.survey import NodeFacts
from node.resp.client import Reply, ReplyError

UNKNOWN = ReplyError("ERR unknown command")


@pytest.mark.parametrize(
    ("flags", "expected"), [([b"on", b"nopass"], True), ([b"off", b"nopass"], False), ([b"on"], False)]
)
def test_a_default_user_that_is_on_and_needs_no_password_is_open(flags: list[Reply], expected: bool) -> None:
    assert is_open([b"flags", flags, b"passwords", []], NodeFacts()) is expected


def test_without_acl_requirepass_tells_and_without_both_nothing_does() -> None:
    assert is_open(UNKNOWN, NodeFacts(config={"requirepass": ""})) is True
    assert is_open(UNKNOWN, NodeFacts(config={"requirepass": "x"})) is False
    assert is_open(UNKNOWN, NodeFacts()) is None


def test_slow_entries_keep_the_name_and_no_argument() -> None:
    entry: list[Reply] = [7, 100, 12_345, [b"auth", b"secret"], b"127.0.0.1:1", b""]
    assert slow_commands([entry, b"odd"], 130_000) == (SlowCommand("AUTH", 12_345, 30),)
    assert slow_commands(UNKNOWN, 130_000) is None
    assert slow_commands([entry], None) is None


def test_the_rate_is_what_the_offset_grew_by() -> None:
    before, after = b"role:master\r\nmaster_repl_offset:100\r\n", b"master_repl_offset:300\r\n"
    assert written_bytes_per_s(before, after, 2.0) == 100
    assert written_bytes_per_s(after, before, 2.0) == 0
    assert written_bytes_per_s(before, UNKNOWN, 2.0) is None
    assert written_bytes_per_s(before, b"role:master\r\n", 2.0) is None
