"""aclfile and `user` lines: taken whole or not at all, with the numbers of wrong lines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from node.acl.files import AclFileError, read_users
from node.app import Node
from node.config.config import Config
from node.config.file import ConfigFileError, Line
from node.config.table import ACLFILE, SAVE
from node.server.process import CannotStartError

WRONG = """user default on nopass +@all ~* &*

user a on +nosuch ~*
nobody a
user a on
user b on xx yy
user
user c (+get
"""
TOLD = (
    "users.acl:3: Error in applying operation '+nosuch': Unknown command or category name in ACL. "
    "users.acl:4 should start with user keyword followed by the username. "
    "WARNING: Duplicate user 'a' found on line 5. "
    "users.acl:6: Syntax error. "
    "users.acl:7 should start with user keyword followed by the username. "
    "users.acl:8: Unmatched parenthesis in selector definition. "
    "WARNING: ACL errors detected, no change to the previously active ACL rules was performed"
)


def lines(*texts: str) -> dict[str, list[Line]]:
    found = [
        Line("node.conf", number, text.encode(), tuple(text.encode().split()))
        for number, text in enumerate(texts, 1)
    ]
    return {"user": found}


def config(**values: object) -> Config:
    made = Config()
    made.store(SAVE, ())
    return made


def test_all_that_is_wrong_in_a_file_is_told_with_the_line(node: Any, tmp_path: Path) -> None:
    path = tmp_path / "users.acl"
    path.write_text(WRONG)
    with pytest.raises(AclFileError) as caught:
        read_users(str(path), "users.acl", node.acl.rules)
    assert str(caught.value) == TOLD


def test_a_file_that_is_not_there_ends_the_start(tmp_path: Path) -> None:
    settings = config()
    settings.store(ACLFILE, str(tmp_path / "none.acl"))
    with pytest.raises(CannotStartError) as caught:
        Node(settings)
    path = tmp_path / "none.acl"
    assert str(caught.value) == (
        "Aborting startup because of ACL errors: "
        f"Error loading ACLs, opening file '{path}': No such file or directory"
    )


def test_users_of_a_file_are_there_from_the_start_and_default_is_made_if_it_is_not(tmp_path: Path) -> None:
    path = tmp_path / "users.acl"
    path.write_text("user bob on >x ~* +@all\r\n\nuser eve off\n")
    settings = config()
    settings.store(ACLFILE, str(path))
    acl = Node(settings).acl
    assert sorted(acl.users) == [b"bob", b"default", b"eve"]
    assert not acl.required


def test_lines_of_the_configuration_are_users() -> None:
    acl = Node(config(), lines("user default off", "user bob on >x (~a +get) ( ~b +set )")).acl
    assert acl.required
    assert len(acl.users[b"bob"].selectors) == 3


@pytest.mark.parametrize(
    ("texts", "reason"),
    [
        (("user a on", "user b +nosuch"), "'b': Unknown command or category name in ACL"),
        (("user a on", "user a on"), "Duplicate user found"),
        (("user a on", "user b (+get"), "Unmatched parenthesis"),
        (("user a on", "user b ~* ~x"), "Adding a pattern after"),
    ],
)
def test_a_wrong_line_ends_the_start_with_its_number(texts: tuple[str, ...], reason: str) -> None:
    with pytest.raises(ConfigFileError, match=r"line|user|Unmatched") as caught:
        Node(config(), lines(*texts))
    assert reason in caught.value.reason
    assert "at line 2 of node.conf" in caught.value.report("1")


def test_passwords_are_not_in_the_report() -> None:
    with pytest.raises(ConfigFileError) as caught:
        Node(config(), lines("user bob on >secret +nosuch"))
    report = caught.value.report("1")
    assert "secret" not in report
    assert ">>> 'user bob ...'" in report


def test_lines_and_a_file_at_once_are_refused(tmp_path: Path) -> None:
    settings = config()
    settings.store(ACLFILE, str(tmp_path / "users.acl"))
    with pytest.raises(ConfigFileError, match="not both"):
        Node(settings, lines("user a on"))


def test_rewrite_writes_users_as_lines_which_make_them_again() -> None:
    node = Node(config(), lines("user bob on >x ~a* %R~b &c +@read -get (~z +set)"))
    text = node.config.rewritten(b"# mine\nuser bob off\n")
    users = [line for line in text.splitlines() if line.startswith(b"user ")]
    assert users == [user.line() for user in node.acl.sorted_users()]
    again = Node(config(), lines(*(line.decode() for line in users)))
    assert [user.line() for user in again.acl.sorted_users()] == users


def test_renamed_commands_answer_to_their_new_names_alone() -> None:
    renames = [
        Line("f", 1, b"", (b"rename-command", b"FLUSHALL", b"")),
        Line("f", 2, b"", (b"rename-command", b"get", b"fetch")),
    ]
    node = Node(config(), {"rename-command": renames})
    assert node.table.lookup(b"flushall") is None
    assert node.table.lookup(b"GET") is None
    assert node.table.fast_reads[b"fetch"] is node.table.lookup(b"FeTcH")
    node.acl.rules.apply(node.acl.rules.new_user(b"u"), b"+get")


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("nosuch", "x"), "No such command in rename-command"),
        (("get", "set"), "Target command name already exists"),
        (("get",), "wrong number of arguments"),
    ],
)
def test_a_wrong_renaming_ends_the_start(words: tuple[str, ...], reason: str) -> None:
    line = Line("f", 7, b"", (b"rename-command", *(word.encode() for word in words)))
    with pytest.raises(ConfigFileError) as caught:
        Node(config(), {"rename-command": [line]})
    assert reason in caught.value.reason
    assert caught.value.line is line
