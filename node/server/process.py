"""The node as a process: into the background, its pid file, its service manager, its descriptors.

Source: redis.conf's chapters on daemonize, pidfile, supervised and maxclients.
"""

from __future__ import annotations

import os
import resource
import signal
import socket

from node.config.config import Config
from node.config.directive import ConfigError
from node.config.table import MAXCLIENTS, PIDFILE, SUPERVISED
from node.log import Log

RESERVED_DESCRIPTORS = 32
"""What the node needs beside its clients: listeners, files, epolls, replication and bus links."""


class CannotStartError(Exception):
    """The system does not give what the node needs; the text is the line to log."""


def daemonize() -> None:
    """Goes on in a process of its own, without terminal; the one that was started exits.

    To be called before there are threads, an event loop or descriptors of value.
    """
    if os.fork():
        os._exit(0)
    os.setsid()
    if os.fork():
        os._exit(0)
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    if null > 2:
        os.close(null)


class PidFile:
    """Written at the start, removed at the end; a failure to write it is only logged."""

    def __init__(self, config: Config, log: Log) -> None:
        self._path = config.resolve(config[PIDFILE]) if config[PIDFILE] else ""
        self._log = log
        self._written = False

    def write(self) -> None:
        if not self._path:
            return
        try:
            with open(self._path, "w", encoding="ascii") as file:
                file.write(f"{os.getpid()}\n")
            self._written = True
        except OSError as failed:
            self._log.warning(f"Failed to write PID file: {failed.strerror}")

    def remove(self) -> None:
        if not self._written:
            return
        self._log.notice("Removing the pid file.")
        try:
            os.unlink(self._path)
        except OSError as failed:
            self._log.warning(f"Error removing the pid file: {failed.strerror}")


class ServiceManager:
    """Tells systemd or upstart how far the node is, when `supervised` says so."""

    def __init__(self, config: Config, log: Log) -> None:
        self._log = log
        self.kind = config[SUPERVISED]
        if self.kind == "auto":
            upstart, systemd = "UPSTART_JOB" in os.environ, "NOTIFY_SOCKET" in os.environ
            self.kind = "upstart" if upstart else "systemd" if systemd else "no"

    def say_ready(self) -> None:
        if self.kind == "systemd":
            self._notify("STATUS=Ready to accept connections\nREADY=1\n")
        elif self.kind == "upstart":
            self._log.notice("supervised by upstart, will stop to signal readiness")
            os.kill(os.getpid(), signal.SIGSTOP)

    def say_stopping(self) -> None:
        if self.kind == "systemd":
            self._notify("STATUS=Stopping\nSTOPPING=1\n")

    def _notify(self, message: str) -> None:
        address = os.environ.get("NOTIFY_SOCKET", "")
        if not address:
            self._log.warning("systemd supervision error: NOTIFY_SOCKET not found!")
            return
        if address[0] == "@":
            address = "\0" + address[1:]
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notifier:
                notifier.sendto(message.encode(), address)
        except OSError as failed:
            self._log.warning(f"systemd supervision error: {failed.strerror}")


def fit_open_files(config: Config, log: Log) -> None:
    """Raises the limit on open files to what maxclients needs, or lowers maxclients to what it allows.

    CONFIG SET maxclients is held to the same. Raises CannotStartError when hardly a client could be served.
    """
    _fit_at_start(config, log)

    def follow(wanted: int) -> None:
        possible = raise_open_files(wanted + RESERVED_DESCRIPTORS) - RESERVED_DESCRIPTORS
        if possible < wanted:
            raise ConfigError(
                "The operating system is not able to handle the specified number of clients, "
                f"try with {possible}"
            )

    config.on_change(MAXCLIENTS, follow)


def _fit_at_start(config: Config, log: Log) -> None:
    wanted = config[MAXCLIENTS] + RESERVED_DESCRIPTORS
    before = _soft_limit()
    limit = raise_open_files(wanted)
    if limit >= wanted:
        if before < wanted:
            log.notice(
                f"Increased maximum number of open files to {limit} (it was originally set to {before})."
            )
        return
    possible = limit - RESERVED_DESCRIPTORS
    if possible < 1:
        raise CannotStartError(
            f"Your current 'ulimit -n' of {limit} is not enough for the server to start. "
            f"Please increase your open file limit to at least {wanted}. Exiting."
        )
    log.warning(
        f"You requested maxclients of {config[MAXCLIENTS]} requiring at least {wanted} max file descriptors."
    )
    log.warning(
        f"Current maximum open files is {limit}. maxclients has been reduced to {possible} to compensate "
        "for low ulimit. If you need higher maxclients increase 'ulimit -n'."
    )
    config.store(MAXCLIENTS, possible)


def _soft_limit() -> int:
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return 1 << 40 if soft == resource.RLIM_INFINITY else soft


def raise_open_files(wanted: int) -> int:
    """Raises the soft limit towards `wanted`, the hard one too if it may; returns the limit there is then."""
    before = _soft_limit()
    if before >= wanted:
        return before
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    for limit in (wanted, hard):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (min(limit, wanted), max(limit, hard)))
        except (ValueError, OSError):
            continue
        return min(limit, wanted)
    return before
