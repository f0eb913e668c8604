"""`ctl drill slow-disk`"""

from __future__ import annotations

from typing import Any

import click

from ctl.commands.common import Verb
from ctl.commands.drilling import drill, drill_options


@click.command("slow-disk", cls=Verb)
@click.argument("nodes", nargs=-1, metavar="[NODE]...")
@click.option(
    "--delay-ms",
    default=1000,
    show_default=True,
    type=click.IntRange(1, 60_000),
    help="How much longer each sync takes.",
)
@click.option("--duration", type=click.FloatRange(0.1, 3600), help="Seconds that it lasts; 10 unless given.")
@drill_options
def command(nodes: tuple[str, ...], delay_ms: int, duration: float | None, **options: Any) -> None:
    """Make syncs to disk slow on some nodes under load, and report.

    On those named, or the first primary, each sync of the append-only file and of nodes.conf takes so much
    longer (DEBUG FAULT: Shoal nodes with enable-debug-command). Without appendonly only votes feel it.
    """
    drill("slow-disk", options, nodes=nodes, duration_s=duration, sync_delay_ms=delay_ms)
