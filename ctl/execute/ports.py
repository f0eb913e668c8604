"""Free ports for local nodes: a run of client ports whose bus ports (+ 10000) are free as well.

Both lie below 32768, where Linux begins to hand out ports for outgoing connections: a port above could be
taken by a client of anything between two starts of a node.
"""

from __future__ import annotations

import errno
import socket

from ctl.errors import CtlError, UsageError

DEFAULT_BASE_PORT = 7000
BUS_OFFSET = 10_000
PORT_MAX = 32_767 - BUS_OFFSET
BASE_PORT_MIN = 1024


def is_free(host: str, port: int) -> bool:
    """Whether a server could listen on it now. Raises UsageError when `host` is not of this machine."""
    try:
        family, _, _, _, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(where)
    except socket.gaierror:
        raise UsageError(f"no such host: {host}", "--host takes an address of this machine.") from None
    except OSError as error:
        if error.errno == errno.EADDRNOTAVAIL:
            raise UsageError(f"{host} is no address of this machine", "--host takes one that is.") from None
        return False
    return True


def taken(host: str, base_port: int, count: int) -> list[int]:
    """Ports of the run that something listens on, itself or on its bus port."""
    return [
        port
        for port in range(base_port, base_port + count)
        if not (is_free(host, port) and is_free(host, port + BUS_OFFSET))
    ]


def choose_base_port(host: str, wanted: int | None, count: int) -> tuple[int, list[int]]:
    """The first port of a free run of `count`, and the ports in the way of the default run.

    With `wanted` only that run will do. Raises UsageError for a run out of bounds, CtlError when it is taken.
    """
    base_port = DEFAULT_BASE_PORT if wanted is None else wanted
    if not BASE_PORT_MIN <= base_port <= PORT_MAX - count + 1:
        raise UsageError(
            f"base port {base_port} is out of bounds for {count} nodes",
            f"It lies between {BASE_PORT_MIN} and {PORT_MAX - count + 1}: bus ports are {BUS_OFFSET} higher.",
        )
    in_the_way = taken(host, base_port, count)
    if not in_the_way:
        return base_port, []
    if wanted is not None:
        raise CtlError(
            f"in use: {', '.join(map(str, in_the_way))} (or the bus port {BUS_OFFSET} higher)",
            "Give another --base-port, or none and free ports are picked.",
        )
    for candidate in range(base_port + count, PORT_MAX - count + 2, count):
        if not taken(host, candidate, count):
            return candidate, in_the_way
    raise CtlError(f"no {count} free ports in a row on {host}")
