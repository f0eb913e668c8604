"""`ctl drill pause`"""

from __future__ import annotations

from typing import Any

import click

from ctl.commands.common import Verb
from ctl.commands.drilling import command_options, drill, drill_options, duration_option


@click.command("pause", cls=Verb)
@click.argument("node", required=False)
@duration_option
@command_options
@drill_options
def command(node: str | None, duration: float | None, **options: Any) -> None:
    """Stop a primary for a while, let it go on, and report.

    SIGSTOP and SIGCONT, longer than the node time-out, for NODE or the first primary that has a replica: as a
    machine that swaps, or a virtual one that is moved. The node believes to be a primary when it wakes up;
    what it acknowledges before it has heard of its successor is lost.
    """
    drill("pause", options, nodes=[node] if node else [], duration_s=duration)
