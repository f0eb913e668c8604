"""CLIENT; its errors are compared with redis-server in tests/compat/test_server.py."""

from __future__ import annotations

import pytest

from node.command.session import Block

_FIELDS = (
    "id addr laddr fd name age idle flags db sub psub ssub multi watch qbuf qbuf-free argv-mem multi-mem rbs "
    "rbp obl oll omem tot-mem events cmd user redir resp lib-name lib-ver"
)


def _fields(line: bytes) -> dict[str, str]:
    return dict(word.split("=", 1) for word in line.decode().split(" "))


@pytest.fixture
def listed(client):
    """The lines of CLIENT LIST with these arguments, as dicts."""

    def ask(*args: object) -> list[dict[str, str]]:
        return [_fields(line) for line in client.call("CLIENT", "LIST", *args).splitlines()]

    return ask


def test_a_line_has_the_fields_of_redis_7_2_in_their_order(client):
    line = client.call("CLIENT", "INFO")
    assert line.endswith(b"\n")
    assert " ".join(_fields(line[:-1])) == _FIELDS


def test_a_line_tells_the_truth(client, advance):
    client.call("SELECT", 2)
    client.call("CLIENT", "SETNAME", "me")
    client.call("CLIENT", "SETINFO", "lib-name", "a-lib")
    client.call("CLIENT", "SETINFO", "LIB-VER", "1.2")
    advance(5000)
    fields = _fields(client.call("CLIENT", "INFO")[:-1])
    told = {"addr": "127.0.0.1:1", "laddr": "127.0.0.1:2", "name": "me", "age": "5", "idle": "0", "db": "2"}
    told |= {"flags": "N", "multi": "-1", "argv-mem": "10", "cmd": "client|info", "user": "default"}
    told |= {"events": "r", "redir": "-1", "resp": "2", "lib-name": "a-lib", "lib-ver": "1.2"}
    assert {name: fields[name] for name in told} == told


def test_idle_time_and_last_command_of_others(listed, new_client, advance):
    other = new_client()
    other.call("SET", "k", "v")
    advance(3000)
    [line] = listed("ID", other.session.id)
    assert (line["idle"], line["cmd"]) == ("3", "set")


@pytest.mark.parametrize(
    ("attribute", "letter"),
    [("is_replica", "S"), ("from_primary", "M"), ("readonly", "r"), ("no_evict", "e"), ("no_touch", "T")],
)
def test_flags(client, attribute, letter):
    setattr(client.session, attribute, True)
    assert _fields(client.call("CLIENT", "INFO")[:-1])["flags"] == letter


def test_list_by_type_and_id(listed, client, new_client):
    replica, other = new_client(), new_client()
    replica.session.is_replica = True
    assert [line["id"] for line in listed()] == ["1", "2", "3"]
    assert [line["id"] for line in listed("TYPE", "REPLICA")] == [str(replica.session.id)]
    assert [line["id"] for line in listed("TYPE", "slave")] == [str(replica.session.id)]
    assert [line["id"] for line in listed("TYPE", "normal")] == ["1", "3"]
    assert [line["id"] for line in listed("ID", 3, 99, 1)] == ["3", "1"]
    assert other.call("CLIENT", "ID") == 3


def test_list_is_verbatim_text_in_resp3(client):
    client.call("HELLO", 3)
    assert client.raw("CLIENT", "LIST").startswith(b"=")


def test_setinfo_refuses_what_would_break_the_line(client):
    assert (
        client.error("CLIENT", "SETINFO", "lib-name", "a b")
        == "ERR lib-name cannot contain spaces, newlines or special characters."
    )
    assert client.error("CLIENT", "SETINFO", "colour", "red") == "ERR Unrecognized option 'colour'"
    client.call("CLIENT", "SETINFO", "lib-name", "x")
    client.call("CLIENT", "SETINFO", "lib-name", "")
    assert b"lib-name= " in client.call("CLIENT", "INFO")


