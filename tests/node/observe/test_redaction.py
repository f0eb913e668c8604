"""Passwords are in no request that others see."""

from __future__ import annotations

from typing import Any

import pytest

from node.observe.redaction import redacted

REQUESTS = {
    "AUTH secret": "AUTH *",
    "AUTH bob secret": "AUTH * *",
    "HELLO 3 AUTH bob secret SETNAME me": "HELLO 3 AUTH * * SETNAME me",
    "HELLO 3 AUTH": "HELLO 3 AUTH",
    "ACL SETUSER bob on >secret": "ACL SETUSER * * *",
    "ACL GETUSER bob": "ACL GETUSER bob",
    "CONFIG SET port 1 RequirePass secret": "CONFIG SET port 1 RequirePass *",
    "MIGRATE h 1 k 0 9 AUTH secret": "MIGRATE h 1 k 0 9 AUTH *",
    "MIGRATE h 1 k 0 9 COPY AUTH2 bob secret KEYS auth k": "MIGRATE h 1 k 0 9 COPY AUTH2 * * KEYS auth k",
    "SET k secret": "SET k secret",
}


@pytest.mark.parametrize("request_", REQUESTS)
def test_secrets_are_hidden(node: Any, request_: str) -> None:
    argv = request_.encode().split()
    before = list(argv)
    command, _ = node.dispatcher.resolve(argv)
    shown = b" ".join(redacted(command, argv)).decode()
    assert shown == REQUESTS[request_].replace("*", "(redacted)")
    assert argv == before
