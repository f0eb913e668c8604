"""Who may log in. There is one user so far, `default`, whose password is the directive requirepass.

Source: https://redis.io/commands/auth/
"""

from __future__ import annotations

from hashlib import sha256
from hmac import compare_digest

from node.command.session import Session
from node.config.config import Config
from node.config.table import REQUIREPASS

DEFAULT_USER = b"default"


class Credentials:
    """Checks names and passwords in a time that tells nothing of them."""

    def __init__(self, config: Config) -> None:
        self._config = config

    @property
    def required(self) -> bool:
        """Whether a client must log in before it may do anything."""
        return bool(self._config[REQUIREPASS])

    def has_user(self, name: bytes) -> bool:
        return name == DEFAULT_USER

    def begin(self, session: Session) -> None:
        """What a new connection, or one after RESET, may do: everything when no password is set."""
        session.user = DEFAULT_USER
        session.authenticated = not self.required
        if session.authenticated:
            session.transport.trust()
        session.update_guard()

    def authenticate(self, session: Session, user: bytes, password: bytes) -> bool:
        """Logs `session` in; False, and nothing changed, when name or password are wrong."""
        wanted = self._config[REQUIREPASS]
        same = compare_digest(sha256(password).digest(), sha256(wanted).digest())
        if not self.has_user(user) or (wanted and not same):
            return False
        session.user = user
        session.authenticated = True
        session.transport.trust()
        session.update_guard()
        return True
