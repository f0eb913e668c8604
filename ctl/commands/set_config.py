"""`ctl cluster set-config`"""

from __future__ import annotations

from typing import Any

import click

from ctl.commands.changing import Terms, build, change_options, make_change
from ctl.commands.common import Verb
from ctl.execute.fleet import Fleet
from ctl.execute.settings import current_settings
from ctl.plan.change import Change
from ctl.plan.set_config import pairs_of, plan_set_config
from ctl.plan.wording import shown_value
from ctl.snapshot import ClusterSnapshot


@click.command("set-config", cls=Verb, context_settings={"ignore_unknown_options": True})
@click.argument("words", nargs=-1, required=True, metavar="NAME VALUE...", type=click.UNPROCESSED)
@click.option("--no-rewrite", is_flag=True, help="Until the nodes end; not in their files.")
@change_options
def command(words: tuple[str, ...], no_rewrite: bool, **options: Any) -> None:
    """Set directives on all nodes, or on none.

    Every node has to know them and to take them: where one refuses a value, those before it get back what
    they had. The nodes write them to their files (CONFIG REWRITE) unless --no-rewrite.
    """
    values = pairs_of(words)

    async def plan(fleet: Fleet, snapshot: ClusterSnapshot) -> Change:
        current = await current_settings(fleet, snapshot, list(values))
        steps = plan_set_config(snapshot, values, current, rewrite=not no_rewrite)
        shown = ", ".join(f"{name} {shown_value(name, value)}" for name, value in values.items())
        title = (
            f"set {shown} on {len(snapshot.members)} nodes" if steps else f"all nodes have {shown} already"
        )
        return await build(fleet, snapshot, "set-config", title, steps)

    make_change(Terms.of(options), plan)
