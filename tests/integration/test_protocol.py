"""Bad, slow and strange clients: each gets Redis's error or its due, and nobody else notices."""

from __future__ import annotations

import contextlib
import socket
import struct
import time

import pytest

_DEADLINE_S = 20.0


@pytest.fixture(autouse=True)
def _nobody_else_notices(request):
    """A client that was there before is served as before, by the same process."""
    if "shared_node" not in request.fixturenames:
        yield
        return
    node = request.getfixturevalue("shared_node")
    bystander = node.connect()
    bystander.call("SET", "bystander", "fine")
    yield
    assert bystander.call("GET", "bystander") == b"fine"
    assert node.process.poll() is None
    assert "Traceback" not in node.logged()
    bystander.call("FLUSHALL")
    bystander.close()


@pytest.mark.parametrize(
    ("sent", "replies"),
    [
        (b"*x\r\n", ["ERR Protocol error: invalid multibulk length"]),
        (b"*9999999999\r\n", ["ERR Protocol error: invalid multibulk length"]),
        (b"*1\r\n:1\r\n", ["ERR Protocol error: expected '$', got ':'"]),
        (b"*1\r\n*1\r\n$4\r\nPING\r\n", ["ERR Protocol error: expected '$', got '*'"]),
        (b"*1\r\n$-1\r\n", ["ERR Protocol error: invalid bulk length"]),
        (b"*1\r\n$536870913\r\n", ["ERR Protocol error: invalid bulk length"]),
        (b'"unbalanced\r\n', ["ERR Protocol error: unbalanced quotes in request"]),
        (b"x" * 70_000, ["ERR Protocol error: too big inline request"]),
        (b"*" + b"1" * 70_000, ["ERR Protocol error: too big mbulk count string"]),
        (b"*1\r\n$" + b"1" * 70_000, ["ERR Protocol error: too big bulk count string"]),
        (b"PING\r\n*1\r\n$-5\r\nPING\r\n", [b"PONG", "ERR Protocol error: invalid bulk length"]),
        (b"*1\r\n$4\r\nPING\r\n*1\r\n$4\r\nPING\r\n*?\r\n",
         [b"PONG", b"PONG", "ERR Protocol error: invalid multibulk length"]),
        (b"QUIT\r\nPING\r\n", [b"OK"]),
        (b"POST / HTTP/1.1\r\nHost: x\r\n\r\n", []),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", []),
    ],
)  # fmt: skip
def test_a_broken_protocol_ends_the_connection_after_its_error(shared_node, sent, replies):
    got = shared_node.connect().lines(sent)
    if b"HTTP" in sent:  # what came before the header was found may have been answered
        assert all("wrong number of arguments" in reply for reply in got)
    else:
        assert got == replies


def test_http_is_logged_as_an_attack_once_a_minute(shoal_node):
    node = shoal_node()
    for _ in range(3):
        assert node.connect().lines(b"POST / HTTP/1.1\r\n\r\n") == []
    assert node.logged().count("Possible SECURITY ATTACK detected") == 1


def test_what_is_strange_but_good(shared_node):
    client = shared_node.connect()
    for sent, reply in [
        (b"PING\n", b"PONG"),
        (b"\r\n\r\n  \r\nPING\r\n", b"PONG"),
        (b"*0\r\n*-1\r\nPING\r\n", b"PONG"),
        (b'ECHO "\\x00\\xff"\r\n', b"\x00\xff"),
        (b"ECHO 'it\\'s'\r\n", b"it's"),
        (b"*2\r\n$4\r\nECHO\r\n$3\r\n\r\n\r\r\n", b"\r\n\r"),
        (b"*2\r\n$4\r\neChO\r\n$0\r\n\r\n", b""),
    ]:
        client.send(sent)
        assert client.reply() == reply, sent


def test_keys_and_values_of_every_byte(shared_node):
    client = shared_node.connect()
    everything = bytes(range(256))
    for byte in range(256):
        client.call("SET", bytes((byte,)) + everything, everything)
    assert all(client.call("GET", bytes((byte,)) + everything) == everything for byte in range(256))


