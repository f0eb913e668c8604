"""Requests → replies: the way every command goes.

Two paths. The *fast* path takes what almost all traffic is, a command of one key from a session without
peculiarities on a node without troubles: arity, slot, route, handler. The *full* path does the rest: other
spellings, unknown commands, subcommands, every gate in Redis's order, several keys, blocking, suppressed
replies. Which commands may go fast is a table prepared for the node's condition (`node.guards`), so the
condition is not looked at per command.

Source: the Redis cluster specification, "MOVED redirection"; the texts of errors are those of Redis 7.2.
"""

from __future__ import annotations

from binascii import crc_hqx
from collections.abc import Callable

from gossip.slots import key_slot
from node.clock import Clock
from node.command.registry import Command, Table
from node.command.session import Block, Session
from node.errors import CommandError
from node.guards import Guards
from node.keyspace.changes import Changes
from node.observe.stats import Stats
from node.resp.encode import error
from node.server.after import After

_HTTP = frozenset((b"POST", b"HOST:"))
"""Words that a browser sends which was tricked into talking to a server that takes lines for commands."""

Gate = Callable[[Session, Command, list[bytes]], bytes | Block | None]
"""None lets the request pass; bytes are its error reply; a Block makes it wait and run again."""


class Dispatcher:
    """Runs requests. `gates` are asked in order on the full path."""

    def __init__(
        self,
        table: Table,
        clock: Clock,
        changes: Changes,
        after: After,
        guards: Guards,
        stats: Stats,
        block: Callable[[Session, Block], None],
    ) -> None:
        self.table = table
        self._block = block
        self.gates: list[Gate] = []
        self.on_http: Callable[[Session], None] = lambda session: session.transport.close(after_output=False)
        self._clock = clock
        self._changes = changes
        self._after = after
        self._guards = guards
        self._stats = stats
        self._fast: dict[bytes, Command] = {}
        guards.on_change = self._choose_fast
        self._choose_fast()

    def _choose_fast(self) -> None:
        if self._guards.everything:
            self._fast = {}
        elif self._guards.writes_only:
            self._fast = self.table.fast_reads
        else:
            self._fast = self.table.fast_all

    def serve(self, session: Session, requests: list[list[bytes]], out: list[bytes]) -> int:
        """Runs requests in order, appending replies to `out`; returns how many are done.

        Fewer than there are means that the session is blocked or closing; the rest is to wait.
        """
        call = session.call
        call.now_ms = session.last_seen_ms = self._clock.now_ms
        fast = {} if session.guarded else self._fast
        served = call.served
        changes, after = self._changes, self._after
        log, tellers, watchers = changes.log, after.tellers, after.watchers
        done = 0
        command: Command | None = None
        for done, argv in enumerate(requests, 1):
            command = fast.get(argv[0])
            if command is not None and (len(argv) == command.arity or -len(argv) <= command.arity < 0):
                key = argv[1]
                slot = crc_hqx(key, 0) & 16383 if b"{" not in key else key_slot(key)
                if served[slot]:
                    call.slot = slot
                    command.calls += 1
                    try:
                        reply = command.run(call, argv)
                    except CommandError as refused:
                        reply = self._refused(refused)
                    if log:
                        if tellers or watchers:
                            after.apply(session, command, argv)
                        else:
                            changes.clear()
                    out.append(reply)
                    continue
            answer = self.execute(session, argv)
            if type(answer) is bytes:
                out.append(answer)
            if session.blocked is not None:
                done -= session.blocked.retry
                break
            if session.closing:
                break
            command = None
            fast = {} if session.guarded else self._fast
            served = call.served
        if command is not None:
            session.last_command = command
        self._stats.commands_processed += done
        session.total_commands += done
        return done

    def execute(self, session: Session, argv: list[bytes]) -> bytes | None:
        """The full path. None when there is no reply: suppressed, or the session is blocked now."""
        command, refusal = self.resolve(argv)
        session.call.now_ms = self._clock.now_ms
        if command is None:
            if argv[0].upper() in _HTTP:
                self.on_http(session)
                return None
            return session.admitted(self._count(refusal))
        session.last_command = command
        for gate in self.gates:
            stop = gate(session, command, argv)
            if stop is None:
                continue
            if isinstance(stop, Block):
                self._block(session, stop)
                return None
            return session.admitted(self._count(stop))
        return self.run(session, command, argv)

    def resolve(self, argv: list[bytes]) -> tuple[Command | None, bytes]:
        """The command (or subcommand) a request means, else None and the error reply."""
        command = self.table.lookup(argv[0])
        if command is None:
            return None, _unknown_command(argv)
        if command.subcommands is not None and len(argv) > 1:
            subcommand = command.subcommands.get(argv[1].upper())
            if subcommand is None:
                name = argv[0].upper()
                return None, error(b"ERR unknown subcommand '%b'. Try %b HELP." % (argv[1][:128], name))
            command = subcommand
        if not command.arity_fits(len(argv)):
            return None, error(b"ERR wrong number of arguments for '%b' command" % command.title)
        return command, b""

    def run(self, session: Session, command: Command, argv: list[bytes]) -> bytes | None:
        """Runs a command that may run, and applies what it changed."""
        command.calls += 1
        try:
            reply = command.run(session.call, argv)
        except CommandError as refused:
            reply = self._refused(refused)
        changes = self._changes
        if changes.log:
            self._after.apply(session, command, argv)
        elif changes.rewritten is not None:
            changes.rewritten = None
        if type(reply) is Block:
            self._block(session, reply)
            return None
        return session.admitted(reply)

    def _refused(self, refused: CommandError) -> bytes:
        self._stats.count_error(refused.text)
        return error(refused.text)

    def _count(self, reply: bytes) -> bytes:
        self._stats.count_error(reply[1:-2])
        return reply


def _unknown_command(argv: list[bytes]) -> bytes:
    shown = b""
    for argument in argv[1:]:
        if len(shown) >= 128:
            break
        shown += b"'%b' " % argument[: 128 - len(shown)]
    return error(b"ERR unknown command '%b', with args beginning with: %b" % (argv[0][:128], shown))
