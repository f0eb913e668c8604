"""`ctl cluster destroy`"""

from __future__ import annotations

from pathlib import Path

import click

from ctl.commands.common import Verb, confirm, directory_option, json_option, local_cluster, run, yes_option
from ctl.errors import CtlError
from ctl.execute import local
from ctl.render import machine
from ctl.render.words import plural


@click.command("destroy", cls=Verb)
@directory_option
@click.option(
    "--timeout",
    default=5.0,
    type=click.FloatRange(0.1),
    show_default=True,
    help="Seconds before nodes are killed.",
)
@yes_option
@json_option
def command(directory: Path, timeout: float, yes: bool, as_json: bool) -> None:
    """Stop a local cluster and remove its files.

    Touches only what create made: its processes, the directories of its nodes and its record.
    """
    cluster = local_cluster(directory)
    count = plural(len(cluster.nodes), "node")
    confirm(
        f"Stop {plural(len(cluster.running), 'running node')} and remove the data of {count} in {directory}?",
        yes=yes,
        as_json=as_json,
    )
    if left := run(lambda: local.stop(cluster.nodes, timeout_s=timeout, kill=True)):
        raise CtlError(f"cannot end process {', '.join(map(str, left))}", "Nothing was removed.")
    local.remove(cluster)
    if as_json:
        click.echo(machine.text({"destroyed": [str(address) for address in cluster.addresses]}))
    else:
        click.echo(f"{count} removed from {directory}")
