"""Makes a cluster: of local processes that it starts, or of nodes that run already."""

from __future__ import annotations

import shlex
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import trio

from ctl.errors import CtlError, StoppedByUserError, UnreachableError, UsageError
from ctl.execute import local
from ctl.execute.fleet import Credentials, Fleet
from ctl.execute.gather import gather_only, hint_for
from ctl.execute.local import LocalCluster
from ctl.execute.node_conf import Directive
from ctl.execute.ports import choose_base_port
from ctl.execute.runner import run
from ctl.plan.create import in_cluster, plan_create, plan_layout, primary_count, refuse_unless_empty
from ctl.plan.settle import plan_settle
from ctl.plan.steps import Note, OnEvent, StageDone, StageStarted
from ctl.snapshot import Address, ClusterSnapshot, NodeView

CLEAN_UP_TIMEOUT_S = 3.0
EXISTS = "The cluster was there already, and all is well with it."


@dataclass(frozen=True, slots=True)
class LocalSpec:
    """What `ctl cluster create` without addresses was asked for."""

    directory: Path
    host: str
    base_port: int | None
    node_count: int
    replicas: int
    server: tuple[str, ...]
    directives: tuple[Directive, ...]
    credentials: Credentials


async def create_local(
    spec: LocalSpec, on_event: OnEvent, *, timeout_s: float
) -> tuple[LocalCluster, ClusterSnapshot]:
    """Starts the nodes and joins them. Raises CtlError.

    Whatever stops it half-way, no process is left running. Ctrl-C (a cancellation) removes the files as well;
    after an error they stay, for their logs, until `destroy` or the next creation.
    """
    spec = replace(spec, host=await _ip_of(spec.host))
    primary_count(spec.node_count, spec.replicas)
    _refuse_existing(spec.directory)
    base_port, in_the_way = choose_base_port(spec.host, spec.base_port, spec.node_count)
    last_port = base_port + spec.node_count - 1
    if in_the_way:
        busy = ", ".join(map(str, in_the_way))
        on_event(Note(f"In use: {busy} (or its bus port). The nodes get {base_port} to {last_port} instead."))
    ports = range(base_port, last_port + 1)
    credentials = _credentials(spec)
    cluster = local.prepare(spec.directory, spec.host, ports, spec.server, spec.directives, credentials)
    try:
        return await _start_and_join(cluster, spec.replicas, on_event, timeout_s)
    except CtlError as error:
        await _give_up(cluster)
        hint = f"{error.hint} The nodes were stopped." if error.hint else _logs_hint(cluster)
        raise CtlError(error.text, hint, status=error.status) from error
    except trio.Cancelled:
        await _give_up(cluster)
        local.remove(cluster)
        raise StoppedByUserError("interrupted: the nodes were stopped and their files removed") from None
    except BaseException:
        await _give_up(cluster)
        raise


async def _ip_of(host: str) -> str:
    try:
        return (await resolve([Address(host, 0)]))[0].host
    except UnreachableError:
        raise UsageError(f"no such host: {host}", "--host takes an address of this machine.") from None


def _refuse_existing(directory: Path) -> None:
    """A creation that failed leaves only logs and may be tried again; what else is there is in use."""
    existing = local.load(directory)
    if existing is None:
        return
    running = len(existing.running)
    if existing.phase != "ready" and not running:
        local.remove(existing)
        return
    raise CtlError(
        f"{directory} holds a cluster already ({running} of its {len(existing.nodes)} nodes running)",
        "`ctl cluster start` starts it, `ctl cluster destroy` removes it, --dir makes another elsewhere.",
    )


def _credentials(spec: LocalSpec) -> Credentials:
    """Nodes that are given a password are talked to with it."""
    password = dict(spec.directives).get("requirepass", "")
    try:
        words = shlex.split(password)
    except ValueError:
        raise UsageError(f"requirepass {password}: a quote is not closed") from None
    given = spec.credentials
    return replace(given, password=words[0]) if words and not given.password else given