class TestKill:
    def test_by_address_even_oneself(self, client):
        assert client.raw("CLIENT", "KILL", "127.0.0.1:1") == b"+OK\r\n"
        assert client.transport.closed
        assert client.session.closing

    def test_filters_must_all_fit(self, client, new_client):
        other = new_client()
        assert client.call("CLIENT", "KILL", "ID", other.session.id, "TYPE", "replica") == 0
        assert not other.transport.closed
        assert client.call("CLIENT", "KILL", "ID", other.session.id, "TYPE", "normal", "USER", "default") == 1
        assert other.transport.closed

    def test_skipme_is_the_default(self, client, new_client):
        other = new_client()
        assert client.call("CLIENT", "KILL", "LADDR", "127.0.0.1:2") == 1
        assert other.transport.closed
        assert not client.transport.closed
        other.transport.closed = False
        assert client.call("CLIENT", "KILL", "ADDR", "127.0.0.1:1", "SKIPME", "no") == 2
        assert client.transport.closed

    def test_by_age(self, client, new_client, advance):
        old = new_client()
        advance(10_000)
        young = new_client()
        young.session.created_ms += 10_000
        assert client.call("CLIENT", "KILL", "MAXAGE", 10) == 1
        assert old.transport.closed
        assert not young.transport.closed
        assert client.error("CLIENT", "KILL", "MAXAGE", 0) == "ERR maxage should be greater than 0"


class TestReply:
    def test_off_and_on(self, client):
        assert client.raw("CLIENT", "REPLY", "OFF") is None
        assert client.raw("SET", "k", "v") is None
        assert client.raw("NOSUCH") is None
        assert client.raw("CLIENT", "REPLY", "SKIP") is None
        assert client.raw("PING") is None
        assert client.raw("CLIENT", "REPLY", "ON") == b"+OK\r\n"
        assert client.call("GET", "k") == b"v"

    def test_skip_holds_back_one_reply(self, client):
        assert client.raw("CLIENT", "REPLY", "SKIP") is None
        assert client.raw("SET", "k", "v") is None
        assert client.raw("PING") == b"+PONG\r\n"

    def test_the_reply_of_a_blocked_command_is_held_back_too(self, node, client):
        client.raw("CLIENT", "REPLY", "OFF")
        node.clients.block(client.session, Block(b"list", None, lambda: b"*-1\r\n", lambda: None))
        node.clients.unblock(client.session, b"+late\r\n")
        assert client.transport.sent == b""
        assert client.transport.resumed == 1


class TestUnblock:
    @pytest.fixture
    def waiting(self, node, new_client):
        waiting = new_client()
        block = Block(b"list", None, lambda: b"*-1\r\n", lambda: None)
        node.clients.block(waiting.session, block)
        return waiting

    def test_as_if_the_time_were_out(self, client, waiting):
        assert client.call("CLIENT", "UNBLOCK", waiting.session.id) == 1
        assert waiting.transport.sent == b"*-1\r\n"
        assert client.call("CLIENT", "UNBLOCK", waiting.session.id) == 0

    def test_with_an_error(self, client, waiting):
        assert client.call("CLIENT", "UNBLOCK", waiting.session.id, "ERROR") == 1
        assert waiting.transport.sent == b"-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n"

    def test_not_who_waits_for_the_end_of_a_pause(self, client, new_client):
        other = new_client()
        client.call("CLIENT", "PAUSE", 1000, "WRITE")
        assert other.raw("SET", "k", "v") is None
        assert client.call("CLIENT", "UNBLOCK", other.session.id) == 0


class TestPause:
    def test_writes_wait_and_reads_do_not(self, client, new_client):
        other = new_client()
        client.call("CLIENT", "PAUSE", 1000, "WRITE")
        assert other.raw("SET", "k", "v") is None
        assert other.session.blocked is not None
        assert client.call("GET", "k") is None
        assert client.raw("CLIENT", "UNPAUSE") == b"+OK\r\n"
        assert other.session.blocked is None
        assert other.transport.resumed == 1

    def test_all_commands_wait_until_the_time_is_over(self, node, client, new_client, advance):
        other = new_client()
        client.call("CLIENT", "PAUSE", 1000)
        assert other.raw("PING") is None
        advance(999)
        node.timers.run_due(node.clock.now_ms)
        assert other.session.blocked is not None
        advance(1)
        node.timers.run_due(node.clock.now_ms)
        assert other.session.blocked is None

    def test_a_second_pause_does_not_soften_the_first(self, node, client, new_client):
        client.call("CLIENT", "PAUSE", 1000, "WRITE")
        client.call("CLIENT", "PAUSE", 10, "WRITE")
        pause = node.clients.paused()
        assert pause.until_ms == node.clock.now_ms + 1000
        assert not pause.all_commands
