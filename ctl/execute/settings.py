"""What nodes have set: CONFIG GET of all of them."""

from __future__ import annotations

from collections.abc import Sequence

from ctl.execute.call import call_each
from ctl.execute.fleet import Fleet
from ctl.execute.gather import refused
from ctl.snapshot import ClusterSnapshot
from node.resp.client import ReplyError


async def current_settings(
    fleet: Fleet, snapshot: ClusterSnapshot, names: Sequence[str]
) -> dict[str, dict[str, str]]:
    """These directives by node id; one that a node does not know is not there. Raises CtlError."""
    ids = {view.address: view.myself.node_id for view in snapshot.views}
    current: dict[str, dict[str, str]] = {node: {} for node in ids.values()}
    for name in names:
        for answer in await call_each(fleet, list(ids), ["CONFIG", "GET", name]):
            if isinstance(answer.reply, ReplyError):
                raise refused(answer.node, f"CONFIG GET {name}", answer.reply)
            assert isinstance(answer.reply, list), answer.reply
            texts = [word.decode(errors="replace") for word in answer.reply if isinstance(word, bytes)]
            found = dict(zip(texts[::2], texts[1::2], strict=True))
            if name in found:
                current[ids[answer.node]][name] = found[name]
    return current
