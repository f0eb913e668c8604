"""The cluster bus on sockets: links opened and accepted, frames in and out.

The bus carries out what the core wants (open, send, close) and reports what happened (`Events`); it decides
nothing. Each link has one task that reads. Sending tries the socket at once; what it does not take is
queued, and a second task writes it when the socket is ready, so one slow peer delays nobody.

With tls-cluster a link begins with a handshake, in which both nodes show certificates. An accepted link is
told of when it is over, and at most HANDSHAKES_MAX are accepted and not through with it: more wait in the
kernel's queue.
"""

from __future__ import annotations

import errno
import select
import socket
import time
from collections.abc import Callable
from typing import Protocol

import trio

from gossip import wire
from gossip.errors import WireError
from gossip.member import LinkId
from gossip.messages import Message
from node.tls.socket import TlsSocket

READ_BYTES = 64 * 1024
SLICE_S = 0.002
HANDSHAKES_MAX = 32
WARNED_MAX = 1024


class Events(Protocol):
    """What the bus reports; after CloseLink nothing more is reported of that link."""

    def accepted(self, peer_ip: str, local_ip: str) -> LinkId: ...
    def opened(self, link: LinkId) -> None: ...
    def failed(self, link: LinkId, *, refused: bool) -> None: ...
    def closed(self, link: LinkId) -> None: ...
    def received(self, link: LinkId, message: Message) -> None: ...
    def bad_frame(self, link: LinkId, problem: str) -> None: ...


class Secure(Protocol):
    """A plain connection, `opened` by us or accepted → the one over TLS; None where links are plain."""

    def __call__(self, plain: socket.socket, /, *, opened: bool) -> TlsSocket | None: ...


def unsecured(_plain: socket.socket, *, opened: bool) -> None:
    """Links without TLS."""


class BusLink:
    """One connection; `scope` ends its tasks, `reader` is there once messages may come."""

    __slots__ = ("out", "reader", "scope", "socket", "writing")

    def __init__(self) -> None:
        self.socket: socket.socket | TlsSocket | None = None
        self.reader: wire.FrameReader | None = None
        self.scope = trio.CancelScope()
        self.out = bytearray()
        self.writing = False


