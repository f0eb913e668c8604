"""What a request uses: keys, for reading or writing, and channels. Found out once, whoever asks.

To look whether a key exists, or how long it will, needs neither the right to read nor that to write: any
pattern that matches allows it. What SET and BITFIELD do to their key depends on the request.

Source: https://redis.io/docs/management/security/acl/, "Key permissions", "Allow and disallow Pub/Sub"
"""

from __future__ import annotations

from enum import IntFlag
from typing import NamedTuple

from node.command.keyspec import KeyFlag
from node.command.registry import Command


class Access(IntFlag):
    """What a pattern allows, or a request needs."""

    NONE = 0
    READ = 1
    WRITE = 2
    ALL = 3


KeyUse = tuple[int, int]
"""The place in the request, and the Access needed, as a plain number: operations of IntFlag are slow."""


class ChannelUse(NamedTuple):
    """`at` is the place in the request. A pattern is compared with those of the rules as a text."""

    at: int
    is_pattern: bool


_NEEDED: dict[KeyFlag, int] = {}
_CHANGES = KeyFlag.INSERT | KeyFlag.DELETE | KeyFlag.UPDATE
_WITHOUT_KEYS = frozenset((b"EXEC", b"SPUBLISH", b"SSUBSCRIBE", b"SUNSUBSCRIBE"))
"""EXEC stands for what it runs, which is asked about one by one; shard channels are routed like keys."""
_ONE_CHANNEL = frozenset((b"PUBLISH", b"SPUBLISH"))
_CHANNELS = frozenset((b"SUBSCRIBE", b"SSUBSCRIBE"))
_PATTERNS = b"PSUBSCRIBE"
_READS_OF_BITFIELD = {b"GET": 3, b"OVERFLOW": 2}
"""Operations that change nothing, and how many words each has."""


class Request:
    """A request on its way to the rules; what it uses is found out when it is asked for first."""

    __slots__ = ("_channels", "_keys", "argv", "command")

    def __init__(self, command: Command, argv: list[bytes]) -> None:
        self.command = command
        self.argv = argv
        self._keys: list[KeyUse] | None = None
        self._channels: list[ChannelUse] | None = None

    @property
    def keys(self) -> list[KeyUse]:
        """Nothing when the keys cannot be told: the handler has the words for what is wrong then."""
        keys = self._keys
        if keys is None:
            keys = self._keys = self._find_keys()
        return keys

    @property
    def channels(self) -> list[ChannelUse]:
        channels = self._channels
        if channels is None:
            channels = self._channels = self._find_channels()
        return channels

    def _find_keys(self) -> list[KeyUse]:
        command = self.command
        if not command.has_keys or command.name in _WITHOUT_KEYS:
            return []
        try:
            found = command.keys_of(self.argv)
        except ValueError:
            return []
        uses = []
        for at, flags in found:
            needed = _NEEDED.get(flags, -1)
            uses.append((at, self._needed(flags) if needed < 0 else needed))
        return uses

    def _needed(self, flags: KeyFlag) -> int:
        """What cannot be looked up: it depends on the request, or comes up for the first time."""
        if flags & KeyFlag.VARIABLE_FLAGS:
            return _access(_flags_of(self.command.name, self.argv, flags))
        needed = _NEEDED[flags] = _access(flags)
        return needed

    def _find_channels(self) -> list[ChannelUse]:
        name = self.command.name
        if name in _ONE_CHANNEL:
            return [ChannelUse(1, False)]
        if name in _CHANNELS or name == _PATTERNS:
            return [ChannelUse(at, name == _PATTERNS) for at in range(1, len(self.argv))]
        return []


def _access(flags: KeyFlag) -> int:
    return (Access.READ.value if flags & KeyFlag.ACCESS else 0) | (
        Access.WRITE.value if flags & _CHANGES else 0
    )


def _flags_of(name: bytes, argv: list[bytes], declared: KeyFlag) -> KeyFlag:
    """What the request does to its key, where the declaration tells what it may do."""
    if name == b"SET":
        reads = any(word.upper() == b"GET" for word in argv[3:])
        return declared if reads else declared & ~KeyFlag.ACCESS
    if name == b"BITFIELD" and not _bitfield_writes(argv):
        return KeyFlag.RO | KeyFlag.ACCESS
    return declared


def _bitfield_writes(argv: list[bytes]) -> bool:
    """Also when the request is not understood, to be safe."""
    at = 2
    while at < len(argv):
        size = _READS_OF_BITFIELD.get(argv[at].upper())
        if size is None or at + size > len(argv):
            return True
        at += size
    return False
