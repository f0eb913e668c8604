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
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter_ns

from gossip.slots import TAG_START, key_slot
from node.clock import Clock
from node.command.queue import AT_ONCE
from node.command.registry import TIME_UNIT_BITS, Command, Table
from node.command.session import Block, Session
from node.errors import CommandError
from node.guards import Guards
from node.keyspace.changes import Changes
from node.observe.commandstats import Timing
from node.observe.stats import Stats
from node.pushes import Pushes
from node.resp.encode import QUEUED, error
from node.server.after import After

_HTTP = frozenset((b"POST", b"HOST:"))
"""Words that a browser sends which was tricked into talking to a server that takes lines for commands."""

_ABORTED = b"EXECABORT Transaction discarded because of: "
_REDIRECTS = (b"-MOVED ", b"-ASK ", b"-TRYAGAIN ", b"-CROSSSLOT ", b"-CLUSTERDOWN ", b"-REDIRECT")

Gate = Callable[[Session, Command, list[bytes]], bytes | Block | None]
"""None lets the request pass; bytes are its error reply; a Block makes it wait and run again."""

Monitor = Callable[[Session, Command, list[bytes]], None]
"""Told each command that ran."""

Runner = Callable[[Session, Command, list[bytes]], bytes | None]
"""Runs a command that has passed the gates; None when the reply does not come now."""


