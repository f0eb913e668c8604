"""What `backup`, `restore` and `import` show: the plan, bytes and MB/s meanwhile, the outcome."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.text import Text

from ctl.plan.backup import Manifest, Shard, Source, Transfer, slots_text, to_json
from ctl.plan.restore import Outcome, Restore
from ctl.render.console import stderr, warn
from ctl.render.machine import Json
from ctl.render.progress import bar
from ctl.render.words import duration, memory, plural, rate

SHOWN_CONFLICTS = 10


@contextmanager
def transfer_progress(*, quiet: bool) -> Iterator[Callable[[Transfer], None]]:
    """One line that changes, on a terminal; nothing elsewhere."""
    console = stderr()
    if quiet or not console.is_terminal:
        yield lambda _: None
        return
    with console.status("") as status:
        yield lambda event: status.update(Text(transfer_line(event), style="default"))


def transfer_line(event: Transfer) -> str:
    """`━━━━━━────  3 shards · 88.0M of 210M · 41.0 MB/s · 402,112 keys · 3 s left`."""
    parts = [event.title]
    done = event.size_bytes
    line = ""
    if event.size_total:
        line = bar(done / event.size_total) + "  "
        parts.append(f"{memory(done)} of {memory(event.size_total)}")
    elif done:
        parts.append(memory(done))
    if done and event.elapsed_s > 0:
        parts.append(rate(done, event.elapsed_s))
    if event.keys:
        parts.append(plural(event.keys, "key"))
    if event.size_total and done:
        parts.append(f"{max(0.0, event.elapsed_s * (event.size_total - done) / done):.0f} s left")
    return line + " · ".join(parts)


def print_sources(console: Console, sources: tuple[Source, ...], directory: Path) -> None:
    """Which node would give which slots."""
    console.print(Text(f"back up {plural(len(sources), 'shard')} to {directory}", style="bold"))
    for source in sources:
        view = source.giver.view
        words = f"  {source.address}  slots {slots_text(source.primary.line.slots)}"
        line = Text(words)
        if source.giver is not source.primary:
            line.append(f", a replica of {source.primary.name}")
        line.append(f"  {plural(view.key_count if view else 0, 'key')}", style="dim")
        console.print(line)


def print_manifest(console: Console, manifest: Manifest, directory: Path) -> None:
    keys, took_s = plural(manifest.keys, "key"), max(manifest.took_ms, 1) / 1000
    shards = plural(len(manifest.shards), "shard")
    console.print(
        f"{directory}: {keys} of {shards}, {memory(manifest.size_bytes)} in {duration(manifest.took_ms)} "
        f"({rate(manifest.size_bytes, took_s)}), cut within {manifest.cut_within_ms} ms, {manifest.made_at}"
    )
    for shard in manifest.shards:
        console.print(Text(f"  {_shard_line(shard)}", style="dim"))
    for note in manifest.notes:
        warn(console, note)


def _shard_line(shard: Shard) -> str:
    functions = f", {plural(shard.functions, 'function')}" if shard.functions else ""
    return (
        f"{shard.file}  {memory(shard.size_bytes)}  {plural(shard.keys, 'key')}{functions}"
        f"  slots {shard.slots}  "
        f"from {shard.source_role} {shard.source_address} ({shard.server}) at offset {shard.offset}"
    )


def manifest_document(manifest: Manifest, directory: Path) -> dict[str, Json]:
    return {"directory": str(directory), **to_json(manifest)}


def sources_document(sources: tuple[Source, ...], directory: Path) -> dict[str, Json]:
    return {
        "directory": str(directory),
        "done": False,
        "shards": [
            {
                "primary": source.primary.node_id,
                "source": source.giver.node_id,
                "source_address": str(source.address),
                "slots": slots_text(source.primary.line.slots),
                "keys": source.giver.view.key_count if source.giver.view else None,
            }
            for source in sources
        ],
    }


def print_restore(console: Console, plan: Restore) -> None:
    console.print(Text(plan.title, style="bold"))
    for line in plan.lines:
        console.print(f"  {line}")
    for risk in plan.risks:
        warn(console, risk)


def restore_document(plan: Restore) -> dict[str, Json]:
    return {"title": plan.title, "plan": list(plan.lines), "risks": list(plan.risks), "done": False}


def outcome_document(outcome: Outcome) -> dict[str, Json]:
    return {
        "done": True,
        "keys": outcome.restored,
        "bytes": outcome.size_bytes,
        "skipped_existing": outcome.existing,
        "conflicts": [key.decode(errors="backslashreplace") for key in outcome.conflicts],
        "conflict_count": outcome.conflict_count,
        "expired": outcome.expired,
        "foreign": outcome.foreign,
        "functions": outcome.functions,
        "keys_in_cluster": outcome.keys_in_cluster,
        "verified": outcome.verified,
        "commands": outcome.commands,
        "notes": list(outcome.notes),
        "took_ms": outcome.took_ms,
    }


def print_outcome(console: Console, outcome: Outcome) -> None:
    took_s = max(outcome.took_ms, 1) / 1000
    words = [f"{plural(outcome.restored, 'key')} written"]
    if outcome.size_bytes:
        words.append(f"{memory(outcome.size_bytes)} ({rate(outcome.size_bytes, took_s)})")
    if outcome.functions:
        words.append(f"{plural(outcome.functions, 'function')} loaded")
    if outcome.commands:
        words.append(f"{outcome.commands:,} command{'s' * (outcome.commands > 1)} followed")
    console.print(f"{', '.join(words)} in {duration(outcome.took_ms)}")
    if outcome.existing:
        console.print(f"{plural(outcome.existing, 'key')} skipped, which the cluster has already")
    if outcome.expired:
        console.print(f"{plural(outcome.expired, 'key')} left out, whose time is over")
    if outcome.foreign:
        console.print(f"{plural(outcome.foreign, 'key')} left out, found in the file of another shard")
    if outcome.verified:
        console.print(
            f"verified: {plural(outcome.keys_in_cluster, 'key')} in the cluster, as many as there should be"
        )
    for note in outcome.notes:
        warn(console, note)


def conflict_lines(outcome: Outcome) -> list[str]:
    """Keys that are at both ends, the first of them by name."""
    names = [key.decode(errors="backslashreplace") for key in outcome.conflicts[:SHOWN_CONFLICTS]]
    more = outcome.conflict_count - len(names)
    return [*(f"  {name}" for name in names), *([f"  and {more:,} more"] if more else [])]
