"""ctl.render.replies"""

from __future__ import annotations

from ctl.render.replies import lines, to_json
from node.resp.client import ReplyError


def test_replies_look_as_redis_cli_shows_them() -> None:
    assert lines(None) == ["(nil)"]
    assert lines(3) == ["(integer) 3"]
    assert lines(b"text") == ["text"]
    assert lines(b"# Server\r\nversion:1\r\n") == ["# Server", "version:1"]
    assert lines(b"\x00\xff") == ["'\\x00\\xff'"]
    assert lines(ReplyError("ERR bad")) == ["(error) ERR bad"]
    assert lines([]) == ["(empty array)"]
    assert lines([b"a", [1, None]]) == ["1) a", "2) 1) (integer) 1", "   2) (nil)"]


def test_replies_as_json() -> None:
    assert to_json([b"a", 1, None, ReplyError("ERR bad"), b"\xff"]) == [
        "a",
        1,
        None,
        {"error": "ERR bad"},
        "\\xff",
    ]