def test_a_request_in_single_bytes(shared_node):
    client = shared_node.connect()
    client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for byte in b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$2\r\n\r\n\r\nGET k\r\n":
        client.send(bytes((byte,)))
    assert [client.reply(), client.reply()] == [b"OK", b"\r\n"]


def test_a_long_pipeline_is_answered_in_order(shared_node):
    client = shared_node.connect()
    client.send(b"".join(b"ECHO %d\r\n" % number for number in range(20_000)))
    assert [client.reply() for _ in range(20_000)] == [b"%d" % number for number in range(20_000)]


def test_a_large_value_goes_in_and_comes_out(shared_node):
    client = shared_node.connect()
    value = bytes(range(256)) * 40_000
    assert client.call("SET", "large", value) == b"OK"
    assert client.call("GET", "large") == value


def test_a_client_that_resets_its_connection(shared_node):
    for data in (b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$100\r\nabc", b"GET k\r\n" * 1000, b""):
        client = shared_node.connect()
        client.send(data)
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()


def _wait_for(condition) -> None:
    deadline_s = time.monotonic() + _DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


def test_a_client_that_never_reads_is_closed_at_its_output_limit(shoal_node):
    node = shoal_node("--client-output-buffer-limit", "normal", "2mb", "0", "0")
    other = node.connect()
    other.call("SET", "k", "x" * 100_000)
    deaf = node.connect()
    deaf.send(b"GET k\r\n" * 200)
    node.wait_for_log("scheduled to be closed ASAP for overcoming of output buffer limits")
    assert deaf.is_closed()
    assert b"client_output_buffer_limit_disconnections:1\r\n" in other.call("INFO", "stats")
    assert other.call("CLIENT", "LIST").count(b"\n") == 1


def test_without_a_limit_it_gets_everything_later(shared_node):
    slow = shared_node.connect()
    slow.call("SET", "k", "x" * 100_000)
    slow.send(b"GET k\r\n" * 200)
    other = shared_node.connect()
    _wait_for(lambda: b"cmd=get" in other.call("CLIENT", "LIST"))
    assert all(len(slow.reply()) == 100_000 for _ in range(200))


def test_a_soft_limit_counts_in_time(shoal_node):
    node = shoal_node("--client-output-buffer-limit", "normal", "0", "1mb", "1")
    other = node.connect()
    other.call("SET", "k", "x" * 100_000)
    deaf = node.connect()
    deaf.send(b"GET k\r\n" * 200)
    _wait_for(lambda: b"cmd=get" in other.call("CLIENT", "LIST"))
    assert other.call("CLIENT", "LIST").count(b"\n") == 2
    _wait_for(lambda: other.call("CLIENT", "LIST").count(b"\n") == 1)


def test_a_request_longer_than_the_query_buffer_limit(shoal_node):
    node = shoal_node("--client-query-buffer-limit", "1mb")
    client, other = node.connect(), node.connect()
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        client.send(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$10000000\r\n" + b"x" * 9_000_000)
    assert client.is_closed()
    node.wait_for_log("Closing client that reached max query buffer length")
    assert b"client_query_buffer_limit_disconnections:1\r\n" in other.call("INFO", "stats")
    assert other.call("EXISTS", "k") == 0


def test_idle_clients_are_closed_after_the_timeout(shoal_node):
    node = shoal_node("--timeout", "1")
    idle, busy = node.connect(), node.connect()
    idle.socket.setblocking(False)

    def is_closed() -> bool:
        busy.call("PING")
        try:
            return idle.socket.recv(1) == b""
        except BlockingIOError:
            return False

    _wait_for(is_closed)


def test_a_pause_keeps_pipelines_in_order(shared_node):
    admin, client = shared_node.connect(), shared_node.connect()
    admin.call("CLIENT", "PAUSE", 100_000, "WRITE")
    client.send(b"GET a\r\nSET a 1\r\nINCR a\r\nGET a\r\n")
    assert client.reply() is None
    _wait_for(lambda: b"flags=b" in admin.call("CLIENT", "LIST"))
    client.send(b"APPEND a x\r\nGET a\r\n")
    assert admin.call("GET", "a") is None
    admin.call("CLIENT", "UNPAUSE")
    assert [client.reply() for _ in range(5)] == [b"OK", 2, b"2", 2, b"2x"]


def test_a_pause_ends_by_itself(shared_node):
    client = shared_node.connect()
    client.call("CLIENT", "PAUSE", 200)
    before_s = time.monotonic()
    assert client.call("PING") == b"PONG"
    assert time.monotonic() - before_s > 0.15


@pytest.mark.parametrize("how", ["close", "kill"])
def test_a_client_that_leaves_during_a_pause_is_forgotten(shared_node, how):
    admin, client = shared_node.connect(), shared_node.connect()
    before = admin.call("CLIENT", "LIST").count(b"\n")
    admin.call("CLIENT", "PAUSE", 100_000, "WRITE")
    number = client.call("CLIENT", "ID")
    client.send(b"SET lost 1\r\nSET lost 2\r\n")
    _wait_for(lambda: b"flags=b" in admin.call("CLIENT", "LIST"))
    if how == "close":
        client.close()
    else:
        assert admin.call("CLIENT", "KILL", "ID", number) == 1
    _wait_for(lambda: admin.call("CLIENT", "LIST").count(b"\n") == before - 1)
    admin.call("CLIENT", "UNPAUSE")
    assert admin.call("EXISTS", "lost") == 0


def test_garbage_behind_a_request_that_waits_is_refused_when_its_turn_comes(shared_node):
    admin, client = shared_node.connect(), shared_node.connect()
    admin.call("CLIENT", "PAUSE", 100_000, "WRITE")
    client.send(b"SET k 1\r\n*x\r\n")
    _wait_for(lambda: b"flags=b" in admin.call("CLIENT", "LIST"))
    admin.call("CLIENT", "UNPAUSE")
    assert client.lines(b"") == [b"OK", "ERR Protocol error: invalid multibulk length"]


def test_reply_modes(shared_node):
    client = shared_node.connect()
    client.send(b"CLIENT REPLY OFF\r\nSET k 1\r\nNOSUCH\r\nCLIENT REPLY ON\r\nGET k\r\n")
    assert [client.reply(), client.reply()] == [b"OK", b"1"]
    client.send(b"CLIENT REPLY SKIP\r\nGET k\r\nPING\r\n")
    assert client.reply() == b"PONG"


def test_kill_of_oneself_is_answered(shared_node):
    client = shared_node.connect()
    number = client.call("CLIENT", "ID")
    assert client.lines(b"CLIENT KILL ID %d SKIPME no\r\nPING\r\n" % number) == [1]


def test_bounds_before_login(shoal_node):
    node = shoal_node("--requirepass", "secret")
    assert node.connect().lines(b"*11\r\n") == ["ERR Protocol error: unauthenticated multibulk length"]
    assert node.connect().lines(b"*1\r\n$16385\r\n") == ["ERR Protocol error: unauthenticated bulk length"]
    client = node.connect()
    assert str(client.call("GET", "k")) == "NOAUTH Authentication required."
    assert str(client.call("AUTH", "wrong")).startswith("WRONGPASS")
    assert client.call("AUTH", "secret") == b"OK"
    assert client.call("SET", "k", "x" * 20_000) == b"OK"


def test_listening_moves_with_config_set(shoal_node, free_port):
    node = shoal_node()
    client = node.connect()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        refused = client.call("CONFIG", "SET", "port", taken.getsockname()[1])
    assert str(refused).endswith("Unable to listen on this port. Check server logs.")
    assert node.connect().call("PING") == b"PONG"
    port = free_port()
    assert client.call("CONFIG", "SET", "port", port) == b"OK"
    with pytest.raises(ConnectionRefusedError):
        node.connect()
    node.port = port
    assert node.connect().call("PING") == b"PONG"
    assert client.call("PING") == b"PONG"
