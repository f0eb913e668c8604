"""Whose slots are: asked of a node itself, over its client port."""

from __future__ import annotations

from gossip.slots import SlotSet
from node.resp.client import Client, ReplyError
from node.resp.stream import LinkError, TlsClient

TIMEOUT_S = 1.0


async def slots_by_its_own_word(
    host: str, port: int, tls: TlsClient | None, credentials: list[bytes], local_host: str | None
) -> SlotSet | None:
    """The slots a node says are its own; None when it does not answer. `credentials` are AUTH's words."""
    try:
        async with await Client.connect(
            host, port, timeout_s=TIMEOUT_S, local_host=local_host, tls=tls
        ) as client:
            if credentials:
                await client.call(*credentials)
            text = await client.call(b"CLUSTER", b"NODES")
    except (LinkError, ReplyError):
        return None
    return _of_myself(text) if isinstance(text, bytes) else None


def _of_myself(text: bytes) -> SlotSet | None:
    for line in text.decode("utf-8", "replace").splitlines():
        words = line.split(" ")
        if len(words) < 8 or "myself" not in words[2].split(","):
            continue
        ranges = [word.partition("-") for word in words[8:] if not word.startswith("[")]
        try:
            return SlotSet.from_ranges((int(first), int(last or first)) for first, _, last in ranges)
        except ValueError:
            return None
    return None
