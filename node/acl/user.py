"""A user: whether it may log in, with which passwords, and what it may do then.

Passwords are kept as SHA-256 in hexadecimal digits, and compared in a time that tells nothing of them.

Source: https://redis.io/docs/management/security/acl/
"""

from __future__ import annotations

from hashlib import sha256
from hmac import compare_digest

from node.acl.selector import Selector

DEFAULT = b"default"


def password_hash(password: bytes) -> bytes:
    """64 hexadecimal digits."""
    return sha256(password).hexdigest().encode()


class User:
    """Made off, and able to do nothing. The first selector is the user's own, others are in parentheses."""

    def __init__(self, name: bytes) -> None:
        self.name = name
        self.enabled = False
        self.no_password = False
        self.sanitizes = True
        self.passwords: list[bytes] = []
        self.selectors = [Selector()]

    def copy(self) -> User:
        other = User(self.name)
        other.enabled, other.no_password, other.sanitizes = self.enabled, self.no_password, self.sanitizes
        other.passwords = list(self.passwords)
        other.selectors = [selector.copy() for selector in self.selectors]
        return other

    @property
    def own(self) -> Selector:
        return self.selectors[0]

    @property
    def is_restricted(self) -> bool:
        """Whether requests must be looked at at all."""
        return not any(selector.allows_all for selector in self.selectors)

    def knows(self, password: bytes) -> bool:
        """Whether the user may log in with it. Every password is compared."""
        given = password_hash(password)
        matches = [compare_digest(given, known) for known in self.passwords]
        return self.enabled and (self.no_password or any(matches))

    def flags(self) -> list[bytes]:
        found = [b"on" if self.enabled else b"off"]
        if self.no_password:
            found.append(b"nopass")
        found.append(b"sanitize-payload" if self.sanitizes else b"skip-sanitize-payload")
        return found

    def describe(self) -> bytes:
        """The rules that make this user of a new one, as ACL LIST and files have them."""
        hashes = [b"#" + known for known in self.passwords]
        others = [b"(%b)" % selector.describe() for selector in self.selectors[1:]]
        return b" ".join([*self.flags(), *hashes, self.own.describe(), *others])

    def line(self) -> bytes:
        """As a line of a file."""
        return b"user %b %b" % (self.name, self.describe())


def default_user() -> User:
    """The one that clients are before they log in: may do everything, without password."""
    user = User(DEFAULT)
    user.enabled = user.no_password = True
    own = user.own
    own.allow_every_command(True)
    own.all_keys = own.all_channels = True
    return user
