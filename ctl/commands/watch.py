"""`ctl cluster watch`"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias

import click
import trio

from ctl.commands.common import Target, Verb, json_option, run, target, target_options
from ctl.execute.watch import Sampler, every
from ctl.plan.watch import Happening, Sample, events
from ctl.render.cluster import print_status
from ctl.render.console import stdout
from ctl.render.watch import Screen, document, print_event, print_start
from ctl.snapshot import Address

Show: TypeAlias = Callable[[Sample | None, Sample, Sequence[Happening]], None]


@click.command("watch", cls=Verb)
@click.option(
    "--interval", default=1.0, type=click.FloatRange(0.1), show_default=True, help="Seconds between looks."
)
@click.option("--count", type=click.IntRange(1), help="End after so many looks.")
@target_options
@json_option
def command(
    interval: float,
    count: int | None,
    addr: Address | None,
    directory: Path,
    user: str | None,
    password: str | None,
    as_json: bool,
) -> None:
    """Watch nodes, slots, load and events, live.

    On a terminal a screen that is drawn anew at each look; in a pipe a line for each change; with --json a
    document a line for each look. Ctrl-C ends it, with status 0.
    """
    where = target(addr, directory, user, password)
    console = stdout()
    with suppress(KeyboardInterrupt):
        if as_json:
            _until_the_reader_leaves(lambda: _follow(where, _print_document, interval, count))
        elif not console.is_terminal or console.is_dumb_terminal:
            _until_the_reader_leaves(lambda: _follow(where, _print_changes, interval, count))
        else:
            last: list[Sample] = []
            with suppress(KeyboardInterrupt), Screen(console, interval_s=interval) as screen:

                def show(before: Sample | None, now: Sample, happened: Sequence[Happening]) -> None:
                    last[:] = [now]
                    screen.show(before, now, happened)

                _follow(where, show, interval, count)
            if last:
                print_status(console, last[0].snapshot)


def _until_the_reader_leaves(watch: Callable[[], None]) -> None:
    """A pipe that nobody reads any more (`| head`) is an end like another."""
    try:
        watch()
    except BrokenPipeError:
        # Or the interpreter would try to flush, and complain, when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _follow(where: Target, show: Show, interval_s: float, count: int | None) -> None:
    async def follow() -> None:
        sampler = Sampler(where.credentials, where.seeds, interval_s=interval_s)
        try:
            before: Sample | None = None
            started, number = trio.current_time(), 0
            while count is None or number < count:
                await every(interval_s, started, number)
                now = await sampler.sample()
                show(before, now, events(before, now) if before else [])
                before, number = now, number + 1
        finally:
            await sampler.aclose()

    run(follow)


def _print_document(before: Sample | None, now: Sample, happened: Sequence[Happening]) -> None:
    print(json.dumps(document(before, now, happened), ensure_ascii=False), flush=True)


def _print_changes(before: Sample | None, now: Sample, happened: Sequence[Happening]) -> None:
    console = stdout()
    if before is None:
        print_start(console, now)
    for each in happened:
        print_event(console, now.at_s, each)
    sys.stdout.flush()
