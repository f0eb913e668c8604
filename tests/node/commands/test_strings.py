"""Commands of the group string."""

from __future__ import annotations


def test_get_returns_what_set_stored(client):
    assert client.raw("SET", "k", "v") == b"+OK\r\n"
    assert client.call("GET", "k") == b"v"
