"""Rules, as ACL SETUSER, aclfile and redis.conf have them → changes of a user.

    on off nopass >word #hash <word !hash resetpass reset sanitize-payload skip-sanitize-payload
    ~pattern %R~pattern %W~pattern allkeys resetkeys   &pattern allchannels resetchannels
    +command -command +command|subcommand +command|argument +@category -@category allcommands nocommands
    (rules of a selector) clearselectors

Rules are applied in order, to a copy: a user changes by all of them or by none.

Source: https://redis.io/docs/management/security/acl/, "ACL rules"
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from node.acl.catalog import Catalog, family
from node.acl.selector import Selector
from node.acl.user import User, password_hash
from node.acl.uses import Access

_HASH = re.compile(rb"[0-9a-f]{64}")
_NO_PATTERN = re.compile(rb"[ \t\n\v\f\r\0]")
_READ_WRITE = {ord("R"): Access.READ, ord("W"): Access.WRITE}

_KEYS_AFTER_ALL = (
    "Adding a pattern after the * pattern (or the 'allkeys' flag) is not valid and does not have any effect. "
    "Try 'resetkeys' to start with an empty list of patterns"
)
_CHANNELS_AFTER_ALL = (
    "Adding a pattern after the * pattern (or the 'allchannels' flag) is not valid and does not have any "
    "effect. Try 'resetchannels' to start with an empty list of channels"
)


class RuleError(Exception):
    """A rule is refused; the text says why, and never what: it may be a password."""


class UnknownNameError(RuleError):
    """There is no such command or category."""

    def __init__(self) -> None:
        super().__init__("Unknown command or category name in ACL")


def _syntax_error() -> RuleError:
    return RuleError("Syntax error")


def valid_name(name: bytes) -> bool:
    """Whether a user may be called so."""
    return _NO_PATTERN.search(name) is None


class UnmatchedError(Exception):
    """A parenthesis is not closed; `word` is the one that opened it."""

    def __init__(self, word: bytes) -> None:
        super().__init__(word)
        self.word = word


def merged(words: Sequence[bytes]) -> list[bytes]:
    """The words with each selector, which may be spread over several, as one. Raises UnmatchedError."""
    whole: list[bytes] = []
    opened: list[bytes] = []
    for word in words:
        if opened:
            opened.append(word)
        elif word.startswith(b"(") and not word.endswith(b")"):
            opened = [word]
        else:
            whole.append(word)
        if opened and word.endswith(b")"):
            whole.append(b" ".join(opened))
            opened = []
    if opened:
        raise UnmatchedError(opened[0])
    return whole


class Rules:
    """The grammar, over a catalog. `new_users_use_all_channels` is acl-pubsub-default."""

    def __init__(self, catalog: Catalog, new_users_use_all_channels: Callable[[], bool]) -> None:
        self._catalog = catalog
        self._all_channels = new_users_use_all_channels

    def new_user(self, name: bytes) -> User:
        user = User(name)
        user.own.all_channels = self._all_channels()
        return user

    def apply(self, user: User, rule: bytes) -> None:
        """Changes `user` by one rule. Raises RuleError, and has changed nothing then."""
        if not rule:
            return
        switch = _SWITCHES.get(rule.lower())
        if switch is not None:
            switch(user)
        elif rule.lower() == b"reset":
            self._reset(user)
        elif rule[:1] in (b">", b"#"):
            digest = _digest(rule, b">")
            if digest not in user.passwords:
                user.passwords.append(digest)
            user.no_password = False
        elif rule[:1] in (b"<", b"!"):
            digest = _digest(rule, b"<")
            if digest not in user.passwords:
                raise RuleError("The password you are trying to remove from the user does not exist")
            user.passwords.remove(digest)
        elif rule.startswith(b"(") and rule.endswith(b")"):
            user.selectors.append(self._selector(rule[1:-1]))
        else:
            self._apply_to(user.own, rule)

    def apply_commands_again(self, selector: Selector) -> None:
        """There are other commands than when the rules were said. A rule for one that is gone is kept: its
        module may be loaded again.
        """
        rules = list(selector.command_rules)
        unlimited = selector.all_commands
        selector.allow_every_command(selector.future)
        for rule in rules:
            try:
                self._apply_to(selector, rule)
            except UnknownNameError:
                selector.command_rules.append(rule)
        selector.all_commands = unlimited

    def _reset(self, user: User) -> None:
        fresh = self.new_user(user.name)
        user.enabled, user.no_password, user.sanitizes = fresh.enabled, fresh.no_password, fresh.sanitizes
        user.passwords, user.selectors = fresh.passwords, fresh.selectors

    def _selector(self, text: bytes) -> Selector:
        selector = Selector()
        selector.all_channels = self._all_channels()
        for rule in text.split():
            self._apply_to(selector, rule)
        return selector

    def _apply_to(self, selector: Selector, rule: bytes) -> None:
        switch = _SELECTOR_SWITCHES.get(rule.lower())
        sign = rule[:1]
        if switch is not None:
            switch(selector)
        elif sign in (b"~", b"%"):
            _add_keys(selector, rule)
        elif sign == b"&":
            _add_channel(selector, rule[1:])
        elif sign not in (b"+", b"-"):
            raise _syntax_error()
        elif rule[1:2] == b"@":
            self._category(selector, rule[2:], sign == b"+")
        elif sign == b"+" and b"|" in rule:
            self._allow_part(selector, rule[1:])
        else:
            self._command(selector, rule[1:], sign == b"+")

    def _category(self, selector: Selector, name: bytes, allowed: bool) -> None:
        members = self._catalog.members(name)
        if members is None:
            raise UnknownNameError
        _note(selector, b"@" + name.lower(), allowed)
        for member in members:
            for command in family(member):
                selector.allow_command(command, allowed)
            selector.first_arguments.pop(member.name, None)

    def _command(self, selector: Selector, name: bytes, allowed: bool) -> None:
        command = self._catalog.find(name)
        if command is None:
            raise UnknownNameError
        for each in family(command):
            selector.allow_command(each, allowed)
        selector.first_arguments.pop(command.name, None)
        _note(selector, command.title, allowed)

    def _allow_part(self, selector: Selector, text: bytes) -> None:
        """`command|subcommand`, or `command|argument` of a command without subcommands."""
        name, _, part = text.rpartition(b"|")
        command = self._catalog.find(name)
        if command is None:
            raise UnknownNameError
        if b"|" in command.name:
            raise RuleError("Allowing first-arg of a subcommand is not supported")
        if not part:
            raise _syntax_error()
        if command.subcommands is not None:
            self._command(selector, text, allowed=True)
            return
        words = selector.first_arguments.setdefault(command.name, [])
        if part.lower() not in words:
            words.append(part.lower())
        _note(selector, text.lower(), allowed=True)


def _note(selector: Selector, text: bytes, allowed: bool) -> None:
    """Keeps a rule on commands for the description, in place of those that it overrules."""
    kept = [
        rule for rule in selector.command_rules if rule[1:] != text and not rule[1:].startswith(text + b"|")
    ]
    selector.command_rules = [*kept, (b"+" if allowed else b"-") + text]


def _digest(rule: bytes, plain_sign: bytes) -> bytes:
    """The hash that is meant by a password, or by a hash. Raises RuleError."""
    if rule[:1] == plain_sign:
        return password_hash(rule[1:])
    if _HASH.fullmatch(rule[1:]) is None:
        raise RuleError(
            "The password hash must be exactly 64 characters and contain only lowercase hexadecimal "
            "characters"
        )
    return rule[1:]


def _add_keys(selector: Selector, rule: bytes) -> None:
    if selector.all_keys:
        raise RuleError(_KEYS_AFTER_ALL)
    letters, tilde, pattern = rule.partition(b"~")
    access = Access.NONE if letters else Access.ALL
    for letter in letters[1:].upper():
        one = _READ_WRITE.get(letter, Access.NONE)
        if not one or access & one:
            raise _syntax_error()
        access |= one
    if not tilde or not access or _NO_PATTERN.search(pattern):
        raise _syntax_error()
    selector.add_key_pattern(pattern, access)


def _add_channel(selector: Selector, pattern: bytes) -> None:
    if selector.all_channels:
        raise RuleError(_CHANNELS_AFTER_ALL)
    if _NO_PATTERN.search(pattern):
        raise _syntax_error()
    selector.add_channel(pattern)


# Rules that are one word


def _enable(user: User) -> None:
    user.enabled = True


def _disable(user: User) -> None:
    user.enabled = False


def _sanitize(user: User) -> None:
    user.sanitizes = True


def _skip_sanitize(user: User) -> None:
    user.sanitizes = False


def _no_password(user: User) -> None:
    user.no_password = True
    user.passwords.clear()


def _reset_passwords(user: User) -> None:
    user.no_password = False
    user.passwords.clear()


def _clear_selectors(user: User) -> None:
    del user.selectors[1:]


def _all_keys(selector: Selector) -> None:
    selector.clear_keys()
    selector.all_keys = True


def _reset_keys(selector: Selector) -> None:
    selector.clear_keys()
    selector.all_keys = False


def _all_channels(selector: Selector) -> None:
    selector.channels.clear()
    selector.all_channels = True


def _reset_channels(selector: Selector) -> None:
    selector.channels.clear()
    selector.all_channels = False


def _all_commands(selector: Selector) -> None:
    selector.allow_every_command(True)


def _no_commands(selector: Selector) -> None:
    selector.allow_every_command(False)


_SWITCHES: dict[bytes, Callable[[User], None]] = {
    b"on": _enable,
    b"off": _disable,
    b"sanitize-payload": _sanitize,
    b"skip-sanitize-payload": _skip_sanitize,
    b"nopass": _no_password,
    b"resetpass": _reset_passwords,
    b"clearselectors": _clear_selectors,
}
_SELECTOR_SWITCHES: dict[bytes, Callable[[Selector], None]] = {
    b"allkeys": _all_keys,
    b"~*": _all_keys,
    b"resetkeys": _reset_keys,
    b"allchannels": _all_channels,
    b"&*": _all_channels,
    b"resetchannels": _reset_channels,
    b"allcommands": _all_commands,
    b"+@all": _all_commands,
    b"nocommands": _no_commands,
    b"-@all": _no_commands,
}
