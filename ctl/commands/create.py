"""`ctl cluster create`"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import trio
from click.core import ParameterSource

from ctl.commands.common import (
    Verb,
    address,
    confirm,
    credentials,
    credentials_options,
    directory_option,
    json_option,
    run,
    yes_option,
)
from ctl.errors import StoppedByUserError, UsageError
from ctl.execute.create import (
    EXISTS,
    LocalSpec,
    ask_empty,
    create_local,
    existing_local,
    find_existing,
    resolve,
)
from ctl.execute.fleet import Credentials, Fleet
from ctl.execute.gather import gather_only
from ctl.execute.local import server_command
from ctl.execute.node_conf import parse_options
from ctl.execute.runner import run as run_plan
from ctl.execute.start import start_nodes
from ctl.plan.create import Layout, plan_create, plan_layout
from ctl.plan.steps import Event, Note, OnEvent
from ctl.render import created
from ctl.render.progress import progress
from ctl.snapshot import Address, ClusterSnapshot

DIRECTIVES = "ctl.directives"
LOCAL_ONLY = ("nodes", "base_port", "directory", "server", "host", "node_option")
WILDCARDS = ("0.0.0.0", "::", "*")


class CreateVerb(Verb):
    """Takes `-- --directive value …` away before click would take those words for addresses."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if "--" in args:
            at = args.index("--")
            ctx.meta[DIRECTIVES] = args[at + 1 :]
            args = args[:at]
        return super().parse_args(ctx, args)


@click.command("create", cls=CreateVerb)
@click.argument("addresses", nargs=-1, type=address, metavar="[HOST:PORT]...")
@click.option(
    "--nodes", default=6, type=click.IntRange(1, 1000), show_default=True, help="How many to start."
)
@click.option("--replicas", default=1, type=click.IntRange(0, 100), show_default=True, help="Per primary.")
@click.option("--base-port", type=int, help="First port.  [default: 7000, or where ports are free]")
@directory_option
@click.option("--server", help="Another engine's command: redis-server, valkey-server.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address that local nodes listen on.")
@click.option(
    "--node-option", multiple=True, metavar="NAME=VALUE", help="Directive for every node; repeatable."
)
@click.option(
    "--timeout", default=30.0, type=click.FloatRange(0.1), show_default=True, help="Seconds for all of it."
)
@click.option("--if-missing", is_flag=True, help="Be content with this cluster where it is there already.")
@credentials_options
@yes_option
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    /,
    addresses: tuple[Address, ...],
    replicas: int,
    user: str | None,
    password: str | None,
    timeout: float,
    if_missing: bool,
    yes: bool,
    as_json: bool,
    **local_options: Any,
) -> None:
    """Start a local cluster, or join running nodes to one.

    Without ADDRESSES, starts nodes on this machine in the background, in a directory of their own. Directives
    for them may also follow after --, as in: ctl cluster create -- --cluster-node-timeout 2000

    With ADDRESSES (host:port ...), joins nodes that run already and are empty; asks before it does.

    With --if-missing it may be run again: a cluster of exactly these nodes is waited for until all is well
    with it (those of a local one are started where they do not run), and nothing of it is changed.
    """
    given = credentials(user, password)
    directives = ctx.meta.get(DIRECTIVES, [])
    terms = Terms(timeout, if_missing, yes, as_json)
    if addresses:
        _refuse_local_options(ctx, directives)
        _make_of_running(addresses, replicas, given, terms)
        return
    spec = _local_spec(replicas=replicas, credentials=given, directives=directives, **local_options)
    named = ctx.get_parameter_source("directory") == ParameterSource.COMMANDLINE
    _make_local(spec, terms, named=named)


@dataclass(frozen=True, slots=True)
class Terms:
    """How it is to be done, whatever is to be done."""

    timeout_s: float
    if_missing: bool
    yes: bool
    as_json: bool