class Bus:
    """All links of this node. `limit_exceeded_count` counts links closed for their send buffer; `warn` hears
    of handshakes that fail, of those with one peer once for each reason.
    """

    def __init__(
        self,
        events: Events,
        *,
        timeout_s: Callable[[], float],
        send_limit_bytes: Callable[[], int],
        source_address: Callable[[], str | None],
        secure: Secure = unsecured,
        warn: Callable[[str], None] = lambda _text: None,
    ) -> None:
        self._events = events
        self._timeout_s = timeout_s
        self._send_limit_bytes = send_limit_bytes
        self._source_address = source_address
        self._secure = secure
        self._warn = warn
        self._warned: dict[str, str] = {}  # why handshakes with a peer failed last
        self._may_accept = trio.Semaphore(HANDSHAKES_MAX)
        self._nursery: trio.Nursery | None = None
        self._links: dict[LinkId, BusLink] = {}
        self._encoded: tuple[Message | None, bytes] = (None, b"")
        self.limit_exceeded_count = 0

    async def run(self, listeners: list[socket.socket], started: Callable[[], None]) -> None:
        """Serves the bus until cancelled; `started` is called when links may be opened."""
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                for listener in listeners:
                    nursery.start_soon(self._accept, listener)
                started()
                await trio.sleep_forever()
        finally:
            self._nursery = None
            for listener in listeners:
                listener.close()
            for link in self._links.values():
                if link.socket is not None:
                    link.socket.close()

    # What the core wants

    def open(self, link_id: LinkId, ip: str, port: int) -> None:
        link = self._links[link_id] = BusLink()
        self._start(self._connect, link_id, link, ip, port)

    def send(self, link_id: LinkId, message: Message) -> None:
        link = self._links.get(link_id)
        if link is None or link.socket is None:
            return
        data = self._frame(message)
        if not link.out:
            try:
                data = data[link.socket.send(data) :]
            except BlockingIOError:
                pass
            except OSError:
                return  # the reading task meets the same error and reports it
            if not data:
                return
        link.out += data
        limit = self._send_limit_bytes()
        if limit and len(link.out) > limit:
            self.limit_exceeded_count += 1
            self.close(link_id)
            self._events.closed(link_id)
        elif not link.writing:
            link.writing = True
            self._start(self._write, link)

    def close(self, link_id: LinkId) -> None:
        link = self._links.pop(link_id, None)
        if link is not None:
            link.scope.cancel()
            if link.socket is not None and link.socket.fileno() >= 0:
                trio.lowlevel.notify_closing(link.socket)
                link.socket.close()

    def hear(self) -> None:
        """Reports what has arrived on open links, for who keeps the tasks from running. Links that end
        meanwhile, and new ones, are left to the tasks.
        """
        for link_id, link in list(self._links.items()):
            if link.socket is None or link.reader is None:
                continue
            try:
                data = link.socket.recv(READ_BYTES)
            except OSError:
                continue  # nothing yet, or an end that the reading task meets
            try:
                for message in link.reader.feed(data):
                    self._events.received(link_id, message)
                    if link_id not in self._links:
                        break
            except WireError as wrong:
                self._events.bad_frame(link_id, str(wrong))

    def send_buffer_bytes(self, link_id: LinkId) -> int:
        """What waits to be sent on a link (CLUSTER LINKS)."""
        link = self._links.get(link_id)
        return len(link.out) if link is not None else 0

    def _frame(self, message: Message) -> bytes:
        """The message's bytes; one message sent on many links in a row is encoded once."""
        if self._encoded[0] is not message:
            self._encoded = (message, wire.encode(message))
        return self._encoded[1]

    # Tasks

    def _start(self, task: Callable[..., object], *args: object) -> None:
        assert self._nursery is not None, "the bus is not running"
        self._nursery.start_soon(task, *args)  # type: ignore[arg-type]

    async def _accept(self, listener: socket.socket) -> None:
        while True:
            await self._may_accept.acquire()
            self._may_accept.release()
            await trio.lowlevel.wait_readable(listener)
            try:
                peer, address = listener.accept()
            except OSError as failed:
                if failed.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM):
                    await trio.sleep(0.1)
                continue
            peer.setblocking(False)
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            secured = self._secure(peer, opened=False)
            if secured is None:
                self._begin(peer, address[0], peer.getsockname()[0])
            else:
                self._may_accept.acquire_nowait()
                self._start(self._welcome, secured, address[0], peer.getsockname()[0])

    def _begin(self, peer: socket.socket | TlsSocket, peer_ip: str, local_ip: str) -> None:
        link = BusLink()
        link.socket = peer
        link_id = self._events.accepted(peer_ip, local_ip)
        self._links[link_id] = link
        self._start(self._serve, link_id, link)

    async def _welcome(self, peer: TlsSocket, peer_ip: str, local_ip: str) -> None:
        try:
            failure = f"no TLS handshake within {self._timeout_s():g} s"
            with trio.move_on_after(self._timeout_s()):
                failure = await _shaken(peer)
        except BaseException:
            peer.close()
            raise
        finally:
            self._may_accept.release()
        self._note(f"accepting a cluster node's connection from {peer_ip}", failure)
        if failure:
            peer.close()
        else:
            self._begin(peer, peer_ip, local_ip)

    def _note(self, what: str, failure: str) -> None:
        """Links are tried again and again: a failure is told when it is not what happened last time."""
        if not failure:
            self._warned.pop(what, None)
        elif self._warned.get(what) != failure:
            if len(self._warned) >= WARNED_MAX:
                self._warned.clear()
            self._warned[what] = failure
            self._warn(f"Error {what}: {failure}")

    async def _serve(self, link_id: LinkId, link: BusLink) -> None:
        with link.scope:
            await self._read(link_id, link)

    async def _connect(self, link_id: LinkId, link: BusLink, ip: str, port: int) -> None:
        with link.scope:
            failure = errno.ETIMEDOUT
            with trio.move_on_after(self._timeout_s()):
                failure = await self._connected(link, ip, port)
            if failure:
                self._links.pop(link_id, None)
                if link.socket is not None:
                    link.socket.close()
                self._events.failed(link_id, refused=failure == errno.ECONNREFUSED)
                return
            self._events.opened(link_id)
            await self._read(link_id, link)

    async def _connected(self, link: BusLink, ip: str, port: int) -> int:
        """Connects; returns 0 or the errno."""
        family = socket.AF_INET6 if ":" in ip else socket.AF_INET
        link.socket = peer = socket.socket(family, socket.SOCK_STREAM)
        try:
            peer.setblocking(False)
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            source = self._source_address()
            if source:
                peer.bind((source, 0))
            failure = peer.connect_ex((ip, port))
            if failure == errno.EINPROGRESS:
                await trio.lowlevel.wait_writable(peer)
                failure = peer.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        except OSError as failed:
            return failed.errno or errno.EIO
        except trio.ClosedResourceError:
            return errno.ECANCELED
        secured = None if failure else self._secure(peer, opened=True)
        if secured is not None:
            link.socket = secured
            refused = await _shaken(secured)
            self._note(f"connecting to a cluster node at {ip} port {port}", refused)
            failure = errno.EPROTO if refused else 0
        return failure

    async def _read(self, link_id: LinkId, link: BusLink) -> None:
        """Reads messages until the link ends; reports an end that is not our own doing."""
        assert link.socket is not None
        link.reader = reader = wire.FrameReader()
        try:
            while data := await _received(link.socket):
                end_s = time.monotonic() + SLICE_S
                for message in reader.feed(data):
                    self._events.received(link_id, message)
                    if time.monotonic() > end_s:  # published to very many, say
                        await trio.lowlevel.checkpoint()
                        end_s = time.monotonic() + SLICE_S
                    if link_id not in self._links:
                        return  # closed by what the message brought
            reader.end()
        except WireError as wrong:
            if link_id in self._links:
                self._events.bad_frame(link_id, str(wrong))
            return
        except (OSError, trio.ClosedResourceError):
            pass  # reported as the end of the link, below
        if link_id in self._links:
            self.close(link_id)
            self._events.closed(link_id)

    async def _write(self, link: BusLink) -> None:
        """Sends what is queued, then ends."""
        peer = link.socket
        assert peer is not None
        try:
            while link.out:
                await trio.lowlevel.wait_writable(peer)
                sent = peer.send(link.out[: 1 << 20])
                del link.out[:sent]
        except (OSError, trio.ClosedResourceError):
            link.out.clear()
        finally:
            link.writing = False


async def _shaken(peer: TlsSocket) -> str:
    """Does the handshake; returns why it failed, "" when it did not."""
    try:
        while events := peer.handshake():
            if events == select.EPOLLOUT:
                await trio.lowlevel.wait_writable(peer)
            else:
                await trio.lowlevel.wait_readable(peer)
    except OSError as failed:
        return str(failed)
    except trio.ClosedResourceError:
        return "closed by this node"
    return ""


async def _received(peer: socket.socket | TlsSocket) -> bytes:
    """The next bytes; none at the peer's end."""
    while True:
        if not (isinstance(peer, TlsSocket) and peer.holds_data):
            await trio.lowlevel.wait_readable(peer)
        try:
            return peer.recv(READ_BYTES)
        except BlockingIOError:
            continue
