"""The metrics endpoint: GET /metrics, over HTTP/1.1, one request a connection.

It runs beside the reactor, as an ordinary task of trio. Who connects is not asked for a password, so
metrics-bind is this machine alone unless somebody says otherwise. A client gets `TIMEOUT_S`, a request of
`REQUEST_BYTES`, and one of `CLIENTS_MAX` places; what is too much is turned away.
"""

from __future__ import annotations

import socket
from collections.abc import Callable

import trio

TIMEOUT_S = 5.0
REQUEST_BYTES = 8192
CLIENTS_MAX = 16
_END = b"\r\n\r\n"
_TEXT = b"text/plain; version=0.0.4; charset=utf-8"
_PLAIN = b"text/plain; charset=utf-8"


async def serve_metrics(sockets: list[socket.socket], exposition: Callable[[], bytes]) -> None:
    """The task: serves what `exposition` makes on these listening sockets; runs until cancelled."""
    places = trio.CapacityLimiter(CLIENTS_MAX)

    async def serve(stream: trio.SocketStream) -> None:
        try:
            places.acquire_nowait()
        except trio.WouldBlock:
            await stream.aclose()
            return
        try:
            with trio.move_on_after(TIMEOUT_S):
                await _answer(stream, exposition)
        except trio.BrokenResourceError:
            pass  # the client is gone, and wants no answer
        finally:
            places.release()
            await trio.aclose_forcefully(stream)

    listeners = []
    for each in sockets:
        each.setblocking(False)
        listeners.append(trio.SocketListener(trio.socket.from_stdlib_socket(each)))
    await trio.serve_listeners(serve, listeners)


async def _answer(stream: trio.SocketStream, exposition: Callable[[], bytes]) -> None:
    request = b""
    while _END not in request:
        if len(request) > REQUEST_BYTES:
            await stream.send_all(_reply(b"431 Request Header Fields Too Large", _PLAIN, b"too long\n"))
            return
        data = await stream.receive_some(REQUEST_BYTES)
        if not data:
            return
        request += data
    words = request.split(b"\r\n", 1)[0].split(b" ")
    if len(words) != 3 or not words[2].startswith(b"HTTP/1."):
        await stream.send_all(_reply(b"400 Bad Request", _PLAIN, b"this is no HTTP\n"))
    elif words[0] not in (b"GET", b"HEAD"):
        await stream.send_all(_reply(b"405 Method Not Allowed", _PLAIN, b"only GET\n"))
    elif words[1].partition(b"?")[0] != b"/metrics":
        await stream.send_all(_reply(b"404 Not Found", _PLAIN, b"metrics are at /metrics\n"))
    else:
        reply = _reply(b"200 OK", _TEXT, exposition())
        await stream.send_all(reply if words[0] == b"GET" else reply.partition(_END)[0] + _END)
    await stream.send_eof()


def _reply(status: bytes, kind: bytes, body: bytes) -> bytes:
    head = b"HTTP/1.1 %b\r\nContent-Type: %b\r\nContent-Length: %d\r\nConnection: close"
    return head % (status, kind, len(body)) + _END + body
