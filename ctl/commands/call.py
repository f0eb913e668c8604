"""`ctl cluster call`"""

from __future__ import annotations

from pathlib import Path

import click

from ctl.commands.common import Verb, json_option, run, target, target_options
from ctl.errors import EXIT_FAILED
from ctl.execute.call import Answer, call_each
from ctl.execute.gather import gather
from ctl.plan.failover import find_one
from ctl.render import machine, replies
from ctl.snapshot import Address, ClusterSnapshot, Member


@click.command("call", cls=Verb, context_settings={"allow_interspersed_args": False})
@click.argument("words", nargs=-1, required=True, metavar="CMD...", type=click.UNPROCESSED)
@click.option("--node", default="all", show_default=True, help="all, primaries, replicas, or one node.")
@target_options
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    words: tuple[str, ...],
    node: str,
    addr: Address | None,
    directory: Path,
    user: str | None,
    password: str | None,
    as_json: bool,
) -> None:
    """Run a command on all nodes, or some.

    Options come before the command. Exits with 1 when a node answers with an error, or not at all.
    """
    where = target(addr, directory, user, password)

    async def ask() -> list[Answer]:
        async with where.fleet() as fleet:
            chosen = select(await gather(fleet, where.seeds), node)
            return await call_each(fleet, [member.address for member in chosen if member.address], words)

    answers = run(ask)
    if as_json:
        click.echo(machine.text({str(answer.node): replies.to_json(answer.reply) for answer in answers}))
    else:
        for answer in answers:
            _show(answer, alone=len(answers) == 1)
    if any(answer.failed for answer in answers):
        ctx.exit(EXIT_FAILED)


def select(snapshot: ClusterSnapshot, name: str) -> list[Member]:
    """The members that --node means. Raises PlanError for a name that is none."""
    groups = {"all": snapshot.members, "primaries": snapshot.primaries, "replicas": snapshot.replicas}
    return list(groups[name]) if name in groups else [find_one(snapshot, name)]


def _show(answer: Answer, *, alone: bool) -> None:
    lines = replies.lines(answer.reply)
    if alone:
        click.echo("\n".join(lines))
    elif len(lines) == 1:
        click.echo(f"{answer.node}  {lines[0]}")
    else:
        click.echo(f"{answer.node}\n" + "\n".join(f"  {line}" for line in lines))
