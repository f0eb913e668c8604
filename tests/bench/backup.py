"""How long a backup of a million keys takes, and its restore into a cluster of another size.

    python tests/bench/backup.py [--keys 1000000] [--hashes 50] [--fields 2000] [--json]

In one run, three primaries to five, for redis-server nodes and for ours. The backup is held against
`redis-cli --rdb` from each node in turn (which neither checks nor counts anything), the restore against
writing the same keys by pipelined SET. After each restore every key is read and compared.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

from reshard import Cluster, Load  # noqa: E402


class Sized(Cluster):
    """So many primaries."""

    def __init__(self, directory: str, server: str | None, nodes: int) -> None:
        self.directory = directory
        options = ["--server", server] if server else []
        quick = ["--node-option", "save=", "--node-option", "repl-diskless-sync-delay=0"]
        self.ctl("create", "--nodes", str(nodes), "--replicas", "0", *options, *quick)
        self.ports = [int(node["address"].rpartition(":")[2]) for node in self._nodes()]


@dataclass
class Report:
    server: str
    keys: int
    size_bytes: int
    fill_s: float
    redis_cli_rdb_s: float
    backup_s: float
    restore_s: float
    backup_ratio: float
    restore_ratio: float


def seconds_of_rdb(cluster: Sized, directory: str) -> float:
    started = time.perf_counter()
    for port in cluster.ports:
        file = f"{directory}/{port}.rdb"
        subprocess.run(["redis-cli", "-p", str(port), "--rdb", file], check=True, capture_output=True)
    return time.perf_counter() - started


def measure(server: str | None, load: Load) -> Report:
    with tempfile.TemporaryDirectory(prefix="shoal-bench-") as directory:
        source = Sized(f"{directory}/source", server, 3)
        try:
            started = time.perf_counter()
            source.fill(load)
            fill_s = time.perf_counter() - started
            rdb_s = seconds_of_rdb(source, directory)
            started = time.perf_counter()
            made = json.loads(source.ctl("backup", f"{directory}/backup", "--json"))
            backup_s = time.perf_counter() - started
        finally:
            source.destroy()
        goal = Sized(f"{directory}/goal", server, 5)
        try:
            started = time.perf_counter()
            done = json.loads(goal.ctl("restore", f"{directory}/backup", "--yes", "--json"))
            restore_s = time.perf_counter() - started
            if not done["verified"] or done["keys"] != load.keys + load.hashes:
                raise SystemExit(f"bench: not all was restored: {done}")
            goal.verify(load)
        finally:
            goal.destroy()
    return Report(
        server or "shoal",
        done["keys"],
        made["size_bytes"],
        fill_s,
        rdb_s,
        backup_s,
        restore_s,
        backup_s / rdb_s,
        restore_s / fill_s,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--keys", type=int, default=1_000_000)
    parser.add_argument("--hashes", type=int, default=50)
    parser.add_argument("--fields", type=int, default=2000)
    parser.add_argument("--json", action="store_true", dest="as_json")
    options = parser.parse_args()
    load = Load(options.keys, options.hashes, options.fields)
    reports = [measure("redis-server", load), measure(None, load)]
    if options.as_json:
        print(json.dumps([asdict(report) for report in reports], indent=2))
        return
    for each in reports:
        size_mb = each.size_bytes / 1e6
        print(f"{each.server}: {each.keys:,} keys, {size_mb:.0f} MB, every key compared")
        print(f"  backup  {each.backup_s:.1f} s, {each.backup_ratio:.2f} of redis-cli --rdb")
        print(f"  restore {each.restore_s:.1f} s, {each.restore_ratio:.2f} of writing the keys by SET")


if __name__ == "__main__":
    main()
