"""`ctl cluster logs`"""

from __future__ import annotations

import json
from pathlib import Path

import click

from ctl.commands.common import Verb, directory_option, json_option, local_cluster, run
from ctl.execute.log_files import follow, tail


@click.command("logs", cls=Verb)
@click.argument("node", required=False)
@directory_option
@click.option("-f", "--follow", "following", is_flag=True, help="Go on with what is added, until Ctrl-C.")
@click.option(
    "-n", "--lines", default=20, type=click.IntRange(0), show_default=True, help="How many of each."
)
@json_option
def command(node: str | None, directory: Path, following: bool, lines: int, as_json: bool) -> None:
    """Show the logs of a local cluster.

    Of one NODE (a port or an address), or of all, each line after its port. With --json a line is an object.
    """
    cluster = local_cluster(directory)
    nodes = cluster.select([node] if node else [])
    paths = {str(each.port): cluster.log_path(each) for each in nodes}

    def show(name: str, line: str) -> None:
        if as_json:
            click.echo(json.dumps({"port": int(name), "line": line}, ensure_ascii=False))
        else:
            click.echo(line if node else f"{name}  {line}")

    sizes = {}
    for name, path in paths.items():
        last, sizes[name] = tail(path, lines)
        for line in last:
            show(name, line)

    async def go_on() -> None:
        async for name, line in follow(paths, sizes):
            show(name, line)

    if following:
        run(go_on)