def _make_of_running(
    addresses: tuple[Address, ...], replicas: int, credentials: Credentials, terms: Terms
) -> None:
    if terms.if_missing:
        with _noting(terms) as (on_event, notes):
            there = run(lambda: _find(addresses, credentials, on_event, terms.timeout_s))
        if there is not None:
            created.show(there, notes, as_json=terms.as_json)
            return
    layout = run(lambda: _plan(addresses, replicas, credentials))
    if not terms.as_json:
        created.show_layout(layout)
    confirm("Make this cluster?", yes=terms.yes, as_json=terms.as_json)
    with progress(quiet=terms.as_json) as on_event:
        snapshot = run(lambda: _join(layout, credentials, on_event, terms.timeout_s))
    created.show(snapshot, layout.notes, as_json=terms.as_json)


def _make_local(spec: LocalSpec, terms: Terms, *, named: bool) -> None:
    there = existing_local(spec) if terms.if_missing else None
    with _noting(terms) as (on_event, notes):
        if there is None:
            cluster, snapshot = run(lambda: create_local(spec, on_event, timeout_s=terms.timeout_s))
        else:
            cluster = there
            waiting = [node for node in there.nodes if not node.running]
            snapshot = run(lambda: start_nodes(there, waiting, on_event, timeout_s=terms.timeout_s))
            on_event(Note(EXISTS))
    tls = cluster.credentials.tls
    created.show_local(
        snapshot,
        cluster.directory,
        notes,
        tls=tls.for_redis_cli() if tls else "",
        named=named,
        as_json=terms.as_json,
    )


@contextmanager
def _noting(terms: Terms) -> Iterator[tuple[OnEvent, list[str]]]:
    """Progress, and the notes that come up, for the JSON form."""
    notes: list[str] = []
    with progress(quiet=terms.as_json) as on_event:

        def listen(event: Event) -> None:
            if isinstance(event, Note):
                notes.append(event.text)
            on_event(event)

        yield listen, notes


def _local_spec(
    *,
    nodes: int,
    replicas: int,
    base_port: int | None,
    directory: Path,
    server: str | None,
    host: str,
    node_option: tuple[str, ...],
    directives: list[str],
    credentials: Credentials,
) -> LocalSpec:
    if host in WILDCARDS:
        raise UsageError(
            f"--host {host} is no address to tell others", "Give the one that clients connect to."
        )
    parsed = parse_options(node_option, directives)
    local_host = host.startswith("127.") or host in ("::1", "localhost")
    if not local_host and not {"requirepass", "protected-mode"} & {name for name, _ in parsed}:
        raise UsageError(
            f"nodes on {host} without a password would be in protected mode and refuse all clients",
            "Add --node-option requirepass=SECRET, or protected-mode=no to go without.",
        )
    return LocalSpec(
        directory=directory,
        host=host,
        base_port=base_port,
        node_count=nodes,
        replicas=replicas,
        server=server_command(server),
        directives=tuple(parsed),
        credentials=credentials,
    )


def _refuse_local_options(ctx: click.Context, directives: list[str]) -> None:
    given = [name for name in LOCAL_ONLY if ctx.get_parameter_source(name) == ParameterSource.COMMANDLINE]
    if given or directives:
        option = f"--{given[0].replace('_', '-')}" if given else "directives after --"
        option = "--dir" if option == "--directory" else option
        raise UsageError(
            f"{option} is for nodes that create starts", "With addresses, the nodes run already."
        )


async def _find(
    addresses: tuple[Address, ...], credentials: Credentials, on_event: OnEvent, timeout_s: float
) -> ClusterSnapshot | None:
    async with Fleet(credentials) as fleet:
        return await find_existing(fleet, await resolve(addresses), on_event, timeout_s=timeout_s)


async def _plan(addresses: tuple[Address, ...], replicas: int, credentials: Credentials) -> Layout:
    async with Fleet(credentials) as fleet:
        return plan_layout(await ask_empty(fleet, await resolve(addresses)), replicas)


async def _join(
    layout: Layout, credentials: Credentials, on_event: OnEvent, timeout_s: float
) -> ClusterSnapshot:
    async with Fleet(credentials) as fleet:
        try:
            await run_plan(plan_create(layout), fleet, on_event, timeout_s=timeout_s)
        except trio.Cancelled:
            raise StoppedByUserError(
                "interrupted: the nodes run, joined in part",
                "To start over, send CLUSTER RESET HARD to each of them, then create again.",
            ) from None
        return await gather_only(fleet, [node.address for node in layout.nodes])
