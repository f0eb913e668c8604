"""The script that runs: what it may do, what it has done, and whether it shall end.

A node runs one script at a time, for one session, and in that session's name. Its commands are a unit
(`node.command.queue.Units`): others see all of it or nothing, replicas are told its effects and never the
script. While it runs, the session's database and protocol are the script's own; both are put back.

A script that runs for longer than busy-reply-threshold is *slow*: from then on `tick` serves other clients
from time to time, who get BUSY for whatever does not say ALLOW_BUSY. SCRIPT KILL marks the run; `tick` tells
Lua, which raises. A run that has written cannot be killed, since half of it would stay: only SHUTDOWN NOSAVE
ends it, and then nobody is told what it has done. A signal to end waits for it, and ends one that has not
written. (redis-server waits for either, so that only SIGKILL ends a script that loops.)

The cluster's bus is served in the midst of any run, slow or not: peers would take a node for failed that is
only busy.

Source: https://redis.io/docs/interact/programmability/, "Read-only scripts", "Maximum execution time"
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from gossip.slots import key_slot
from node.command.queue import Units
from node.command.registry import Command, Table
from node.command.session import Block, Session
from node.command.spec import Flag
from node.config.config import Config
from node.config.table import BUSY_REPLY_THRESHOLD
from node.errors import CommandError
from node.guards import Guard, Guards
from node.keyspace.database import Database
from node.log import Log
from node.observe.stats import Stats
from node.resp.encode import RESP2, RESP3, Encoder, error
from node.scripting.script_flags import ScriptFlag

TELL_FILES, TELL_REPLICAS, TELL_ALL = 1, 2, 3
_LOOK_S = 0.005  # between two looks at what others want
_PEERS_FROM_S = 0.05
_PEERS_LOOK_S = 0.02
LOAD_TIMEOUT_S = 0.5
_MASTERDOWN = b"MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'."
_KILLED = b"ERR Script killed by user with SCRIPT KILL..."
_LEFT = b"ERR The script ended, having written nothing, since the server was told to end"
_ENDED = b"ERR The script ended with the server"

Put = tuple[Database, Encoder, int, bool]
"""What a session's call was before the script, to be put back."""

Gate = Callable[[Session, Command, list[bytes]], bytes | Block | None]
Route = Callable[[Session, Command, int, list[bytes], bool], bytes | None]


class Run:
    """One run. `flags` None: the script declares none. `name` is the sum of a script or a function's name."""

    slot: int | None = None  # of its keys
    guarded = False  # whether the node's condition is looked at
    is_full = False  # whether there was no memory when it began
    is_plain = False  # whether its commands need no look at what it may do
    read_only = False
    cross_slot = True
    wrote = False
    tells_otherwise = False  # whether it has said who is told
    end: bytes | None = None  # the error with which it shall end
    is_slow = False

    def __init__(
        self, session: Session, argv: list[bytes], name: bytes, flags: ScriptFlag | None, is_function: bool
    ) -> None:
        self.session = session
        self.argv = argv
        self.name = name
        self.flags = flags
        self.is_function = is_function
        if flags is not None:
            self.read_only = bool(flags & ScriptFlag.NO_WRITES)
            self.cross_slot = bool(flags & ScriptFlag.ALLOW_CROSS_SLOT_KEYS)
        self.started_s = self.next_look_s = time.monotonic()
        self.next_peers_s = self.started_s + _PEERS_FROM_S

    @property
    def duration_ms(self) -> int:
        return int((time.monotonic() - self.started_s) * 1000)


