"""Connections to the nodes of a cluster: one each, made when first needed, kept for the length of a verb."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import trio

from ctl.snapshot import Address
from node.resp.client import Client, Reply

DEFAULT_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class Credentials:
    """What to authenticate with; no password, no AUTH."""

    user: str | None = None
    password: str | None = None


class Fleet:
    """Calls by address. Raises what `node.resp.client.Client` raises; a broken connection is made anew next
    time.
    """

    def __init__(self, credentials: Credentials, *, timeout_s: float = DEFAULT_TIMEOUT_S) -> None:
        self._credentials = credentials
        self._timeout_s = timeout_s
        self._clients: dict[Address, Client] = {}
        self._locks: dict[Address, trio.Lock] = {}

    async def client(self, address: Address) -> Client:
        async with self._locks.setdefault(address, trio.Lock()):
            known = self._clients.get(address)
            if known is None or known.closed:
                known = self._clients[address] = await self.connect(address)
            return known

    async def connect(self, address: Address) -> Client:
        """A connection of the caller's own, that the caller closes."""
        return await Client.connect(
            address.host,
            address.port,
            timeout_s=self._timeout_s,
            username=self._credentials.user,
            password=self._credentials.password,
        )

    async def call(self, address: Address, *args: str | int | bytes, timeout_s: float | None = None) -> Reply:
        return await (await self.client(address)).call(*args, timeout_s=timeout_s)

    async def pipeline(
        self,
        address: Address,
        commands: Sequence[Sequence[str | int | bytes]],
        *,
        timeout_s: float | None = None,
    ) -> list[Reply]:
        return await (await self.client(address)).pipeline(commands, timeout_s=timeout_s)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for client in self._clients.values():
            await client.aclose()


async def concurrently(tasks: Iterable[Callable[[], Awaitable[None]]]) -> None:
    """Runs all at the same time. The first to fail cancels the others, and its exception is raised bare."""
    try:
        async with trio.open_nursery() as nursery:
            for task in tasks:
                nursery.start_soon(task)
    except BaseExceptionGroup as group:
        raise telling(group) from None


def telling(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The one exception of a group to report: a cancellation only when there is nothing else."""
    leaves = list(_leaves(group))
    return next((leaf for leaf in leaves if not isinstance(leaf, trio.Cancelled)), leaves[0])


def _leaves(error: BaseException) -> Iterable[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from _leaves(each)
    else:
        yield error
