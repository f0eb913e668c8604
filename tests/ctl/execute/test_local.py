"""ctl.execute.local: the record and the files of a local cluster."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from ctl.errors import CtlError, UsageError
from ctl.execute import local
from ctl.execute.fleet import Credentials
from ctl.execute.local import LocalCluster
from ctl.execute.processes import Process


def prepared(directory: Path) -> LocalCluster:
    return local.prepare(directory, "127.0.0.1", [7000, 7001], ("server",), [], Credentials(password="p"))


def test_the_record_is_read_back_as_written_and_private(tmp_path: Path) -> None:
    cluster = prepared(tmp_path / "c").with_process(7001, Process(12, "boot:34"))
    local.save(replace(cluster, phase="ready"))
    assert local.load(tmp_path / "c") == replace(cluster, phase="ready")
    assert os.stat(tmp_path / "c" / "cluster.json").st_mode & 0o077 == 0
    assert local.load(tmp_path) is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 1}', '{"format": 1, "host": 5, "nodes": [{}]}'])
def test_a_damaged_record_is_said_to_be(tmp_path: Path, text: str) -> None:
    (tmp_path / "cluster.json").write_text(text)
    with pytest.raises(CtlError, match="damaged"):
        local.load(tmp_path)


def test_a_record_of_the_future_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cluster.json").write_text(json.dumps({"format": 99}))
    with pytest.raises(CtlError, match="format 99"):
        local.load(tmp_path)


def test_prepare_touches_no_directory_that_is_there(tmp_path: Path) -> None:
    (tmp_path / "7001").mkdir()
    with pytest.raises(CtlError, match="7001 is there already"):
        prepared(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["7001"]


def test_remove_leaves_what_is_not_its_own(tmp_path: Path) -> None:
    directory, elsewhere = tmp_path / "c", tmp_path / "elsewhere"
    cluster = prepared(directory)
    (directory / "7000" / "dump.rdb").write_text("data")
    (directory / "mine").write_text("keep")
    elsewhere.mkdir()
    (elsewhere / "precious").write_text("keep")
    (directory / "7001" / "node.conf").unlink()
    (directory / "7001").rmdir()
    (directory / "7001").symlink_to(elsewhere)
    local.remove(cluster)
    assert sorted(path.name for path in directory.iterdir()) == ["7001", "mine"]
    assert (elsewhere / "precious").exists()


@pytest.mark.parametrize("made_before", [True, False])
def test_the_directory_goes_only_when_create_made_it(tmp_path: Path, made_before: bool) -> None:
    if made_before:
        (tmp_path / "c").mkdir()
    local.remove(prepared(tmp_path / "c"))
    assert (tmp_path / "c").exists() is made_before


def test_nodes_are_named_by_port_or_address(tmp_path: Path) -> None:
    cluster = prepared(tmp_path / "c")
    assert [node.port for node in cluster.select(["127.0.0.1:7001"])] == [7001]
    assert len(cluster.select([])) == 2
    with pytest.raises(UsageError, match="no node 7005"):
        cluster.select(["7005"])


def test_a_server_that_is_not_installed() -> None:
    with pytest.raises(UsageError, match="no such program"):
        local.server_command("no-such-server --flag")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "its log is empty"),
        (
            "12:M 21 Nov 2026 06:29:48.023 # Failed listening on port 7000\n\n",
            "Failed listening on port 7000",
        ),
        (">>> 'nope 3'\nBad directive\n", "'nope 3': Bad directive"),
        ("Traceback:\nImportError: no x\n", "ImportError: no x"),
    ],
)
def test_the_last_words_of_a_log(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "log").write_text(text)
    assert local.last_words(tmp_path / "log") == said
