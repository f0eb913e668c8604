"""`ctl node start`"""

from __future__ import annotations

import os

import click

from ctl.commands.common import Verb
from ctl.errors import CtlError
from ctl.execute.local import OWN_SERVER


@click.command("start", cls=Verb, add_help_option=False, context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[FILE.CONF] [--DIRECTIVE VALUE]...")
def command(arguments: tuple[str, ...]) -> None:
    """Run one node in the foreground.

    The arguments are those of `python -m node` (and of redis-server): this process becomes the node.
    """
    try:
        os.execv(OWN_SERVER[0], [*OWN_SERVER, *arguments])
    except OSError as error:
        raise CtlError(f"cannot start {OWN_SERVER[0]}: {error.strerror}") from error
