"""Commands to whichever node serves their slot, while the cluster goes on living.

MOVED changes the map here and sends the command on; ASK goes once to the other node, with ASKING; TRYAGAIN,
LOADING, CLUSTERDOWN and a lost link are tried again for as long as `patience_s` says, after a new look at the
cluster (a replica may have taken over). Everything else is the caller's to judge.

A command whose link was lost may have been carried out or not. It is sent again, so only commands that may be
carried out twice belong here; the caller is told which were (`Answer.again`). For others there is `once`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import trio

from ctl.errors import UnreachableError
from ctl.execute.fleet import Fleet, concurrently
from ctl.execute.gather import gather, refused
from ctl.execute.lock import told
from ctl.execute.slot_move import Command
from ctl.snapshot import Address, ClusterSnapshot
from gossip.slots import SLOT_COUNT
from node.resp.client import LinkError, Reply, ReplyError

PATIENCE_S = 30.0
CALL_TIMEOUT_S = 60.0
PAUSE_S = 0.05
PAUSE_MAX_S = 1.0
PASSING = ("TRYAGAIN", "LOADING", "CLUSTERDOWN", "MASTERDOWN", "BUSY")


class Answer(NamedTuple):
    """A command's reply. `again`: it was sent twice, since a link was lost."""

    reply: Reply
    again: bool


class Routes:
    """`guard` is called before anything is sent, and raises when ctl may not change anything any more."""

    def __init__(
        self,
        fleet: Fleet,
        snapshot: ClusterSnapshot,
        guard: Callable[[], None] = lambda: None,
        *,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self.fleet = fleet
        self.retries = 0
        self._guard = guard
        self._patience_s = patience_s
        self._seeds = tuple(view.address for view in snapshot.views)
        self._owners: list[Address] = [self._seeds[0]] * SLOT_COUNT
        self._learn(snapshot)

    @property
    def primaries(self) -> tuple[Address, ...]:
        """Those that own slots, as far as is known."""
        return tuple(sorted(set(self._owners)))

    def owner(self, slot: int) -> Address:
        return self._owners[slot]

    async def send(
        self, slots: Sequence[int], commands: Sequence[Command], *, once: bool = False
    ) -> list[Answer]:
        """The answers in the order of `commands`, each for a key of the slot beside it.

        Commands for one slot are carried out in their order unless the slot is being moved. Raises
        UnreachableError when a node neither answers nor is replaced in time, and with `once` as soon as a
        link is lost.
        """
        answers: dict[int, Answer] = {}
        again: set[int] = set()
        deadline, pause_s = trio.current_time() + self._patience_s, PAUSE_S
        while len(answers) < len(commands):
            left = [number for number in range(len(commands)) if number not in answers]
            results: list[tuple[int, Answer | str]] = []
            by_node: dict[Address, list[int]] = {}
            for number in left:
                by_node.setdefault(self._owners[slots[number]], []).append(number)
            await concurrently(
                partial(self._ask, node, numbers, slots, commands, again, results)
                for node, numbers in by_node.items()
            )
            answers.update((number, result) for number, result in results if type(result) is Answer)
            reasons = [result for _, result in results if type(result) is str]
            if reasons and (trio.current_time() > deadline or (once and again)):
                raise UnreachableError(next(filter(None, reasons), "a slot is sent from node to node"))
            if any(reasons):
                self.retries += 1
                await trio.sleep(pause_s)
                pause_s = min(2 * pause_s, PAUSE_MAX_S)
                await self._look()
        if again:
            return [Answer(answers[number].reply, number in again) for number in range(len(commands))]
        return [answers[number] for number in range(len(commands))]

    async def _ask(
        self,
        node: Address,
        numbers: Sequence[int],
        slots: Sequence[int],
        commands: Sequence[Command],
        again: set[int],
        results: list[tuple[int, Answer | str]],
    ) -> None:
        """Adds for each number its answer, or why it has to be sent again: nothing where only to another."""
        self._guard()
        try:
            some = [commands[number] for number in numbers]
            replies = await self.fleet.pipeline(node, some, timeout_s=CALL_TIMEOUT_S)
        except LinkError as error:
            results += [(number, str(error)) for number in numbers]
            again.update(numbers)
            return
        except ReplyError as error:
            raise refused(node, "the password", error) from error
        for number, reply in zip(numbers, replies, strict=True):
            if isinstance(reply, ReplyError):
                results.append((number, await self._judge(slots[number], node, commands[number], reply)))
            else:
                results.append((number, Answer(reply, again=False)))

    async def _judge(self, slot: int, node: Address, command: Command, error: ReplyError) -> Answer | str:
        """The answer, or why it has to be sent again, or nothing where it was sent to the wrong node."""
        if error.code == "MOVED":
            self._owners[slot] = told(error.text, node)
            return ""
        reply: Reply = error
        if error.code == "ASK":
            try:
                replies = await self.fleet.pipeline(told(error.text, node), [("ASKING",), command])
            except LinkError as lost:
                return str(lost)
            reply = replies[-1]
        if isinstance(reply, ReplyError) and reply.code in (*PASSING, "MOVED", "ASK"):
            return f"{node}: {reply.text}"
        return Answer(reply, again=False)

    async def _look(self) -> None:
        try:
            with trio.move_on_after(self._patience_s):
                self._learn(await gather(self.fleet, self._seeds))
        except UnreachableError:
            return  # nobody answers now; `send` says so when its patience is over

    def _learn(self, snapshot: ClusterSnapshot) -> None:
        for member in snapshot.primaries:
            if member.address is not None and member.healthy:
                for first, last in member.line.slots.ranges():
                    self._owners[first : last + 1] = [member.address] * (last + 1 - first)
