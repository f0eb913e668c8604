"""The program itself: help that is quick, statuses, errors of one line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ctl.cli import CLUSTER_VERBS, DRILL_VERBS, NODE_VERBS, cli


def ctl(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments, env={"SHOAL_DIR": "/nonexistent/shoal"})


@pytest.mark.parametrize("arguments", [["--help"], ["cluster", "--help"], ["--version"]])
def test_help_loads_neither_trio_nor_rich_nor_a_verb(arguments: list[str]) -> None:
    program = (
        "import sys; from ctl.cli import cli\n"
        f"try: cli({arguments!r})\n"
        "finally: print(sorted({'trio', 'rich', 'hiredis'} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout
    assert done.stderr.strip() == "[]"


@pytest.mark.parametrize("verb", CLUSTER_VERBS)
def test_the_summary_of_a_verb_is_the_first_line_of_its_help(verb: str) -> None:
    result = ctl("cluster", verb, "--help")
    assert result.exit_code == 0
    assert CLUSTER_VERBS[verb] in result.output
    assert "Exit status:" in result.output
    assert "--json" in result.output


@pytest.mark.parametrize("verb", DRILL_VERBS)
def test_the_summary_of_a_drill_is_the_first_line_of_its_help(verb: str) -> None:
    result = ctl("drill", verb, "--help")
    assert result.exit_code == 0
    assert DRILL_VERBS[verb] in result.output
    assert "Exit status:" in result.output
    assert "--json" in result.output


def test_help_lists_every_verb_and_the_statuses() -> None:
    output = ctl("cluster", "--help").output
    assert all(verb in output for verb in CLUSTER_VERBS)
    assert "interrupted by Ctrl-C" in output
    assert all(verb in ctl("node", "--help").output for verb in NODE_VERBS)


@pytest.mark.parametrize("verb", ["status", "nodes", "check", "stop", "start", "destroy", "logs"])
def test_without_a_cluster_there_is_a_hint(verb: str) -> None:
    result = ctl("cluster", verb)
    assert result.exit_code == 2
    assert result.stderr.splitlines()[0] == "ctl: no cluster in /nonexistent/shoal"
    assert "ctl cluster create" in result.stderr


def test_an_error_as_json_is_one_document_on_stdout() -> None:
    result = ctl("cluster", "status", "--json")
    assert json.loads(result.stdout) == {
        "error": "no cluster in /nonexistent/shoal",
        "hint": "`ctl cluster create` makes one; --addr host:port names another, --dir another directory.",
        "status": 2,
    }
    assert result.stderr == ""


@pytest.mark.parametrize("address", ["7000", "host", "host:99999"])
def test_a_bad_address_is_a_usage_error(address: str) -> None:
    result = ctl("cluster", "status", "--addr", address)
    assert result.exit_code == 2
    assert "is not an address like" in result.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["clustr"], "No such command 'clustr'"),
        (["--jsn"], "No such option '--jsn'"),
        (["cluster", "frobnicate"], "No such command 'frobnicate'"),
        (["cluster", "status", "--jsn"], "No such option '--jsn'"),
        (["cluster", "create", "--nodes", "x"], "Invalid value for '--nodes'"),
        (["cluster", "failover"], "Missing argument 'NODE'"),
    ],
)
def test_mistyped_arguments_are_told_in_one_line_with_a_hint(words: list[str], said: str) -> None:
    result = ctl(*words)
    assert (result.exit_code, result.stdout) == (2, "")
    line, hint = result.stderr.splitlines()
    assert line.startswith(f"ctl: {said}")
    assert "--help` lists" in hint


def test_mistyped_arguments_as_json() -> None:
    result = ctl("cluster", "status", "--json", "--bogus")
    document = json.loads(result.stdout)
    assert (document["status"], result.exit_code, result.stderr) == (2, 2, "")
    assert document["error"].startswith("No such option '--bogus'")


@pytest.mark.parametrize("verb", CLUSTER_VERBS)
def test_every_verb_takes_yes(verb: str) -> None:
    """One that never asks takes it too, so that a script may give it to all."""
    assert "No such option '--yes'" not in ctl("cluster", verb, "--yes", "--bogus").stderr
    assert "--yes" in ctl("cluster", verb, "--help").output


def test_a_server_that_does_not_exist(tmp_path: Path) -> None:
    result = ctl("cluster", "create", "--server", "no-such-server", "--dir", str(tmp_path / "c"))
    assert result.exit_code == 2
    assert "no such program" in result.stderr
    assert not (tmp_path / "c").exists()


def test_a_wildcard_is_no_address_to_tell_others() -> None:
    result = ctl("cluster", "create", "--host", "0.0.0.0")
    assert result.exit_code == 2
    assert "is no address to tell others" in result.stderr


def test_nodes_that_others_can_reach_need_a_password_or_a_decision() -> None:
    result = ctl("cluster", "create", "--host", "192.0.2.1")
    assert result.exit_code == 2
    assert "protected mode" in result.stderr
    result = ctl("cluster", "create", "--host", "192.0.2.1", "--node-option", "protected-mode=no")
    assert "192.0.2.1 is no address of this machine" in result.stderr
