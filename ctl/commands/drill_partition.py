"""`ctl drill partition`"""

from __future__ import annotations

from typing import Any

import click

from ctl.commands.common import Verb
from ctl.commands.drilling import drill, drill_options, duration_option


@click.command("partition", cls=Verb)
@click.option(
    "--side",
    "sides",
    multiple=True,
    metavar="NODE,NODE…",
    help="Nodes on a side; may be given again. The rest is one more. Unless given, one primary is alone.",
)
@duration_option
@drill_options
def command(sides: tuple[str, ...], duration: float | None, **options: Any) -> None:
    """Cut the network between nodes, join it again, and report.

    Each side has clients of its own, which reach the nodes of that side alone. No privileges are needed: the
    nodes themselves lose what they get from the other side (DEBUG FAULT), so they must allow DEBUG
    (enable-debug-command) and be Shoal nodes. The cut ends by itself, should ctl be killed.
    """
    drill("partition", options, sides=sides, duration_s=duration)
