"""What verbs share: their options, which cluster is meant, and how they end.

A verb raises CtlError and returns nothing else than success; `Verb` turns that into one line, a hint and an
exit status, and Ctrl-C likewise. A verb is a plain function that calls `run` with its asynchronous part.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click
import trio

from ctl.errors import EXIT_INTERRUPTED, EXIT_STATUSES, CtlError, UsageError
from ctl.execute.fleet import Credentials, Fleet, telling
from ctl.execute.gather import gather
from ctl.execute.local import LocalCluster, load
from ctl.snapshot import Address, ClusterSnapshot

DEFAULT_DIRECTORY = "data/shoal"

Result = TypeVar("Result")
Decorated = TypeVar("Decorated", bound=Callable[..., object])


class Verb(click.Command):
    """A command that ends as the exit statuses say; its help lists them.

    Each takes --yes, so that a script can give it to all; most never ask.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("epilog", EXIT_STATUSES)
        super().__init__(*args, **kwargs)
        names = {parameter.name for parameter in self.params}
        if "as_json" in names and "yes" not in names:
            never_asks = click.Option(
                ["--yes", "-y"], is_flag=True, expose_value=False, help="Do not ask: this verb never does."
            )
            self.params.append(never_asks)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except CtlError as error:
            _end(ctx, error.text, error.hint, error.status)
        except (KeyboardInterrupt, click.Abort):
            _end(ctx, "interrupted", "", EXIT_INTERRUPTED)


def _end(ctx: click.Context, text: str, hint: str, status: int) -> NoReturn:
    if ctx.params.get("as_json"):
        click.echo(json.dumps({"error": text, "hint": hint or None, "status": status}))
    else:
        click.echo(f"ctl: {text}", err=True)
        if hint:
            click.echo(f"     {hint}", err=True)
    ctx.exit(status)


@dataclass(frozen=True, slots=True)
class Target:
    """The cluster that a verb is for. `local` is set for one that ctl started here."""

    seeds: tuple[Address, ...]
    credentials: Credentials
    local: LocalCluster | None

    def fleet(self) -> Fleet:
        return Fleet(self.credentials)


def json_option(function: Decorated) -> Decorated:
    return click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")(function)


def yes_option(function: Decorated) -> Decorated:
    return click.option("--yes", "-y", is_flag=True, help="Do not ask.")(function)


def directory_option(function: Decorated) -> Decorated:
    return click.option(
        "--dir",
        "directory",
        type=click.Path(path_type=Path, file_okay=False),
        default=DEFAULT_DIRECTORY,
        envvar="SHOAL_DIR",
        show_default=True,
        show_envvar=True,
        help="Directory of the local cluster.",
    )(function)


def credentials_options(function: Decorated) -> Decorated:
    user = click.option("--user", envvar="SHOAL_USER", show_envvar=True, help="User to authenticate as.")
    password = click.option("--password", envvar="SHOAL_PASSWORD", show_envvar=True, help="Password to give.")
    return user(password(function))


def target_options(function: Decorated) -> Decorated:
    """--addr, --dir, --user, --password: the arguments of `target`."""
    help_text = "Any node of the cluster, instead of the local cluster in --dir."
    addr = click.option("--addr", type=address, metavar="HOST:PORT", help=help_text)
    return addr(directory_option(credentials_options(function)))


def address(text: str | Address) -> Address:
    """A click type."""
    try:
        return text if isinstance(text, Address) else Address.parse(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


def target(addr: Address | None, directory: Path, user: str | None, password: str | None) -> Target:
    """The cluster of `addr`, else the one recorded in `directory`. Raises UsageError for neither."""
    given = Credentials(user, password)
    if addr is not None:
        return Target((addr,), given, None)
    cluster = local_cluster(directory)
    return Target(tuple(cluster.addresses), given if password else cluster.credentials, cluster)


def local_cluster(directory: Path) -> LocalCluster:
    """Raises UsageError when there is none."""
    cluster = load(directory)
    if cluster is None:
        raise UsageError(
            f"no cluster in {directory}",
            "`ctl cluster create` makes one; --addr host:port names another, --dir another directory.",
        )
    return cluster


async def look(where: Target) -> ClusterSnapshot:
    """The cluster now. Raises UnreachableError."""
    async with where.fleet() as fleet:
        return await gather(fleet, where.seeds)


def run(function: Callable[[], Awaitable[Result]]) -> Result:
    """The asynchronous part of a verb. Exceptions arrive bare, not in groups.

    Ctrl-C cancels `function`, so it takes effect where something waits and never between two lines that
    belong together. Raises KeyboardInterrupt then, unless `function` makes a CtlError of its cancellation.
    """
    try:
        return trio.run(_interruptible, function)
    except BaseExceptionGroup as group:
        raise telling(group) from None


async def _interruptible(function: Callable[[], Awaitable[Result]]) -> Result:
    results: list[Result] = []
    with trio.open_signal_receiver(signal.SIGINT) as interrupts:
        async with trio.open_nursery() as nursery:

            async def cancel_on_interrupt() -> None:
                async for _ in interrupts:
                    nursery.cancel_scope.cancel()

            nursery.start_soon(cancel_on_interrupt)
            results.append(await function())
            nursery.cancel_scope.cancel()
    if not results:
        raise KeyboardInterrupt
    return results[0]


def confirm(question: str, *, yes: bool, as_json: bool) -> None:
    """Returns when the answer is yes. Raises CtlError for no, UsageError where nobody can be asked."""
    if yes:
        return
    if as_json or not sys.stdin.isatty() or os.environ.get("TERM") == "dumb":
        raise UsageError("this asks before it acts, and nobody can be asked here", "Add --yes.")
    if not click.confirm(question, err=True):
        raise CtlError("nothing was done")
