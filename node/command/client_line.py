"""A session as CLIENT LIST, CLIENT INFO and the log show it: one line of `name=value` fields.

What Redis keeps in a fixed reply buffer (`rbs`, `rbp`, `obl`) is 0 here: all of a client's output is in the
list that `oll` and `omem` describe.

Source: https://redis.io/commands/client-list/
"""

from __future__ import annotations

import sys

from node.command.session import Session

_SESSION_BYTES = 1500
"""What a connection with nothing to read or send takes (session, call, connection, parser), measured."""


def client_line(session: Session, now_ms: int, argv: list[bytes] | None = None) -> bytes:
    """The fields of Redis 7.2, in its order, and `watch`; `argv` is the request the session is running."""
    transport, call = session.transport, session.call
    command, queue = session.last_command, session.queue
    query_bytes, output_bytes = transport.pending_bytes(), transport.output_bytes()
    argument_bytes = sum(map(len, argv)) if argv is not None else 0
    total_bytes = _SESSION_BYTES + query_bytes + output_bytes + argument_bytes + sys.getsizeof(argv or ())
    fields = (
        b"id=%d" % session.id,
        b"addr=%b" % session.address,
        b"laddr=%b" % session.local_address,
        b"fd=%d" % transport.descriptor(),
        b"name=%b" % session.name,
        b"age=%d" % ((now_ms - session.created_ms) // 1000),
        b"idle=%d" % ((now_ms - session.last_seen_ms) // 1000),
        b"flags=%b" % session_flags(session),
        b"db=%d" % call.db.index,
        b"sub=%d psub=%d ssub=%d" % _subscription_counts(session),
        b"multi=%d" % (len(queue) if queue is not None else -1),
        b"watch=%d" % (len(session.watch.keys) if session.watch is not None else 0),
        b"qbuf=%d" % query_bytes,
        b"qbuf-free=0",
        b"argv-mem=%d" % argument_bytes,
        b"multi-mem=%d" % (queue.size_bytes if queue is not None else 0),
        b"rbs=0 rbp=0 obl=0",
        b"oll=%d" % transport.output_parts(),
        b"omem=%d" % output_bytes,
        b"tot-mem=%d" % total_bytes,
        b"events=%b" % transport.waits_for().encode(),
        b"cmd=%b" % (command.title if command is not None else b"NULL"),
        b"user=%b" % session.user,
        b"redir=%d" % (session.tracked.redirect_id if session.tracked is not None else -1),
        b"resp=%d" % session.speaks.version,
        b"lib-name=%b" % session.lib_name,
        b"lib-ver=%b" % session.lib_version,
    )
    return b" ".join(fields)


def _subscription_counts(session: Session) -> tuple[int, int, int]:
    mine = session.subscriptions
    if mine is None:
        return 0, 0, 0
    return len(mine.channels), len(mine.patterns), len(mine.shard_channels)


def session_flags(session: Session) -> bytes:
    """The letters of CLIENT LIST's `flags`, N when there is nothing to say."""
    tracked = session.tracked
    letters = (
        (b"S", session.is_replica),
        (b"O", session.monitors),
        (b"M", session.from_primary),
        (b"P", session.subscriptions is not None),
        (b"x", session.queue is not None),
        (b"b", session.blocked is not None),
        (b"t", tracked is not None),
        (b"R", tracked is not None and tracked.is_broken),
        (b"B", tracked is not None and tracked.broadcasts),
        (b"d", session.watch is not None and session.watch.touched),
        (b"c", session.closing),
        (b"U", session.address.endswith(b":0")),
        (b"r", session.readonly),
        (b"e", session.no_evict),
        (b"T", session.no_touch),
    )
    return b"".join(letter for letter, holds in letters if holds) or b"N"
