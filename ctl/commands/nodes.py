"""`ctl cluster nodes`"""

from __future__ import annotations

from pathlib import Path

import click

from ctl.commands.common import Verb, json_option, look, run, target, target_options
from ctl.render import machine
from ctl.render.cluster import print_nodes
from ctl.render.console import stdout
from ctl.snapshot import Address


@click.command("nodes", cls=Verb)
@target_options
@json_option
def command(
    addr: Address | None, directory: Path, user: str | None, password: str | None, as_json: bool
) -> None:
    """List the nodes with ids, epochs and processes.

    Ids are shortened where the terminal is narrower than 120 columns.
    """
    where = target(addr, directory, user, password)
    snapshot = run(lambda: look(where))
    if as_json:
        click.echo(machine.text([machine.member(member) for member in snapshot.members]))
        return
    print_nodes(stdout(), snapshot)
