"""What stands behind the TLS port before there is a session."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from node.app import Node
from node.config.config import Config
from node.server import server as serving


@pytest.fixture
def node(certificates: Path, tmp_path: Path) -> Node:
    """With TLS, for clients without certificates; it listens nowhere."""
    config = Config()
    settings = {
        "dir": str(tmp_path),
        "tls-port": "7000",
        "tls-auth-clients": "no",
        "tls-cert-file": str(certificates / "node.crt"),
        "tls-key-file": str(certificates / "node.key"),
    }
    pairs = [(name.encode(), value.encode()) for name, value in settings.items()]
    config.set_many(pairs, allow_protected=True)
    node = Node(config)
    node.tls.configure()
    return node


class Peer:
    """The client's end of a connection that has come to the TLS port."""

    def __init__(self, node: Node, address: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.plain = socket.create_connection(listener.getsockname(), 20)
            accepted, _ = listener.accept()
        accepted.setblocking(False)
        node.server._accepted_tls(accepted, address, "127.0.0.1:2")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing)

    def hello(self) -> None:
        with pytest.raises(ssl.SSLWantReadError):
            self._tls.do_handshake()
        self.plain.sendall(self._outgoing.read())

    def finish_with(self, request: bytes) -> None:
        """The end of the handshake, and what stands behind it, in one piece."""
        self._incoming.write(self.plain.recv(65536))
        self._tls.do_handshake()
        if request:
            self._tls.write(request)
        self.plain.sendall(self._outgoing.read())

    def reply(self) -> bytes:
        while True:
            try:
                return self._tls.read(65536)
            except ssl.SSLWantReadError:
                self._incoming.write(self.plain.recv(65536))


@pytest.fixture
def peer(node: Node) -> Iterator[Peer]:
    peer = Peer(node, "127.0.0.1:1")
    yield peer
    peer.plain.close()


def test_no_session_before_the_handshake_is_over(node: Node, peer: Peer) -> None:
    """And the request that came with its last message is served at once."""
    peer.hello()
    assert list(node.clients) == []
    assert node.reactor.turn()
    assert list(node.clients) == []
    peer.finish_with(b"PING\r\n")
    assert node.reactor.turn()
    [session] = node.clients
    assert session.over_tls
    assert peer.reply() == b"+PONG\r\n"
    session.transport.close(after_output=False)


def test_protected_mode_is_explained_over_tls(node: Node) -> None:
    stranger = Peer(node, "192.0.2.1:1")
    stranger.hello()
    assert node.reactor.turn()
    stranger.finish_with(b"")
    assert node.reactor.turn()
    assert list(node.clients) == []
    assert stranger.reply().startswith(b"-DENIED")
    stranger.plain.close()


def test_who_does_not_shake_hands_in_time_is_closed(
    node: Node, peer: Peer, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """So a connection that says nothing holds a place for ten seconds, and not for ever."""
    node.server.tend()
    [handshake] = node.server._handshakes
    monkeypatch.setattr(serving.time, "monotonic", lambda: handshake.deadline_s + 0.1)
    node.server.tend()
    monkeypatch.undo()
    assert peer.plain.recv(1) == b""
    assert not node.server._handshakes
    said = "Error accepting a client connection: no TLS handshake within 10 s (addr=127.0.0.1:1)"
    assert said in capfd.readouterr().out
