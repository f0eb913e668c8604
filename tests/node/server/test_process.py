"""Descriptors for clients, the service manager's socket."""

from __future__ import annotations

import resource
import socket

import pytest

from node.config.config import Config
from node.config.table import MAXCLIENTS, SUPERVISED
from node.errors import CommandError
from node.log import Log
from node.server import process
from node.server.process import CannotStartError, ServiceManager, fit_open_files


class Limits:
    """The limits on open files, which only root may raise above the hard one."""

    def __init__(self, soft: int, hard: int) -> None:
        self.now = (soft, hard)

    def get(self, _which: int) -> tuple[int, int]:
        return self.now

    def set(self, _which: int, limits: tuple[int, int]) -> None:
        if limits[1] > self.now[1]:
            raise ValueError("not allowed to raise maximum limit")
        self.now = limits


@pytest.fixture
def limits(monkeypatch):
    """Sets the limits of this test."""

    def use(soft: int, hard: int) -> Limits:
        limits = Limits(soft, hard)
        monkeypatch.setattr(resource, "getrlimit", limits.get)
        monkeypatch.setattr(resource, "setrlimit", limits.set)
        return limits

    return use


@pytest.fixture
def log(tmp_path):
    return Log(path=str(tmp_path / "log"))


def test_a_limit_that_is_high_enough_is_left_alone(limits, log):
    now = limits(20_000, 20_000)
    config = Config()
    fit_open_files(config, log)
    assert now.now == (20_000, 20_000)
    assert config[MAXCLIENTS] == 10_000


def test_the_soft_limit_is_raised(limits, log, tmp_path):
    now = limits(1024, 20_000)
    config = Config()
    fit_open_files(config, log)
    assert now.now == (10_032, 20_000)
    assert config[MAXCLIENTS] == 10_000
    assert "files to 10032 (it was originally set to 1024)." in (tmp_path / "log").read_text()


def test_maxclients_is_lowered_to_what_the_hard_limit_allows(limits, log, tmp_path):
    now = limits(1024, 4096)
    config = Config()
    fit_open_files(config, log)
    assert now.now == (4096, 4096)
    assert config[MAXCLIENTS] == 4064
    logged = (tmp_path / "log").read_text()
    assert "You requested maxclients of 10000 requiring at least 10032 max file descriptors." in logged
    assert "Current maximum open files is 4096. maxclients has been reduced to 4064" in logged


def test_too_few_for_any_client(limits, log):
    limits(process.RESERVED_DESCRIPTORS, process.RESERVED_DESCRIPTORS)
    with pytest.raises(CannotStartError, match="'ulimit -n' of 32 is not enough for the server to start"):
        fit_open_files(Config(), log)


def test_config_set_is_held_to_the_limit(limits, log):
    limits(1024, 4096)
    config = Config()
    fit_open_files(config, log)
    config.set_many([(b"maxclients", b"4000")])
    with pytest.raises(
        CommandError, match="not able to handle the specified number of clients, try with 4064"
    ):
        config.set_many([(b"maxclients", b"5000")])
    assert config[MAXCLIENTS] == 4000


class TestServiceManager:
    @pytest.fixture
    def heard(self, tmp_path, monkeypatch):
        """The socket of a systemd."""
        path = str(tmp_path / "notify")
        monkeypatch.setenv("NOTIFY_SOCKET", path)
        monkeypatch.delenv("UPSTART_JOB", raising=False)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
            listener.bind(path)
            listener.setblocking(False)
            yield listener

    @pytest.mark.parametrize("word", ["systemd", "auto"])
    def test_systemd_is_told(self, heard, log, word):
        config = Config()
        config.store(SUPERVISED, word)
        manager = ServiceManager(config, log)
        manager.say_ready()
        assert b"READY=1" in heard.recv(1000)
        manager.say_stopping()
        assert b"STOPPING=1" in heard.recv(1000)

    def test_nobody_is_told_by_default(self, heard, log):
        ServiceManager(Config(), log).say_ready()
        with pytest.raises(BlockingIOError):
            heard.recv(1000)

    def test_a_missing_socket_is_logged(self, log, monkeypatch, tmp_path):
        monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
        config = Config()
        config.store(SUPERVISED, "systemd")
        ServiceManager(config, log).say_ready()
        assert "NOTIFY_SOCKET not found" in (tmp_path / "log").read_text()
