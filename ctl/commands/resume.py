"""`ctl cluster resume`"""

from __future__ import annotations

from typing import Any

import click

from ctl.commands.changing import Terms, carry_out, run_options
from ctl.commands.common import Verb
from ctl.commands.unfinished import find_unfinished, nothing_unfinished
from ctl.execute.change import resume
from ctl.render.change import print_plan
from ctl.render.console import stderr


@click.command("resume", cls=Verb)
@run_options
def command(**options: Any) -> None:
    """Finish a change that was stopped.

    Goes by the journal of the ctl that began it. Where there is none, on another machine, it finishes the
    moves of slots that are open.
    """
    terms = Terms.of(options)
    found = find_unfinished(terms)
    if found is None:
        nothing_unfinished(as_json=terms.as_json)
        return
    if not terms.as_json:
        print_plan(stderr(), found.change)
    carry_out(terms, lambda on_event: resume(terms.place, found, on_event))
