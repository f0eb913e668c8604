"""check-aof: what it says, what it cuts, and what it leaves alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from node.persistence.aof.check import examine, main
from node.rdb.file import RdbWriter

Pack = Callable[..., bytes]
Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run() -> Run:
    """The tool with these words: its status and what it said. `answer` is what it gets when it asks."""

    def call(*words: str | Path, answer: bool | None = None) -> tuple[int, str]:
        lines: list[str] = []

        def ask(question: str) -> bool:
            assert answer is not None, "it asks nothing"
            lines.append(question)
            return answer

        return main([str(word) for word in words], lines.append, ask), "\n".join(lines)

    return call


@pytest.fixture
def directory(tmp_path: Path, pack: Pack) -> Path:
    """A base of RDB and two increments."""
    writer = RdbWriter()
    base = writer.begin(created_at_s=0, used_memory_bytes=0) + writer.key(b"k", b"v") + writer.end()
    (tmp_path / "a.1.base.rdb").write_bytes(base)
    (tmp_path / "a.1.incr.aof").write_bytes(pack("SET", "a", "1"))
    (tmp_path / "a.2.incr.aof").write_bytes(pack("MULTI") + pack("SET", "b", "1") + pack("EXEC"))
    (tmp_path / "a.manifest").write_text(
        "file a.1.base.rdb seq 1 type b\nfile a.1.incr.aof seq 1 type i\nfile a.2.incr.aof seq 2 type i\n"
    )
    return tmp_path


def test_a_good_aof(run: Run, directory: Path) -> None:
    status, said = run(directory / "a.manifest")
    assert status == 0
    assert "RDB with 1 keys" in said
    assert said.endswith("All files are good.")


def test_a_torn_tail_is_cut_when_asked_for_and_kept(run: Run, directory: Path, pack: Pack) -> None:
    last = directory / "a.2.incr.aof"
    good = last.read_bytes()
    torn = pack("MULTI") + pack("SET", "c", "1")
    last.write_bytes(good + torn)
    status, said = run(directory / "a.manifest")
    assert status == 1
    assert f"the transaction that begins at offset {len(good)} has no end" in said
    assert f"The last {len(torn)} bytes can be cut off: use --fix." in said
    status, said = run("--fix", directory / "a.manifest", answer=False)
    assert (status, last.read_bytes()) == (1, good + torn)
    assert "Nothing has been changed." in said
    status, said = run("--fix", directory / "a.manifest", answer=True)
    assert (status, last.read_bytes()) == (0, good)
    assert (directory / f"a.2.incr.aof.cut-{len(good)}").read_bytes() == torn
    status, said = run(directory / "a.manifest")
    assert status == 0
    assert f"a.2.incr.aof.cut-{len(good)} is not named by the manifest" in said


def test_only_the_last_file_is_ever_cut(run: Run, directory: Path) -> None:
    first = directory / "a.1.incr.aof"
    first.write_bytes(first.read_bytes() + b"*3\r\n")
    status, said = run("--fix", directory / "a.manifest")
    assert status == 1
    assert "Nothing is cut: it is not the last file" in said


@pytest.mark.parametrize("damage", [b"garbage", b"\0\0\0\0", b"*1\r\n$-1\r\n", b"+OK\r\n"])
def test_damage_in_the_middle_is_never_cut(run: Run, directory: Path, pack: Pack, damage: bytes) -> None:
    last = directory / "a.2.incr.aof"
    good = last.read_bytes()
    last.write_bytes(good + damage + b"\r\n" + pack("SET", "later", "1"))
    status, said = run("--fix", directory / "a.manifest")
    assert status == 1
    assert f"whole up to {len(good)}" in said
    assert "commands follow the damage" in said
    last.write_bytes(good + damage)
    assert run("--fix", directory / "a.manifest", answer=True)[0] == 0, "no commands follow"
    assert last.read_bytes() == good


def test_what_no_server_writes_is_damage(directory: Path, pack: Pack) -> None:
    last = directory / "a.2.incr.aof"
    for bad, place in ((pack("EXEC"), 0), (pack("MULTI") * 2, len(pack("MULTI")))):
        last.write_bytes(pack("SET", "a", "1") + bad + pack("SET", "b", "1"))
        found = examine(str(last))
        assert found.whole_bytes == len(pack("SET", "a", "1"))
        assert found.problem.endswith(f"at offset {found.whole_bytes + place}")
        assert not found.cuttable


def test_a_damaged_base_is_told_with_the_offset(run: Run, directory: Path) -> None:
    base = directory / "a.1.base.rdb"
    data = bytearray(base.read_bytes())
    data[-1] ^= 1
    base.write_bytes(data)
    status, said = run("--fix", directory / "a.manifest")
    assert status == 1
    assert "the RDB part is damaged" in said
    assert base.read_bytes() == data


def test_a_single_file_of_an_old_redis_with_rdb_in_front(run: Run, directory: Path, pack: Pack) -> None:
    old = directory / "old.aof"
    base = (directory / "a.1.base.rdb").read_bytes()
    old.write_bytes(base + pack("SET", "a", "1") + b"*2\r\n")
    assert run("--fix", old, answer=True)[0] == 0
    assert old.read_bytes() == base + pack("SET", "a", "1")


def test_an_aof_can_be_cut_at_a_time(run: Run, directory: Path, pack: Pack) -> None:
    last = directory / "a.2.incr.aof"
    early, late = b"#TS:100\r\n" + pack("SET", "a", "1"), b"#TS:200\r\n" + pack("FLUSHALL")
    last.write_bytes(early + late)
    status, said = run("--truncate-to-timestamp", "150", directory / "a.manifest", answer=True)
    assert status == 0
    assert "1970-01-01 00:03:20 UTC" in said
    assert last.read_bytes() == early
    assert run("--truncate-to-timestamp", "150", directory / "a.manifest")[0] == 0


def test_files_that_are_missing_and_wrong_calls(run: Run, directory: Path, tmp_path: Path) -> None:
    (directory / "a.1.incr.aof").unlink()
    status, said = run(directory / "a.manifest")
    assert status == 1
    assert "a.1.incr.aof: No such file or directory" in said
    assert run(directory / "nothing")[0] == 1
    assert run(directory)[0] == 1
    assert run()[0] == run("--what", "x")[0] == run("--truncate-to-timestamp", "x", "y")[0] == 2
    (directory / "a.manifest").write_text("file a seq x type b\n")
    assert "at line 1" in run(directory / "a.manifest")[1]
