"""ctl.execute.node_conf"""

from __future__ import annotations

from pathlib import Path

import pytest

from ctl.errors import UsageError
from ctl.execute.node_conf import parse_options, render


def test_options_and_arguments_become_directives() -> None:
    assert parse_options(
        ["maxmemory=100mb", "save=3600 1 300 100"], ["--save", "", "--Bind-Source", "1.1.1.1"]
    ) == [
        ("maxmemory", "100mb"),
        ("save", "3600 1 300 100"),
        ("save", '""'),
        ("bind-source", "1.1.1.1"),
    ]


@pytest.mark.parametrize(
    ("options", "arguments", "said"),
    [
        (["maxmemory"], [], "not name=value"),
        ([], ["maxmemory"], "no directive"),
        (["port=1"], [], "Use --base-port"),
        ([], ["--cluster-enabled", "no"], "Leave it out"),
    ],
)
def test_what_is_refused(options: list[str], arguments: list[str], said: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_options(options, arguments)
    assert said in f"{caught.value.text} {caught.value.hint}"


def test_the_file_quotes_paths_and_gives_replicas_the_password() -> None:
    text = render("127.0.0.1", 7000, Path('/tmp/a "b"/7000'), [("requirepass", "secret")])
    lines = text.splitlines()
    assert r'dir "/tmp/a \"b\"/7000"' in lines
    assert "masterauth secret" in lines
    assert "requirepass secret" in lines


def test_a_directive_given_replaces_the_one_of_create() -> None:
    text = render("127.0.0.1", 7000, Path("/tmp/7000"), [("repl-diskless-sync-delay", "5")])
    assert [line for line in text.splitlines() if "delay" in line] == ["repl-diskless-sync-delay 5"]


def test_an_empty_value_is_an_empty_word() -> None:
    assert 'save ""' in render("127.0.0.1", 7000, Path("/tmp/7000"), [("save", "")]).splitlines()
