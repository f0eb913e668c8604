"""Requests that come alone and those that come together are served alike."""

from __future__ import annotations

import pytest

from node.app import Node
from node.command.session import Gone, Session
from node.config.config import Config

_REQUESTS = [
    [b"SET", b"k", b"v"],
    [b"GET", b"k"],
    [b"get", b"none"],
    [b"GeT", b"k"],
    [b"GET"],
    [b"NOSUCH", b"k"],
    [b"INCR", b"k"],
    [b"LPUSH", b"l", b"1", b"2"],
    [b"LPUSH", b"k", b"1"],
    [b"SPOP", b"none"],
    [b"SADD", b"s", b"only"],
    [b"SPOP", b"s"],
    [b"ZADD", b"z", b"nan", b"a"],
    [b"ZADD", b"z", b"000000000007", b"a"],
    [b"ZADD", b"z", b"9" * 400, b"a"],
    [b"ZSCORE", b"z", b"a"],
    [b"MSET", b"{a}1", b"x", b"b", b"2"],
    [b"SET", b"gone", b"x", b"PX", b"1"],
    [b"MULTI"],
    [b"INCR", b"n"],
    [b"EXEC"],
    [b"CLIENT", b"REPLY", b"SKIP"],
    [b"SET", b"unsaid", b"1"],
    [b"DBSIZE"],
    [b"HELLO", b"3"],
    [b"SUBSCRIBE", b"channel"],
    [b"PUBLISH", b"channel", b"message"],
    [b"CONFIG", b"SET", b"notify-keyspace-events", b"KEA"],
    [b"PSUBSCRIBE", b"__key*"],
    [b"SET", b"k", b"told"],
]


class _Served:
    """A node, one session of it, and all that came out."""

    def __init__(self) -> None:
        self.node = Node(Config())
        self.session = Session(1, self.node.new_call(), Gone(), b"127.0.0.1:1", b"127.0.0.1:2")
        self.node.clients.add(self.session)
        self.out: list[bytes] = []

    def serve(self, requests: list[list[bytes]]) -> None:
        done = self.node.dispatcher.serve(self.session, requests, self.out)
        assert done == len(requests)

    def counts(self) -> dict[str, object]:
        """What INFO and CLIENT LIST tell of them."""
        stats = self.node.stats
        return {
            "calls": {
                command.name: (
                    command.calls,
                    command.failed_calls,
                    command.rejected_calls,
                    sum(command.times.values()),
                )
                for command in self.node.table.walk()
            },
            "processed": stats.commands_processed,
            "errors": stats.errors,
            "of the session": self.session.total_commands,
            "last": self.session.last_command and self.session.last_command.name,
            "changes": self.node.changes.total,
            "left of changes": (self.node.changes.log, self.node.changes.rewritten),
            "keys": self.node.databases[0].count,
        }


def test_a_request_alone_is_served_as_one_among_others():
    alone, together = _Served(), _Served()
    for request in _REQUESTS:
        alone.serve([request])
    together.serve(_REQUESTS)
    assert b"".join(alone.out) == b"".join(together.out)
    assert alone.counts() == together.counts()


@pytest.mark.parametrize("slower_than_us", [b"0", b"1000000"])
def test_a_call_alone_is_told_when_it_is_slow(slower_than_us):
    served = _Served()
    served.serve([[b"CONFIG", b"SET", b"slowlog-log-slower-than", slower_than_us]])
    served.serve([[b"SLOWLOG", b"RESET"]])
    before = len(served.node.slow_log)
    served.serve([[b"SET", b"k", b"v"]])
    assert len(served.node.slow_log) - before == (slower_than_us == b"0")
