"""The replies of HELP subcommands: lines of simple strings, as redis-cli prints them."""

from __future__ import annotations

from collections.abc import Sequence

from node.resp.encode import array, simple


def help_reply(container: str, lines: Sequence[str]) -> bytes:
    """`lines` describe the subcommands: syntax, then its meaning with four spaces in front."""
    first = f"{container} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"
    return array([simple(line.encode()) for line in (first, *lines, "HELP", "    Print this help.")])
