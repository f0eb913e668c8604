"""Log lines have Redis's form, levels count, and a log file can be rotated by renaming it."""

from __future__ import annotations

import calendar
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from node.config.config import Config
from node.config.file import Arguments, load
from node.log import Log, open_log

NOW = calendar.timegm((2026, 11, 21, 5, 49, 0)) + 0.1235


@pytest.fixture(autouse=True)
def _utc_plus_two(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "XXX-02:30")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def log_to(path: Path, level: str = "notice", role: str = "M") -> Log:
    return Log(level, str(path), lambda: role, lambda: NOW)


def test_a_line_has_redis_form(tmp_path: Path) -> None:
    log_to(tmp_path / "log", role="S").notice("Ready to accept connections")
    assert (tmp_path / "log").read_text() == (
        f"{os.getpid()}:S 21 Nov 2026 08:19:00.123 * Ready to accept connections\n"
    )


@pytest.mark.parametrize(
    ("level", "marks"),
    [("debug", ".-*#"), ("verbose", "-*#"), ("notice", "*#"), ("warning", "#"), ("nothing", "")],
)
def test_levels(tmp_path: Path, level: str, marks: str) -> None:
    log = log_to(tmp_path / "log", level)
    (tmp_path / "log").touch()
    log.debug("x")
    log.verbose("x")
    log.notice("x")
    log.warning("x")
    assert re.findall(r"(.) x\n", (tmp_path / "log").read_text()) == list(marks)
    assert log.level == level
    assert log.debugs is (level == "debug")


def test_a_renamed_file_is_left_alone(tmp_path: Path) -> None:
    log = log_to(tmp_path / "log")
    log.notice("one")
    (tmp_path / "log").rename(tmp_path / "log.1")
    log.notice("two")
    assert "two" in (tmp_path / "log").read_text()
    assert "two" not in (tmp_path / "log.1").read_text()


def test_standard_output_without_a_file(capfd: pytest.CaptureFixture[str]) -> None:
    log = Log(now=lambda: NOW)
    log.raw("banner\n")
    log.warning("snow ☃ \udcff")
    out = capfd.readouterr().out
    assert out.startswith("banner\n")
    assert out.endswith(" # snow ☃ \\udcff\n")


def test_a_file_that_cannot_be_opened_sends_lines_to_standard_error(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    log_to(tmp_path / "missing" / "log").warning("disk is gone")
    assert "disk is gone" in capfd.readouterr().err


def test_other_formats(tmp_path: Path) -> None:
    log = log_to(tmp_path / "log")
    log.timestamp_format = "iso8601"
    log.notice("a")
    log.timestamp_format = "milliseconds"
    log.notice("b")
    log.format = "logfmt"
    log.verbose("not written")
    log.warning('say "hi"\n')
    pid = os.getpid()
    assert (tmp_path / "log").read_text().splitlines() == [
        f"{pid}:M 2026-11-21T08:19:00.123+02:30 * a",
        f"{pid}:M {int(NOW * 1000)} * b",
        f'pid={pid} role=primary timestamp="{int(NOW * 1000)}" level=warning message="say \'hi\' "',
    ]


def test_a_forked_child_is_c(tmp_path: Path) -> None:
    log = log_to(tmp_path / "log")
    log._pid = os.getpid() + 1
    log.notice("saving")
    log.after_daemonizing()
    log.notice("back")
    assert re.findall(r":(.) .* \* (\w+)", (tmp_path / "log").read_text()) == [("C", "saving"), ("M", "back")]


def test_the_log_follows_config_set(tmp_path: Path) -> None:
    options = b"dir %s\nlogfile x.log\nloglevel warning\n" % bytes(tmp_path)
    config = load(Arguments(options=options)).config
    log = open_log(config, lambda: "M", lambda: NOW)
    log.notice("one")
    config.set_many([(b"loglevel", b"verbose"), (b"log-timestamp-format", b"milliseconds")])
    log.verbose("two")
    config.warn("three")
    stamp = int(NOW * 1000)
    assert (
        tmp_path / "x.log"
    ).read_text() == f"{os.getpid()}:M {stamp} - two\n{os.getpid()}:M {stamp} # three\n"


def test_a_default_configuration_logs_to_standard_output() -> None:
    assert open_log(Config(), lambda: "M").path == ""
