"""The live view of a cluster: on a terminal a screen, elsewhere a line a change or a document a sample.

The screen never scrolls. From the top: the state, totals, the map of slots as one line in which each
primary's letter stands for its share, what is being moved, the nodes, and in the rows that are left the
latest events.
"""

from __future__ import annotations

import string
import time
from collections import deque
from collections.abc import Sequence
from typing import Literal

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ctl.plan.watch import Happening, Moving, Sample, lag_bytes, ops_per_s
from ctl.render import machine
from ctl.render.cluster import STYLES, summary
from ctl.render.machine import Json
from ctl.render.words import health, memory, primary_of, server_of, state_of
from ctl.snapshot import ClusterSnapshot, Member
from gossip.slots import SLOT_COUNT

LETTERS = string.ascii_uppercase + string.ascii_lowercase + string.digits
COLOURS = ("cyan", "magenta", "green", "yellow", "blue", "bright_cyan", "bright_magenta", "bright_green")
TONES = {"grave": "red", "good": "green", "plain": ""}
EVENTS_KEPT = 500
EVENTS_SHARE = 6
WIDE_COLUMNS = 110
NOBODY = "·"
OPEN = "↔"


class Screen:
    """Draws samples over each other. Used as a context manager, which gives the terminal back."""

    def __init__(self, console: Console, *, interval_s: float) -> None:
        self._console = console
        self._interval_s = interval_s
        self._events: deque[tuple[float, Happening]] = deque(maxlen=EVENTS_KEPT)
        self._live = Live(console=console, screen=True, auto_refresh=False, vertical_overflow="crop")

    def __enter__(self) -> Screen:
        self._live.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._live.stop()

    def show(self, before: Sample | None, now: Sample, happened: Sequence[Happening]) -> None:
        self._events.extend((now.at_s, each) for each in happened)
        width, height = self._console.size
        page = draw(before, now, list(self._events), width, height, self._interval_s)
        self._live.update(page, refresh=True)


