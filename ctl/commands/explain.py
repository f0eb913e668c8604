"""`ctl cluster explain`"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import click

from ctl.commands.common import Target, Verb, json_option, run, target, target_options
from ctl.errors import UsageError
from ctl.execute.explain import count_keys, failure_reports, find_key
from ctl.execute.fleet import Fleet
from ctl.execute.gather import gather
from ctl.execute.survey import survey_of
from ctl.plan.explain import Explanation, Subject, choose, explain_key, explain_slot
from ctl.plan.explain_node import explain_node
from ctl.render import machine
from ctl.render.console import stdout
from ctl.render.explain import document, print_explanation
from ctl.snapshot import Address
from ctl.survey import Survey
from gossip.slots import SLOT_COUNT


@click.command("explain", cls=Verb)
@click.argument("what", required=False, metavar="KEY|NODE|SLOT")
@click.option("--key", help="Explain this key.")
@click.option("--slot", type=click.IntRange(0, SLOT_COUNT - 1), help="Explain this slot.")
@click.option("--node", help="Explain this node: an address, a port, an id or its beginning.")
@partial(target_options, key_option="--cert-key")
@json_option
def command(
    what: str | None,
    key: str | None,
    slot: int | None,
    node: str | None,
    addr: Address | None,
    directory: Path,
    user: str | None,
    password: str | None,
    as_json: bool,
) -> None:
    """Say where a key or slot lives, or how a node is, and why.

    Without an option, what names a node is a node, a number below 16384 is a slot, and all else is a key.
    Each sentence comes with what it was read from, on each node. Nothing is changed.
    """
    if sum(each is not None for each in (what, key, slot, node)) != 1:
        raise UsageError("explain takes one thing", "Give a key, a node or a slot, or one of the options.")
    where = target(addr, directory, user, password)

    async def ask(where: Target) -> Explanation:
        async with where.fleet() as fleet:
            snapshot = await gather(fleet, where.seeds)
            subject = choose(snapshot, what, key=key, slot=slot, node=node)
            return await _explain(fleet, await survey_of(fleet, snapshot, count_keys=False), subject)

    explanation = run(lambda: ask(where))
    if as_json:
        click.echo(machine.text(document(explanation)))
    else:
        print_explanation(stdout(), explanation)


async def _explain(fleet: Fleet, survey: Survey, subject: Subject) -> Explanation:
    snapshot = survey.snapshot
    if subject.member is not None:
        reports = await failure_reports(fleet, snapshot, subject.member.node_id)
        return explain_node(survey, subject.member, reports)
    counts = await count_keys(fleet, snapshot, subject.slot)
    if subject.kind == "slot":
        return explain_slot(survey, subject.slot, counts)
    copies = await find_key(fleet, snapshot, subject.key, subject.slot, counts)
    return explain_key(survey, subject.key, counts, copies)
