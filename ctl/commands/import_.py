"""`ctl cluster import`"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import trio

from ctl.commands.common import (
    Verb,
    credentials,
    json_option,
    run,
    target,
    target_options,
    yes_option,
)
from ctl.commands.restore import existing_of, finish, wanted
from ctl.errors import UsageError
from ctl.execute.backup import Meter
from ctl.execute.import_ import Mode, Order, Origin, look_at_file, look_at_server, look_at_target, run_import
from ctl.execute.import_live import follow
from ctl.execute.restore import Into
from ctl.render import backup as show
from ctl.snapshot import Address

SECONDS = click.FloatRange(0.1)


@click.command("import", cls=Verb)
@click.argument("source", metavar="HOST:PORT|FILE")
@click.option("--source-user", envvar="SHOAL_SOURCE_USER", show_envvar=True, help="User at the source.")
@click.option(
    "--source-password", envvar="SHOAL_SOURCE_PASSWORD", show_envvar=True, help="Password at the source."
)
@click.option(
    "--source-tls", is_flag=True, help="Speak TLS to the source, with the same files as with --tls."
)
@click.option("--db", type=click.IntRange(0), help="Which database of the source; others are left out.")
@click.option("--replace", is_flag=True, help="Replace keys that the cluster has already.")
@click.option("--skip-existing", is_flag=True, help="Leave keys alone that the cluster has already.")
@click.option("--live", is_flag=True, help="Go on with every write at the source, until Ctrl-C.")
@click.option("--cutover", is_flag=True, help="As --live, until nothing is missing; then pause the source.")
@click.option("--pause", default=30.0, type=SECONDS, show_default=True, help="Seconds of --cutover's pause.")
@click.option("--scan", is_flag=True, help="By SCAN and DUMP: for a server that lets nobody replicate.")
@click.option(
    "--timeout", default=60.0, type=SECONDS, show_default=True, help="Seconds that the source may be silent."
)
@click.option("--dry-run", is_flag=True, help="Look at both ends; write nothing.")
@target_options
@yes_option
@json_option
def command(source: str, dry_run: bool, **options: Any) -> None:
    """Bring keys in from a server, a cluster or a file.

    HOST:PORT is a standalone server or any node of another cluster, FILE an RDB file or an AOF. Keys are
    copied: the source keeps its own. A key that is at both ends is listed and left as it is, unless --replace
    or --skip-existing says more.
    """
    as_json = options["as_json"]
    order = _order(options)
    origin = _origin(source, order, as_json=as_json)
    plan = run(lambda: look_at_target(order, origin))
    if not wanted(plan, dry_run=dry_run, yes=options["yes"], as_json=as_json):
        return
    carry = follow if order.mode in ("live", "cutover") else run_import
    with show.transfer_progress(quiet=as_json) as on_progress:
        outcome = run(lambda: carry(order, origin, on_progress))
    if order.mode == "cutover" and not outcome.conflict_count:
        outcome.notes.append(f"Writes at the source are paused for {order.pause_s:g} s: send clients here.")
    finish(outcome, as_json=as_json)


def _order(options: dict[str, Any]) -> Order:
    """Raises UsageError for options that do not go together."""
    existing = existing_of(replace=options["replace"], skip=options["skip_existing"])
    live = options["live"] or options["cutover"]
    if options["scan"] and live:
        raise UsageError("--scan cannot follow writes", "Leave it out, or leave --live and --cutover out.")
    if live and existing == "skip":
        raise UsageError(
            "--skip-existing cannot follow writes: they would change the keys that are left alone",
            "Say --replace, or neither.",
        )
    mode: Mode = (
        "cutover" if options["cutover"] else "live" if live else "scan" if options["scan"] else "copy"
    )
    place = target(options["addr"], options["directory"], options["user"], options["password"])
    return Order(
        Into(place.seeds, place.credentials, existing),
        credentials(options["source_user"], options["source_password"], tls=options["source_tls"]),
        mode,
        options["db"],
        options["timeout"],
        options["pause"],
    )


def _origin(source: str, order: Order, *, as_json: bool) -> Origin:
    """A file where there is one of that name, else a server. Raises CtlError."""
    path = Path(source)
    if not path.is_file():
        try:
            node = Address.parse(source)
        except ValueError as error:
            raise UsageError(
                f"{source!r} is neither a file nor an address like 127.0.0.1:6379",
                "Of an AOF directory name the base file." if path.is_dir() else "Is the path right?",
            ) from error
        return run(lambda: look_at_server(order, node))
    if order.mode != "copy":
        raise UsageError("a file cannot be followed or scanned", "Leave --live, --cutover and --scan out.")

    async def look() -> Origin:
        meter = Meter(on_progress, "checking", path.stat().st_size)
        return await trio.to_thread.run_sync(
            lambda: look_at_file(path, lambda count: trio.from_thread.run_sync(meter.add, count))
        )

    with show.transfer_progress(quiet=as_json) as on_progress:
        return run(look)
