"""node.tls.socket against OpenSSL's other end, over a socket pair."""

from __future__ import annotations

import os
import select
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from node.tls.contexts import Tls
from node.tls.socket import ENCRYPT_BYTES, TlsSocket


@dataclass
class Pair:
    """Our end, and a client that is pumped by hand: `read` what came, `write` to have it sent."""

    ours: TlsSocket
    plain: socket.socket
    incoming: ssl.MemoryBIO
    outgoing: ssl.MemoryBIO
    client: ssl.SSLObject

    def pump(self) -> None:
        """What the client has for us goes out, what we have sent comes in."""
        pending = self.outgoing.read()
        if pending:
            self.plain.sendall(pending)
        self.take()

    def take(self, limit_bytes: int = 1 << 20) -> int:
        try:
            data = self.plain.recv(limit_bytes)
        except BlockingIOError:
            return 0
        self.incoming.write(data)
        return len(data)

    def shake_client(self) -> bool:
        """One step of the client; whether it is done."""
        try:
            self.client.do_handshake()
        except ssl.SSLWantReadError:
            return False
        finally:
            self.pump()
        return True

    def shake(self) -> None:
        done = False
        for _ in range(10):
            done = self.shake_client() or done
            if self.ours.handshake() == 0 and done:
                break
        self.pump()
        assert done

    def read(self) -> bytes:
        """All that is decrypted for the client by now."""
        self.pump()
        pieces = []
        while True:
            try:
                piece = self.client.read(1 << 16)
            except (ssl.SSLWantReadError, ssl.SSLZeroReturnError):
                break
            if not piece:
                break
            pieces.append(piece)
        return b"".join(pieces)

    def write(self, data: bytes) -> None:
        self.client.write(data)
        self.pump()


@pytest.fixture(params=["TLSv1.2", "TLSv1.3"])
def pair(request: pytest.FixtureRequest, make_tls: Callable[..., Tls], certificates: Path) -> Iterator[Pair]:
    with _pair(make_tls(tls_protocols=request.param, tls_auth_clients="optional"), certificates) as pair:
        yield pair


@contextmanager
def _pair(tls: Tls, certificates: Path) -> Iterator[Pair]:
    """Before the handshake; small socket buffers, so that much does not fit."""
    mine, theirs = socket.socketpair()
    for each in (mine, theirs):
        each.setblocking(False)
        each.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(certificates / "ca.crt")
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(incoming, outgoing, server_hostname="node.example")
    yield Pair(tls.for_client(mine), theirs, incoming, outgoing, client)
    mine.close()
    theirs.close()


def test_bytes_cross_in_both_directions(pair: Pair) -> None:
    pair.shake()
    pair.write(b"question")
    assert pair.ours.recv(1024) == b"question"
    with pytest.raises(BlockingIOError):
        pair.ours.recv(1024)
    assert pair.ours.send(b"answer") == 6
    assert pair.read() == b"answer"


def test_all_records_of_one_read_are_given_at_once(pair: Pair) -> None:
    """An epoll would not tell of what stayed inside."""
    pair.shake()
    for number in range(20):
        pair.client.write(b"%02d" % number)
    pair.pump()
    assert pair.ours.recv(65536) == b"".join(b"%02d" % number for number in range(20))


def test_data_behind_the_handshake_are_not_lost(pair: Pair) -> None:
    """A client's last message of the handshake and its first request may come in one segment."""
    sent = False
    for _ in range(10):
        try:
            pair.client.do_handshake()
        except ssl.SSLWantReadError:
            pair.pump()
        else:
            pair.client.write(b"PING\r\n")
            pair.pump()
            sent = True
        if pair.ours.handshake() == 0:
            break
        pair.take()
    if not sent:  # TLS 1.2: the server ends the handshake
        pair.take()
        pair.client.do_handshake()
        pair.write(b"PING\r\n")
    else:
        assert pair.ours.holds_data
    assert pair.ours.recv(1024) == b"PING\r\n"
    assert not pair.ours.holds_data