class Runs:
    """One per node; what Lua calls (`node.scripting.interpreter.Surroundings`).

    The application sets `units` and `table`, and: `route` in a cluster; `write_gates`, asked before a
    script's first write; `serve_others`, which serves whoever is ready but the session given; `hear_peers`,
    which lets the cluster's bus have its due; `is_ending`, whether a client has told the node to end at once,
    and `is_signalled`, whether a signal has told it to end in good order; `drop_unit`, after which nobody is
    told what the unit changed; `tell`, which says who is told from here on; `forbidden`, why the session's
    user may not run a request, which is noted; `may_run`, whether they may; `is_full`, asked while
    Guard.MEMORY is held: whether there is no memory, really.
    """

    units: Units
    table: Table

    def __init__(self, config: Config, log: Log, guards: Guards, stats: Stats) -> None:
        self._config = config
        self._log = log
        self._guards = guards
        self._stats = stats
        self.current: Run | None = None
        self._load_until_s = 0.0
        self.route: Route | None = None
        self.write_gates: list[Gate] = []
        self.serve_others: Callable[[Session], None] = lambda _: None
        self.hear_peers: Callable[[], None] = lambda: None
        self.is_ending: Callable[[], bool] = lambda: False
        self.is_signalled: Callable[[], bool] = lambda: False
        self.drop_unit: Callable[[], None] = lambda: None
        self.tell: Callable[[int], None] = lambda _: None
        self.forbidden: Callable[[Session, Command, list[bytes]], bytes | None] = lambda *_: None
        self.may_run: Callable[[Session, Command, list[bytes]], bool] = lambda *_: True
        self.is_full: Callable[[], bool] = lambda: Guard.MEMORY in guards

    # Beginning and end

    def check(self, run: Run, read_only: bool) -> None:
        """What must hold before `run` may begin; `read_only` is of the command. Raises CommandError."""
        flags, session, held = run.flags, run.session, self._guards.held
        if flags is not None:
            if flags & ScriptFlag.NO_CLUSTER and self.route is not None:
                raise CommandError(b"ERR Can not run script on cluster, 'no-cluster' flag is set.")
            if held and not session.from_primary:
                self._check_condition(flags)
            if read_only and not run.read_only:
                raise CommandError(b"ERR Can not execute a script with write flag using *_ro command.")
        elif held and not session.from_primary:
            if Guard.STALE in held:
                raise CommandError(_MASTERDOWN)
            run.is_full = Guard.MEMORY in held and self.is_full()
        if read_only:
            run.read_only = True
        if held:
            run.guarded = True
        elif not (run.read_only or session.restricted or session.from_primary):
            run.is_plain = True

    def _check_condition(self, flags: ScriptFlag) -> None:
        """The node's condition, for a script that declares flags. Most have been refused by a gate before
        (`Scripting.as_seen`); those in a transaction come here. Raises CommandError.
        """
        held = self._guards.held
        if Guard.STALE in held and not flags & ScriptFlag.ALLOW_STALE:
            raise CommandError(
                b"MASTERDOWN Link with MASTER is down, replica-serve-stale-data is set to 'no' and "
                b"'allow-stale' flag is not set on the script."
            )
        if flags & ScriptFlag.NO_WRITES:
            return
        if Guard.REPLICA in held:
            raise CommandError(b"READONLY Can not run script with write flag on readonly replica")
        if Guard.DISK in held or Guard.APPEND_ONLY in held:
            how = b"save RDB snapshots" if Guard.DISK in held else b"persist data to AOF"
            raise CommandError(
                b"MISCONF Shoal is configured to %b, but it's currently unable to persist to disk. Writable "
                b"scripts are blocked. Use 'no-writes' flag for read only scripts." % how
            )
        if Guard.FEW_REPLICAS in held:
            raise CommandError(b"NOREPLICAS Not enough good replicas to write.")
        if Guard.MEMORY in held and not flags & ScriptFlag.ALLOW_OOM and self.is_full():
            raise CommandError(
                b"OOM allow-oom flag is not set on the script, can not run it when used memory > 'maxmemory'"
            )

    def begin(self, run: Run, key_count: int) -> Put:
        """From here to `end`, which takes what this gives, `run` is what runs."""
        assert self.current is None, "scripts do not run scripts"
        session = run.session
        call = session.call
        if key_count:
            run.slot = call.slot
        self.current = run
        put = call.db, call.reply, call.slot, self.units.begin_unit(session)
        call.reply = RESP2
        return put

    def end(self, run: Run, put: Put) -> None:
        if run.end is _ENDED:
            self.drop_unit()
        if run.tells_otherwise:
            self.tell(TELL_ALL)
        session = run.session
        call = session.call
        call.db, call.reply, call.slot, denied = put
        self.units.end_unit(session, denied)
        self.current = None
        if run.is_slow:
            self._guards.set(Guard.BUSY, False)

    @contextmanager
    def loading(self, obeys: bool) -> Iterator[None]:
        """While this is entered, a library is loaded, for so long and no longer unless a primary says so."""
        self._load_until_s = float("inf") if obeys else time.monotonic() + LOAD_TIMEOUT_S
        yield

    # What Lua calls

    def tick(self) -> bytes | None:
        run = self.current
        now_s = time.monotonic()
        if run is None:
            return b"ERR FUNCTION LOAD timeout" if now_s > self._load_until_s else None
        if run.end is not None or now_s < run.next_look_s:
            return run.end
        if now_s > run.next_peers_s:
            self.hear_peers()
            run.next_peers_s = now_s + _PEERS_LOOK_S
        run.next_look_s = now_s + _LOOK_S
        if not run.is_slow:
            threshold_ms = self._config[BUSY_REPLY_THRESHOLD]
            if not threshold_ms or run.duration_ms < threshold_ms:
                return None
            run.is_slow = True
            self._guards.set(Guard.BUSY, True)
            self._log.warning(
                f"Slow script detected: still in execution after {run.duration_ms} milliseconds. You can try "
                f"killing the script using the {self._kill(run)} command. Script name is: "
                f"{run.name.decode('utf-8', 'backslashreplace')}."
            )
        self.serve_others(run.session)
        if self.is_ending():
            run.end = _ENDED
        elif self.is_signalled() and not run.wrote and not run.session.from_primary:
            run.end = run.end or _LEFT
        return run.end

    def call(self, argv: list[bytes]) -> bytes:
        run = self.current
        assert run is not None, "commands are called by scripts that run"
        if run.is_plain:
            command = self.table.fast_all.get(argv[0])
            if command is not None and command.arity_fits(len(argv)):
                slot = key_slot(argv[1])
                if self.route is None or (
                    run.session.call.served[slot] and (run.cross_slot or run.slot == slot)
                ):
                    if command.is_write:
                        run.wrote = True
                    return self.units.run_within(run.session, command, argv, slot)
        return self._call_with_care(run, argv)

    def _call_with_care(self, run: Run, argv: list[bytes]) -> bytes:
        found = self._resolve(argv)
        if type(found) is bytes:
            return self._refuse(found)
        command: Command = found  # type: ignore[assignment]
        refusal = self._refusal(run, command, argv)
        if refusal is not None:
            return self._refuse(refusal)
        session = run.session
        slot = session.call.slot
        if command.has_keys:
            try:
                keys = [argv[position] for position, _ in command.keys_of(argv)]
            except ValueError:
                keys = []
            if keys:
                slot = key_slot(keys[0])
                if self.route is not None and not session.from_primary:
                    refusal = self._route(run, command, slot, keys)
                    if refusal is not None:
                        return self._refuse(refusal)
        if command.is_write:
            run.wrote = True
        return self.units.run_within(session, command, argv, slot)

    def _resolve(self, argv: list[bytes]) -> Command | bytes:
        command = self.table.lookup(argv[0])
        if command is not None and command.subcommands is not None and len(argv) > 1:
            command = command.subcommands.get(argv[1].upper())
        if command is None:
            return b"ERR Unknown Redis command called from script"
        if not command.arity_fits(len(argv)):
            return b"ERR Wrong number of args calling Redis command from script"
        return command

    def _refusal(self, run: Run, command: Command, argv: list[bytes]) -> bytes | None:
        """Why a command may not be called here and now, without its keys."""
        session = run.session
        if command.flags & Flag.NOSCRIPT:
            return b"ERR This Redis command is not allowed from script"
        forbidden = self.forbidden(session, command, argv)
        if forbidden is not None:
            return forbidden
        if run.read_only and command.is_told:
            return b"ERR Write commands are not allowed from read-only scripts."
        if not run.guarded or session.from_primary:
            return None
        flags = command.flags
        if Guard.STALE in self._guards and not flags & Flag.STALE:
            return b"ERR Can not execute the command on a stale replica"
        if flags & Flag.WRITE and not run.wrote:
            for gate in self.write_gates:
                stop = gate(session, command, argv)
                if type(stop) is bytes:
                    return stop[1:-2]
            if run.is_full and flags & Flag.DENYOOM:
                return b"OOM command not allowed when used memory > 'maxmemory'."
        return None

    def _route(self, run: Run, command: Command, slot: int, keys: list[bytes]) -> bytes | None:
        assert self.route is not None
        if any(key_slot(key) != slot for key in keys[1:]):
            return (
                b"ERR Command '%b' in script attempted to access keys that don't hash to the same slot"
                % command.title
            )
        if not run.session.call.served[slot]:
            refusal = self.route(run.session, command, slot, keys, slot == run.slot)
            if refusal is not None:
                return _refused_route(refusal, command)
        if not run.cross_slot:
            if run.slot is not None and run.slot != slot:
                return b"ERR Script attempted to access keys that do not hash to the same slot"
            run.slot = slot
        return None

    def _refuse(self, text: bytes) -> bytes:
        self._stats.count_error(text)
        return error(text)

    def log(self, level: int, text: bytes) -> None:
        say = (self._log.debug, self._log.verbose, self._log.notice, self._log.warning)[level]
        say(text.decode("utf-8", "backslashreplace"))

    def may_call(self, argv: list[bytes]) -> bool | None:
        found = self._resolve(argv)
        if type(found) is bytes:
            return None
        assert self.current is not None
        return self.may_run(self.current.session, found, argv)  # type: ignore[arg-type]

    def set_repl(self, flags: int) -> None:
        assert self.current is not None
        self.current.tells_otherwise = True
        self.tell(flags)

    def set_resp(self, version: int) -> None:
        assert self.current is not None
        self.current.session.call.reply = RESP3 if version == 3 else RESP2

    # Others

    def kill(self, wants_function: bool) -> None:
        """SCRIPT KILL, FUNCTION KILL. Raises CommandError."""
        run = self.current
        if run is None:
            raise CommandError(b"NOTBUSY No scripts in execution right now.")
        if run.session.from_primary:
            raise CommandError(
                b"UNKILLABLE The busy script was sent by a master instance in the context of replication "
                b"and cannot be killed."
            )
        if run.wrote:
            raise CommandError(
                b"UNKILLABLE Sorry the script already executed write commands against the dataset. You can "
                b"either wait the script termination or kill the server in a hard way using the SHUTDOWN "
                b"NOSAVE command."
            )
        if run.is_function != wants_function:
            raise CommandError(self.busy_text())
        self._log.notice(f"Lua script killed by user with {self._kill(run)}.")
        run.end = _KILLED

    def busy_text(self) -> bytes:
        """What others hear."""
        assert self.current is not None
        return (
            b"BUSY Redis is busy running a script. You can only call %b or SHUTDOWN NOSAVE."
            % self._kill(self.current).encode()
        )

    def _kill(self, run: Run) -> str:
        return "FUNCTION KILL" if run.is_function else "SCRIPT KILL"


def _refused_route(refusal: bytes, command: Command) -> bytes:
    """A redirect means nothing to a script: what it is told instead."""
    if refusal.startswith((b"-MOVED", b"-ASK")):
        return b"ERR Script attempted to access a non local key in a cluster node"
    if refusal.startswith(b"-TRYAGAIN"):
        return (
            b"ERR Unable to execute command '%b' in script because undeclared keys were accessed during "
            b"rehashing of the slot" % command.title
        )
    if b"only accepts read" in refusal:
        return b"ERR Script attempted to execute a write command while the cluster is down and readonly"
    if b"not served" in refusal:
        return b"ERR Script attempted to access a slot not served"
    return b"ERR Script attempted to execute a command while the cluster is down"
