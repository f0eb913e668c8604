"""Users of a real node: from the configuration, through redis-py, across a rewrite and a new start."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis

CONF = """
user default on >main ~* &* +@all
user reader on >secret %R~data:* +@read +@connection -@dangerous
rename-command FLUSHALL ""
rename-command CONFIG settings
"""


def as_user(port: int, name: str, password: str) -> Any:
    return redis.Redis(port=port, username=name, password=password, decode_responses=True)


def test_users_of_the_configuration(shoal_node: Callable[..., Any], tmp_path: Path) -> None:
    conf = tmp_path / "node.conf"
    conf.write_text(CONF)
    node = shoal_node(str(conf))
    with as_user(node.port, "default", "main") as main, as_user(node.port, "reader", "secret") as reader:
        main.set("data:1", "x")
        assert reader.get("data:1") == "x"
        with pytest.raises(redis.exceptions.NoPermissionError, match="No permissions to access a key"):
            reader.get("other")
        with pytest.raises(redis.exceptions.NoPermissionError, match="the 'set' command"):
            reader.set("data:1", "y")
        with pytest.raises(redis.exceptions.ResponseError, match="unknown command"):
            main.flushall()
        main.acl_setuser("new", enabled=True, passwords=["+pw"], keys=["k*"], categories=["+@string"])
        assert [entry["object"] for entry in main.acl_log()] == ["set", "other"]
        assert main.acl_getuser("new")["categories"] == ["-@all", "+@string"]
        assert main.execute_command("SETTINGS", "REWRITE") == "OK"
        users = main.acl_list()
    again = shoal_node(str(conf))
    with as_user(again.port, "new", "pw") as new, as_user(again.port, "default", "main") as main:
        assert new.set("k1", "v")
        assert main.acl_list() == users


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("user bob on >secret +nosuch", "Unknown command or category name in ACL"),
        ("rename-command nosuch x", "No such command in rename-command"),
    ],
)
def test_a_wrong_line_ends_the_start(
    start_node: Callable[..., Any], tmp_path: Path, line: str, reason: str
) -> None:
    conf = tmp_path / "node.conf"
    conf.write_text(f"# mine\n{line}\n")
    node = start_node(str(conf))
    assert node.exit_status() == 1
    assert f"at line 2 of {conf}" in node.logged()
    assert reason in node.logged()
    assert "secret" not in node.logged()


def test_a_wrong_file_of_users_ends_the_start(start_node: Callable[..., Any], tmp_path: Path) -> None:
    users = tmp_path / "users.acl"
    users.write_text("user bob on >secret\nuser bob off\n")
    node = start_node("--aclfile", str(users))
    assert node.exit_status() == 1
    assert "Duplicate user 'bob' found on line 2." in node.logged()
    assert "Traceback" not in node.logged()
