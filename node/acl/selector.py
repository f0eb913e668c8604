"""A selector: commands, keys and channels that go together. A user may do what one of its selectors allows.

Commands are kept as what is said of all that there are and ever will be (`future`: modules may bring more),
and the exceptions to that. A command that is not allowed may still be with certain first arguments. Patterns
are compiled when they are added.

Source: https://redis.io/docs/management/security/acl/, "Selectors"
"""

from __future__ import annotations

from enum import IntEnum

from node.acl.uses import Access, ChannelUse, Request
from node.command.registry import Command
from node.command.spec import Flag
from node.values.glob import Matcher, compile_glob


class Reason(IntEnum):
    """Why something is denied. Of several selectors' reasons the greatest is told: the nearest to a yes."""

    COMMAND = 1
    KEY = 2
    AUTH = 3
    CHANNEL = 4


Hindrance = tuple[Reason, int]
"""The reason, and the place in the request of the key or channel (0 for the command)."""

_PREFIXES = {Access.ALL: b"~", Access.READ: b"%R~", Access.WRITE: b"%W~"}


class Selector:
    """What it allows. Changed by node.acl.rules alone."""

    def __init__(self) -> None:
        self.all_commands = False  # and no exception was ever made since
        self.future = False
        self.exceptions: set[bytes] = set()
        self.first_arguments: dict[bytes, list[bytes]] = {}
        self.command_rules: list[bytes] = []  # as they were said, less those that others have overruled
        self.all_keys = False
        self.keys: dict[bytes, Access] = {}
        self.all_channels = False
        self.channels: dict[bytes, Matcher] = {}
        self._matchers: list[tuple[int, Matcher]] | None = []  # of the key patterns; None: to be made anew

    def copy(self) -> Selector:
        other = Selector()
        other.all_commands, other.future = self.all_commands, self.future
        other.exceptions = set(self.exceptions)
        other.first_arguments = {name: list(words) for name, words in self.first_arguments.items()}
        other.command_rules = list(self.command_rules)
        other.all_keys, other.all_channels = self.all_keys, self.all_channels
        other.keys, other.channels = dict(self.keys), dict(self.channels)
        other._matchers = None
        return other

    @property
    def allows_all(self) -> bool:
        return self.all_commands and self.all_keys and self.all_channels

    # Changes

    def allow_every_command(self, allowed: bool) -> None:
        self.all_commands = self.future = allowed
        self.exceptions.clear()
        self.first_arguments.clear()
        self.command_rules.clear()

    def allow_command(self, command: Command, allowed: bool) -> None:
        if allowed == self.future:
            self.exceptions.discard(command.name)
        else:
            self.exceptions.add(command.name)
        if not allowed:
            self.all_commands = False

    def add_key_pattern(self, pattern: bytes, access: Access) -> None:
        self.keys[pattern] = self.keys.get(pattern, Access.NONE) | access
        self._matchers = None

    def clear_keys(self) -> None:
        self.keys.clear()
        self._matchers = None

    def add_channel(self, pattern: bytes) -> None:
        self.channels[pattern] = compile_glob(pattern)

    # Questions

    def hindrance(self, request: Request) -> Hindrance | None:
        """What this selector has against a request; None when it allows it."""
        if not self.all_commands and not self._allows_command(request):
            return Reason.COMMAND, 0
        if not self.all_keys:
            for at, access in request.keys:
                if not self._allows_key(request.argv[at], access):
                    return Reason.KEY, at
        if not self.all_channels:
            for channel in request.channels:
                if not self._allows_channel(request.argv[channel.at], channel):
                    return Reason.CHANNEL, channel.at
        return None

    def _allows_command(self, request: Request) -> bool:
        command = request.command
        if (command.name in self.exceptions) != self.future or command.flags & Flag.NO_AUTH:
            return True
        firsts = self.first_arguments.get(command.name)
        if not firsts or len(request.argv) < 2:
            return False
        return request.argv[1].lower() in firsts

    def _allows_key(self, key: bytes, needed: int) -> bool:
        matchers = self._matchers
        if matchers is None:
            matchers = [(access.value, compile_glob(pattern)) for pattern, access in self.keys.items()]
            self._matchers = matchers
        for allowed, matches in matchers:  # noqa: SIM110  any() takes twice the time
            if allowed & needed == needed and matches(key):
                return True
        return False

    def _allows_channel(self, channel: bytes, use: ChannelUse) -> bool:
        return allows_channel(self.channels, channel, use.is_pattern)

    def reads_every_key(self) -> bool:
        return self.all_keys or bool(self.keys.get(b"*", Access.NONE) & Access.READ)

    # Descriptions, in the words of rules

    def describe_commands(self) -> bytes:
        return b" ".join([b"+@all" if self.future else b"-@all", *self.command_rules])

    def describe_keys(self) -> list[bytes]:
        if self.all_keys:
            return [b"~*"]
        return [_PREFIXES[access] + pattern for pattern, access in self.keys.items()]

    def describe_channels(self) -> list[bytes]:
        return [b"&*"] if self.all_channels else [b"&" + pattern for pattern in self.channels]

    def describe(self) -> bytes:
        channels = self.describe_channels()
        if not self.all_channels:
            channels.insert(0, b"resetchannels")
        return b" ".join([*self.describe_keys(), *channels, self.describe_commands()])


def allows_channel(allowed: dict[bytes, Matcher], channel: bytes, is_pattern: bool) -> bool:
    """Whether one of the patterns allowed covers a channel, or is the pattern itself."""
    if is_pattern:
        return channel in allowed
    return any(matches(channel) for matches in allowed.values())
