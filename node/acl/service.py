"""Access control: who clients are, and what they may do.

A session is always some user's: `default` before it logs in. Most users may do everything, and their sessions
take the dispatcher's fast path. A session of a user that may not (`session.restricted`) takes the full one,
where each of its requests is shown to the user's selectors. What the primary sends and what the AOF holds is
nobody's request, and is not looked at.

A change of a user holds at once: for the next command, for those queued in a transaction (asked again at
EXEC) and for a wait that is about to end. Who may no longer listen to what it has subscribed to is
disconnected, as is every client of a user that is deleted.

Source: https://redis.io/docs/management/security/acl/
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from node.acl.catalog import Catalog
from node.acl.files import AclFileError, read_users
from node.acl.log import AclLog, Context
from node.acl.rules import RuleError, Rules, UnmatchedError, merged, valid_name
from node.acl.selector import Reason, allows_channel
from node.acl.user import DEFAULT, User, default_user, password_hash
from node.acl.uses import Request
from node.clients import Clients
from node.clock import Clock
from node.command.client_line import client_line
from node.command.registry import Command, Table
from node.command.session import Session
from node.config.config import Config
from node.config.file import ConfigFileError, Line
from node.config.rewrite import replace_file
from node.config.table import ACL_PUBSUB_DEFAULT, ACLFILE, ACLLOG_MAX_LEN, REQUIREPASS
from node.errors import CommandError
from node.log import Log
from node.observe.info import Fields
from node.values.glob import Matcher

_NO_FILE = (
    b"ERR This Shoal instance is not configured to use an ACL file. You may want to specify users via the "
    b"ACL SETUSER command and then issue a CONFIG REWRITE (assuming you have a configuration file set) in "
    b"order to store users in the configuration."
)
_NOT_SAVED = (
    b"ERR There was an error trying to save the ACLs. Please check the server logs for more information"
)
_BOTH = (
    "Users in the configuration and an ACL file at the same time: please define either an ACL file or "
    "declare users directly in the configuration, but not both."
)
_NO_LONGER = (
    b"NOPERM ACLs rules changed between the moment the transaction was accumulated and the EXEC call. "
    b"This command is no longer allowed for the following reason: "
)
_REASONS = {
    Reason.COMMAND: b"no permission to execute the command or subcommand",
    Reason.KEY: b"no permission to touch the specified keys",
    Reason.CHANNEL: b"no permission to access one of the channels used as arguments",
}


class Denial(NamedTuple):
    """Why a request may not run. `what` is the command's name, the key or the channel."""

    reason: Reason
    what: bytes
    user: bytes
    command: bytes

    def text(self) -> bytes:
        """What the client is told, behind NOPERM; it names no keys, which others chose."""
        if self.reason is Reason.COMMAND:
            return b"User %b has no permissions to run the '%b' command" % (self.user, self.command)
        kind = b"key" if self.reason is Reason.KEY else b"channel"
        return b"No permissions to access a %b" % kind

    def full_text(self) -> bytes:
        """What ACL DRYRUN tells."""
        if self.reason is Reason.COMMAND:
            return self.text()
        kind = b"key" if self.reason is Reason.KEY else b"channel"
        return b"User %b has no permissions to access the '%b' %b" % (self.user, self.what, kind)


