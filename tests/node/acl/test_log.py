"""The log of denials: newest first, those that are alike counted together."""

from __future__ import annotations

from node.acl.log import AclLog, Context
from node.acl.selector import Reason


def note(log: AclLog, what: bytes, now_ms: int, reason: Reason = Reason.KEY) -> None:
    log.add(reason, Context.TOPLEVEL, what, b"u", b"client", now_ms)


def test_denials_that_are_alike_within_a_minute_are_one_entry_and_come_first() -> None:
    log = AclLog(lambda: 10)
    note(log, b"a", 0)
    note(log, b"b", 1)
    note(log, b"a", 60_000)
    assert [(entry.object, entry.count, entry.id) for entry in log.entries] == [(b"a", 2, 0), (b"b", 1, 1)]
    assert log.entries[0].created_ms == 0
    assert log.entries[0].updated_ms == 60_000
    note(log, b"a", 120_001)
    assert [(entry.object, entry.count) for entry in log.entries] == [(b"a", 1), (b"a", 2), (b"b", 1)]


def test_other_reasons_are_other_entries_and_all_are_counted() -> None:
    log = AclLog(lambda: 10)
    for reason in (Reason.KEY, Reason.COMMAND, Reason.KEY):
        note(log, b"a", 0, reason)
    assert len(log.entries) == 2
    assert log.denials == {Reason.KEY: 2, Reason.COMMAND: 1}


def test_only_the_newest_are_looked_at_and_kept() -> None:
    log = AclLog(lambda: 11)
    for number in range(11):
        note(log, b"%d" % number, 0)
    note(log, b"0", 0)
    assert [entry.object for entry in log.entries][:2] == [b"0", b"10"]
    assert len(log.entries) == 11
    assert all(entry.count == 1 for entry in log.entries)
