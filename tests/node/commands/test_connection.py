"""PING, SELECT, AUTH, HELLO, RESET, QUIT; their errors are compared with redis-server in tests/compat."""

from __future__ import annotations

import pytest

from node.config.table import CLUSTER_ENABLED

_NOAUTH = "NOAUTH Authentication required."


@pytest.fixture
def locked(node, new_client):
    """A client that has not logged in, of a node with a password."""
    node.config.set_many([(b"requirepass", b"secret")])
    client = new_client()
    node.acl.begin(client.session)
    return client


def test_hello_says_who_answers(client):
    reply = client.call("HELLO")
    fields = dict(zip(reply[::2], reply[1::2], strict=True))
    assert fields == {
        b"server": b"redis",
        b"version": b"7.4.0",
        b"proto": 2,
        b"id": client.session.id,
        b"mode": b"standalone",
        b"role": b"master",
        b"modules": [],
    }


def test_hello_changes_the_protocol_for_its_own_reply_and_keeps_it(client):
    assert client.raw("HELLO", 3).startswith(b"%7\r\n")
    assert client.raw("GET", "missing") == b"_\r\n"
    assert client.raw("HELLO").startswith(b"%7\r\n")
    assert client.raw("HELLO", 2).startswith(b"*14\r\n")
    assert client.raw("GET", "missing") == b"$-1\r\n"


def test_hello_tells_the_role(node, client):
    node.identity.is_replica = lambda: True
    reply = client.call("HELLO", 3)
    assert reply[b"role"] == b"replica"


def test_a_refused_hello_changes_nothing(client):
    client.error("HELLO", 3, "SETNAME", "a b")
    client.error("HELLO", 3, "AUTH", "default")
    client.error("HELLO", 3, "AUTH", "nobody", "x", "SETNAME", "me")
    assert client.call("CLIENT", "GETNAME") is None
    assert client.session.call.reply.version == 2


def test_without_login_only_hello_auth_reset_and_quit_are_served(locked):
    assert locked.error("GET", "k") == _NOAUTH
    assert locked.error("PING") == _NOAUTH
    assert locked.error("HELLO", 3).startswith("NOAUTH HELLO must be called with the client already")
    assert locked.session.call.reply.version == 2
    assert locked.raw("RESET") == b"+RESET\r\n"
    assert locked.raw("QUIT") == b"+OK\r\n"


@pytest.mark.parametrize(
    "login",
    [
        ["AUTH", "secret"],
        ["AUTH", "default", "secret"],
        ["HELLO", "3", "AUTH", "default", "secret", "SETNAME", "me"],
    ],
)
def test_login(locked, login):
    locked.raw(*login)
    assert locked.raw("SET", "k", "v") == b"+OK\r\n"


@pytest.mark.parametrize(
    "login",
    [
        ["AUTH", "wrong"],
        ["AUTH", ""],
        ["AUTH", "default", "secre"],
        ["AUTH", "nobody", "secret"],
        ["HELLO", "2", "AUTH", "default", "wrong"],
    ],
)
def test_a_wrong_login_is_refused(locked, login):
    assert locked.error(*login) == "WRONGPASS invalid username-password pair or user is disabled."
    assert locked.error("GET", "k") == _NOAUTH


def test_reset_takes_the_login_back(locked):
    locked.call("AUTH", "secret")
    locked.call("RESET")
    assert locked.error("GET", "k") == _NOAUTH


def test_a_wrong_login_keeps_the_one_before(locked):
    locked.call("AUTH", "secret")
    locked.error("AUTH", "wrong")
    assert locked.call("PING") is True or locked.raw("PING") == b"+PONG\r\n"


def test_clients_stay_logged_in_when_a_password_is_set_and_need_none_when_it_is_gone(node, client, locked):
    assert client.raw("PING") == b"+PONG\r\n"
    node.config.set_many([(b"requirepass", b"")])
    assert locked.raw("PING") == b"+PONG\r\n"


def test_reset_makes_the_connection_new(client):
    client.call("HELLO", 3, "SETNAME", "me")
    client.call("SELECT", 3)
    client.call("CLIENT", "NO-TOUCH", "ON")
    client.call("CLIENT", "SETINFO", "LIB-NAME", "lib")
    client.raw("CLIENT", "REPLY", "OFF")
    assert client.raw("RESET") == b"+RESET\r\n"
    line = client.call("CLIENT", "INFO")
    for field in (b"name= ", b"db=0 ", b"resp=2 ", b"flags=N ", b"lib-name=lib "):
        assert field in line


def test_reset_is_refused_to_replicas(client):
    client.session.is_replica = True
    assert client.error("RESET") == "ERR can only reset normal client connections"


def test_quit_closes_after_its_reply_and_serves_nothing_behind_it(node, client):
    out: list[bytes] = []
    done = node.dispatcher.serve(client.session, [[b"QUIT"], [b"SET", b"k", b"v"]], out)
    assert (out, done) == ([b"+OK\r\n"], 1)
    assert client.transport.closed
    assert node.databases[0].count == 0


def test_select_chooses_the_database(client):
    client.call("SET", "k", "zero")
    assert client.raw("SELECT", 15) == b"+OK\r\n"
    assert client.call("GET", "k") is None
    client.call("SELECT", 0)
    assert client.call("GET", "k") == b"zero"


def test_a_cluster_has_one_database(node, client):
    node.config.store(CLUSTER_ENABLED, True)
    assert client.raw("SELECT", 0) == b"+OK\r\n"
    assert client.error("SELECT", 1) == "ERR SELECT is not allowed in cluster mode"
