"""A local cluster: node processes of this machine, their files, and the record of both.

    DIR/cluster.json         the record: what was started, how, and as which process
    DIR/7000/node.conf       the node's redis.conf, made by ctl
    DIR/7000/node.log        its log
    DIR/ctl-journal/         journals of changes, see ctl.execute.journal
    DIR/7000/…               whatever the node keeps: nodes.conf, dump.rdb, appendonlydir

The record is written before anything is started and again after each start, so that what runs can be found
(and `ctl cluster destroy` can remove it) even when ctl itself was killed half-way. Its phases: `creating`,
`ready`, and `failed` for a creation that stopped with an error and left its logs.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import trio

from ctl.errors import CtlError, UsageError
from ctl.execute.fleet import Credentials, Fleet, concurrently
from ctl.execute.node_conf import Directive, render
from ctl.execute.processes import Process, is_running, spawn, terminate
from ctl.execute.tls import TlsOptions
from ctl.snapshot import Address
from node.resp.client import LinkError, ReplyError, TlsFailed

STATE_FILE = "cluster.json"
JOURNALS = "ctl-journal"
FORMAT = 1
OWN_SERVER = (sys.executable, "-P", "-m", "node")
READY_EVERY_S = 0.02
STOP_TIMEOUT_S = 15.0


@dataclass(frozen=True, slots=True)
class LocalNode:
    """One node. `process` is the one started last, whether it still runs or not."""

    port: int
    process: Process | None = None

    @property
    def running(self) -> bool:
        return self.process is not None and is_running(self.process)


@dataclass(frozen=True, slots=True)
class LocalCluster:
    """What cluster.json holds, and the absolute directory it was read from."""

    directory: Path
    host: str
    server: tuple[str, ...]
    nodes: tuple[LocalNode, ...]
    phase: str
    made_directory: bool
    credentials: Credentials = field(default=Credentials())

    def address(self, node: LocalNode) -> Address:
        return Address(self.host, node.port)

    def node_directory(self, node: LocalNode) -> Path:
        return self.directory / str(node.port)

    def log_path(self, node: LocalNode) -> Path:
        return self.node_directory(node) / "node.log"

    @property
    def addresses(self) -> list[Address]:
        return [self.address(node) for node in self.nodes]

    @property
    def running(self) -> list[LocalNode]:
        return [node for node in self.nodes if node.running]

    def with_process(self, port: int, process: Process) -> LocalCluster:
        nodes = tuple(replace(node, process=process) if node.port == port else node for node in self.nodes)
        return replace(self, nodes=nodes)

    def select(self, names: Sequence[str]) -> list[LocalNode]:
        """The nodes of these ports or addresses, or all. Raises UsageError for one not known."""
        by_name = {name: node for node in self.nodes for name in (str(node.port), str(self.address(node)))}
        for name in names:
            if name not in by_name:
                ports = ", ".join(str(node.port) for node in self.nodes)
                raise UsageError(f"no node {name} in {self.directory}", f"Its nodes are {ports}.")
        return [by_name[name] for name in names] if names else list(self.nodes)


def server_command(text: str | None) -> tuple[str, ...]:
    """The command that starts a node: ours, or `text` with its program found. Raises UsageError."""
    if text is None:
        return OWN_SERVER
    try:
        words = shlex.split(text)
    except ValueError:
        raise UsageError(f"--server {text}: a quote is not closed") from None
    program = shutil.which(words[0]) if words else None
    if program is None:
        raise UsageError(f"--server {text!r}: no such program", "Install it, or give its path.")
    return (os.path.abspath(program), *words[1:])


def load(directory: Path) -> LocalCluster | None:
    """The cluster recorded in `directory`; None when there is none. Raises CtlError for a record not
    readable.
    """
    directory = directory.absolute()
    path = directory / STATE_FILE
    try:
        record = json.loads(path.read_text())
        if record["format"] != FORMAT:
            raise CtlError(
                f"{path} has format {record['format']}, this ctl knows {FORMAT}", "Use a newer ctl."
            )
        return LocalCluster(
            directory=directory,
            host=record["host"],
            server=tuple(record["server"]),
            nodes=tuple(
                LocalNode(node["port"], Process(**node["process"]) if node["process"] else None)
                for node in record["nodes"]
            ),
            phase=record["phase"],
            made_directory=record["made_directory"],
            credentials=_credentials(record["credentials"]),
        )
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CtlError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise CtlError(
            f"{path} is damaged ({error})", "Stop its nodes by hand, then remove the directory."
        ) from error


def _credentials(record: dict[str, Any]) -> Credentials:
    tls = record.get("tls")
    return Credentials(record["user"], record["password"], TlsOptions(**tls) if tls else None)


def save(cluster: LocalCluster) -> None:
    """Writes the record whole or not at all, for its owner only: it may hold a password. Raises CtlError."""
    record = {
        "format": FORMAT,
        "phase": cluster.phase,
        "host": cluster.host,
        "server": cluster.server,
        "made_directory": cluster.made_directory,
        "credentials": asdict(cluster.credentials),
        "nodes": [
            {"port": node.port, "process": asdict(node.process) if node.process else None}
            for node in cluster.nodes
        ],
    }
    path = cluster.directory / STATE_FILE
    temporary = path.with_suffix(".tmp")
    try:
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(json.dumps(record, indent=1) + "\n")
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(path)
    except OSError as error:
        raise CtlError(f"cannot write {path}: {error.strerror}") from error


def prepare(
    directory: Path,
    host: str,
    ports: Iterable[int],
    server: Sequence[str],
    directives: Sequence[Directive],
    credentials: Credentials,
) -> LocalCluster:
    """Makes the directories, each node's node.conf, and the record; starts nothing.

    Raises CtlError when a directory of a node is there already or cannot be made.
    """
    directory = directory.absolute()
    nodes = tuple(LocalNode(port) for port in ports)
    made_directory = not directory.exists()
    cluster = LocalCluster(directory, host, tuple(server), nodes, "creating", made_directory, credentials)
    for node in nodes:
        if cluster.node_directory(node).exists():
            raise CtlError(
                f"{cluster.node_directory(node)} is there already and is not of a cluster that ctl knows",
                "Give another --dir, or move it away.",
            )
    try:
        directory.mkdir(parents=True, exist_ok=True)
        save(cluster)
        for node in nodes:
            home = cluster.node_directory(node)
            home.mkdir(mode=0o750)
            with open(os.open(home / "node.conf", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(render(host, node.port, home, directives, credentials.tls))
    except OSError as error:
        raise CtlError(f"cannot make {error.filename}: {error.strerror}") from error
    return cluster


def launch(cluster: LocalCluster, nodes: Iterable[LocalNode]) -> LocalCluster:
    """Starts `nodes`, all at once, and records them. Raises CtlError."""
    for node in nodes:
        home = cluster.node_directory(node)
        try:
            process = spawn([*cluster.server, str(home / "node.conf")], home / "node.log")
        except OSError as error:
            raise CtlError(f"cannot start {cluster.server[0]}: {error.strerror}") from error
        cluster = cluster.with_process(node.port, process)
        save(cluster)
    return cluster


async def wait_ready(cluster: LocalCluster, nodes: Iterable[LocalNode], fleet: Fleet) -> None:
    """Returns when every node answers. Raises CtlError, with its last log line, for one that ended."""
    await concurrently(partial(_wait_ready, cluster, node, fleet) for node in nodes)


async def _wait_ready(cluster: LocalCluster, node: LocalNode, fleet: Fleet) -> None:
    while True:
        # First, so that a stranger's answer on the same port is not taken for that of a node that could not
        # bind.
        if not node.running:
            raise CtlError(
                f"node {node.port} ended at once: {last_words(cluster.log_path(node))}",
                f"Its log is {cluster.log_path(node)}.",
            )
        try:
            await fleet.call(cluster.address(node), "PING")
            return
        except TlsFailed as error:
            raise CtlError(
                f"node {node.port} runs, but {error.reason}",
                "Are --cacert and --cert right for its certificate?",
            ) from None
        except LinkError:
            pass
        except ReplyError as error:
            if error.code != "LOADING":
                return
        await trio.sleep(READY_EVERY_S)


async def stop(
    nodes: Iterable[LocalNode], *, timeout_s: float = STOP_TIMEOUT_S, kill: bool = False
) -> list[int]:
    """SIGTERM, then SIGKILL with `kill`; returns the process ids of those still running after all."""
    left = await terminate([n.process for n in nodes if n.process], timeout_s=timeout_s, kill=kill)
    return [process.pid for process in left]


def remove(cluster: LocalCluster) -> None:
    """Removes what `prepare` made, with what the nodes have put into their directories. Raises CtlError."""
    try:
        for node in cluster.nodes:
            home = cluster.node_directory(node)
            if home.is_dir() and not home.is_symlink():
                shutil.rmtree(home)
        shutil.rmtree(cluster.directory / JOURNALS, ignore_errors=True)
        (cluster.directory / STATE_FILE).unlink(missing_ok=True)
        (cluster.directory / STATE_FILE).with_suffix(".tmp").unlink(missing_ok=True)
        if cluster.made_directory:
            # Not empty: something that is not ours was put there, and stays.
            with suppress(OSError):
                cluster.directory.rmdir()
    except OSError as error:
        raise CtlError(f"cannot remove {error.filename}: {error.strerror}") from error


def last_words(log: Path) -> str:
    """The last line of a log that says something, without its time stamp."""
    try:
        lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    except OSError:
        lines = []
    if not lines:
        return "its log is empty"
    # A fatal error in the configuration names the directive on the line before.
    if len(lines) > 1 and lines[-2].startswith(">>>"):
        return f"{lines[-2].removeprefix('>>>').strip()}: {lines[-1]}"
    # Log lines carry the message after a mark of their level.
    return next(
        (lines[-1].partition(mark)[2] for mark in (" # ", " * ", " - ") if mark in lines[-1]), lines[-1]
    )