class Acl:
    """The users of a node. `bind` comes before everything else."""

    def __init__(self, config: Config, log: Log, clock: Clock, clients: Clients) -> None:
        self._config = config
        self._log = log
        self._clock = clock
        self._clients = clients
        self.users = {DEFAULT: default_user()}
        self.log = AclLog(lambda: config[ACLLOG_MAX_LEN])
        self._follow_password(config[REQUIREPASS])
        config.on_change(REQUIREPASS, self._follow_password)
        config.contribute("user", self._config_lines)

    def bind(self, table: Table) -> None:
        """To be called with the table as it was declared, before commands are renamed, and again when there
        are more: rules on categories are for these too.
        """
        self.catalog = Catalog(table)
        self.rules = Rules(self.catalog, lambda: self._config[ACL_PUBSUB_DEFAULT] == "allchannels")
        for user in self.users.values():
            for selector in user.selectors:
                self.rules.apply_commands_again(selector)

    def categories(self) -> list[str]:
        """Those that rules may name, without the @."""
        return [name.decode() for name in self.catalog.categories()]

    # At the start

    def load_at_start(self, lines: Sequence[Line]) -> None:
        """The users of `user` lines, or of aclfile. Raises ConfigFileError, AclFileError."""
        shown = self._config[ACLFILE]
        if shown and lines:
            raise ConfigFileError(_BOTH, lines[0])
        earlier: set[bytes] = set()
        for line in lines:
            name = line.words[1]
            if name in earlier:
                raise ConfigFileError(
                    f"Error in user declaration '{_text(name)}': Duplicate user found. A user can only be "
                    "defined once in config files",
                    line,
                )
            earlier.add(name)
            self._take_line(name, line)
        if shown:
            self.users = self._read_file()

    def _take_line(self, name: bytes, line: Line) -> None:
        if not valid_name(name):
            raise ConfigFileError("Spaces not allowed in ACL usernames", line)
        user = self.rules.new_user(name)
        try:
            for rule in merged(line.words[2:]):
                self.rules.apply(user, rule)
        except UnmatchedError as unmatched:
            raise ConfigFileError(_unmatched(unmatched.word), line) from None
        except RuleError as refused:
            raise ConfigFileError(f"Error in user declaration '{_text(name)}': {refused}", line) from None
        if not user.enabled:
            self._log.notice(
                f"The user '{_text(name)}' is disabled (there is no 'on' modifier in the user description). "
                "Make sure this is not a configuration error."
            )
        self.users[name] = user

    # Who

    @property
    def required(self) -> bool:
        """Whether a client must log in before it may do anything."""
        default = self.users[DEFAULT]
        return not default.no_password or not default.enabled

    @property
    def default_needs_no_password(self) -> bool:
        return self.users[DEFAULT].no_password

    def has_user(self, name: bytes) -> bool:
        return name in self.users

    def sorted_users(self) -> list[User]:
        return [self.users[name] for name in sorted(self.users)]

    def begin(self, session: Session) -> None:
        """A new connection, or one after RESET, is `default`'s: logged in if that needs no password."""
        self._become(session, DEFAULT, logged_in=not self.required)

    def authenticate(self, session: Session, name: bytes, password: bytes, command: bytes) -> bool:
        """Logs `session` in; False, and nothing changed, when name or password are wrong.

        `command` is the word that asked for it, for the log of denials.
        """
        user = self.users.get(name)
        if user is None:
            password_hash(password)  # that no such user is there is not to be told by the time it takes
        if user is None or not user.knows(password):
            self._note(session, Reason.AUTH, _context(session), command, name)
            return False
        self._become(session, name, logged_in=True)
        return True

    def _become(self, session: Session, name: bytes, logged_in: bool) -> None:
        session.user = name
        session.authenticated = logged_in
        session.restricted = self.users[name].is_restricted
        if logged_in:
            session.transport.trust()
        session.update_guard()

    # What

    def denial(self, session: Session, command: Command, argv: list[bytes]) -> Denial | None:
        """Why `session` may not run a request; None when it may. Nothing is noted."""
        if not session.restricted or session.from_primary:
            return None
        return self.denial_of(self.users[session.user], command, argv)

    def denial_of(self, user: User, command: Command, argv: list[bytes]) -> Denial | None:
        request = Request(command, argv)
        worst = (Reason.COMMAND, 0)
        for selector in user.selectors:
            found = selector.hindrance(request)
            if found is None:
                return None
            worst = max(worst, found)
        reason, at = worst
        what = command.title if reason is Reason.COMMAND else argv[at]
        return Denial(reason, what, user.name, command.title)

    def refusal(self, session: Session, command: Command, argv: list[bytes]) -> bytes | None:
        """The gate: the error's text for a request that may not run, noted in the log of denials."""
        denial = self.noted(session, command, argv, _context(session))
        return None if denial is None else b"NOPERM " + denial.text()

    def refusal_in_exec(self, session: Session, command: Command, argv: list[bytes]) -> bytes | None:
        """The same for what was queued while it was allowed."""
        denial = self.noted(session, command, argv, Context.MULTI)
        return None if denial is None else _NO_LONGER + _REASONS[denial.reason]

    def refusal_after_wait(self, session: Session, argv: list[bytes]) -> bytes | None:
        """The same for a command that waited while the user's rights changed."""
        command = session.last_command
        return None if command is None else self.refusal(session, command, argv)

    def refusal_of_script(self, session: Session, command: Command, argv: list[bytes]) -> bytes | None:
        """The same for what a script of `session` asks for."""
        denial = self.noted(session, command, argv, Context.LUA)
        return None if denial is None else b"NOPERM ACL failure in script: " + denial.text()

    def noted(self, session: Session, command: Command, argv: list[bytes], context: Context) -> Denial | None:
        """As `denial`, and puts it in the log of denials."""
        denial = self.denial(session, command, argv)
        if denial is not None:
            self._note(session, denial.reason, context, denial.what, denial.user)
        return denial

    def _note(self, session: Session, reason: Reason, context: Context, what: bytes, user: bytes) -> None:
        now_ms = self._clock.now_ms
        self.log.add(reason, context, what, user, client_line(session, now_ms), now_ms)

    def reads_every_key(self, session: Session, name: bytes, argv: list[bytes]) -> bool:
        """Whether a selector allows the request and may read all keys: SORT reads some it does not name."""
        if not session.restricted or session.from_primary:
            return True
        command = self.catalog.find(name)
        assert command is not None, "who asks is a command"
        request = Request(command, argv)
        return any(
            selector.hindrance(request) is None and selector.reads_every_key()
            for selector in self.users[session.user].selectors
        )

    # Changes

    def set_user(self, caller: Session, name: bytes, words: Sequence[bytes]) -> None:
        """Makes or changes a user: by all of the rules, or by none. Raises CommandError."""
        if not valid_name(name):
            raise CommandError(b"ERR Usernames can't contain spaces or null characters")
        try:
            changes = merged(words)
        except UnmatchedError as unmatched:
            raise CommandError(b"ERR " + _unmatched(unmatched.word).encode()) from None
        before = self.users.get(name)
        user = self.rules.new_user(name) if before is None else before.copy()
        for rule in changes:
            try:
                self.rules.apply(user, rule)
            except RuleError as refused:
                raise CommandError(
                    b"ERR Error in ACL SETUSER modifier '%b': %b" % (rule, str(refused).encode())
                ) from None
        self.users[name] = user
        if before is not None:
            self._user_changed(before, user, caller)

    def delete_users(self, caller: Session, names: Iterable[bytes]) -> int:
        """Returns how many there were; their clients are disconnected. Raises CommandError."""
        names = list(names)
        if DEFAULT in names:
            raise CommandError(b"ERR The 'default' user cannot be removed")
        deleted = 0
        for name in names:
            if self.users.pop(name, None) is not None:
                deleted += 1
                for session in self._sessions_of(name):
                    self._expel(session, caller)
        return deleted

    def load(self, caller: Session) -> None:
        """ACL LOAD: other users, or those that were when the file is wrong. Raises CommandError."""
        if not self._config[ACLFILE]:
            raise CommandError(_NO_FILE)
        try:
            users = self._read_file()
        except AclFileError as wrong:
            raise CommandError(b"ERR " + str(wrong).encode()) from None
        before, self.users = self.users, users
        for name, old in before.items():
            if name in users:
                self._user_changed(old, users[name], caller)
            else:
                for session in self._sessions_of(name):
                    self._expel(session, caller)

    def save(self) -> None:
        """ACL SAVE. Raises CommandError."""
        if not self._config[ACLFILE]:
            raise CommandError(_NO_FILE)
        try:
            text = b"".join(user.line() + b"\n" for user in self.sorted_users())
            replace_file(self._config.resolve(self._config[ACLFILE]), text)
        except OSError as failed:
            self._log.warning(f"Writing ACL file for ACL SAVE: {failed.strerror}")
            raise CommandError(_NOT_SAVED) from None

    def _read_file(self) -> dict[bytes, User]:
        shown = self._config[ACLFILE]
        users = read_users(self._config.resolve(shown), shown, self.rules)
        users.setdefault(DEFAULT, default_user())
        return users

    def _follow_password(self, password: bytes) -> None:
        """requirepass is the only password of `default`."""
        default = self.users[DEFAULT]
        default.no_password = not password
        default.passwords = [password_hash(password)] if password else []

    def _config_lines(self) -> Iterable[bytes]:
        """What CONFIG REWRITE writes; nothing when a file has the users."""
        return [] if self._config[ACLFILE] else [user.line() for user in self.sorted_users()]

    # Clients

    def _sessions_of(self, name: bytes) -> list[Session]:
        return [each for each in self._clients if each.user == name and not each.from_primary]

    def _user_changed(self, before: User, user: User, caller: Session) -> None:
        lost = _lost_channels(before, user)
        for session in self._sessions_of(user.name):
            session.restricted = user.is_restricted
            session.update_guard()
            if lost is not None and _listens_beyond(session, lost):
                _close(session, caller)

    def _expel(self, session: Session, caller: Session) -> None:
        self._become(session, DEFAULT, logged_in=False)
        _close(session, caller)

    def info(self) -> Fields:
        """Fields of INFO stats."""
        denials = self.log.denials
        yield "acl_access_denied_auth", denials[Reason.AUTH]
        yield "acl_access_denied_cmd", denials[Reason.COMMAND]
        yield "acl_access_denied_key", denials[Reason.KEY]
        yield "acl_access_denied_channel", denials[Reason.CHANNEL]


