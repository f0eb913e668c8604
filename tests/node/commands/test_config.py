"""CONFIG as a client meets it; config/test_config.py compares texts with redis-server."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.command.locality import is_local, may_use
from node.config.config import Config
from node.config.table import DIR, ENABLE_PROTECTED_CONFIGS, TIMEOUT
from node.resp.encode import RESP3


def test_get_answers_a_map(client):
    assert client.raw("CONFIG", "GET", "maxclients") == b"*2\r\n$10\r\nmaxclients\r\n$5\r\n10000\r\n"
    client.session.call.reply = RESP3
    assert client.call("CONFIG", "GET", "ht*", "hz") == {b"hz": b"10"}


def test_set_of_several_changes_all_or_nothing(client):
    assert client.raw("config", "set", "timeout", "5", "hz", "20") == b"+OK\r\n"
    text = client.error("CONFIG", "SET", "timeout", "7", "hz", "x")
    assert text.endswith("'hz') - argument couldn't be parsed into an integer")
    assert client.node.config[TIMEOUT] == 5


def test_requests_of_the_wrong_form(client):
    assert client.error("CONFIG", "SET", "a", "1", "b") == "ERR syntax error"
    assert client.error("CONFIG", "SET", "a") == "ERR wrong number of arguments for 'config|set' command"
    assert client.error("CONFIG", "GET") == "ERR wrong number of arguments for 'config|get' command"
    assert client.error("CONFIG", "FOO").startswith("ERR unknown subcommand 'FOO'.")
    assert client.error("CONFIG", "SET", "x\r\ny", "1").endswith("CONFIG SET - 'x  y'")


def test_protected_directives_follow_enable_protected_configs(client, tmp_path: Path):
    assert "can't set protected config" in client.error("CONFIG", "SET", "dir", "/")
    config: Config = client.node.config
    config.store(ENABLE_PROTECTED_CONFIGS, "local")
    client.call("CONFIG", "SET", "dir", str(tmp_path))
    assert config[DIR] == str(tmp_path)
    client.session.address = b"192.0.2.1:7"
    assert "can't set protected config" in client.error("CONFIG", "SET", "dir", "/")


@pytest.mark.parametrize(
    ("address", "local"),
    [(b"127.0.0.1:9", True), (b"[::1]:9", True), (b"/tmp/s:0", True), (b"10.0.0.1:1270", False)],
)
def test_local_addresses(address: bytes, local: bool):
    assert is_local(address) is local
    assert may_use("local", address) is local
    assert may_use("yes", address)
    assert not may_use("no", address)


def test_rewrite(client, tmp_path: Path):
    assert client.error("CONFIG", "REWRITE") == "ERR The server is running without a config file"
    client.node.config.path = str(tmp_path / "node.conf")
    client.call("CONFIG", "SET", "timeout", "9")
    assert client.raw("CONFIG", "REWRITE") == b"+OK\r\n"
    assert b"\ntimeout 9\n" in (tmp_path / "node.conf").read_bytes()


def test_resetstat(client):
    client.call("GET", "missing")
    client.error("GET")
    assert client.node.stats.error_replies == 1
    assert client.node.databases[0].misses == 1
    client.call("CONFIG", "RESETSTAT")
    assert client.node.stats.error_replies == 0
    assert client.node.databases[0].misses == 0


def test_help(client):
    lines = client.call("CONFIG", "HELP")
    assert lines[0] == b"CONFIG <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"
    assert lines[-2] == b"HELP"
    assert all(line.startswith(b"    ") for line in lines[2::2])
