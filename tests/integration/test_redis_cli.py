"""redis-cli as a person uses it."""

from __future__ import annotations

import os
import pty
import select
import shutil
import subprocess
import termios
import time
from collections.abc import Callable
from typing import Any

import pytest

REDIS_CLI = shutil.which("redis-cli")
DEADLINE_S = 10


@pytest.mark.skipif(REDIS_CLI is None, reason="there is no redis-cli here")
def test_the_prompt_shows_the_arguments_that_are_due(shoal_node: Callable[..., Any]) -> None:
    """It makes its hints of COMMAND DOCS, typed into a terminal it takes for a real one."""
    assert REDIS_CLI is not None
    node = shoal_node()
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (40, 120))
    environment = {**os.environ, "TERM": "xterm"}
    process = subprocess.Popen(
        [REDIS_CLI, "-p", str(node.port)], stdin=theirs, stdout=theirs, stderr=theirs, env=environment
    )
    os.close(theirs)
    try:
        _expect(ours, b"> ")
        for character in b"getex k ":
            os.write(ours, bytes([character]))
        _expect(ours, b"[EX seconds|PX milliseconds|EXAT unix-time-seconds|")
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def _expect(terminal: int, text: bytes) -> None:
    deadline_s = time.monotonic() + DEADLINE_S
    seen = b""
    while text not in seen:
        assert time.monotonic() < deadline_s, seen
        if select.select([terminal], [], [], 0.1)[0]:
            seen += os.read(terminal, 4096)
