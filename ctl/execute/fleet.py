"""Connections to the nodes of a cluster: one each, made when first needed, kept for the length of a verb.

Where commands to one node are to run side by side, though each waits for something there, they get a `lane`
each, a connection of their own.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import trio

from ctl.execute.tls import TlsOptions, tls_client
from ctl.snapshot import Address
from node.resp.client import Client, Reply

DEFAULT_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class Credentials:
    """What to authenticate with, and over what; no password, no AUTH, and without `tls` in the clear."""

    user: str | None = None
    password: str | None = None
    tls: TlsOptions | None = None


class Fleet:
    """Calls by address. Raises what `node.resp.client.Client` raises; a broken connection is made anew next
    time.
    """

    def __init__(self, credentials: Credentials, *, timeout_s: float = DEFAULT_TIMEOUT_S) -> None:
        """Raises UsageError for certificates that are of no use."""
        self._credentials = credentials
        self._timeout_s = timeout_s
        self._tls = tls_client(credentials.tls) if credentials.tls else None
        self._clients: dict[tuple[Address, int], Client] = {}
        self._locks: dict[tuple[Address, int], trio.Lock] = {}

    async def client(self, address: Address, lane: int = 0) -> Client:
        where = (address, lane)
        async with self._locks.setdefault(where, trio.Lock()):
            known = self._clients.get(where)
            if known is None or known.closed:
                known = self._clients[where] = await self.connect(address)
            return known

    async def connect(self, address: Address) -> Client:
        """A connection of the caller's own, that the caller closes."""
        return await Client.connect(
            address.host,
            address.port,
            timeout_s=self._timeout_s,
            username=self._credentials.user,
            password=self._credentials.password,
            tls=self._tls,
        )

    async def call(self, address: Address, *args: str | int | bytes, timeout_s: float | None = None) -> Reply:
        return await (await self.client(address)).call(*args, timeout_s=timeout_s)

    async def pipeline(
        self,
        address: Address,
        commands: Sequence[Sequence[str | int | bytes]],
        *,
        timeout_s: float | None = None,
        lane: int = 0,
    ) -> list[Reply]:
        return await (await self.client(address, lane)).pipeline(commands, timeout_s=timeout_s)

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