def draw(
    before: Sample | None,
    now: Sample,
    happened: Sequence[tuple[float, Happening]],
    width: int,
    height: int,
    interval_s: float,
) -> RenderableType:
    """One page of at most `height` lines."""
    letters = _letters(now.snapshot)
    head = [_headline(now, width), _totals(before, now, interval_s), slot_bar(now.snapshot, letters, width)]
    head += [_moving(now, each) for each in now.moving]
    head += [
        Text(f"migration {job.slots}  {now.name(job.source_id)} → {now.name(job.target_id)}  {job.state}")
        for job in now.migrations
        if not job.ended
    ]
    head = head[: max(3, height // 3)]
    room = height - len(head) - 1 - max(1, height // EVENTS_SHARE)
    members, hidden = _chosen(now.snapshot.members, room)
    table = _table(before, now, members, letters, width)
    used = len(head) + 1 + len(members)
    rest: list[Text] = []
    if hidden:
        rest.append(Text(f"… and {hidden} more nodes that are well", style="dim"))
    shown = max(0, height - used - len(rest) - 1)
    latest = list(happened)[-shown:] if shown else []
    rest.append(Text("events" if latest else "no events yet", style="dim"))
    rest += [_event(at_s, each) for at_s, each in reversed(latest)]
    for line in (*head, *rest):
        line.truncate(width, overflow="ellipsis")
        line.no_wrap = True
    return Group(*head, table, *rest)


def _headline(now: Sample, width: int) -> Text:
    line = Text(f"no node answers: {now.silent}", style="bold red") if now.silent else summary(now.snapshot)
    clock = time.strftime("%H:%M:%S", time.localtime(now.at_s))
    line.truncate(max(0, width - len(clock) - 1), overflow="ellipsis", pad=True)
    return line.append(f" {clock}", style="dim")


def _totals(before: Sample | None, now: Sample, interval_s: float) -> Text:
    members = [] if now.silent else [member for member in now.snapshot.members if member.view]
    rates = [rate for member in members if (rate := ops_per_s(before, now, member)) is not None]
    parts = [
        f"{sum(rates):,.0f} ops/s" if rates else "… ops/s",
        f"{memory(sum(_number(member, 'used_memory') or 0 for member in members))} memory",
        f"{sum(_number(member, 'connected_clients') or 0 for member in members):,} clients",
        f"{sum(m.view.key_count for m in members if m.view and m.is_primary):,} keys",
    ]
    return Text(" · ".join(parts)).append(f" · every {interval_s:g} s, Ctrl-C ends", style="dim")


def slot_bar(snapshot: ClusterSnapshot, letters: dict[str, str], width: int) -> Text:
    """The 16384 slots in `width` cells: the letter of who has most of a cell's slots, `↔` where one of them
    is open, `·` where one has no owner.
    """
    owner: list[Member | None] = [None] * SLOT_COUNT
    opened = set()
    for member in snapshot.primaries:
        for slot in member.line.slots:
            owner[slot] = member
        opened |= {*member.line.migrating, *member.line.importing}
    bar = Text(no_wrap=True)
    for cell in range(width):
        first, last = cell * SLOT_COUNT // width, max((cell + 1) * SLOT_COUNT // width, 1)
        owners = owner[first:last] or [owner[first]]
        if None in owners:
            bar.append(NOBODY, style="bold red")
        elif any(first <= slot < last for slot in opened):
            bar.append(OPEN, style="bold reverse")
        else:
            most = max(set(owners), key=owners.count)
            assert most is not None
            style = "red" if health(most) in ("failed", "unreachable") else _colour(letters, most)
            bar.append(letters[most.node_id], style=style)
    return bar


def _letters(snapshot: ClusterSnapshot) -> dict[str, str]:
    owners = [member for member in snapshot.primaries if member.line.slots]
    return {member.node_id: LETTERS[n % len(LETTERS)] for n, member in enumerate(owners)}


def _colour(letters: dict[str, str], member: Member) -> str:
    return COLOURS[list(letters).index(member.node_id) % len(COLOURS)]


def _moving(now: Sample, each: Moving) -> Text:
    line = Text(f"{OPEN} {len(each.slots)} open  {now.name(each.source_id)} → {now.name(each.target_id)}")
    if each.keys_left is not None and each.keys_moved is not None:
        total = each.keys_left + each.keys_moved
        share = f"{each.keys_moved * 100 // total}%" if total else "no keys"
        line.append(f"  {each.keys_moved:,} of {total:,} keys there, {share}" if total else "  no keys")
    return line


def _chosen(members: Sequence[Member], room: int) -> tuple[list[Member], int]:
    """As many as there is room for: those that are not well first, then primaries; in their usual order."""
    if len(members) <= room:
        return list(members), 0
    room = max(1, room - 1)
    ranked = sorted(members, key=lambda member: (health(member) == "ok", not member.is_primary))
    chosen = set(ranked[:room])
    return [member for member in members if member in chosen], len(members) - room


def _table(
    before: Sample | None, now: Sample, members: Sequence[Member], letters: dict[str, str], width: int
) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="dim")
    numbers = ("Slots", "Ops/s", "Memory", "Clients", "Lag")
    columns = ["", "Node", "Role", *numbers, "State"]
    if width >= WIDE_COLUMNS:
        columns[3:3] = ["Replica of"]
        columns += ["Epoch", "Server"]
    rows = [_cells(before, now, member, letters) for member in members]
    widths = {column: max([len(column), *(row[column].cell_len for row in rows)]) for column in columns}
    # What a state has to say is longest where something is wrong: it is cut, not the numbers.
    others = sum(widths.values()) - widths["State"] + len(columns) - 1
    widths["State"] = max(len("State"), min(widths["State"], width - others))
    for column in columns:
        justify: Literal["left", "right"] = "right" if column in (*numbers, "Epoch") else "left"
        table.add_column(column, no_wrap=True, overflow="ellipsis", width=widths[column], justify=justify)
    for row in rows:
        table.add_row(*(row[column] for column in columns))
    return table


def _cells(before: Sample | None, now: Sample, member: Member, letters: dict[str, str]) -> dict[str, Text]:
    rate = ops_per_s(before, now, member)
    lag = None if member.is_primary else lag_bytes(now.snapshot, member)
    asked = member.view is not None and not now.silent
    clients = _number(member, "connected_clients")
    letter = letters.get(member.node_id, "")
    return {
        "": Text(letter, style=f"bold {_colour(letters, member)}" if letter else ""),
        "Node": Text(member.name),
        "Role": Text(
            "primary" if member.is_primary else "replica", style="bold" if member.is_primary else ""
        ),
        "Replica of": Text(primary_of(now.snapshot, member)),
        "Slots": Text(f"{len(member.line.slots):,}" if member.line.slots else ""),
        "Ops/s": Text(f"{rate:,.0f}" if rate is not None else ""),
        "Memory": Text(memory(_number(member, "used_memory")) if asked else ""),
        "Clients": Text(f"{clients:,}" if asked and clients is not None else ""),
        "Lag": Text(memory(lag) if lag else "0" if lag == 0 else ""),
        "State": Text("?", style="red") if now.silent else Text(_state(member), style=_style(member)),
        "Epoch": Text(str(member.line.config_epoch)),
        "Server": Text(server_of(member)),
    }


def _state(member: Member) -> str:
    return "ok" if member.link_state == "up" and health(member) == "ok" else state_of(member)


def _style(member: Member) -> str:
    word = health(member)
    return "yellow" if word == "ok" and member.link_state in ("down", "syncing") else STYLES[word]


def _number(member: Member, field: str) -> int | None:
    text = member.view.info.get(field, "") if member.view else ""
    return int(text) if text.isdecimal() else None


def _event(at_s: float, each: Happening) -> Text:
    line = Text(time.strftime("%H:%M:%S  ", time.localtime(at_s)), style="dim")
    return line.append(each.text, style=TONES[each.tone] or "not dim")


def print_event(console: Console, at_s: float, each: Happening) -> None:
    """A line, for logs and pipes."""
    stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at_s))
    console.print(Text(f"{stamp}  {each.kind:<11}  {each.text}"), soft_wrap=True)


