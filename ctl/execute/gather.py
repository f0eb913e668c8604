"""Asks nodes what they see: the only maker of a ClusterSnapshot."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from ctl.errors import CtlError, UnreachableError
from ctl.execute.fleet import Fleet, concurrently
from ctl.snapshot import Address, ClusterSnapshot, NodeView, parse_cluster_nodes, parse_info
from node.resp.client import LinkError, Reply, ReplyError

HINTS = {
    "NOAUTH": "Give --password (and --user), or set SHOAL_PASSWORD.",
    "WRONGPASS": "Check --user and --password (or SHOAL_USER and SHOAL_PASSWORD).",
    "NOPERM": "The user needs the commands CLUSTER and INFO.",
    "DENIED": "The node is in protected mode: give it a password (requirepass), or protected-mode no.",
}
NO_CLUSTER = "cluster support disabled"


async def ask(fleet: Fleet, address: Address, *info_sections: str) -> NodeView:
    """One node's view. Raises LinkError, or ReplyError for what the node refused."""
    replies = await fleet.pipeline(
        address, [("CLUSTER", "NODES"), ("CLUSTER", "INFO"), ("INFO", *info_sections)]
    )
    nodes, cluster_info, info = map(_text, replies)
    return NodeView(address, parse_cluster_nodes(nodes), parse_info(cluster_info), parse_info(info))


async def gather(fleet: Fleet, seeds: Iterable[Address]) -> ClusterSnapshot:
    """The views of the seeds and of every node that they know, and that those know.

    Raises UnreachableError when none answers.
    """
    views: dict[str, NodeView] = {}
    unreachable: dict[Address, str] = {}
    asked: set[Address] = set()
    wanted = set(seeds)
    while wanted:
        asked |= wanted
        found = await gather_only(fleet, wanted)
        unreachable.update(found.unreachable)
        for view in found.views:
            views.setdefault(view.myself.node_id, view)
        # A node that answered under one address is not asked again under the one that others know it by.
        wanted = {
            line.address
            for view in found.views
            for line in view.others
            if line.address and line.node_id not in views and not line.in_handshake
        } - asked
    if not views:
        raise nobody_answers(unreachable)
    return ClusterSnapshot(tuple(views.values()), unreachable)


async def gather_only(fleet: Fleet, addresses: Iterable[Address], *info_sections: str) -> ClusterSnapshot:
    """The views of exactly these nodes, at the same time."""
    views: list[NodeView] = []
    unreachable: dict[Address, str] = {}

    async def one(address: Address) -> None:
        try:
            views.append(await ask(fleet, address, *info_sections))
        except LinkError as error:
            unreachable[address] = error.reason
        except ReplyError as error:
            unreachable[address] = error.text
        except ValueError as error:
            unreachable[address] = str(error)

    await concurrently(partial(one, address) for address in addresses)
    return ClusterSnapshot(tuple(sorted(views, key=lambda view: view.address)), unreachable)


def nobody_answers(unreachable: dict[Address, str]) -> UnreachableError:
    """The error for a cluster of which no node answered, with the hint that its reason calls for."""
    address, reason = min(unreachable.items())
    reason = _first_sentence(reason)
    if len(unreachable) == 1:
        return UnreachableError(f"{address}: {reason}", hint_for(reason))
    return UnreachableError(
        f"none of {len(unreachable)} nodes answers ({address}: {reason})", hint_for(reason)
    )


def refused(address: Address, what: str, error: ReplyError) -> CtlError:
    """The error for a command that a node answered with an error."""
    return CtlError(f"{address} refused {what}: {_first_sentence(error.text)}", hint_for(error.text))


def hint_for(reason: str) -> str:
    if NO_CLUSTER in reason:
        return "Start the node with --cluster-enabled yes."
    if reason == "connection refused":
        return "Is it running? `ctl cluster start` starts the nodes of a local cluster."
    if reason.startswith("TLS handshake failed"):
        return "--cacert names the authority to trust, --sni the name to check; --tls is for TLS ports alone."
    if "alert" in reason and "certificate" in reason:
        return "Give a certificate that it accepts: --cert and --key."
    if reason == "closed the connection":
        return "Is this its TLS port? Then give --tls."
    return HINTS.get(reason.partition(" ")[0], "")


def _first_sentence(text: str) -> str:
    """Redis explains some refusals (protected mode) over many sentences; one line is enough here."""
    sentence = text.split(". ", 1)[0].rstrip(".")
    return sentence if len(sentence) < 200 else sentence[:199] + "…"


def _text(reply: Reply) -> str:
    if isinstance(reply, ReplyError):
        raise reply
    if not isinstance(reply, bytes):
        raise ValueError(f"does not answer like a cluster node ({reply!r:.40})")
    return reply.decode(errors="replace")
