"""What `resume` and `rollback` are about: the change that was stopped."""

from __future__ import annotations

import click

from ctl.commands.changing import Terms
from ctl.commands.common import look, run
from ctl.execute.change import leftover
from ctl.execute.journal import Unfinished, unfinished
from ctl.render import machine


def find_unfinished(terms: Terms) -> Unfinished | None:
    """By the journals; without one, by the slots that are open. None for nothing. Raises CtlError."""
    snapshot = run(lambda: look(terms.where))
    found = unfinished(terms.place.journals, snapshot)
    return found[0] if found else leftover(snapshot)


def nothing_unfinished(*, as_json: bool) -> None:
    if as_json:
        click.echo(machine.text({"done": False, "title": "nothing is unfinished"}))
    else:
        click.echo("nothing is unfinished: there is no journal, and no slot is open")