def _context(session: Session) -> Context:
    return Context.TOPLEVEL if session.queue is None else Context.MULTI


def _unmatched(word: bytes) -> str:
    return f"Unmatched parenthesis in acl selector starting at '{_text(word)}'."


def _text(word: bytes) -> str:
    return word.decode("utf-8", "backslashreplace")


def _lost_channels(before: User, user: User) -> dict[bytes, Matcher] | None:
    """The channels that are allowed now, where some that were allowed before may be missing; else None."""
    if any(selector.all_channels for selector in user.selectors):
        return None
    allowed = {
        pattern: matches for selector in user.selectors for pattern, matches in selector.channels.items()
    }
    kept = all(
        not selector.all_channels and selector.channels.keys() <= allowed.keys()
        for selector in before.selectors
    )
    return None if kept else allowed


def _listens_beyond(session: Session, allowed: dict[bytes, Matcher]) -> bool:
    """Whether the session has subscribed to what is not allowed any more."""
    mine = session.subscriptions
    if mine is None:
        return False
    plain = [*mine.channels, *mine.shard_channels]
    return any(pattern not in allowed for pattern in mine.patterns) or any(
        not allows_channel(allowed, channel, is_pattern=False) for channel in plain
    )


def _close(session: Session, caller: Session) -> None:
    """At once, but the caller's when it has its reply."""
    if session is caller:
        session.close_after_reply()
    else:
        session.transport.close(after_output=False)
