"""One command to many nodes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from ctl.execute.fleet import Fleet, concurrently
from ctl.snapshot import Address
from node.resp.client import LinkError, Reply, ReplyError


@dataclass(frozen=True, slots=True)
class Answer:
    """What `node` replied; an error reply and a failed connection are both a ReplyError with a text."""

    node: Address
    reply: Reply

    @property
    def failed(self) -> bool:
        return isinstance(self.reply, ReplyError)


async def call_each(fleet: Fleet, nodes: Sequence[Address], words: Sequence[str]) -> list[Answer]:
    """The answers in the order of `nodes`, asked at the same time."""
    replies: dict[Address, Reply] = {}

    async def one(node: Address) -> None:
        try:
            replies[node] = await fleet.call(node, *words)
        except ReplyError as error:
            replies[node] = error
        except LinkError as error:
            replies[node] = ReplyError(error.reason)

    await concurrently(partial(one, node) for node in nodes)
    return [Answer(node, replies[node]) for node in nodes]
