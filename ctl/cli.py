"""The `ctl` program: a tree of verbs, each in a module of its own that is imported when it is called.

So `ctl --help` and shell completion read two small tables and no more: neither trio nor rich nor a verb is
loaded.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from keyword import iskeyword
from typing import Any, NoReturn

import click

from ctl.errors import EXIT_INTERRUPTED, EXIT_STATUSES

CLUSTER_VERBS = {
    "create": "Start a local cluster, or join running nodes to one.",
    "status": "Show who serves what, and how it is.",
    "nodes": "List the nodes with ids, epochs and processes.",
    "check": "List every problem; exit 1 when there is one.",
    "doctor": "Hold a running cluster against the production checklist.",
    "fix": "Repair what check finds; exit 1 when something is left.",
    "watch": "Watch nodes, slots, load and events, live.",
    "explain": "Say where a key or slot lives, or how a node is, and why.",
    "failover": "Promote a replica and measure the interruption.",
    "reshard": "Move slots with their keys while clients go on.",
    "rebalance": "Even out the primaries, moving as few slots as can be.",
    "add-node": "Join one more node, or start one.",
    "remove-node": "Take a node out without losing anything.",
    "set-config": "Set directives on all nodes, or on none.",
    "backup": "Back up all shards at once into one directory.",
    "restore": "Put a backup into a cluster of any shape.",
    "import": "Bring keys in from a server, a cluster or a file.",
    "apply": "Run a plan that was written with --out.",
    "resume": "Finish a change that was stopped.",
    "rollback": "Undo a change that was stopped.",
    "start": "Start the nodes of a local cluster that do not run.",
    "stop": "Stop the nodes of a local cluster.",
    "destroy": "Stop a local cluster and remove its files.",
    "logs": "Show the logs of a local cluster.",
    "call": "Run a command on all nodes, or some.",
}
DRILL_VERBS = {
    "kill": "Kill a primary under load, start it again, and report.",
    "pause": "Stop a primary for a while, let it go on, and report.",
    "partition": "Cut the network between nodes, join it again, and report.",
    "restart-rolling": "Restart all nodes one by one under load, and report.",
    "slow-disk": "Make syncs to disk slow on some nodes under load, and report.",
}
NODE_VERBS = {"start": "Run one node in the foreground."}


def _tell(error: click.UsageError, *, as_json: bool) -> None:
    """One line and a hint, or one document."""
    path = error.ctx.command_path if error.ctx is not None else "ctl"
    text, hint = error.format_message().rstrip("."), f"`{path} --help` lists what it takes."
    if as_json:
        click.echo(json.dumps({"error": text, "hint": hint, "status": error.exit_code}))
    else:
        click.echo(f"ctl: {text}\n     {hint}", err=True)


class LazyGroup(click.Group):
    """A group whose commands are `command` in `<prefix><verb>`; its help needs the table alone."""

    def __init__(self, name: str, help: str, prefix: str, verbs: Mapping[str, str]) -> None:
        super().__init__(name, help=help, epilog=EXIT_STATUSES, no_args_is_help=True)
        self._prefix = prefix
        self._verbs = verbs

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(self._verbs)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in self._verbs:
            return None
        name = cmd_name.replace("-", "_") + ("_" if iskeyword(cmd_name) else "")
        command = import_module(f"{self._prefix}{name}").command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl(list(self._verbs.items()))


class Program(click.Group):
    """Ctrl-C before a verb has begun, while its modules load, has the status of any other; what click finds
    wrong with the arguments is told as every other error.
    """

    def main(self, args: Sequence[str] | None = None, *others: Any, **more: Any) -> NoReturn:
        words = sys.argv[1:] if args is None else list(args)
        try:
            status = super().main(words, *others, **{**more, "standalone_mode": False})
        except click.exceptions.NoArgsIsHelpError as error:
            error.show()
            sys.exit(error.exit_code)
        except click.UsageError as error:
            _tell(error, as_json="--json" in words)
            sys.exit(error.exit_code)
        sys.exit(status)

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            click.echo("ctl: interrupted", err=True)
            ctx.exit(EXIT_INTERRUPTED)


@click.group(
    cls=Program,
    epilog=EXIT_STATUSES,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="shoal", prog_name="ctl", message="%(prog)s %(version)s")
def cli() -> None:
    """Create, watch and repair clusters of Shoal, Redis or Valkey nodes."""


cli.add_command(LazyGroup("cluster", "A whole cluster.", "ctl.commands.", CLUSTER_VERBS))
cli.add_command(
    LazyGroup("drill", "Rehearse failures under load, and report.", "ctl.commands.drill_", DRILL_VERBS)
)
cli.add_command(LazyGroup("node", "A single node.", "ctl.commands.node_", NODE_VERBS))


def main() -> None:
    cli(prog_name="ctl")


if __name__ == "__main__":
    main()
