"""`ctl cluster start`"""

from __future__ import annotations

from pathlib import Path

import click

from ctl.commands.common import Verb, directory_option, json_option, local_cluster, run
from ctl.execute.start import start_nodes
from ctl.render import machine
from ctl.render.cluster import print_status
from ctl.render.console import stdout
from ctl.render.progress import progress


@click.command("start", cls=Verb)
@click.argument("nodes", nargs=-1, metavar="[NODE]...")
@directory_option
@click.option(
    "--timeout", default=30.0, type=click.FloatRange(0.1), show_default=True, help="Seconds to wait."
)
@json_option
def command(nodes: tuple[str, ...], directory: Path, timeout: float, as_json: bool) -> None:
    """Start the nodes of a local cluster that do not run.

    All of them, or those named by port or address. Returns when every running node says cluster_state:ok.
    """
    cluster = local_cluster(directory)
    wanted = [node for node in cluster.select(nodes) if not node.running]
    with progress(quiet=as_json) as on_event:
        snapshot = run(lambda: start_nodes(cluster, wanted, on_event, timeout_s=timeout))
    if as_json:
        started = [str(cluster.address(node)) for node in wanted]
        click.echo(machine.text({"started": started, **machine.cluster(snapshot)}))
        return
    print_status(stdout(), snapshot)
