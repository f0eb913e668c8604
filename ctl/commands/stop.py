"""`ctl cluster stop`"""

from __future__ import annotations

from pathlib import Path

import click

from ctl.commands.common import Verb, directory_option, json_option, local_cluster, run
from ctl.errors import CtlError
from ctl.execute import local
from ctl.render import machine
from ctl.render.words import plural


@click.command("stop", cls=Verb)
@click.argument("nodes", nargs=-1, metavar="[NODE]...")
@directory_option
@click.option(
    "--timeout",
    default=local.STOP_TIMEOUT_S,
    type=click.FloatRange(0.1),
    show_default=True,
    help="Seconds to wait.",
)
@json_option
def command(nodes: tuple[str, ...], directory: Path, timeout: float, as_json: bool) -> None:
    """Stop the nodes of a local cluster.

    All of them, or those named by port or address. They are asked to end (SIGTERM) and waited for.
    """
    cluster = local_cluster(directory)
    running = [node for node in cluster.select(nodes) if node.running]
    left = run(lambda: local.stop(running, timeout_s=timeout))
    if left:
        pids = ", ".join(map(str, left))
        raise CtlError(
            f"still running after {timeout:g} s: process {pids}",
            "They may be saving; see `ctl cluster logs`.",
        )
    if as_json:
        click.echo(machine.text({"stopped": [str(cluster.address(node)) for node in running]}))
    else:
        click.echo(f"{plural(len(running), 'node')} stopped" if running else "no node was running")
