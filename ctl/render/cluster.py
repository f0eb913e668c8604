"""A cluster as tables for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ctl.plan.check import Finding, shortened
from ctl.plan.create import Layout
from ctl.render.words import health, memory, plural, primary_of, server_of, state_of
from ctl.snapshot import ClusterSnapshot, Member
from gossip.slots import SLOT_COUNT, SlotSet

WIDE_COLUMNS = 120
GAP = 2
NUMBERS = ("Keys", "Memory", "Epoch", "Pid")
STYLES = {"ok": "green", "suspected": "yellow", "fail": "red", "failed": "red", "unreachable": "red"}
SEVERITY_STYLES = {"error": "red", "warning": "yellow", "info": "cyan"}


def summary(snapshot: ClusterSnapshot) -> Text:
    """`cluster ok · 3 primaries, 2 replicas, 1 failed · 16384 of 16384 slots · epoch 6`."""
    refusing = [view for view in snapshot.views if not view.state_ok]
    alive = [member for member in snapshot.members if not member.failed_by]
    primaries = sum(1 for member in alive if member.is_primary)
    roles = [plural(primaries, "primary"), plural(len(alive) - primaries, "replica")]
    if snapshot.failed:
        roles.append(f"{len(snapshot.failed)} failed")
    absent = sum(1 for member in alive if not member.reachable)
    line = Text("cluster ")
    line.append("fail" if refusing else "ok", style="bold red" if refusing else "bold green")
    parts = [
        ", ".join(roles),
        f"{SLOT_COUNT - len(snapshot.uncovered)} of {SLOT_COUNT} slots",
        f"epoch {max((view.current_epoch for view in snapshot.views), default=0)}",
    ]
    if absent:
        parts.append(f"{plural(absent, 'node')} not answering")
    return line.append("".join(f" · {part}" for part in parts))


def print_status(console: Console, snapshot: ClusterSnapshot) -> None:
    """Who serves what: a line a node, replicas below their primary."""
    console.print(summary(snapshot))
    columns = ("Node", "Role", "Slots", "Replica of", "State", "Keys", "Memory")
    rows = [_status_row(snapshot, member) for member in snapshot.members]
    _print_fitting(console, columns, rows, droppable=("Memory", "Keys"))


def _status_row(snapshot: ClusterSnapshot, member: Member) -> list[Text]:
    view = member.view
    return [
        Text(member.name),
        _role(member),
        _slots(member.line.slots),
        Text(primary_of(snapshot, member)),
        Text(state_of(member), style=_style(member)),
        Text(f"{view.key_count:,}" if view else ""),
        Text(memory(int(view.info.get("used_memory", "0"))) if view else ""),
    ]


def print_nodes(console: Console, snapshot: ClusterSnapshot) -> None:
    """What each node is: ids (whole where there is room), epochs, process and server."""
    columns = ("Id", "Node", "Role", "Slots", "Epoch", "State", "Pid", "Server")
    id_length = 40 if console.width >= WIDE_COLUMNS else 8
    rows = [_node_row(member, id_length) for member in snapshot.members]
    _print_fitting(console, columns, rows, droppable=("Server", "Pid"))


def _node_row(member: Member, id_length: int) -> list[Text]:
    name = f"{member.name} ({member.line.hostname})" if member.line.hostname else member.name
    return [
        Text(member.node_id[:id_length]),
        Text(name),
        _role(member),
        _slots(member.line.slots),
        Text(str(member.line.config_epoch)),
        Text(state_of(member), style=_style(member)),
        Text(member.view.info.get("process_id", "") if member.view else ""),
        Text(server_of(member)),
    ]


def print_layout(console: Console, layout: Layout) -> None:
    """What a creation is about to make."""
    rows = []
    for shard in layout.shards:
        primary = str(shard.primary.address)
        rows.append(
            [Text(primary), Text("primary", style="bold"), _slots(SlotSet.from_ranges([shard.slots])), Text()]
        )
        rows += [[Text(str(each.address)), Text("replica"), Text(), Text(primary)] for each in shard.replicas]
    _print_fitting(console, ("Node", "Role", "Slots", "Replica of"), rows)
    for note in layout.notes:
        console.print(Text(note, style="yellow"))


def print_findings(console: Console, findings: Sequence[Finding]) -> None:
    """Each with the reason why it matters and what to do on lines below."""
    for finding in findings:
        line = Text(finding.severity, style=f"bold {SEVERITY_STYLES[finding.severity]}")
        console.print(line.append(f"  {finding.text}", style="not bold default"))
        if finding.explanation:
            console.print(Text(f"  {finding.explanation}", style="dim"))
        if finding.action:
            console.print(Text("  → ", style="dim").append(finding.action, style="not dim"))


def _print_fitting(
    console: Console, columns: Sequence[str], rows: Sequence[Sequence[Text]], droppable: Sequence[str] = ()
) -> None:
    """Prints a table without the `droppable` columns that there is no room for, in their order."""
    widths = [max(cell.cell_len for cell in cells) for cells in zip(*rows, strict=True)]
    widths = [max(width, len(column)) for width, column in zip(widths, columns, strict=True)]
    shown = list(columns)
    for column in droppable:
        if sum(widths[columns.index(each)] + GAP for each in shown) - GAP > console.width:
            shown.remove(column)
    table = Table(box=None, padding=(0, GAP, 0, 0), pad_edge=False, header_style="dim")
    for column in shown:
        # Names are what is copied and pasted, so never broken over two lines.
        no_wrap = column in ("Node", "Replica of", "Id", "Role")
        justify: Literal["left", "right"] = "right" if column in NUMBERS else "left"
        table.add_column(column, no_wrap=no_wrap, overflow="fold", justify=justify)
    for row in rows:
        table.add_row(*(row[columns.index(column)] for column in shown))
    console.print(table)


def _role(member: Member) -> Text:
    return Text("primary" if member.is_primary else "replica", style="bold" if member.is_primary else "")


def _slots(slots: SlotSet) -> Text:
    return Text(shortened(slots, limit=4))


def _style(member: Member) -> str:
    word = health(member)
    return "yellow" if word == "ok" and member.link_state in ("down", "syncing") else STYLES[word]
