"""What a crash leaves of an AOF is loaded as far as it is whole, and nothing else is ever cut off."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from node.aof_wiring import new_replay
from node.app import Node
from node.persistence.aof.errors import AofError
from node.startup import load_data

Pack = Callable[..., bytes]
TAIL_BYTES = 4096


def _manifest(directory: Path, *files: tuple[str, bytes]) -> Path:
    """An AOF directory of an empty base and these increments."""
    aof = directory / "appendonlydir"
    aof.mkdir(exist_ok=True)
    (aof / "a.manifest").write_text(
        "".join(f"file {name} seq {n} type i\n" for n, (name, _) in enumerate(files, 1))
    )
    for name, data in files:
        (aof / name).write_bytes(data)
    return aof


def _units(pack: Pack, least_bytes: int) -> list[bytes]:
    """Commands and transactions; after the first n of them `n` holds the number n."""
    units: list[bytes] = []
    while sum(map(len, units)) < least_bytes:
        number = str(len(units) + 1)
        if len(units) % 3:
            units.append(pack("SET", "n", number))
        else:
            parts = [("MULTI",), ("SET", "other", "x\r\n*3"), ("SET", "n", number), ("EXEC",)]
            units.append(b"".join(pack(*part) for part in parts))
    return units


def _value(node: Node, key: bytes) -> Any:
    return next((p[key] for p in node.databases[0].slots if p and key in p), None)


async def test_a_file_cut_at_any_byte_of_its_last_4_kb_is_loaded_as_far_as_it_is_whole(
    make_node: Callable[..., Node], pack: Pack, tmp_path: Path
) -> None:
    units = _units(pack, TAIL_BYTES)
    whole = b"".join(units)
    ends = [sum(map(len, units[:n])) for n in range(len(units) + 1)]
    node = make_node(appendonly=True, appendfilename="a")
    aof = _manifest(tmp_path, ("a.1", whole))
    node.log.level = "nothing"
    replay = new_replay(node)
    for length in range(len(whole) - TAIL_BYTES, len(whole) + 1):
        (aof / "a.1").write_bytes(whole[:length])
        node.databases[0].clear()
        await replay.load([str(aof / "a.1")], cut_torn_tail=True)
        count = max(n for n, end in enumerate(ends) if end <= length)
        assert _value(node, b"n") == (count or None)
        assert (aof / "a.1").stat().st_size == ends[count]


async def test_a_transaction_without_its_end_is_cut_off_from_its_beginning(
    make_node: Callable[..., Node], pack: Pack, tmp_path: Path
) -> None:
    """redis-server and Valkey cut inside of it, and lose what is written behind the MULTI that stays."""
    good = pack("SET", "a", "1")
    torn = pack("MULTI") + pack("SET", "b", "1") + pack("SET", "c", "1")[:-3]
    aof = _manifest(tmp_path, ("a.1", good + torn))
    node = make_node(appendonly=True, appendfilename="a")
    await load_data(node)
    assert (_value(node, b"a"), _value(node, b"b")) == (1, None)
    node.after.tell(0, [b"SET", b"later", b"1"])
    node.aof.close()
    again = make_node(appendonly=True, appendfilename="a")
    await load_data(again)
    assert _value(again, b"later") == 1
    assert (aof / "a.1").read_bytes().startswith(good)


@pytest.mark.parametrize("torn", [b"*", b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$5\r\nab", b"*1\r\n$5\r\nMULTI\r\n"])
async def test_a_torn_tail_is_refused_with_its_offset_where_that_is_wanted(
    make_node: Callable[..., Node], pack: Pack, tmp_path: Path, torn: bytes
) -> None:
    good = pack("SET", "a", "1")
    aof = _manifest(tmp_path, ("a.1", good + torn))
    node = make_node(appendonly=True, appendfilename="a", aof_load_truncated=False)
    with pytest.raises(AofError, match=rf"a\.1: what begins at offset {len(good)} "):
        await load_data(node)
    assert (aof / "a.1").read_bytes() == good + torn


async def test_zeros_that_a_file_system_left_are_cut_off(
    make_node: Callable[..., Node], pack: Pack, tmp_path: Path
) -> None:
    good = pack("SET", "a", "1")
    for torn in (b"", b"*3\r\n$3\r\nSE", b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$50\r\nabc"):
        aof = _manifest(tmp_path, ("a.1", good + torn + bytes(100)))
        node = make_node(appendonly=True, appendfilename="a")
        await new_replay(node).load([str(aof / "a.1")], cut_torn_tail=True)
        assert (aof / "a.1").read_bytes() == good


async def _refused(make_node: Callable[..., Node], directory: Path) -> str:
    """The reason; every file is as it was."""
    before = {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}
    node = make_node(appendonly=True, appendfilename="a")
    with pytest.raises(AofError) as caught:
        await load_data(node)
    node.aof.close()
    assert {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()} == before
    return str(caught.value)


@pytest.mark.parametrize("damage", [b"garbage", b"\0" * 20 + b"x", b"*1\r\n$-1\r\n", b"*2\r\n$3\r\nGET\r\nx"])
async def test_damage_refuses_the_file_with_its_offset(
    make_node: Callable[..., Node], pack: Pack, tmp_path: Path, damage: bytes
) -> None:
    good = pack("SET", "a", "1")
    _manifest(tmp_path, ("a.1", good + damage + good))
    reason = await _refused(make_node, tmp_path)
    assert "a.1" in reason
    offset = int(reason.partition("at offset ")[2].split(".")[0])
    assert len(good) <= offset < len(good + damage)


async def test_a_torn_file_that_is_not_the_last_refuses_all(
    make_node: Callable[..., Node], pack: Pack, tmp_path: Path
) -> None:
    good = pack("SET", "a", "1")
    _manifest(tmp_path, ("a.1", good + b"*3\r\n"), ("a.2", good))
    assert f"a.1 ends in the middle of a command or transaction, at offset {len(good)}" in await _refused(
        make_node, tmp_path
    )


async def test_an_unknown_command_refuses_the_file(
    make_node: Callable[..., Node], pack: Pack, tmp_path: Path
) -> None:
    good = pack("SET", "a", "1")
    _manifest(tmp_path, ("a.1", good + pack("NOSUCH", "a")))
    assert (
        f"Unknown command 'NOSUCH' reading the append only file {tmp_path}/appendonlydir/a.1 at offset "
        in (reason := await _refused(make_node, tmp_path))
    )
    assert reason.endswith(str(len(good)))


async def test_what_the_manifest_names_must_be_there(
    make_node: Callable[..., Node], pack: Pack, tmp_path: Path
) -> None:
    aof = _manifest(tmp_path, ("a.1", pack("SET", "a", "1")), ("a.2", b""))
    (aof / "a.1").unlink()
    assert "a.1 length: No such file" in await _refused(make_node, tmp_path)
    (aof / "a.1").mkdir()
    assert "a.1, which the AOF manifest names, is not a regular file" in await _refused(make_node, tmp_path)
    (aof / "a.manifest").write_text("file a.1 seq 2 type i\nfile a.2 seq 1 type i\n")
    assert "non-monotonic sequence number, at line 2" in await _refused(make_node, tmp_path)


async def test_the_directory_is_one_nodes_alone(make_node: Callable[..., Node]) -> None:
    node = make_node(appendonly=True)
    await load_data(node)
    other = make_node(appendonly=True)
    with pytest.raises(AofError, match="already used by a different node"):
        await load_data(other)
    node.aof.close()
    await load_data(other)


async def test_a_file_where_the_directory_should_be_is_left_alone(
    make_node: Callable[..., Node], tmp_path: Path
) -> None:
    (tmp_path / "appendonlydir").write_text("mine")
    assert "Can't open or create append-only dir" in await _refused(make_node, tmp_path)


async def test_commands_run_as_the_primarys(
    make_node: Callable[..., Node], pack: Pack, tmp_path: Path
) -> None:
    """Redis writes XADD … MAXLEN = n LIMIT m, which it takes from no client."""
    xadd = pack("XADD", "s", "MAXLEN", "=", "1", "LIMIT", "5", "1-1", "f", "v")
    data = pack("SELECT", "3") + xadd + pack("SET", "a", "1", "PXAT", "5") + pack("PERSIST", "a")
    _manifest(tmp_path, ("a.1", data))
    node = make_node(appendonly=True, appendfilename="a")
    await load_data(node)
    assert node.databases[3].count == 2, "a key whose time is over is there for the PERSIST that follows"
    assert not node.databases[3].deadlines.at
    assert node.changes.total == 0


async def test_a_command_that_fails_is_told_of_and_passed_over(
    make_node: Callable[..., Node], pack: Pack, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    _manifest(tmp_path, ("a.1", pack("SET", "a", "x") + pack("INCR", "a") + pack("SET", "b", "1")))
    node = make_node(appendonly=True, appendfilename="a")
    await load_data(node)
    assert _value(node, b"b") == 1
    assert "== CRITICAL == A command of the append only file" in capfd.readouterr().out


async def test_the_one_file_of_a_redis_before_7_becomes_the_base(
    make_node: Callable[..., Node], pack: Pack, tmp_path: Path
) -> None:
    (tmp_path / "a").write_bytes(pack("SET", "x", "1"))
    node = make_node(appendonly=True, appendfilename="a")
    await load_data(node)
    node.aof.close()
    assert not (tmp_path / "a").exists()
    manifest = (tmp_path / "appendonlydir" / "a.manifest").read_text()
    assert manifest == "file a seq 1 type b\nfile a.1.incr.aof seq 1 type i\n"
    os.rename(tmp_path / "appendonlydir" / "a", tmp_path / "a")  # a crash before the file was moved
    (tmp_path / "appendonlydir" / "a.manifest").write_text("file a seq 1 type b\n")
    node = make_node(appendonly=True, appendfilename="a")
    await load_data(node)
    assert _value(node, b"x") == 1


async def test_who_turns_the_aof_on_keeps_the_snapshots_data(
    make_node: Callable[..., Node], tmp_path: Path
) -> None:
    before = make_node()
    before.databases[0].put(b"a", 15495, b"kept")
    before.saving.save_now()
    node = make_node(appendonly=True)
    await load_data(node)
    assert _value(node, b"a") == b"kept"
    node.aof.close()
    (tmp_path / "dump.rdb").unlink()
    node = make_node(appendonly=True)
    await load_data(node)
    assert _value(node, b"a") == b"kept"
