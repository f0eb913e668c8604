"""A client's session: what the server remembers of a connection between commands.

A session knows nothing of sockets. What it needs of its connection is the `Transport` handed to it.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Protocol

from node.command.call import Call
from node.command.queue import Queue, Watch
from node.command.registry import Command
from node.command.subscriptions import Subscriptions
from node.command.tracked import Tracked
from node.resp.encode import Encoder


class ReplyMode(Enum):
    """CLIENT REPLY: whether replies are sent; SKIP_NEXT becomes SKIP for one command, then ON."""

    ON = 0
    OFF = 1
    SKIP_NEXT = 2
    SKIP = 3


class Transport(Protocol):
    """What a session may ask of its connection."""

    def send(self, data: bytes) -> None:
        """Queues bytes; they leave with the end of the turn."""

    def push(self, data: bytes) -> None:
        """Queues bytes that are no reply; they leave behind everybody's replies, in this turn or a later."""

    def close(self, after_output: bool) -> None:
        """Ends the connection, after what is queued has been sent or at once."""

    def resume(self) -> None:
        """Goes on with the requests that waited while the session was blocked."""

    def trust(self) -> None:
        """The client has authenticated: the tighter bounds on its requests are lifted."""

    def when_sent(self, callback: Callable[[], None]) -> None:
        """Calls back once, when nothing waits to be sent any more; never when the connection ends before."""

    def output_bytes(self) -> int:
        """How much waits to be sent."""

    def output_parts(self) -> int:
        """In how many pieces that is."""

    def pending_bytes(self) -> int:
        """How much of an unfinished request, and of requests that wait, has been read."""

    def descriptor(self) -> int:
        """The socket's descriptor, -1 without one."""

    def waits_for(self) -> str:
        """What its socket is watched for: `r` to be read, `w` to be written, `rw`, or nothing."""


class Gone:
    """The transport of a session whose connection has ended: what is done to it has no effect."""

    def send(self, data: bytes) -> None:
        pass

    def push(self, data: bytes) -> None:
        pass

    def close(self, after_output: bool) -> None:
        pass

    def resume(self) -> None:
        pass

    def trust(self) -> None:
        pass

    def when_sent(self, callback: Callable[[], None]) -> None:
        pass

    def output_bytes(self) -> int:
        return 0

    def output_parts(self) -> int:
        return 0

    def pending_bytes(self) -> int:
        return 0

    def descriptor(self) -> int:
        return -1

    def waits_for(self) -> str:
        return ""


class Cancellable(Protocol):
    """A timer."""

    def cancel(self) -> None: ...


class Block:
    """Returned by a handler in place of a reply: the session waits.

    `deadline_ms` is Unix time, None for ever; `timed_out` makes the reply for that case, `cancel` is called
    in any case when the wait ends, so that whoever would have answered forgets it. With `retry` the request
    itself is run again when the session resumes. CLIENT UNBLOCK can end a wait that `may_time_out`, even one
    without a deadline. `timer` is set by whoever watches the deadline.
    """

    __slots__ = ("cancel", "deadline_ms", "kind", "may_time_out", "retry", "timed_out", "timer")

    def __init__(
        self,
        kind: bytes,
        deadline_ms: int | None,
        timed_out: Callable[[], bytes],
        cancel: Callable[[], None],
        retry: bool = False,
        may_time_out: bool = True,
    ) -> None:
        self.kind = kind
        self.may_time_out = may_time_out
        self.retry = retry
        self.deadline_ms = deadline_ms
        self.timed_out = timed_out
        self.cancel = cancel
        self.timer: Cancellable | None = None


class Session:
    """One client. `guarded` sends all its requests down the full path of the dispatcher."""

    __slots__ = (
        "address",
        "asking",
        "authenticated",
        "blocked",
        "call",
        "closing",
        "created_ms",
        "deny_blocking",
        "follows_redirects",
        "from_primary",
        "guarded",
        "id",
        "is_replica",
        "last_command",
        "last_seen_ms",
        "lib_name",
        "lib_version",
        "local_address",
        "monitors",
        "name",
        "no_evict",
        "no_touch",
        "over_tls",
        "queue",
        "readonly",
        "reply_mode",
        "restricted",
        "speaks",
        "subscriptions",
        "taken",
        "total_commands",
        "tracked",
        "transport",
        "user",
        "watch",
    )

    def __init__(
        self, id: int, call: Call, transport: Transport, address: bytes, local_address: bytes
    ) -> None:
        self.id = id
        self.call = call
        call.session = self
        self.speaks = call.reply  # the client's protocol; a script's commands answer in one of their own
        self.transport = transport
        self.address = address
        self.local_address = local_address
        self.over_tls = False  # then it is told of TLS ports: node.cluster.endpoints
        self.name = b""
        self.lib_name = b""
        self.lib_version = b""
        self.user = b"default"
        self.authenticated = True
        self.restricted = False  # its user may not do everything: see node.acl
        self.created_ms = call.now_ms
        self.last_seen_ms = call.now_ms
        self.last_command: Command | None = None
        self.total_commands = 0
        self.reply_mode = ReplyMode.ON
        self.readonly = False
        self.follows_redirects = False  # CLIENT CAPA redirect: node.server.gates.redirecting
        self.asking = False
        self.no_evict = False
        self.no_touch = False
        self.monitors = False  # is told all commands: node.observe.monitor
        self.is_replica = False
        self.from_primary = False
        self.blocked: Block | None = None
        self.queue: Queue | None = None  # the open transaction
        self.watch: Watch | None = None
        self.subscriptions: Subscriptions | None = None  # None rather than empty
        self.tracked: Tracked | None = None  # with CLIENT TRACKING: see node.tracking
        self.deny_blocking = False  # its command runs inside of a transaction or a script, and must not wait
        self.taken: Callable[[list[bytes]], bool] | None = (
            None  # sees requests first; True: they were its own
        )
        self.closing = False  # no further request is run
        self.guarded = False

    def end(self) -> None:
        """The connection is gone: lets go of it and of the call, so that no cycle stays (node.collector)."""
        self.closing = True
        self.transport = Gone()
        del self.call.session

    def speak(self, encoder: Encoder) -> None:
        """Goes on in another version of the protocol."""
        self.speaks = self.call.reply = encoder
        self.update_guard()

    def close_after_reply(self) -> None:
        """Ends the connection when what is queued, the reply in the making too, has been sent."""
        self.closing = True
        self.transport.close(after_output=True)

    def admitted(self, reply: bytes) -> bytes | None:
        """The reply, unless CLIENT REPLY holds it back; steps SKIP on."""
        mode = self.reply_mode
        if mode is ReplyMode.ON:
            return reply
        if mode is ReplyMode.SKIP_NEXT:
            self.reply_mode = ReplyMode.SKIP
        elif mode is ReplyMode.SKIP:
            self.reply_mode = ReplyMode.ON
            self.update_guard()
        return None

    @property
    def in_subscriber_mode(self) -> bool:
        """Whether only a few commands are allowed: in RESP2 messages could not be told from replies."""
        return self.subscriptions is not None and self.speaks.version == 2

    def update_guard(self) -> None:
        """To be called after a change of anything that the fast path does not look at."""
        self.guarded = (
            not self.authenticated
            or self.restricted
            or self.asking
            or self.from_primary
            or self.is_replica
            or self.monitors
            or self.follows_redirects
            or self.queue is not None
            or self.in_subscriber_mode
            or (self.tracked is not None and self.tracked.follows_commands)
            or self.taken is not None
            or self.reply_mode is not ReplyMode.ON
        )
