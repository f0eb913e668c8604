"""A local cluster with one node more, or one less. A new node gets the directives that the others have."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import replace

from ctl.errors import CtlError
from ctl.execute import local
from ctl.execute.local import LocalCluster, LocalNode
from ctl.execute.node_conf import Directive, render
from ctl.execute.ports import PORT_MAX, taken

# What `render` writes by itself, and what is of one node only.
OF_ONE_NODE = frozenset(
    {
        *("port", "bind", "cluster-enabled", "cluster-config-file", "dir", "logfile", "daemonize"),
        *("repl-diskless-sync-delay", "cluster-announce-ip", "masterauth", "cluster-announce-port"),
        *(
            "tls-port",
            "cluster-announce-tls-port",
            "cluster-announce-bus-port",
            "cluster-announce-hostname",
            "cluster-port",
            "user",
        ),
    }
)


def next_port(cluster: LocalCluster) -> int:
    """The first free port above those of the cluster. Raises CtlError for none."""
    for port in range(max(node.port for node in cluster.nodes) + 1, PORT_MAX + 1):
        if not taken(cluster.host, port, 1) and not (cluster.directory / str(port)).exists():
            return port
    raise CtlError(f"no free port above those of the cluster in {cluster.directory}")


def start_node(cluster: LocalCluster, port: int) -> LocalCluster:
    """With a node at `port` that runs: made where it is not there, started where it does not run.

    Raises CtlError.
    """
    node = next((node for node in cluster.nodes if node.port == port), None)
    if node is None:
        node = LocalNode(port)
        home = cluster.node_directory(node)
        text = render(cluster.host, port, home, list(_common_directives(cluster)), cluster.credentials.tls)
        try:
            home.mkdir(mode=0o750, exist_ok=True)
            with open(os.open(home / "node.conf", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
                file.write(text)
        except OSError as error:
            raise CtlError(f"cannot make {error.filename}: {error.strerror}") from error
        cluster = replace(cluster, nodes=(*cluster.nodes, node))
        local.save(cluster)
    return cluster if node.running else local.launch(cluster, [node])


def _common_directives(cluster: LocalCluster) -> Iterator[Directive]:
    """Of the first node's file, without what is of that node alone."""
    path = cluster.node_directory(cluster.nodes[0]) / "node.conf"
    try:
        lines = path.read_text().splitlines()
    except OSError as error:
        raise CtlError(f"cannot read {path}: {error.strerror}") from error
    for line in map(str.strip, lines):
        name, _, value = line.partition(" ")
        if line and not line.startswith("#") and name.lower() not in OF_ONE_NODE:
            yield name.lower(), value.strip()


async def end_node(cluster: LocalCluster, port: int, *, remove: bool) -> LocalCluster:
    """Without the process at `port`; with `remove`, without its files and its place in the record too.

    Raises CtlError when it cannot be ended.
    """
    node = next((node for node in cluster.nodes if node.port == port), None)
    if node is None:
        return cluster
    if left := await local.stop([node], kill=True):
        raise CtlError(f"cannot end process {left[0]}")
    if not remove:
        return cluster
    home = cluster.node_directory(node)
    try:
        if home.is_dir() and not home.is_symlink():
            shutil.rmtree(home)
    except OSError as error:
        raise CtlError(f"cannot remove {error.filename}: {error.strerror}") from error
    cluster = replace(cluster, nodes=tuple(each for each in cluster.nodes if each.port != port))
    local.save(cluster)
    return cluster


def with_password(cluster: LocalCluster, password: str) -> LocalCluster:
    """Recorded: it is what its nodes are asked with from now on."""
    cluster = replace(cluster, credentials=replace(cluster.credentials, password=password or None))
    local.save(cluster)
    return cluster