def print_start(console: Console, now: Sample) -> None:
    stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(now.at_s))
    console.print(Text(f"{stamp}  {'watching':<11}  ").append_text(summary(now.snapshot)), soft_wrap=True)


def document(before: Sample | None, now: Sample, happened: Sequence[Happening]) -> dict[str, Json]:
    """One sample for machines."""
    nodes: list[Json] = []
    for member in now.snapshot.members:
        rate = ops_per_s(before, now, member)
        nodes.append(
            {
                **machine.member(member),
                "ops_per_s": round(rate, 1) if rate is not None else None,
                "clients": _number(member, "connected_clients"),
                "lag_bytes": None if member.is_primary else lag_bytes(now.snapshot, member),
            }
        )
    return {
        "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now.at_s))
        + f".{int(now.at_s % 1 * 1000):03}Z",
        "unreachable": now.silent or None,
        **machine.cluster(now.snapshot),
        "nodes": nodes,
        "moving": [
            {
                "source": each.source_id,
                "target": each.target_id,
                "slots": machine.ranges(each.slots),
                "keys_left": each.keys_left,
                "keys_moved": each.keys_moved,
            }
            for each in now.moving
        ],
        "migrations": [
            {
                "name": job.name,
                "slots": job.slots,
                "source": job.source_id,
                "target": job.target_id,
                "state": job.state,
                "remaining_bytes": job.remaining_bytes,
            }
            for job in now.migrations
        ],
        "events": [{"kind": each.kind, "text": each.text, "nodes": each.nodes} for each in happened],
    }