async def _start_and_join(
    cluster: LocalCluster, replicas: int, on_event: OnEvent, timeout_s: float
) -> tuple[LocalCluster, ClusterSnapshot]:
    title = f"start {len(cluster.nodes)} nodes"
    on_event(StageStarted(title))
    started = trio.current_time()
    cluster = local.launch(cluster, cluster.nodes)
    async with Fleet(cluster.credentials) as fleet:
        try:
            with trio.fail_after(timeout_s):
                await local.wait_ready(cluster, cluster.nodes, fleet)
        except trio.TooSlowError:
            raise CtlError(f"the nodes do not answer after {timeout_s:g} s") from None
        on_event(StageDone(title, round((trio.current_time() - started) * 1000)))
        nodes = await ask_empty(fleet, cluster.addresses)
        layout = plan_layout(nodes, replicas)
        for note in layout.notes:
            on_event(Note(note))
        await run(plan_create(layout), fleet, on_event, timeout_s=started + timeout_s - trio.current_time())
        cluster = replace(cluster, phase="ready")
        local.save(cluster)
        return cluster, await gather_only(fleet, cluster.addresses)


async def _give_up(cluster: LocalCluster) -> None:
    """Stops what was started, as the record has it, and marks the record."""
    with trio.CancelScope(shield=True):
        recorded = local.load(cluster.directory) or cluster
        await local.stop(recorded.nodes, timeout_s=CLEAN_UP_TIMEOUT_S, kill=True)
        local.save(replace(recorded, phase="failed"))


def _logs_hint(cluster: LocalCluster) -> str:
    return f"The nodes were stopped; their logs are {cluster.directory}/*/node.log."


async def resolve(addresses: Iterable[Address]) -> list[Address]:
    """With IP addresses for host names, for CLUSTER MEET. Raises UnreachableError, UsageError."""
    resolved: list[Address] = []
    for address in addresses:
        try:
            found = await trio.socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
        except socket.gaierror as error:
            raise UnreachableError(f"{address}: no such host") from error
        # IPv4 first: a server bound to one family is more often bound to that one.
        ip = str(min(found, key=lambda entry: entry[0] != socket.AF_INET)[4][0])
        if Address(ip, address.port) in resolved:
            raise UsageError(f"{address} is named twice")
        resolved.append(Address(ip, address.port))
    return resolved


async def find_existing(
    fleet: Fleet, addresses: Sequence[Address], on_event: OnEvent, *, timeout_s: float
) -> ClusterSnapshot | None:
    """The cluster that these nodes are already, once it is well; None where none of them is in a cluster.

    Raises CtlError when it is not well in time, or has other nodes too.
    """
    found = await gather_only(fleet, addresses)
    if not any(map(in_cluster, found.views)):
        return None
    await run(plan_settle(addresses), fleet, on_event, timeout_s=timeout_s)
    on_event(Note(EXISTS))
    return await gather_only(fleet, addresses)


def existing_local(spec: LocalSpec) -> LocalCluster | None:
    """The cluster of the directory that was asked for; None where there is none.

    Raises CtlError when there is another one.
    """
    cluster = local.load(spec.directory)
    if cluster is None or cluster.phase != "ready":
        return None
    ports = [node.port for node in cluster.nodes]
    if len(ports) != spec.node_count or spec.base_port not in (None, ports[0]):
        raise CtlError(
            f"{spec.directory} holds another cluster: {len(ports)} nodes, ports {ports[0]} to {ports[-1]}",
            "`ctl cluster start` starts it, `ctl cluster destroy` removes it, --dir makes another elsewhere.",
        )
    return cluster


async def ask_empty(fleet: Fleet, addresses: Sequence[Address]) -> list[NodeView]:
    """The views of nodes that are to become a cluster, in the order given.

    Raises UnreachableError or PlanError, naming each node that does not answer, or is not empty.
    """
    snapshot = await gather_only(fleet, addresses)
    if snapshot.unreachable:
        reasons = [f"{address}: {reason}" for address, reason in sorted(snapshot.unreachable.items())]
        raise UnreachableError("; ".join(reasons), hint_for(next(iter(snapshot.unreachable.values()))))
    refuse_unless_empty(snapshot.views)
    return sorted(snapshot.views, key=lambda view: addresses.index(view.address))
