"""`ctl cluster backup`"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import trio

from ctl.commands.common import Verb, json_option, run, target, target_options
from ctl.errors import UsageError
from ctl.execute.backup import Ask, Meter, plan_backup, take_backup
from ctl.execute.backup_files import check_new, read_manifest, remove_abandoned, verify
from ctl.plan.backup import Manifest
from ctl.render import backup as show
from ctl.render import machine
from ctl.render.console import stdout


@click.command("backup", cls=Verb)
@click.argument("where", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--from-replicas", is_flag=True, help="Let replicas give the data, not primaries.")
@click.option("--verify", "verify_only", is_flag=True, help="Take nothing: check the backup in DIR.")
@click.option("--dry-run", is_flag=True, help="Show which node would give what.")
@click.option(
    "--timeout",
    default=60.0,
    type=click.FloatRange(0.1),
    show_default=True,
    help="Seconds that a node may be silent.",
)
@target_options
@json_option
def command(where: Path, from_replicas: bool, verify_only: bool, dry_run: bool, **options: Any) -> None:
    """Back up all shards at once into one directory.

    DIR gets an RDB file a shard and a manifest with slots, offsets and checksums; it is there whole or not at
    all. Nodes are asked as replicas ask, and nothing is written to them. Slots that move meanwhile are
    noticed, and the backup is given up. `ctl cluster restore DIR` puts it into any cluster.
    """
    as_json = options["as_json"]
    where = Path(where.absolute())
    if verify_only and (from_replicas or dry_run):
        raise UsageError("--verify takes no backup", "Leave --from-replicas and --dry-run out.")
    if verify_only:
        manifest = check(where, as_json=as_json)
        _show(manifest, where, as_json=as_json, verified=True)
        return
    check_new(where)
    place = target(options["addr"], options["directory"], options["user"], options["password"])
    ask = Ask(place.seeds, place.credentials, where, from_replicas, options["timeout"])
    if dry_run:
        sources = run(lambda: plan_backup(ask))
        if as_json:
            click.echo(machine.text(show.sources_document(sources, where)))
        else:
            show.print_sources(stdout(), sources, where)
        return
    for path in remove_abandoned(where.parent):
        click.echo(f"ctl: removed {path}, left by a backup whose ctl was killed", err=True)
    with show.transfer_progress(quiet=as_json) as on_progress:
        manifest = run(lambda: take_backup(ask, on_progress))
    _show(manifest, where, as_json=as_json)


def check(where: Path, *, as_json: bool) -> Manifest:
    """The manifest of a backup of which every file is as it was written. Raises BackupError."""
    manifest = read_manifest(where)

    async def read() -> None:
        meter = Meter(on_progress, "checking", manifest.size_bytes)
        await trio.to_thread.run_sync(
            lambda: verify(where, manifest, lambda count: trio.from_thread.run_sync(meter.add, count))
        )

    with show.transfer_progress(quiet=as_json) as on_progress:
        run(read)
    return manifest


def _show(manifest: Manifest, where: Path, *, as_json: bool, verified: bool = False) -> None:
    if as_json:
        words = {"verified": True} if verified else {"done": True}
        click.echo(machine.text({**words, **show.manifest_document(manifest, where)}))
        return
    show.print_manifest(stdout(), manifest, where)
    if verified:
        click.echo("every file is as it was written")
