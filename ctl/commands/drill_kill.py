"""`ctl drill kill`"""

from __future__ import annotations

from typing import Any

import click

from ctl.commands.common import Verb
from ctl.commands.drilling import command_options, drill, drill_options, duration_option


@click.command("kill", cls=Verb)
@click.argument("node", required=False)
@duration_option
@command_options
@drill_options
def command(node: str | None, duration: float | None, **options: Any) -> None:
    """Kill a primary under load, start it again, and report.

    SIGKILL for NODE (an address, a port, an id or its beginning), or for the first primary that has a
    replica. Clients write to all shards meanwhile; the report says how long writes were not possible, which
    acknowledged ones were lost, and when who noticed, voted and took over.
    """
    drill("kill", options, nodes=[node] if node else [], duration_s=duration)
