"""`ctl cluster fix` on six nodes of ours and on six redis-servers: every situation it repairs is made, and is
gone afterwards in the eyes of `check`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import trio
from click.testing import CliRunner
from redis import Redis
from redis.cluster import RedisCluster

from ctl.cli import cli
from ctl.execute.fix import carry_out
from ctl.execute.fleet import Credentials, Fleet
from ctl.execute.survey import survey
from ctl.plan.check import check
from ctl.plan.fix import Wishes, plan_fix
from ctl.snapshot import ClusterSnapshot, NodeLine
from ctl.survey import Survey
from gossip.slots import key_slot


@dataclass
class Broken:
    """The cluster of a test, and an open slot's two ends: `owner` has `slot`, `other` is another primary."""

    made: Any
    slot: int
    owner: Redis
    other: Redis
    owner_id: str
    other_id: str
    keys: list[str]

    def setslot(self, where: Redis, *words: str, slot: int | None = None) -> None:
        where.execute_command("CLUSTER", "SETSLOT", self.slot if slot is None else slot, *words)

    def put(self, where: Redis, *command: str) -> None:
        """A write to a node that imports the slot."""
        with where.pipeline(transaction=False) as pipe:
            pipe.execute_command("ASKING")
            pipe.execute_command(*command)
            pipe.execute()

    def count(self, where: Redis) -> int:
        return int(where.execute_command("CLUSTER", "COUNTKEYSINSLOT", self.slot))

    def codes(self) -> set[str]:
        """What check finds, but for what is normal here."""
        result = self.made.any_status("check")
        return {each["code"] for each in result["findings"]} - {"one-host"}

    def fix(self, *options: str, status: int = 0) -> Any:
        return self.made.json("fix", "--yes", "--patience", "0.3", *options, status=status)


class Made:
    """`ctl` for the shared cluster, with answers whatever the exit status."""

    def __init__(self, ctl: Any) -> None:
        self._ctl = ctl
        self.json = ctl.json
        self.cluster = ctl.cluster

    def __call__(self, *words: str, status: int = 0) -> str:
        text: str = self._ctl(*words, status=status)
        return text

    def any_status(self, *words: str) -> Any:
        """The document, of a verb that may find something or not."""
        env = {"SHOAL_DIR": str(self._ctl.directory)}
        result = CliRunner().invoke(cli, ["cluster", words[0], "--json", *words[1:]], env=env)
        assert result.exit_code in (0, 1), result.output
        return json.loads(result.stdout)


slots_used = count()


@pytest.fixture
def broken(made: Any) -> Iterator[Broken]:
    """A slot that no other test has used, with three keys' names."""
    tag = next(f"fix{number}" for number in slots_used)
    slot = key_slot(tag.encode())
    nodes = made.json("nodes")
    primaries = [node for node in nodes if node["role"] == "primary" and node["slot_count"]]
    owner = next(n for n in primaries if any(a <= slot <= b for a, b in n["slots"]))
    other = next(node for node in primaries if node is not owner)
    clients = [Redis.from_url(f"redis://{node['address']}", decode_responses=True) for node in (owner, other)]
    keys = [f"{{{tag}}}:{name}" for name in "abc"]
    yield Broken(Made(made), slot, *clients, owner["id"], other["id"], keys)
    for client in clients:
        client.close()


def values(broken: Broken) -> dict[str, str | None]:
    """Of the three keys, as a client of the cluster reads them."""
    port = broken.made.cluster.nodes[0].port
    with RedisCluster(host="127.0.0.1", port=port, decode_responses=True) as client:
        return {key[-1]: client.get(key) for key in broken.keys}


def test_nothing_to_repair(broken: Broken) -> None:
    assert broken.codes() == set()
    assert "nothing to repair" in broken.made("fix")


def test_a_half_done_move_is_finished(broken: Broken) -> None:
    for key in broken.keys[:2]:
        broken.owner.set(key, "old")
    broken.setslot(broken.other, "IMPORTING", broken.owner_id)
    broken.setslot(broken.owner, "MIGRATING", broken.other_id)
    broken.put(broken.other, "SET", broken.keys[2], "moved")
    assert broken.codes() == {"open-slots"}
    done = broken.fix()
    assert [step["owner"] for step in done["steps"]] == [broken.other_id]
    assert values(broken) == {"a": "old", "b": "old", "c": "moved"}
    assert broken.codes() == set()


