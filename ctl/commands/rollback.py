"""`ctl cluster rollback`"""

from __future__ import annotations

from typing import Any

import click

from ctl.commands.changing import Terms, carry_out, run_options
from ctl.commands.common import Verb, confirm
from ctl.commands.unfinished import find_unfinished, nothing_unfinished
from ctl.execute.change import rollback
from ctl.render.change import print_plan
from ctl.render.console import stderr


@click.command("rollback", cls=Verb)
@run_options
def command(**options: Any) -> None:
    """Undo a change that was stopped.

    What was moved moves back, in the opposite order; a slot that is half moved goes to its end first, so that
    no key is out of reach at any moment. A node that was removed is not brought back: then only resume is
    left.
    """
    terms = Terms.of(options)
    found = find_unfinished(terms)
    if found is None:
        nothing_unfinished(as_json=terms.as_json)
        return
    if not terms.as_json:
        print_plan(stderr(), found.change)
    confirm("Undo what was done of this?", yes=terms.yes, as_json=terms.as_json)
    carry_out(terms, lambda on_event: rollback(terms.place, found, on_event))