def test_a_record_that_comes_byte_by_byte(pair: Pair) -> None:
    pair.shake()
    pair.client.write(b"slow")
    cipher_text = pair.outgoing.read()
    for at in range(len(cipher_text) - 1):
        pair.plain.send(cipher_text[at : at + 1])
        with pytest.raises(BlockingIOError):
            pair.ours.recv(1024)
    pair.plain.send(cipher_text[-1:])
    assert pair.ours.recv(1024) == b"slow"


def test_much_is_sent_in_pieces_and_counted_when_it_has_left(pair: Pair) -> None:
    """The caller keeps what was not counted and comes again with it, as with a plain socket."""
    pair.shake()
    data = os.urandom(3 * ENCRYPT_BYTES + 12345)
    left, received, blocked = data, b"", 0
    while left:
        try:
            sent = pair.ours.send(left)
            assert 0 < sent <= ENCRYPT_BYTES
            left = left[sent:]
        except BlockingIOError:
            blocked += 1
            received += pair.read()
    received += pair.read()
    assert received == data
    assert blocked > 3


def test_what_waits_goes_before_what_follows(pair: Pair) -> None:
    """A send that was refused is repeated with more behind it, and nothing is sent twice."""
    pair.shake()
    first, second = os.urandom(60_000), b"and more"
    with pytest.raises(BlockingIOError):
        pair.ours.send(first)
    received, left = b"", first + second
    while left:
        received += pair.read()
        try:
            left = left[pair.ours.send(left) :]
        except BlockingIOError:
            continue
    assert received + pair.read() == first + second


def test_what_waited_may_leave_with_an_answer_of_tls_itself(pair: Pair) -> None:
    """A message of the protocol that `recv` has to answer drives out what waits before it; once is enough."""
    pair.shake()
    data = os.urandom(60_000)
    with pytest.raises(BlockingIOError):
        pair.ours.send(data)
    received = pair.read()
    while not pair.ours._push():
        received += pair.read()
    assert pair.ours.send(data) == len(data)
    assert received + pair.read() == data


def test_the_client_says_good_bye_or_just_goes(pair: Pair) -> None:
    pair.shake()
    pair.client.write(b"last")
    with pytest.raises(ssl.SSLWantReadError):
        pair.client.unwrap()
    pair.pump()
    assert pair.ours.recv(1024) == b"last"
    pair.plain.close()
    assert pair.ours.recv(1024) == b""


def test_we_say_good_bye(pair: Pair) -> None:
    """Or the client would have to take the end for an attack."""
    pair.shake()
    pair.ours.send(b"bye")
    pair.ours.close()
    pair.take()
    assert pair.client.read(10) == b"bye"
    assert pair.client.read(10) == b""


def test_garbage_behind_good_data(pair: Pair) -> None:
    """What was authentic is given; then it ends."""
    pair.shake()
    pair.client.write(b"good")
    pair.plain.send(pair.outgoing.read() + b"\x17\x03\x03\x00\x20" + bytes(32))
    assert pair.ours.recv(1024) == b"good"
    pair.plain.send(b"\x17\x03\x03\x00\x20" + bytes(32))
    with pytest.raises(ConnectionAbortedError):
        pair.ours.recv(1024)


@pytest.mark.parametrize(
    ("said", "reason"),
    [(b"PING\r\n", "does not speak TLS"), (b"GET / HTTP/1.1\r\n\r\n", "http request"), (b"", "was closed")],
)
def test_a_peer_that_does_not_speak_tls(pair: Pair, said: bytes, reason: str) -> None:
    pair.plain.send(said)
    pair.plain.shutdown(socket.SHUT_WR)
    with pytest.raises(ConnectionAbortedError, match=reason):
        for _ in iter(pair.ours.handshake, 0):
            pass


def test_the_client_hears_why_it_is_refused(make_tls: Callable[..., Tls], certificates: Path) -> None:
    """It shows no certificate where one is required: an alert for it, and a reason for our log."""
    with _pair(make_tls(tls_protocols="TLSv1.2"), certificates) as pair:
        failure = ""
        while not failure:
            pair.shake_client()
            try:
                assert pair.ours.handshake() == select.EPOLLIN
            except ConnectionAbortedError as failed:
                failure = str(failed)
        assert failure == "peer did not return a certificate"
        pair.pump()
        with pytest.raises(ssl.SSLError, match="ALERT"):
            pair.client.do_handshake()
