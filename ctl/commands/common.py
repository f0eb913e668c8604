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
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click
import trio

from ctl.errors import EXIT_INTERRUPTED, EXIT_STATUSES, CtlError, UsageError
from ctl.execute.fleet import Credentials, Fleet, telling
from ctl.execute.gather import gather
from ctl.execute.local import LocalCluster, load
from ctl.execute.tls import TlsOptions
from ctl.snapshot import Address, ClusterSnapshot

DEFAULT_DIRECTORY = "data/shoal"
TLS = "ctl.tls"
STOPPING_NOTED_S = 0.7

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


def credentials_options(function: Decorated, *, key_option: str = "--key") -> Decorated:
    """--user, --password, and redis-cli's options for TLS: the arguments of `credentials`."""
    user = click.option("--user", envvar="SHOAL_USER", show_envvar=True, help="User to authenticate as.")
    password = click.option("--password", envvar="SHOAL_PASSWORD", show_envvar=True, help="Password to give.")
    return user(password(_tls_options(function, key_option)))


def _tls_options(function: Decorated, key_option: str) -> Decorated:
    """Their values are no arguments of the verb: `credentials` finds them in the context."""

    def option(
        name: str, field: str, help_text: str, *, flag: bool = False, file: bool = False, variable: str = ""
    ) -> Callable[[Decorated], Decorated]:
        return click.option(
            name,
            f"tls_{field}",
            is_flag=flag,
            type=click.Path(exists=True, resolve_path=True) if file else None,
            envvar=variable or f"SHOAL_{name.strip('-').upper()}",
            show_envvar=True,
            expose_value=False,
            callback=_keep_tls_option,
            help=help_text,
        )

    function = option("--insecure", "insecure", "With --tls: check no certificate.", flag=True)(function)
    function = option("--sni", "name", "With --tls: the name that certificates must be for.")(function)
    text = "With --tls: the key of --cert."
    function = option(key_option, "key", text, file=True, variable="SHOAL_KEY")(function)
    function = option("--cert", "certificate", "With --tls: certificate to show.", file=True)(function)
    function = option("--cacertdir", "ca_directory", "With --tls: directory of authorities.", file=True)(
        function
    )
    function = option("--cacert", "ca_file", "With --tls: file of authorities to trust.", file=True)(function)
    return option("--tls", "on", "Speak TLS.", flag=True)(function)


def _keep_tls_option(ctx: click.Context, parameter: click.Parameter, value: object) -> None:
    assert parameter.name is not None
    ctx.meta.setdefault(TLS, {})[parameter.name.removeprefix("tls_")] = value


def credentials(user: str | None, password: str | None, *, tls: bool | None = None) -> Credentials:
    """What the verb's options say; `tls` in place of --tls. Raises UsageError for options that do not go
    together.
    """
    given = dict(click.get_current_context().meta.get(TLS, {}))
    on = given.pop("on", False)
    if not (on if tls is None else tls):
        return Credentials(user, password)
    if bool(given["certificate"]) != bool(given["key"]):
        raise UsageError(
            "--cert and --key go together", "A certificate is shown with the key that it is for."
        )
    return Credentials(user, password, TlsOptions(**given))


def target_options(function: Decorated, *, key_option: str = "--key") -> Decorated:
    """--addr, --dir, --user, --password: the arguments of `target`, and options for TLS.

    `key_option` is the name of --cert's key, for a verb to which --key means something else.
    """
    help_text = "Any node of the cluster, instead of the local cluster in --dir."
    addr = click.option("--addr", type=address, metavar="HOST:PORT", help=help_text)
    return addr(directory_option(credentials_options(function, key_option=key_option)))


def address(text: str | Address) -> Address:
    """A click type."""
    try:
        return text if isinstance(text, Address) else Address.parse(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


def target(addr: Address | None, directory: Path, user: str | None, password: str | None) -> Target:
    """The cluster of `addr`, else the one recorded in `directory`. Raises UsageError for neither."""
    given = credentials(user, password)
    if addr is not None:
        return Target((addr,), given, None)
    cluster = local_cluster(directory)
    known = cluster.credentials
    if password:
        known = replace(known, user=user, password=password)
    return Target(tuple(cluster.addresses), replace(known, tls=given.tls or known.tls), cluster)


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
            scope = trio.CancelScope()

            async def cancel_on_interrupt() -> None:
                async for _ in interrupts:
                    scope.cancel()
                    await trio.sleep(STOPPING_NOTED_S)
                    # Not click.echo, which writes past a progress display into its line.
                    print("ctl: stopping; what is under way is brought to a good end first", file=sys.stderr)

            nursery.start_soon(cancel_on_interrupt)
            with scope:
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
