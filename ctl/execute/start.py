"""Starts nodes of a local cluster again."""

from __future__ import annotations

from collections.abc import Sequence

import trio

from ctl.errors import CtlError
from ctl.execute import local
from ctl.execute.fleet import Fleet
from ctl.execute.gather import gather, gather_only
from ctl.execute.local import LocalCluster, LocalNode
from ctl.plan.steps import OnEvent, StageDone, StageStarted, Waiting, first_unmet
from ctl.snapshot import ClusterSnapshot, NodeView

LOOK_EVERY_S = 0.05


async def start_nodes(
    cluster: LocalCluster, nodes: Sequence[LocalNode], on_event: OnEvent, *, timeout_s: float
) -> ClusterSnapshot:
    """Starts `nodes`; returns when every running node says cluster_state:ok and replicas follow.

    Raises CtlError when one ends, or the time is over; what was started keeps running then.
    """
    missing = "they do not answer"
    try:
        with trio.fail_after(timeout_s):
            started_at = trio.current_time()
            title = f"start {len(nodes)} nodes"
            on_event(StageStarted(title))
            cluster = local.launch(cluster, nodes)
            started = [node for node in cluster.nodes if node.port in {wanted.port for wanted in nodes}]
            async with Fleet(cluster.credentials) as fleet:
                await local.wait_ready(cluster, started, fleet)
                on_event(StageDone(title, round((trio.current_time() - started_at) * 1000)))
                on_event(StageStarted("agree"))
                running = [cluster.address(node) for node in cluster.running]
                while unmet := _unmet(await gather_only(fleet, running, "replication")):
                    missing = unmet
                    on_event(Waiting(missing))
                    await trio.sleep(LOOK_EVERY_S)
                return await gather(fleet, running)
    except trio.TooSlowError:
        raise CtlError(
            f"the nodes run, but after {timeout_s:g} s {missing}", "`ctl cluster check` says what is wrong."
        ) from None


def _behind(view: NodeView, snapshot: ClusterSnapshot) -> bool:
    """Whether it is a replica without a link to a primary that runs."""
    running = {each.myself.node_id for each in snapshot.views}
    return view.myself.primary_id in running and view.info.get("master_link_status") != "up"


def _unmet(snapshot: ClusterSnapshot) -> str | None:
    return first_unmet(
        [f"{address} does not answer ({reason})" for address, reason in snapshot.unreachable.items()]
        + [f"{view.address} says cluster_state:fail" for view in snapshot.views if not view.state_ok]
        + [f"{view.address} is still synchronising" for view in snapshot.views if _behind(view, snapshot)]
    )
