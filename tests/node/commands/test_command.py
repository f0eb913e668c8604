"""COMMAND: that the declarations are told, in the forms clients parse.

What the table says of each command is held against a real server's in tests/node/command/test_reference.py.
"""

from __future__ import annotations

import hiredis
import pytest


def test_info_has_ten_elements(client):
    [[name, arity, flags, first, last, step, acl, tips, keys, subcommands]] = client.call(
        "COMMAND", "INFO", "gEt"
    )
    assert (name, arity, first, last, step) == (b"get", 2, 1, 1, 1)
    assert flags == [b"readonly", b"fast"]
    assert sorted(acl) == [b"@fast", b"@read", b"@string"]
    assert tips == []
    assert keys == [
        [
            b"flags", [b"RO", b"access"],
            b"begin_search", [b"type", b"index", b"spec", [b"index", 1]],
            b"find_keys", [b"type", b"range", b"spec", [b"lastkey", 0, b"keystep", 1, b"limit", 0]],
        ]
    ]  # fmt: skip
    assert subcommands == []


def test_info_of_a_container_holds_its_subcommands(client):
    [info] = client.call("COMMAND", "INFO", "client")
    assert b"client|list" in [sub[0] for sub in info[9]]
    [sub] = client.call("COMMAND", "INFO", "CLIENT|List")
    assert sub[0] == b"client|list"


def test_info_of_what_is_not_there_is_null(client):
    assert client.raw("COMMAND", "INFO", "nosuch", "client|nosuch") == b"*2\r\n$-1\r\n$-1\r\n"


def test_command_info_and_count_agree(client):
    everything = client.call("COMMAND")
    assert client.call("COMMAND", "COUNT") == len(everything)
    assert client.call("COMMAND", "INFO") == everything
    assert len({info[0] for info in everything}) == len(everything)


def test_resp3_uses_sets_and_maps(client):
    client.call("HELLO", 3)
    reply = client.raw("COMMAND", "INFO", "get")
    assert b"~2\r\n+readonly\r\n+fast\r\n" in reply
    assert b"%3\r\n$5\r\nflags\r\n" in reply


def test_docs(client):
    client.call("HELLO", 3)
    docs = client.call("COMMAND", "DOCS", "quit", "nosuch", "client")
    assert set(docs) == {b"quit", b"client"}
    assert docs[b"quit"][b"since"] == b"1.0.0"
    assert docs[b"quit"][b"group"] == b"connection"
    assert docs[b"quit"][b"deprecated_since"] == b"7.2.0"
    assert docs[b"quit"][b"doc_flags"] == [b"deprecated"]
    assert docs[b"client"][b"subcommands"][b"client|list"][b"summary"]


def test_every_command_has_a_summary(client):
    client.call("HELLO", 3)
    docs = client.call("COMMAND", "DOCS")
    assert [name for name, fields in docs.items() if not fields.get(b"summary")] == []


def test_list(client):
    names = client.call("COMMAND", "LIST")
    assert {b"get", b"client", b"client|list"} <= set(names)
    assert client.call("COMMAND", "LIST", "FILTERBY", "MODULE", "any") == []
    assert client.call("COMMAND", "LIST", "FILTERBY", "PATTERN", "CLIENT|L*") == [b"client|list"]
    connection = client.call("COMMAND", "LIST", "filterby", "aclcat", "connection")
    assert b"ping" in connection
    assert b"get" not in connection


@pytest.mark.parametrize(
    ("request_", "keys"),
    [
        ("GET k", [b"k"]),
        ("mset a 1 b 2", [b"a", b"b"]),
        ("OBJECT ENCODING k", [b"k"]),
        ("LCS a b IDX", [b"a", b"b"]),
    ],
)
def test_getkeys(client, request_, keys):
    assert client.call("COMMAND", "GETKEYS", *request_.split()) == keys


def test_getkeysandflags(client):
    assert client.call("COMMAND", "GETKEYSANDFLAGS", "COPY", "a", "b") == [
        [b"a", [b"RO", b"access"]],
        [b"b", [b"OW", b"update"]],
    ]


def test_the_reply_of_command_is_well_formed(client):
    """Nothing is left behind the reply."""
    for protocol in (2, 3):
        client.call("HELLO", protocol)
        for request_ in (["COMMAND"], ["COMMAND", "DOCS"], ["COMMAND", "HELP"]):
            reader = hiredis.Reader()
            reader.feed(client.raw(*request_))
            assert reader.gets()
            assert not reader.has_data()
