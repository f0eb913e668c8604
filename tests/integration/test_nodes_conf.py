"""nodes.conf of real processes: one owner at a time, and never a start from half a file."""

from __future__ import annotations

import signal

import hiredis
import pytest


def _owner(node):
    client = node.connect()
    assert client.call("CLUSTER", "ADDSLOTSRANGE", "0", "5460", "6000", "16383") == b"OK"
    assert client.call("CLUSTER", "SAVECONFIG") == b"OK"
    return node


@pytest.fixture
def owner(shoal_node):
    """A node of a cluster, with a file that is worth something."""
    return _owner(shoal_node("--cluster-enabled", "yes"))


@pytest.fixture(scope="module")
def whole(module_starter):
    """What is in such a file."""
    return _file(_owner(module_starter.start_ready("--cluster-enabled", "yes"))).read_bytes()


def _file(node):
    return node.directory / "nodes.conf"


def _kill(node):
    node.process.send_signal(signal.SIGKILL)
    node.exit_status()


def _same_directory(node):
    return ["--cluster-enabled", "yes", "--dir", str(node.directory)]


def _refusal(node):
    """The one line that says why the node did not start."""
    assert node.exit_status() == 1
    assert "Traceback" not in node.logged()
    return node.logged().splitlines()[-1]


def test_a_second_node_in_one_directory_is_refused_and_the_first_serves_on(owner, start_node):
    before = _file(owner).read_bytes()
    second = start_node(*_same_directory(owner))
    refusal = _refusal(second)
    assert (
        f"the cluster configuration file {_file(owner)} is already used by a different cluster node"
        in refusal
    )
    assert _file(owner).read_bytes() == before
    client = owner.connect()
    assert client.call("CLUSTER", "BUMPEPOCH").startswith(b"BUMPED")
    assert _file(owner).read_bytes() != before
    third = start_node(*_same_directory(owner))
    assert "already used" in _refusal(third), "the lock is on the file that took the place of the first"


def test_the_file_of_a_killed_node_is_free(owner, start_node):
    my_id = owner.connect().call("CLUSTER", "MYID")
    _kill(owner)
    heir = start_node(*_same_directory(owner))
    assert heir.connect_when_up().call("CLUSTER", "MYID") == my_id
    assert f"Node configuration loaded, I'm {my_id.decode()}" in heir.logged()


@pytest.mark.parametrize("share", [0.1, 0.5, 0.95])
def test_a_file_that_was_cut_is_refused_and_left_as_it_is(whole, tmp_path, start_node, share):
    file = tmp_path / "nodes.conf"
    cut = whole[: int(len(whole) * share)]
    file.write_bytes(cut)
    refusal = _refusal(start_node("--cluster-enabled", "yes", "--dir", str(tmp_path)))
    assert f"corrupted cluster config file {file}" in refusal
    assert "Restore it from a copy, or remove it" in refusal
    assert file.read_bytes() == cut


@pytest.mark.parametrize("garbage", [b"\0" * 300, b"hello\n", b"vars currentEpoch 1 lastVoteEpoch 0\n"])
def test_a_file_of_something_else_is_refused(tmp_path, start_node, garbage):
    (tmp_path / "nodes.conf").write_bytes(garbage)
    refusal = _refusal(start_node("--cluster-enabled", "yes", "--dir", str(tmp_path)))
    assert "corrupted cluster config file" in refusal


def test_a_directory_in_the_place_of_the_file_is_refused(tmp_path, start_node):
    file = tmp_path / "nodes.conf"
    file.mkdir()
    refusal = _refusal(start_node("--cluster-enabled", "yes", "--dir", str(tmp_path)))
    assert f"Can't open {file}: Is a directory" in refusal


def test_a_pipeline_of_setslot_is_on_disk_when_its_replies_arrive(owner):
    """The orders of one turn share a version of the file; what the last reply promised is in it."""
    client = owner.connect()
    my_id = client.call("CLUSTER", "MYID")
    request = b"".join(
        hiredis.pack_command(("CLUSTER", "SETSLOT", slot, "NODE", my_id)) for slot in range(5461, 5900)
    )
    client.send(request)
    assert {client.reply() for _ in range(5461, 5900)} == {b"OK"}
    _kill(owner)
    assert " 0-5899 6000-16383" in _file(owner).read_text()
