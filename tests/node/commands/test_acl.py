"""Users at work: what sessions may do, and how changes of users reach them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from node.config.table import ACLFILE, ACLLOG_MAX_LEN


@pytest.fixture
def login(client: Any, new_client: Callable[[], Any]) -> Callable[..., Any]:
    """Makes a user of these rules, and a session of it."""

    def make(*rules: str, name: str = "bob") -> Any:
        client.call("ACL", "SETUSER", name, "on", "nopass", *rules)
        session = new_client()
        session.call("AUTH", name, "x")
        return session

    return make


def test_what_is_denied_is_told_in_the_words_of_7_2(login: Any) -> None:
    bob = login("+@all", "-config", "~a*", "%R~b*", "&c*")
    assert (
        bob.error("CONFIG", "GET", "x")
        == "NOPERM User bob has no permissions to run the 'config|get' command"
    )
    assert bob.error("GET", "x") == "NOPERM No permissions to access a key"
    assert bob.error("SET", "b", "1") == "NOPERM No permissions to access a key"
    assert bob.error("PUBLISH", "x", "m") == "NOPERM No permissions to access a channel"
    assert bob.call("SET", "a", "1") in (True, "OK", b"OK")
    assert bob.call("GET", "b") is None
    assert bob.call("PUBLISH", "c1", "m") == 0


def test_the_default_user_takes_the_fast_path_and_a_restricted_one_does_not(client: Any, login: Any) -> None:
    assert not client.session.guarded
    assert not login("+@all", "~*", "&*", name="all").session.guarded
    assert login("+@all", "~*").session.guarded


def test_commands_of_pipelines_are_each_looked_at(node: Any, login: Any) -> None:
    bob = login("+@all", "~a")
    out: list[bytes] = []
    requests = [[b"SET", b"a", b"1"], [b"get", b"b"], [b"GET", b"a"], [b"MGET", b"a", b"b"]]
    node.dispatcher.serve(bob.session, requests, out)
    denied = b"-NOPERM No permissions to access a key\r\n"
    assert out == [b"+OK\r\n", denied, b"$1\r\n1\r\n", denied]


def test_a_change_holds_for_the_next_command(client: Any, login: Any) -> None:
    bob = login("+@all", "~*", "&*")
    client.call("ACL", "SETUSER", "bob", "-get")
    assert bob.error("GET", "k").startswith("NOPERM")
    client.call("ACL", "SETUSER", "bob", "+@all")
    assert bob.call("GET", "k") is None
    assert not bob.session.guarded


def test_who_changes_itself_in_a_pipeline_is_bound_at_once(node: Any, client: Any) -> None:
    out: list[bytes] = []
    node.dispatcher.serve(client.session, [[b"ACL", b"SETUSER", b"default", b"-get"], [b"GET", b"k"]], out)
    assert out[1].startswith(b"-NOPERM")


def test_a_refused_command_breaks_the_transaction(login: Any) -> None:
    bob = login("+@all", "~a")
    bob.call("MULTI")
    assert bob.error("GET", "b").startswith("NOPERM")
    bob.call("SET", "a", "1")
    assert bob.error("EXEC").startswith("EXECABORT")


def test_queued_commands_are_asked_again_at_exec(client: Any, login: Any) -> None:
    bob = login("+@all", "~*")
    bob.call("MULTI")
    bob.call("SET", "a", "1")
    bob.call("SET", "b", "1")
    client.call("ACL", "SETUSER", "bob", "resetkeys", "~b")
    assert bob.raw("EXEC") == (
        b"*2\r\n-NOPERM ACLs rules changed between the moment the transaction was accumulated and the EXEC "
        b"call. This command is no longer allowed for the following reason: no permission to touch the "
        b"specified keys\r\n+OK\r\n"
    )
    assert client.call("EXISTS", "a", "b") == 1


def test_a_wait_ends_with_the_right_to_it(client: Any, login: Any) -> None:
    bob = login("+@all", "~*")
    assert bob.raw("BLPOP", "l", 0) is None
    client.call("ACL", "SETUSER", "bob", "-blpop")
    client.call("RPUSH", "l", "x")
    assert bob.transport.sent == b"-NOPERM User bob has no permissions to run the 'blpop' command\r\n"
    assert client.call("LLEN", "l") == 1


def test_clients_of_a_deleted_user_are_disconnected(client: Any, login: Any) -> None:
    bob, eve = login("+@all"), login("+@all", name="eve")
    assert client.call("ACL", "DELUSER", "bob", "nobody") == 1
    assert bob.transport.closed
    assert not bob.session.authenticated
    assert not eve.transport.closed


def test_who_deletes_itself_gets_the_reply_first(login: Any) -> None:
    bob = login("+@all", "~*")
    assert bob.call("ACL", "DELUSER", "bob") == 1
    assert bob.session.closing


@pytest.mark.parametrize(
    ("subscribe", "channel", "rules", "stays"),
    [
        ("SUBSCRIBE", "news", ("resetchannels", "&n*"), True),
        ("SUBSCRIBE", "news", ("resetchannels", "&x"), False),
        ("SSUBSCRIBE", "news", ("resetchannels", "&x"), False),
        ("PSUBSCRIBE", "n*", ("resetchannels", "&n*"), True),
        ("PSUBSCRIBE", "n*", ("resetchannels", "&*s", "&n"), False),
        ("SUBSCRIBE", "news", ("-get",), True),
    ],
)
def test_who_may_no_longer_listen_is_disconnected(
    client: Any, login: Any, subscribe: str, channel: str, rules: tuple[str, ...], stays: bool
) -> None:
    bob = login("+@all", "~*", "&*")
    bob.raw(subscribe, channel)
    client.call("ACL", "SETUSER", "bob", *rules)
    assert bob.transport.closed is not stays


def test_the_primarys_stream_is_nobodys_request(node: Any, login: Any) -> None:
    bob = login("-@all", "+auth")
    bob.session.from_primary = True
    get = node.table.lookup(b"GET")
    assert node.acl.denial(bob.session, get, [b"GET", b"k"]) is None
    bob.session.from_primary = False
    assert node.acl.denial(bob.session, get, [b"GET", b"k"]) is not None


def test_a_script_is_told_so_and_its_denials_are_noted(node: Any, client: Any, login: Any) -> None:
    bob = login("+@all", "~a")
    get = node.table.lookup(b"GET")
    assert node.acl.refusal_of_script(bob.session, get, [b"GET", b"a"]) is None
    refusal = node.acl.refusal_of_script(bob.session, get, [b"GET", b"b"])
    assert refusal == b"NOPERM ACL failure in script: No permissions to access a key"
    assert client.call("HELLO", 3)[b"proto"] == 3
    assert client.call("ACL", "LOG")[0][b"context"] == b"lua"


def test_denials_are_logged_and_counted(client: Any, login: Any, advance: Callable[[int], None]) -> None:
    bob = login("+@all", "-info", "~a", "&c", name="bob")
    bob.error("GET", "b")
    bob.error("INFO")
    bob.error("AUTH", "bob2", "x")
    bob.error("PUBLISH", "d", "m")
    advance(1500)
    bob.error("GET", "b")
    advance(250)
    client.call("HELLO", 3)
    entries = client.call("ACL", "LOG")
    shown = [(e[b"reason"], e[b"object"], e[b"username"], e[b"count"], e[b"context"]) for e in entries]
    assert shown == [
        (b"key", b"b", b"bob", 2, b"toplevel"),
        (b"channel", b"d", b"bob", 1, b"toplevel"),
        (b"auth", b"AUTH", b"bob2", 1, b"toplevel"),
        (b"command", b"info", b"bob", 1, b"toplevel"),
    ]
    assert entries[0][b"age-seconds"] == 0.25
    assert b"user=bob " in entries[0][b"client-info"]
    assert len(client.call("ACL", "LOG", 2)) == 2
    told = client.call("INFO", "stats")
    text = told if isinstance(told, bytes) else told.encode()
    for name, count in ((b"auth", 1), (b"cmd", 1), (b"key", 2), (b"channel", 1)):
        assert b"acl_access_denied_%b:%d\r\n" % (name, count) in text
    client.call("ACL", "LOG", "reset")
    assert client.call("ACL", "LOG") == []


def test_the_log_is_as_long_as_acllog_max_len_says(client: Any, login: Any) -> None:
    client.node.config.store(ACLLOG_MAX_LEN, 2)
    bob = login("+@all", "~a")
    for key in "bcd":
        bob.error("GET", key)
    assert len(client.call("ACL", "LOG")) == 2


def test_requirepass_is_the_password_of_default(client: Any, new_client: Any) -> None:
    client.call("CONFIG", "SET", "requirepass", "secret")
    late = new_client()
    client.node.acl.begin(late.session)
    assert late.error("ACL", "WHOAMI").startswith("NOAUTH")
    late.call("AUTH", "secret")
    assert late.call("ACL", "WHOAMI") == b"default"
    assert client.call("GET", "k") is None, "who was there stays logged in"
    client.call("CONFIG", "SET", "requirepass", "")
    assert client.call("ACL", "LIST")[0].startswith(b"user default on nopass ")


def test_acl_pubsub_default_is_what_new_users_may_hear(client: Any) -> None:
    client.call("CONFIG", "SET", "acl-pubsub-default", "allchannels")
    client.call("ACL", "SETUSER", "a", "(+get)")
    assert client.call("ACL", "LIST")[0] == b"user a off sanitize-payload &* -@all (&* -@all +get)"


def test_load_takes_all_of_a_file_or_nothing(client: Any, login: Any, tmp_path: Path) -> None:
    path = tmp_path / "users.acl"
    client.node.config.store(ACLFILE, str(path))
    bob, eve = login("+@all", "~*", "&*"), login("+@all", name="eve")
    before = client.call("ACL", "LIST")
    path.write_text("user bob on nopass +get ~x\nuser eve +nosuch\n")
    assert client.error("ACL", "LOAD").startswith(f"ERR {path}:2: Error in applying operation '+nosuch'")
    assert client.call("ACL", "LIST") == before
    path.write_text("user bob on nopass +get ~x\n")
    client.call("ACL", "LOAD")
    assert client.call("ACL", "USERS") == [b"bob", b"default"]
    assert eve.transport.closed
    assert bob.error("SET", "x", "1").startswith("NOPERM")
    path.unlink()
    assert client.error("ACL", "LOAD").startswith("ERR Error loading ACLs, opening file")


def test_save_and_load_keep_users_as_they_are(client: Any, tmp_path: Path) -> None:
    path = tmp_path / "users.acl"
    client.node.config.store(ACLFILE, str(path))
    client.call("ACL", "SETUSER", "bob", "on", ">x", "~a*", "%R~b", "&c", "+@read", "-get", "(~z +set)")
    before = client.call("ACL", "LIST")
    client.call("ACL", "SAVE")
    client.call("ACL", "DELUSER", "bob")
    client.call("ACL", "LOAD")
    assert client.call("ACL", "LIST") == before
    client.node.config.store(ACLFILE, str(tmp_path / "none" / "users.acl"))
    assert client.error("ACL", "SAVE").startswith("ERR There was an error trying to save the ACLs.")


def test_without_a_file_there_is_nothing_to_load_or_save(client: Any) -> None:
    for verb in ("LOAD", "SAVE"):
        assert "not configured to use an ACL file" in client.error("ACL", verb)


def test_getuser_tells_selectors(client: Any) -> None:
    client.call("HELLO", 3)
    client.call("ACL", "SETUSER", "bob", "+get", "~a", "(%W~b &c +set)")
    bob = client.call("ACL", "GETUSER", "bob")
    assert bob[b"flags"] == {b"off", b"sanitize-payload"} or bob[b"flags"] == [b"off", b"sanitize-payload"]
    assert (bob[b"commands"], bob[b"keys"], bob[b"channels"]) == (b"-@all +get", b"~a", b"")
    assert bob[b"selectors"] == [{b"commands": b"-@all +set", b"keys": b"%W~b", b"channels": b"&c"}]
    assert client.call("ACL", "GETUSER", "nobody") is None


def test_passwords_are_made_up_in_hexadecimal(client: Any) -> None:
    made = client.call("ACL", "GENPASS")
    assert len(made) == 64
    int(made, 16)
    assert made != client.call("ACL", "GENPASS")
    assert [len(client.call("ACL", "GENPASS", bits)) for bits in (1, 4, 5, 4096)] == [1, 1, 2, 1024]


def test_tens_of_thousands_of_patterns_are_served(client: Any, login: Any) -> None:
    bob = login("+@all", *(f"~k{number}*" for number in range(20_000)))
    assert bob.call("GET", "k19999x") is None
    assert bob.error("GET", "x").startswith("NOPERM")
    assert len(client.call("ACL", "LIST")) == 2


def test_help_has_a_line_for_each_subcommand(client: Any, node: Any) -> None:
    said = {line.split()[0] for line in client.call("ACL", "HELP") if not line.startswith(b" ")}
    assert said >= node.table.lookup(b"ACL").subcommands.keys()
