"""`ctl cluster apply`"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ctl.commands.changing import Terms, carry_out, run_options
from ctl.commands.common import Verb, confirm, look, run
from ctl.errors import UsageError
from ctl.execute.change import run_change
from ctl.plan.change import Change, check_current
from ctl.plan.change_file import parse
from ctl.render.change import print_plan
from ctl.render.console import stderr


@click.command("apply", cls=Verb)
@click.argument("plan", type=click.Path(path_type=Path, dir_okay=False))
@run_options
def command(plan: Path, **options: Any) -> None:
    """Run a plan that was written with --out.

    Refused, before anything is changed, when it was made for another cluster, when members, roles or slots
    are not what they were then, and when the file is damaged or of another version.
    """
    change = read_plan(plan)
    terms = Terms.of(options)
    check_current(change, run(lambda: look(terms.where)))
    if not terms.as_json:
        print_plan(stderr(), change)
    confirm("Do this?", yes=terms.yes, as_json=terms.as_json)
    carry_out(terms, lambda on_event: run_change(terms.place, change, on_event))


def read_plan(path: Path) -> Change:
    """Raises UsageError for a file that cannot be read, PlanError for what is no plan."""
    try:
        text = path.read_text()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError:
        raise UsageError(f"{path} is not a plan of ctl: it is no text") from None
    return parse(text)