def test_a_move_that_never_began_is_taken_back(broken: Broken) -> None:
    broken.owner.set(broken.keys[0], "old")
    broken.setslot(broken.other, "IMPORTING", broken.owner_id)
    dry = broken.made.json("fix", "--dry-run")
    assert broken.codes() == {"open-slots"}
    assert (dry["done"], [step["owner"] for step in dry["steps"]]) == (False, [broken.owner_id])
    broken.fix()
    assert broken.codes() == set()
    broken.setslot(broken.owner, "MIGRATING", broken.other_id)
    broken.fix()
    assert broken.codes() == set()
    assert (broken.count(broken.owner), values(broken)["a"]) == (1, "old")


def test_a_target_with_keys_gets_the_slot_whatever_the_source_says(broken: Broken) -> None:
    broken.owner.set(broken.keys[0], "old")
    broken.setslot(broken.other, "IMPORTING", broken.owner_id)
    broken.put(broken.other, "SET", broken.keys[1], "moved")
    broken.fix()
    assert broken.codes() == set()
    assert values(broken) == {"a": "old", "b": "moved", "c": None}
    assert broken.count(broken.owner) == 0


def test_a_move_stopped_between_its_last_two_commands_is_finished(broken: Broken) -> None:
    broken.setslot(broken.other, "IMPORTING", broken.owner_id)
    broken.setslot(broken.owner, "MIGRATING", broken.other_id)
    broken.put(broken.other, "SET", broken.keys[0], "moved")
    broken.setslot(broken.owner, "NODE", broken.other_id)
    assert "uncovered-slots" in broken.codes()
    broken.fix()
    assert broken.codes() == set()
    assert values(broken)["a"] == "moved"


def test_a_key_with_two_values_waits_for_a_decision(broken: Broken) -> None:
    one, two, three = broken.keys
    for key, value in ((one, "source"), (two, "same")):
        broken.owner.set(key, value)
    broken.setslot(broken.other, "IMPORTING", broken.owner_id)
    broken.setslot(broken.owner, "MIGRATING", broken.other_id)
    for key, value in ((one, "target"), (two, "same"), (three, "moved")):
        broken.put(broken.other, "SET", key, value)
    text = broken.made("fix", "--dry-run", status=1)
    assert f"key {one} of slot {broken.slot} is on 2 nodes, two values:" in text
    assert "--keep source | target | newer" in text
    left = broken.made.json("fix", "--yes", status=1)
    assert [each["code"] for each in left["left"]] == ["open-slots"]
    assert (broken.owner.get(one), broken.count(broken.other)) == ("source", 3)
    broken.fix("--keep", "source")
    assert values(broken) == {"a": "source", "b": "same", "c": "moved"}
    assert broken.codes() == set()


def test_the_copy_on_the_owner_may_be_kept_as_well(broken: Broken) -> None:
    broken.owner.set(broken.keys[0], "source")
    broken.setslot(broken.other, "IMPORTING", broken.owner_id)
    broken.setslot(broken.owner, "MIGRATING", broken.other_id)
    broken.put(broken.other, "SET", broken.keys[0], "target")
    broken.fix("--keep", "target")
    assert values(broken)["a"] == "target"
    assert broken.codes() == set()


def stray(broken: Broken, *commands: tuple[str, ...]) -> None:
    """Keys of the owner's slot on the other, with the slot closed."""
    broken.setslot(broken.other, "IMPORTING", broken.owner_id)
    for command in commands:
        broken.put(broken.other, *command)
    broken.setslot(broken.other, "STABLE")


def test_strays_go_to_their_owner_unless_it_has_something_else(broken: Broken) -> None:
    one, two, three = broken.keys
    broken.owner.sadd(two, "x", "y", "z")
    broken.owner.set(three, "owner's")
    stray(broken, ("SET", one, "lost"), ("SADD", two, "z", "y", "x"), ("SET", three, "other"))
    assert broken.codes() == {"foreign-keys"}
    after = broken.made.json("fix", "--yes", status=1)
    assert [each["code"] for each in after["left"]] == ["foreign-keys"]
    assert broken.owner.get(one) == "lost"
    assert broken.owner.smembers(two) == {"x", "y", "z"}
    # The set was the same on both sides and is one now; the string is not ours to choose.
    assert (broken.count(broken.other), broken.owner.get(three)) == (1, "owner's")
    broken.fix("--keep", "target")
    assert (broken.count(broken.other), broken.owner.get(three)) == (0, "owner's")
    assert broken.codes() == set()


