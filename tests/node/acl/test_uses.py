"""What a request uses; compared with redis-server's judgement in tests/compat/test_acl.py."""

from __future__ import annotations

from typing import Any

import pytest

from node.acl.uses import Request

R, W, RW = 1, 2, 3
KEYS = {
    "GET k": [(1, R)],
    "EXISTS a b": [(1, 0), (2, 0)],
    "SET k v": [(1, W)],
    "SET k v EX 5 get": [(1, RW)],
    "BITFIELD k GET u8 0 OVERFLOW WRAP": [(1, R)],
    "BITFIELD k GET u8 0 SET u8 0 1": [(1, RW)],
    "BITFIELD k what": [(1, RW)],
    "SORT k STORE a STORE b": [(1, R), (5, W)],
    "GEORADIUS k 0 0 1 m STORE a STORE b": [(1, R), (7, W), (9, W)],
    "GEORADIUS k 0 0 1 m COUNT 1 STOREDIST b": [(1, R), (9, W)],
    "GEORADIUSBYMEMBER k STORE 1 m STORE a": [(1, R), (6, W)],
    "EXEC": [],
    "SPUBLISH c m": [],
    "PING": [],
    "ZUNION 9 k": [],
}


@pytest.mark.parametrize("text", KEYS)
def test_keys(node: Any, text: str) -> None:
    argv = text.encode().split()
    command, _ = node.dispatcher.resolve(argv)
    assert Request(command, argv).keys == KEYS[text]
    assert Request(command, argv).keys == KEYS[text], "what is remembered between requests is the same"


@pytest.mark.parametrize(
    ("text", "channels"),
    [
        ("PUBLISH c m", [(1, False)]),
        ("SPUBLISH c m", [(1, False)]),
        ("SUBSCRIBE a b", [(1, False), (2, False)]),
        ("SSUBSCRIBE a", [(1, False)]),
        ("PSUBSCRIBE a*", [(1, True)]),
        ("UNSUBSCRIBE a", []),
        ("GET a", []),
    ],
)
def test_channels(node: Any, text: str, channels: list[tuple[int, bool]]) -> None:
    argv = text.encode().split()
    command, _ = node.dispatcher.resolve(argv)
    assert Request(command, argv).channels == channels


def test_the_target_that_is_written_is_the_one_that_is_looked_at(client: Any, new_client: Any) -> None:
    """The last of several STOREs counts; the key specifications see the first alone."""
    client.call("GEOADD", "k", 0, 0, "m")
    client.call("ACL", "SETUSER", "bob", "on", "nopass", "+@all", "~k", "~mine")
    bob = new_client()
    bob.call("AUTH", "bob", "x")
    assert bob.call("GEORADIUS", "k", 0, 0, 1, "m", "STORE", "mine") == 1
    refused = bob.error("GEORADIUS", "k", 0, 0, 1, "m", "STORE", "mine", "STORE", "other")
    assert refused == "NOPERM No permissions to access a key"
