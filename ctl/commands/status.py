"""`ctl cluster status`"""

from __future__ import annotations

from pathlib import Path

import click

from ctl.commands.common import Verb, json_option, look, run, target, target_options
from ctl.render import machine
from ctl.render.cluster import print_status
from ctl.render.console import stdout
from ctl.snapshot import Address


@click.command("status", cls=Verb)
@target_options
@json_option
def command(
    addr: Address | None, directory: Path, user: str | None, password: str | None, as_json: bool
) -> None:
    """Show who serves what, and how it is."""
    where = target(addr, directory, user, password)
    snapshot = run(lambda: look(where))
    if as_json:
        click.echo(machine.text(machine.cluster(snapshot)))
        return
    print_status(stdout(), snapshot)
