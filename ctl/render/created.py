"""What `ctl cluster create` shows: the layout before, the cluster and how to use it after."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from ctl.plan.create import Layout
from ctl.render import machine
from ctl.render.cluster import print_layout, print_status
from ctl.render.console import stderr, stdout
from ctl.snapshot import ClusterSnapshot


def show_layout(layout: Layout) -> None:
    """To stderr: what is about to be made is a question, not the answer."""
    print_layout(stderr(), layout)


def show(snapshot: ClusterSnapshot, notes: Sequence[str] = (), *, as_json: bool) -> None:
    if as_json:
        print(machine.text({**machine.cluster(snapshot), "notes": notes}))
        return
    print_status(stdout(), snapshot)


def show_local(
    snapshot: ClusterSnapshot,
    directory: Path,
    notes: Sequence[str],
    *,
    tls: str = "",
    named: bool,
    as_json: bool,
) -> None:
    """`named`: --dir was given, and whoever removes the cluster has to give it too. `tls` are redis-cli's
    options, for a cluster that wants them.
    """
    if as_json:
        print(machine.text({**machine.cluster(snapshot), "directory": str(directory), "notes": notes}))
        return
    print_status(stdout(), snapshot)
    address = snapshot.primaries[0].address
    assert address is not None, "a local node has an address"
    stdout().print(
        f"\nFiles and logs: {directory}\n"
        f"Connect:        redis-cli -c -h {address.host} -p {address.port}{tls and ' ' + tls}\n"
        f"Remove:         ctl cluster destroy{f' --dir {shlex.quote(str(directory))}' if named else ''}",
        soft_wrap=True,
    )
