"""`ctl drill restart-rolling`"""

from __future__ import annotations

from typing import Any

import click

from ctl.commands.common import Verb
from ctl.commands.drilling import command_options, drill, drill_options


@click.command("restart-rolling", cls=Verb)
@click.argument("nodes", nargs=-1, metavar="[NODE]...")
@command_options
@drill_options
def command(nodes: tuple[str, ...], **options: Any) -> None:
    """Restart all nodes one by one under load, and report.

    Or only those named. Replicas come first; a primary hands its slots to a replica before it is stopped. For
    nodes that ctl did not start, --fault-command stops and --heal-command starts one.
    """
    drill("restart-rolling", options, nodes=nodes)
