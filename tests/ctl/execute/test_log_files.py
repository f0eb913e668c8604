"""ctl.execute.log_files"""

from __future__ import annotations

from contextlib import aclosing
from pathlib import Path

import pytest
import trio

from ctl.execute import log_files
from ctl.execute.log_files import follow, tail


@pytest.mark.parametrize("block_bytes", [3, 64 * 1024])
def test_the_last_lines(tmp_path: Path, block_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_files, "TAIL_BLOCK_BYTES", block_bytes)
    path = tmp_path / "log"
    path.write_text("one\ntwo\nthree\n")
    assert tail(path, 2) == (["two", "three"], 14)
    assert tail(path, 9) == (["one", "two", "three"], 14)
    assert tail(path, 0) == ([], 14)


def test_a_log_not_written_yet_is_empty(tmp_path: Path) -> None:
    assert tail(tmp_path / "none", 5) == ([], 0)


async def test_lines_are_followed_whole_and_after_truncation(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    path = tmp_path / "log"
    path.write_text("old\nne")
    async with aclosing(follow({"a": path}, {"a": 4})) as lines:
        with path.open("a") as log:
            log.write("w\nnext\n")
        assert [await anext(lines), await anext(lines)] == [("a", "new"), ("a", "next")]
        path.write_text("anew\n")
        assert await anext(lines) == ("a", "anew")