class Dispatcher:
    """Runs requests. `gates` are asked in order on the full path.

    The application sets `discard`, which ends a session's transaction, `on_queue`, which looks at how
    much a session has queued, and `script_as_seen`, which gives a command that runs a script the flags that
    this script declares. `on_read` is told what a tracking session has run, and `end_caching` that a command
    is over which CLIENT CACHING held for. `inner_gates` are asked before each command inside of a unit: what
    held when it was queued may hold no longer.
    """

    def __init__(
        self,
        table: Table,
        clock: Clock,
        changes: Changes,
        after: After,
        guards: Guards,
        stats: Stats,
        block: Callable[[Session, Block], None],
        pushes: Pushes,
        timing: Timing,
    ) -> None:
        self.table = table
        self._block = block
        self.gates: list[Gate] = []
        self.inner_gates: list[Gate] = []
        self.runner: Runner = self.run  # of the full path; something around it while more is to be known
        self.discard: Callable[[Session], None] = _ignore
        self.on_queue: Callable[[Session], None] = _ignore
        self.on_read: Monitor = _ignore_command
        self.end_caching: Callable[[Session], None] = _ignore
        self.script_as_seen: Callable[[Command, list[bytes]], Command] = lambda command, _: command
        self.on_http: Callable[[Session], None] = lambda session: session.transport.close(after_output=False)
        self._clock = clock
        self._changes = changes
        self._after = after
        self._guards = guards
        self._stats = stats
        self._pushes = pushes
        self._timing = timing
        self.monitor: Monitor | None = None  # while somebody monitors, and nothing goes fast then
        self._fast: dict[bytes, Command] = {}
        self._fast_ungated: dict[bytes, Command] = {}
        guards.on_change = self._choose_fast
        self._choose_fast()

    def _choose_fast(self) -> None:
        self._fast_ungated = {} if self._guards.held else self.table.fast_ungated
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
        if len(requests) == 1 and self._serve_alone(session, requests[0], out):
            return 1
        call = session.call
        call.now_ms = session.last_seen_ms = self._clock.now_ms
        fast = {} if session.guarded else self._fast
        served = call.served
        changes, after = self._changes, self._after
        log, tellers, watchers = changes.log, after.tellers, after.watchers
        pushes = self._pushes
        pushes.current, held = session, pushes.held
        timing = self._timing
        slow_ns, by_run = timing.slow_ns, timing.by_run
        # Timed is one command, or a run of the same one from the `first` request (1 is the first of all) on:
        # see node.observe.commandstats, whose `note` is written out here.
        timed: Command | None = None
        running: Command | None = None
        first = since_ns = 0
        done = 0
        command: Command | None = None
        for done, argv in enumerate(requests, 1):
            command = fast.get(argv[0])
            words = len(argv)
            if command is not None and (words == command.arity or -words <= command.arity < 0):
                key = argv[1]
                slot = crc_hqx(key, 0) & 16383 if TAG_START not in key else key_slot(key)
                if served[slot]:
                    if command is not running or words > command.short_words:
                        now_ns = perf_counter_ns()
                        if timed is not None:
                            elapsed_ns, count = now_ns - since_ns, done - first
                            timed.times[elapsed_ns // count >> TIME_UNIT_BITS] += count
                            if elapsed_ns >= slow_ns and count == 1:
                                timing.tell(session, timed, requests[first - 1], elapsed_ns)
                        timed, first, since_ns = command, done, now_ns
                        running = command if words <= command.short_words and by_run else None
                    call.slot = slot
                    command.calls += 1
                    try:
                        reply = command.run(call, argv)
                    except CommandError as refused:
                        reply = self._refused(command, refused)
                    if log:
                        if tellers or watchers or changes.expired_logged:
                            after.apply(session, command, argv)
                        else:
                            changes.total += len(log)
                            log.clear()
                            changes.rewritten = None
                    out.append(reply)
                    continue
            if timed is not None:
                elapsed_ns = perf_counter_ns() - since_ns
                timing.note(session, timed, requests[first - 1], elapsed_ns, done - first)
                timed = running = None
            answer = self.execute(session, argv)
            if type(answer) is bytes:
                out.append(answer)
            if session.tracked is not None and session.tracked.caching:
                self.end_caching(session)
            if held:
                out += held
                held.clear()
            if session.blocked is not None:
                done -= session.blocked.retry
                break
            if session.closing:
                break
            command = None
            fast = {} if session.guarded else self._fast
            served = call.served
            slow_ns, by_run = timing.slow_ns, timing.by_run
        if timed is not None:
            elapsed_ns = perf_counter_ns() - since_ns
            timing.note(session, timed, requests[first - 1], elapsed_ns, done + 1 - first)
        if held:
            out += held
            held.clear()
        pushes.current = None
        if command is not None:
            session.last_command = command
        self._stats.commands_processed += done
        session.total_commands += done
        return done

    def _serve_alone(self, session: Session, argv: list[bytes], out: list[bytes]) -> bool:
        """Runs a request behind which no other waits; False when it is none for the fast path."""
        command = self._fast.get(argv[0])
        if command is None or session.guarded:
            return False
        words = len(argv)
        if words != command.arity and not -words <= command.arity < 0:
            return False
        key = argv[1]
        slot = crc_hqx(key, 0) & 16383 if TAG_START not in key else key_slot(key)
        call = session.call
        if not call.served[slot]:
            return False
        call.now_ms = session.last_seen_ms = self._clock.now_ms
        call.slot = slot
        command.calls += 1
        pushes, timing = self._pushes, self._timing
        pushes.current = session
        since_ns = perf_counter_ns()
        try:
            reply = command.run(call, argv)
        except CommandError as refused:
            reply = self._refused(command, refused)
        elapsed_ns = perf_counter_ns() - since_ns
        command.times[elapsed_ns >> TIME_UNIT_BITS] += 1
        changes, after = self._changes, self._after
        if changes.log:
            if after.tellers or after.watchers or changes.expired_logged:
                after.apply(session, command, argv)
            else:
                changes.total += len(changes.log)
                changes.log.clear()
                changes.rewritten = None
        if elapsed_ns >= timing.slow_ns:
            timing.tell(session, command, argv, elapsed_ns)
        out.append(reply)
        if pushes.held:
            out += pushes.held
            pushes.held.clear()
        pushes.current = None
        session.last_command = command
        self._stats.commands_processed += 1
        session.total_commands += 1
        return True

    def execute(self, session: Session, argv: list[bytes]) -> bytes | None:
        """The full path. None when there is no reply: suppressed, or the session is blocked now."""
        session.call.now_ms = self._clock.now_ms
        if not session.guarded:
            ungated = self._fast_ungated.get(argv[0])
            if ungated is not None and (
                self._finds_slot(session, argv) if ungated.runs_script else ungated.arity_fits(len(argv))
            ):
                session.last_command = ungated
                return self.runner(session, ungated, argv)
        if session.taken is not None and session.taken(argv):
            return None
        command, refusal = self.resolve(argv)
        if command is None:
            session.last_command = None
            if session.asking and session.queue is None:
                session.asking = False
                session.update_guard()
            if argv[0].upper() in _HTTP:
                self.on_http(session)
                return None
            return session.admitted(self._turned_away(session, argv, refusal))
        session.last_command = command
        asking = session.asking
        queue = session.queue
        seen, words = command, argv
        if command.runs_script:
            seen = self.script_as_seen(command, argv)
        elif queue is not None and command.name == b"EXEC":
            seen, words = queue.as_one(command)
        for gate in self.gates:
            stop = gate(session, seen, words)
            if stop is None:
                continue
            if isinstance(stop, Block):
                self._block(session, stop)
                _ask_again(session, asking)
                return None
            command.rejected_calls += 1
            return session.admitted(self._turned_away(session, argv, stop))
        if queue is None or command.name in AT_ONCE:
            reply = self.runner(session, command, argv)
            _ask_again(session, asking)
            return reply
        if not queue.broken and not (session.watch is not None and session.watch.touched):
            queue.add(command, argv, session.call.slot, seen.flags)
            self.on_queue(session)
        return session.admitted(QUEUED)

    def _finds_slot(self, session: Session, argv: list[bytes]) -> bool:
        """Whether a request to run a script has one key that is served here, or none on a node without
        slots; nothing else is left to ask then, as on the fast path.
        """
        count = argv[2] if len(argv) > 2 else b""
        if count == b"0":
            return not self.table.by_slot
        if count != b"1" or len(argv) < 4:
            return False
        call = session.call
        slot = call.slot = key_slot(argv[3])
        return bool(call.served[slot])

    def _turned_away(self, session: Session, argv: list[bytes], reply: bytes) -> bytes:
        """The reply to a request that may not run: its transaction is broken, and EXEC's is over."""
        if argv[0].upper() == b"EXEC":
            self.discard(session)
            if not reply.startswith(_REDIRECTS):
                reply = error(_ABORTED + reply[1:-2].removeprefix(b"ERR "))
        elif session.queue is not None:
            session.queue.broken = True
        return self._count(reply)

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
            command.rejected_calls += 1
            return None, error(b"ERR wrong number of arguments for '%b' command" % command.title)
        return command, b""

    def run(self, session: Session, command: Command, argv: list[bytes]) -> bytes | None:
        """Runs a command that may run, and applies what it changed."""
        reply = self._run_alone(session, command, argv)
        changes = self._changes
        if changes.log:
            self._after.apply(session, command, argv)
        elif changes.rewritten is not None:
            changes.rewritten = None
        if session.tracked is not None:
            self.on_read(session, command, argv)
        if isinstance(reply, Block):
            self._block(session, reply)
            return None
        return session.admitted(reply)

    # Several commands as one: node.command.queue.Units

    @contextmanager
    def unit(self, session: Session) -> Iterator[None]:
        """What `session` runs inside is one unit."""
        denied = self.begin_unit(session)
        try:
            yield
        finally:
            self.end_unit(session, denied)

    def begin_unit(self, session: Session) -> bool:
        assert not self._changes.log, "what was before it is applied"
        denied, session.deny_blocking = session.deny_blocking, True
        self._after.begin_unit()
        return denied

    def end_unit(self, session: Session, denied: bool) -> None:
        session.deny_blocking = denied
        self._after.end_unit()

    def run_within(self, session: Session, command: Command, argv: list[bytes], slot: int) -> bytes:
        """Runs a command inside of a unit, and applies what it changed; its reply."""
        call = session.call
        call.slot = slot
        for gate in self.inner_gates:
            stop = gate(session, command, argv)
            if stop is not None:
                assert not isinstance(stop, Block), "nothing waits inside of a unit"
                command.rejected_calls += 1
                return self._count(stop)
        reply = self._run_alone(session, command, argv)
        changes = self._changes
        if changes.log:
            self._after.apply(session, command, argv)
        elif changes.rewritten is not None:
            changes.rewritten = None
        if session.tracked is not None:
            self.on_read(session, command, argv)
        assert type(reply) is bytes, "nothing waits inside of a unit"
        return reply

    def _run_alone(self, session: Session, command: Command, argv: list[bytes]) -> bytes | Block:
        """Runs a command, times it, and tells whoever monitors: of a script before, of all else behind it."""
        monitor = self.monitor
        if monitor is not None and command.runs_script:
            monitor(session, command, argv)
        command.calls += 1
        start_ns = perf_counter_ns()
        reply: bytes | Block
        try:
            reply = command.run(session.call, argv)
            if type(reply) is bytes and reply[:1] == b"-":
                command.failed_calls += 1
        except CommandError as refused:
            reply = self._refused(command, refused)
        elapsed_ns = perf_counter_ns() - start_ns
        command.times[elapsed_ns >> TIME_UNIT_BITS] += 1
        if elapsed_ns >= self._timing.slow_ns:
            self._timing.tell(session, command, argv, elapsed_ns)
        if monitor is not None and not command.runs_script:
            monitor(session, command, argv)
        return reply

    def _refused(self, command: Command, refused: CommandError) -> bytes:
        command.failed_calls += 1
        self._stats.count_error(refused.text)
        return error(refused.text)

    def _count(self, reply: bytes) -> bytes:
        self._stats.count_error(reply[1:-2])
        return reply


def _ignore(_session: Session) -> None:
    """Until the application sets something better."""


def _ignore_command(_session: Session, _command: Command, _argv: list[bytes]) -> None:
    """The same."""


def _ask_again(session: Session, asking: bool) -> None:
    """ASKING holds for a command that will be run again, too."""
    if asking and session.blocked is not None and session.blocked.retry:
        session.asking = True
        session.update_guard()


def _unknown_command(argv: list[bytes]) -> bytes:
    shown = b""
    for argument in argv[1:]:
        if len(shown) >= 128:
            break
        shown += b"'%b' " % argument[: 128 - len(shown)]
    return error(b"ERR unknown command '%b', with args beginning with: %b" % (argv[0][:128], shown))
