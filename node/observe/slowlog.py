"""The slow log: the last commands that took longer than slowlog-log-slower-than.

An entry is made small when it is made, so that the log cannot hold on to a request of a gigabyte: at most
32 words, each of at most 128 bytes, with a note of what is left out. The time is that of running the command;
waiting for a key, and sending the reply, are not part of it. A limit that was lowered holds from the next
entry on.

Source: https://redis.io/commands/slowlog-get/
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from itertools import islice

from node.command.registry import Command
from node.command.session import Session
from node.command.spec import Flag
from node.config.config import Config
from node.config.table import SLOWLOG_LOG_SLOWER_THAN, SLOWLOG_MAX_LEN
from node.observe.redaction import redacted

WORDS_MAX = 32
WORD_BYTES_MAX = 128


@dataclass(frozen=True, slots=True)
class SlowCall:
    """`at_s` is Unix time; `argv` is shortened."""

    id: int
    at_s: int
    took_us: int
    argv: list[bytes]
    address: bytes
    name: bytes


class SlowLog:
    """The entries of one node. Ids are never used twice."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._calls: deque[SlowCall] = deque()
        self.next_id = 0

    def __len__(self) -> int:
        return len(self._calls)

    def hear(self, session: Session, command: Command, argv: list[bytes], elapsed_ns: int) -> None:
        """A call that may have been slow: see node.observe.commandstats."""
        threshold_us, most = self._config[SLOWLOG_LOG_SLOWER_THAN], self._config[SLOWLOG_MAX_LEN]
        took_us = elapsed_ns // 1000
        if threshold_us < 0 or took_us < threshold_us or command.flags & Flag.SKIP_SLOWLOG:
            return
        words = shortened(redacted(command, argv))
        self._calls.appendleft(
            SlowCall(self.next_id, int(time.time()), took_us, words, session.address, session.name)
        )
        self.next_id += 1
        while len(self._calls) > most:
            self._calls.pop()

    def latest(self, count: int) -> list[SlowCall]:
        """The newest first; all when `count` is -1."""
        return list(islice(self._calls, None if count < 0 else count))

    def reset(self) -> None:
        self._calls.clear()


def shortened(argv: list[bytes]) -> list[bytes]:
    """At most `WORDS_MAX` words; the last tells how many more there were."""
    if len(argv) <= WORDS_MAX:
        return [_short(word) for word in argv]
    kept = [_short(word) for word in argv[: WORDS_MAX - 1]]
    return [*kept, b"... (%d more arguments)" % (len(argv) - WORDS_MAX + 1)]


def _short(word: bytes) -> bytes:
    if len(word) <= WORD_BYTES_MAX:
        return word
    return word[:WORD_BYTES_MAX] + b"... (%d more bytes)" % (len(word) - WORD_BYTES_MAX)
