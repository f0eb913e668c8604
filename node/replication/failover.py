"""FAILOVER: a primary changes places with one of its replicas, and nothing is lost.

    NONE ──FAILOVER──▶ WAITING ──a replica has all──▶ ASKING ──it accepts──▶ NONE, as its replica
                          │ time-out, ABORT              │ it refuses, ABORT
                          ▼                              ▼
                       NONE, as before                NONE, primary again

WAITING: clients' writes are held back, and nothing of our own moves the offset, so it stands still; the
replicas are asked once for how far they are. The first whose acknowledgement equals our offset, or the one
that was named, is the target. ASKING: we follow it, and our `PSYNC … FAILOVER` tells it to become a primary;
it agrees only if its history has our name. A target that cannot be reached is tried again until ABORT. With
FORCE the named one is asked when the time is over, though it may lack something.

Writes are held back from the beginning to the end, and then run, or are told that this is a replica now.

Source: https://redis.io/commands/failover/; texts of errors and log lines are Redis 7.2's.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple, Protocol

from node.clients import Clients
from node.clock import Clock
from node.config import table as directives
from node.config.config import Config
from node.errors import CommandError
from node.integers import INT64_MAX
from node.log import Log
from node.replication.primary import Primary
from node.replication.replicas import Replica, State
from node.replication.stream import Stream
from node.timers import Timer, Timers

_REASON = "failover command"


class FailoverState(Enum):
    """The value is the word of INFO replication."""

    NONE = "no-failover"
    WAITING = "waiting-for-sync"
    ASKING = "failover-in-progress"


class FailoverOptions(NamedTuple):
    """`target` is host and port of a replica, None for any."""

    target: tuple[str, int] | None = None
    timeout_ms: int | None = None
    force: bool = False


class Roles(Protocol):
    """What a fail-over does to the node's role."""

    @property
    def is_primary(self) -> bool: ...
    def follow(self, host: str, port: int) -> None: ...
    def promote(self) -> None: ...
    def choose_expiry(self) -> None: ...


class Failover:
    """One per node; at most one fail-over is on."""

    def __init__(
        self,
        config: Config,
        log: Log,
        clock: Clock,
        clients: Clients,
        timers: Timers,
        stream: Stream,
        primary: Primary,
        roles: Roles,
    ) -> None:
        self._config = config
        self._log = log
        self._clock = clock
        self._clients = clients
        self._timers = timers
        self._stream = stream
        self._primary = primary
        self._roles = roles
        self._target: tuple[str, int] | None = None
        self._timer: Timer | None = None
        self.state = FailoverState.NONE
        primary.acks.on_ack.append(self._look)

    @property
    def active(self) -> bool:
        return self.state is not FailoverState.NONE

    @property
    def asks(self) -> bool:
        """Whether PSYNC is to tell the other side to become a primary."""
        return self.state is FailoverState.ASKING

    # Orders

    def start(self, options: FailoverOptions) -> None:
        """Returns when writes are held back; the rest follows by itself. Raises CommandError."""
        if self.active:
            raise CommandError(b"ERR FAILOVER already in progress.")
        if not self._roles.is_primary:
            raise CommandError(b"ERR FAILOVER is not valid when server is a replica.")
        if not len(self._primary.replicas):
            raise CommandError(b"ERR FAILOVER requires connected replicas.")
        if options.force and (options.target is None or options.timeout_ms is None):
            raise CommandError(
                b"ERR FAILOVER with force option requires both a timeout and target HOST and IP."
            )
        self._check_target(options.target)
        self._target = options.target
        self.state = FailoverState.WAITING
        if options.timeout_ms is not None:
            end_ms = self._clock.now_ms + options.timeout_ms
            self._timer = self._timers.at(end_ms, lambda: self._time_out(options.force))
        self._log.notice(f"FAILOVER requested to {self._named()}.")
        self._clients.pause(_REASON, INT64_MAX, all_commands=False)
        self._hold()
        self._timers.at(self._clock.now_ms, self._begin)  # behind what a transaction still changes

    def _check_target(self, target: tuple[str, int] | None) -> None:
        if target is None:
            return
        replica = self._find(*target)
        if replica is None:
            raise CommandError(b"ERR FAILOVER target HOST and PORT is not a replica.")
        if replica.state is not State.ONLINE:
            raise CommandError(b"ERR FAILOVER target replica is not online.")

    def abort(self) -> None:
        """FAILOVER ABORT. Raises CommandError."""
        if not self.active:
            raise CommandError(b"ERR No failover in progress.")
        self._give_up("Failover manually aborted")

    def _hold(self) -> None:
        self._primary.offset_held_until_ms = INT64_MAX
        self._roles.choose_expiry()

    # What happens

    def _begin(self) -> None:
        self._look()
        if self.state is not FailoverState.WAITING:
            return
        self._primary.offset_held_until_ms = 0
        self._primary.acks.wanted = True
        self._primary.flush()
        self._hold()

    def accepted(self) -> None:
        """The target is a primary now, and we are its replica."""
        assert self._target is not None
        self._config.store(directives.REPLICAOF, self._target)
        self._end()

    def refused(self) -> None:
        """The target answered PSYNC with an error."""
        self._give_up("Failover target rejected psync request")

    def _look(self) -> None:
        """Whether a replica has everything; nothing happens unless that is waited for."""
        if self.state is not FailoverState.WAITING:
            return
        self._primary.flush()
        found = self._primary.replicas.online() if self._target is None else [self._find(*self._target)]
        for replica in found:
            if (
                replica is not None
                and replica.state is State.ONLINE
                and replica.ack_offset >= self._stream.offset
            ):
                self._target = (replica.address.decode("ascii", "replace"), replica.port)
                self._log.notice(f"Failover target {self._named()} is synced, failing over.")
                self._ask()
                return

    def _time_out(self, force: bool) -> None:
        self._timer = None
        if self.state is not FailoverState.WAITING:
            return
        if not force:
            self._give_up("Replica never caught up before timeout")
            return
        self._log.notice(f"FAILOVER to {self._named()} time out exceeded, failing over.")
        self._ask()

    def _ask(self) -> None:
        assert self._target is not None
        self.state = FailoverState.ASKING
        self._roles.follow(*self._target)

    def _give_up(self, why: str) -> None:
        self._log.notice(f"FAILOVER to {self._named()} aborted: {why}")
        if self.state is FailoverState.ASKING:
            self._roles.promote()
        self._end()

    def _end(self) -> None:
        self.state = FailoverState.NONE
        self._target = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._primary.offset_held_until_ms = 0
        self._roles.choose_expiry()
        self._clients.unpause(_REASON)

    def _find(self, host: str, port: int) -> Replica | None:
        wanted = (host.lower(), port)
        for replica in self._primary.replicas:
            if (replica.address.decode("ascii", "replace").lower(), replica.port) == wanted:
                return replica
        return None

    def _named(self) -> str:
        return "any replica" if self._target is None else f"{self._target[0]}:{self._target[1]}"
