"""ctl.execute.lock: one ctl at a time, by a key with a lease."""

from __future__ import annotations

import json
from typing import Any

import pytest
import trio

from ctl.errors import CtlError
from ctl.execute.fleet import Credentials
from ctl.execute.lock import KEY, LockedError, LockLostError, Owner, locked
from gossip.slots import key_slot

LEASE_S = 1.5  # calls have a third of it, on a busy machine too


async def holder_of(three: Any) -> Any:
    """The key's value, wherever its slot is."""
    for member in (await three.look()).primaries:
        if key_slot(KEY) in member.line.slots:
            return await three.call(member.address, "GET", KEY)
    raise AssertionError("the slot of the lock has no owner")


def taking(three: Any, verb: str = "reshard", **options: Any) -> Any:
    return locked(Credentials(), tuple(three.addresses), verb, lease_s=LEASE_S, **options)


async def test_it_is_there_while_the_block_runs_and_gone_after_it(three: Any) -> None:
    async with taking(three) as lock:
        lock.check()
        assert json.loads(await holder_of(three))["verb"] == "reshard"
    assert await holder_of(three) is None


async def test_a_second_ctl_is_told_who_is_at_work(three: Any) -> None:
    async with taking(three):
        with pytest.raises(BaseExceptionGroup) as caught:
            async with taking(three, "rebalance"):
                pytest.fail("two at once")
        [error] = caught.value.exceptions
        assert isinstance(error, LockedError)
        assert "reshard, by" in error.text
        assert "process" in error.text


async def test_the_lease_is_prolonged_for_as_long_as_the_work_takes(three: Any) -> None:
    async with taking(three) as lock:
        for _ in range(3):
            await trio.sleep(LEASE_S / 2)  # time is what is tested here
            lock.check()
        assert await holder_of(three) is not None


async def test_the_lock_of_a_ctl_that_was_killed_ends_by_itself(three: Any) -> None:
    value = Owner.me("dead").value()
    node = next(m.address for m in (await three.look()).primaries if key_slot(KEY) in m.line.slots)
    await three.call(node, "SET", KEY, value, "PX", 400)
    waited: list[str] = []
    started = trio.current_time()
    async with locked(Credentials(), tuple(three.addresses), "resume", waited.append, lease_s=2.0):
        assert trio.current_time() - started > 0.2
    assert "is not prolonged" in waited[0]


async def test_who_lost_the_lock_may_not_go_on(three: Any) -> None:
    node = next(m.address for m in (await three.look()).primaries if key_slot(KEY) in m.line.slots)
    async with taking(three) as lock:
        await three.call(node, "SET", KEY, Owner.me("rebalance").value())
        with trio.fail_after(20):
            while not lock.lost:
                await trio.sleep(0.01)
        with pytest.raises(LockLostError, match="was taken by"):
            lock.check()
    # Another's lock is not released with ours.
    assert json.loads(await holder_of(three))["verb"] == "rebalance"
    await three.call(node, "DEL", KEY)


@pytest.mark.parametrize("words", [("SET", KEY, "mine"), ("RPUSH", KEY, "mine"), ("SET", KEY, '{"lock": 1}')])
async def test_a_key_of_the_user_under_that_name_is_left_alone(three: Any, words: tuple[Any, ...]) -> None:
    node = next(m.address for m in (await three.look()).primaries if key_slot(KEY) in m.line.slots)
    await three.call(node, *words)
    with pytest.raises(BaseExceptionGroup) as caught:
        async with taking(three):
            pytest.fail("taken")
    [error] = caught.value.exceptions
    assert isinstance(error, CtlError)
    assert "is in use and is not a lock of ctl" in error.text
    assert await three.call(node, "PTTL", KEY) == -1
    await three.call(node, "DEL", KEY)
