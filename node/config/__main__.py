"""`python -m node.config` prints the table of directives as Markdown."""

from __future__ import annotations

from typing import Any

from node.config.directive import Directive
from node.config.table import TABLE


def main() -> None:
    """Write the table to standard output."""
    print(document())


def document() -> str:
    """All directives but the hidden ones, in three tables: those that count, those that will, those that are
    ignored.
    """
    shown = [directive for directive in TABLE if not directive.hidden]
    lines = _head("meaning")
    lines += [
        _row(directive, directive.doc) for directive in shown if not directive.ignored + directive.later
    ]
    lines += ["", "Accepted and shown, but not served yet:", "", *_head("what does not happen yet")]
    lines += [_row(directive, directive.later) for directive in shown if directive.later]
    lines += ["", "Accepted and shown, without effect:", "", *_head("why")]
    lines += [_row(directive, directive.ignored) for directive in shown if directive.ignored]
    return "\n".join(lines)


def _head(last: str) -> list[str]:
    return [f"| directive | value | default | CONFIG SET | {last} |", "| --- | --- | --- | --- | --- |"]


def _row(directive: Directive[Any], meaning: str) -> str:
    name = f"`{directive.name}`" + (f" (`{directive.alias}`)" if directive.alias else "")
    default = directive.format(directive.default).decode()
    change = "no" if not directive.mutable else "protected" if directive.protected else "yes"
    default = f"`{default}`" if default else ""
    return f"| {name} | {directive.kind.describe()} | {default} | {change} | {meaning} |"


if __name__ == "__main__":
    main()
