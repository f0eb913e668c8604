"""What is left of a backup whose ctl was killed, and who removes it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from ctl.execute.backup_files import new_directory, remove_abandoned

BEGIN_AND_DIE = """
import os, sys, trio
from pathlib import Path
from ctl.execute.backup_files import new_directory

async def main():
    async with new_directory(Path(sys.argv[1])) as (temporary, _):
        (temporary / "shard-0.rdb").write_bytes(b"half")
        os.kill(os.getpid(), 9)

trio.run(main)
"""


async def test_what_a_killed_ctl_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    for name in (".mine.partial-1234567", ".x.partial-zzzzzzzz", "b.partial-12345678", ".partial-12345678"):
        (tmp_path / name).mkdir()
    (tmp_path / ".file.partial-12345678").write_text("a file of this name is none of ours")
    there = set(tmp_path.iterdir())
    died = subprocess.run([sys.executable, "-c", BEGIN_AND_DIE, str(tmp_path / "killed")], check=False)
    assert died.returncode == -9
    [left] = set(tmp_path.iterdir()) - there
    assert left.name.startswith(".killed.partial-")
    async with new_directory(tmp_path / "at-work") as (temporary, _commit):
        assert remove_abandoned(tmp_path) == [left]
        assert set(tmp_path.iterdir()) == {*there, temporary}
    assert set(tmp_path.iterdir()) == there
