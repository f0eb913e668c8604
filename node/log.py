"""The log of a node, in Redis's line format: `pid:role date time level message`.

Levels, from the least: debug (.), verbose (-), notice (*), warning (#); `nothing` logs none of them. The file
is opened anew for each line, so that it can be rotated by renaming it. Settings follow the directives
loglevel, logfile, log-format, log-timestamp-format and syslog-*.
"""

from __future__ import annotations

import os
import syslog
import time
from collections.abc import Callable

from node.config.config import Config
from node.config.table import (
    LOG_FORMAT,
    LOG_TIMESTAMP_FORMAT,
    LOGFILE,
    LOGLEVEL,
    SYSLOG_ENABLED,
    SYSLOG_FACILITY,
    SYSLOG_IDENT,
)

LEVELS = ("debug", "verbose", "notice", "warning", "nothing")
_DEBUG, _VERBOSE, _NOTICE, _WARNING = range(4)
_MARKS = ".-*#"
_LOGFMT_LEVELS = ("debug", "info", "notice", "warning")
_LOGFMT_ROLES = {"M": "primary", "S": "replica", "C": "RDB/AOF", "X": "sentinel"}
_LOGFMT_UNSAFE = str.maketrans({'"': "'", "\n": " ", "\r": " "})
_SYSLOG_LEVELS = (syslog.LOG_DEBUG, syslog.LOG_INFO, syslog.LOG_NOTICE, syslog.LOG_WARNING)


class Log:
    """Writes lines of at least the set level.

    `role` tells the letter of the node's role: M primary, S replica, X sentinel; a forked child is C by
    itself. `now` is the clock, in seconds since 1970. `format` and `timestamp_format` take the words of the
    directives.
    """

    def __init__(
        self,
        level: str = "notice",
        path: str = "",
        role: Callable[[], str] = lambda: "M",
        now: Callable[[], float] = time.time,
    ) -> None:
        self.level = level
        self.path = path
        self.format = "legacy"
        self.timestamp_format = "legacy"
        self.role = role
        self.to_syslog = False
        self._now = now
        self._pid = os.getpid()
        self._second = -1  # the second that these texts are of
        self._second_text = self._second_iso = self._second_zone = ""

    @property
    def level(self) -> str:
        """The least level that is written."""
        return LEVELS[self._least]

    @level.setter
    def level(self, level: str) -> None:
        self._least = LEVELS.index(level)

    @property
    def debugs(self) -> bool:
        """Whether debug lines are written: asked before a costly message is made."""
        return self._least == _DEBUG

    @property
    def verboses(self) -> bool:
        """Whether verbose lines are written: asked before a message that is not needed otherwise."""
        return self._least <= _VERBOSE

    def debug(self, message: str) -> None:
        """What only a developer wants to know."""
        if self._least <= _DEBUG:
            self._line(_DEBUG, message)

    def verbose(self, message: str) -> None:
        """What happens all the time: clients that come and go."""
        if self._least <= _VERBOSE:
            self._line(_VERBOSE, message)

    def notice(self, message: str) -> None:
        """What happens seldom and changes something."""
        if self._least <= _NOTICE:
            self._line(_NOTICE, message)

    def warning(self, message: str) -> None:
        """What somebody should look at."""
        if self._least <= _WARNING:
            self._line(_WARNING, message)

    def raw(self, text: str) -> None:
        """Text without a prefix (the banner), at level notice."""
        if self._least <= _NOTICE:
            self._write(text)

    def after_daemonizing(self) -> None:
        """This process is the node from now on, not a child of it."""
        self._pid = os.getpid()

    def _line(self, level: int, message: str) -> None:
        pid = os.getpid()
        role = self.role() if pid == self._pid else "C"
        stamp = self._timestamp(self._now())
        if self.format == "logfmt":
            self._write(
                f'pid={pid} role={_LOGFMT_ROLES[role]} timestamp="{stamp}" level={_LOGFMT_LEVELS[level]} '
                f'message="{message.translate(_LOGFMT_UNSAFE)}"\n'
            )
        else:
            self._write(f"{pid}:{role} {stamp} {_MARKS[level]} {message}\n")
        if self.to_syslog:
            syslog.syslog(_SYSLOG_LEVELS[level], message.replace("\0", ""))

    def _timestamp(self, now: float) -> str:
        millis = int(now * 1000)
        if self.timestamp_format == "milliseconds":
            return str(millis)
        second, millis = divmod(millis, 1000)
        if second != self._second:
            local = time.localtime(second)
            self._second_text = time.strftime("%d %b %Y %H:%M:%S.", local)
            self._second_iso = time.strftime("%Y-%m-%dT%H:%M:%S.", local)
            self._second_zone = _zone(local.tm_gmtoff // 60)
            self._second = second
        if self.timestamp_format == "iso8601":
            return f"{self._second_iso}{millis:03d}{self._second_zone}"
        return f"{self._second_text}{millis:03d}"

    def _write(self, text: str) -> None:
        """A log that fails must not stop the node: such lines go to standard error, or nowhere."""
        data = text.encode("utf-8", "backslashreplace")
        if not self.path:
            _put(1, data)
            return
        try:
            descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError:
            _put(2, data)
            return
        _put(descriptor, data)
        os.close(descriptor)


def open_log(config: Config, role: Callable[[], str], now: Callable[[], float] = time.time) -> Log:
    """The log that a configuration describes; it follows CONFIG SET."""
    path = config.resolve(config[LOGFILE]) if config[LOGFILE] else ""
    log = Log(config[LOGLEVEL], path, role, now)

    def follow() -> None:
        log.level = config[LOGLEVEL]
        log.format = config[LOG_FORMAT]
        log.timestamp_format = config[LOG_TIMESTAMP_FORMAT]

    follow()
    config.on_change_of((LOGLEVEL, LOG_FORMAT, LOG_TIMESTAMP_FORMAT), follow)
    config.warn, config.notice = log.warning, log.notice
    if config[SYSLOG_ENABLED]:
        facility: int = getattr(syslog, "LOG_" + config[SYSLOG_FACILITY].upper())
        syslog.openlog(config[SYSLOG_IDENT], syslog.LOG_PID | syslog.LOG_NDELAY, facility)
        log.to_syslog = True
    return log


def _zone(offset_minutes: int) -> str:
    return (
        f"{'+' if offset_minutes >= 0 else '-'}{abs(offset_minutes) // 60:02d}:{abs(offset_minutes) % 60:02d}"
    )


def _put(descriptor: int, data: bytes) -> None:
    while data:
        try:
            data = data[os.write(descriptor, data) :]
        except OSError:
            return
