"""ctl.survey: what replies mean."""

from __future__ import annotations

from ctl.survey import (
    parse_config,
    parse_functions,
    parse_links,
    parse_migrations,
    parse_time_ms,
    parse_users,
)
from node.resp.client import ReplyError


def test_what_a_node_does_not_know_is_none_and_not_empty() -> None:
    error = ReplyError("ERR unknown command 'function'")
    for parse in (parse_config, parse_functions, parse_users, parse_migrations, parse_links, parse_time_ms):
        assert parse(error) is None
    assert parse_functions([]) == {}


def test_libraries_are_told_apart_by_their_code() -> None:
    def library(code: bytes) -> list[object]:
        return [b"library_name", b"lib", b"engine", b"LUA", b"functions", [], b"library_code", code]

    one, two = parse_functions([library(b"return 1")]), parse_functions([library(b"return 2")])
    assert one is not None
    assert one != two
    assert one == parse_functions([library(b"return 1")])


def test_users_are_the_same_whatever_the_order_of_what_has_none() -> None:
    one = parse_users([b"user bob on sanitize-payload #aa #bb ~x* ~y* &* -@all +get"])
    assert one == parse_users([b"user bob on ~y* ~x* #bb #aa &* -@all +get"])
    assert one != parse_users([b"user bob on ~y* ~x* #bb #aa &* +get -@all"])
    assert one != parse_users([b"user bob off ~y* ~x* #bb #aa &* -@all +get"])
    assert parse_users([b"user eve on +get (~a +set)"]) != parse_users([b"user eve on +get (~b +set)"])


def test_users_do_not_carry_their_passwords() -> None:
    assert "deadbeef" not in repr(parse_users([b"user bob on #deadbeef ~* +@all"]))


def test_migrations() -> None:
    entry = [
        b"name", b"j1", b"operation", b"EXPORT", b"slot_ranges", b"0-5 7", b"target_node", b"t",
        b"source_node", b"s", b"state", b"snapshotting", b"message", b"", b"remaining_repl_size", 12,
    ]  # fmt: skip
    [job] = parse_migrations([entry]) or ()
    assert (job.operation, job.slots, job.source_id, job.target_id) == ("export", "0-5 7", "s", "t")
    assert (job.remaining_bytes, job.ended) == (12, False)


def test_links_and_time() -> None:
    entry = [b"direction", b"to", b"node", b"id", b"create-time", 5, b"events", b"rw", b"send-buffer-used", 7]
    [link] = parse_links([entry]) or ()
    assert (link.node_id, link.outgoing, link.queued_bytes) == ("id", True, 7)
    assert parse_time_ms([b"1700000000", b"123456"]) == 1_700_000_000_123