def test_a_slot_without_owner_is_covered_on_request_by_who_has_its_keys(broken: Broken) -> None:
    broken.owner.set(broken.keys[0], "kept")
    broken.owner.execute_command("CLUSTER", "DELSLOTS", broken.slot)
    assert "uncovered-slots" in broken.codes()
    assert "--cover-uncovered" in broken.made("fix", "--yes", "--patience", "0", status=1)
    broken.fix("--cover-uncovered")
    assert broken.codes() == set()
    assert broken.owner.get(broken.keys[0]) == "kept"


@pytest.mark.slow
def test_a_slot_without_owner_or_keys_goes_to_somebody(broken: Broken) -> None:
    broken.owner.execute_command("CLUSTER", "DELSLOTS", broken.slot)
    broken.fix("--cover-uncovered")
    assert broken.codes() == set()
    assert values(broken)["a"] is None


def test_a_plan_is_written_and_applied_later(broken: Broken, tmp_path: Path) -> None:
    broken.setslot(broken.other, "IMPORTING", broken.owner_id)
    out = tmp_path / "plan.json"
    assert "Add --yes" in broken.made("fix", status=2)
    broken.made("fix", "--out", str(out))
    plan = json.loads(out.read_text())
    assert (plan["verb"], plan["steps"][0]["kind"]) == ("fix", "settle")
    assert broken.codes() == {"open-slots"}
    assert "No such file or directory" in broken.made("fix", "--out", "/nowhere/p", status=1)
    broken.made("apply", str(out), "--yes")
    assert broken.codes() == set()


def test_a_node_that_lives_is_not_forgotten(broken: Broken) -> None:
    port = broken.made.cluster.nodes[0].port
    assert "is not forgotten" in broken.made("fix", "--forget", str(port), status=1)
    assert "no node 1 in the cluster" in broken.made("fix", "--forget", "1", status=1)


@pytest.mark.slow
def test_a_node_that_one_has_forgotten_is_introduced_again(broken: Broken) -> None:
    """Nodes tell each other of a FORGET, so there may be more who have forgotten it with each look."""
    broken.owner.execute_command("CLUSTER", "FORGET", broken.other_id)
    assert "stranger" in broken.codes()
    kinds = set()
    deadline = time.monotonic() + 60
    while "stranger" in broken.codes():
        assert time.monotonic() < deadline
        done = broken.made.any_status("fix", "--yes", "--patience", "0.5")
        kinds |= {step["kind"] for step in done["steps"]}
    assert "introduce" in kinds
    wait_until_sound(broken)


def wait_until_sound(broken: Broken) -> None:
    deadline = time.monotonic() + 60
    while found := broken.codes():
        assert time.monotonic() < deadline, found
        time.sleep(0.05)


def test_epochs_that_collide_are_made_different(broken: Broken) -> None:
    """Nodes that see each other settle this themselves at once, so the collision is made in what we saw; the
    repair of it is real.
    """
    seeds = tuple(broken.made.cluster.addresses)

    async def repair() -> tuple[int, int]:
        async with Fleet(Credentials()) as fleet:
            looked = await survey(fleet, seeds)
            owner, other = (looked.snapshot.member(node) for node in (broken.owner_id, broken.other_id))
            assert owner is not None
            assert other is not None
            epoch = owner.line.config_epoch
            views = tuple(
                replace(view, lines=tuple(_with_epoch(line, broken.other_id, epoch) for line in view.lines))
                for view in looked.snapshot.views
            )
            collided = Survey(ClusterSnapshot(views), looked.facts)
            assert "epoch-collision" in {finding.code for finding in check(collided)}
            change = plan_fix(collided, [], Wishes()).change
            assert [type(step).__name__ for step in change.steps] == ["Bump"]
            await carry_out(change, fleet, Credentials(), seeds, lambda _: None, timeout_s=10)
            after = (await survey(fleet, seeds)).snapshot
            bumped = after.member(change.steps[0].node)  # type: ignore[union-attr]
            assert bumped is not None
            return bumped.line.config_epoch, max(m.line.config_epoch for m in after.primaries)

    epoch, largest = trio.run(repair)
    assert epoch == largest
    wait_until_sound(broken)


def _with_epoch(line: NodeLine, node_id: str, epoch: int) -> NodeLine:
    return replace(line, config_epoch=epoch) if line.node_id == node_id else line
