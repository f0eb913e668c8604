"""A client as users write it, run where they would run it: client.py HOST PORT PREFIX [SOURCE_ADDRESS]

Writes and reads keys through redis-py's RedisCluster, which learns the nodes' addresses from the one it is
given (CLUSTER SLOTS); asks every node, replicas too, for an answer; and follows nothing but redirects (MOVED)
with a plain client. Prints the addresses it was told. SOURCE_ADDRESS is where its connections come from, when
the place does not decide that.
"""

from __future__ import annotations

import os
import socket
import sys

from redis import Redis
from redis.cluster import RedisCluster
from redis.exceptions import MovedError

KEY_COUNT = 200
PASSWORD = os.environ.get("SHOAL_PASSWORD") or None


def main(host: str, port: int, prefix: str) -> None:
    cluster = RedisCluster(host=host, port=port, password=PASSWORD, socket_timeout=5)
    for number in range(KEY_COUNT):
        assert cluster.set(f"{prefix}:{number}", number)
    for number in range(KEY_COUNT):
        assert cluster.get(f"{prefix}:{number}") == b"%d" % number
    assert cluster.ping(target_nodes=RedisCluster.ALL_NODES) is True
    told = {f"{node.host}:{node.port}" for node in cluster.get_nodes()}  # type: ignore[no-untyped-call]
    cluster.close()
    redirects = redirected_to(Redis(host=host, port=port, password=PASSWORD), prefix)
    assert len(redirects) >= 2, "a node has at most a third of the keys"
    assert redirects <= told, (redirects, told)
    print(*sorted(told))


def redirected_to(node: Redis, prefix: str) -> set[str]:
    """Where one node sends those who ask for keys of others."""
    found = set()
    for number in range(KEY_COUNT):
        try:
            node.get(f"{prefix}:{number}")
        except MovedError as moved:
            found.add(f"{moved.host}:{moved.port}")
    node.close()
    return found


def come_from(source: str) -> None:
    """Binds every socket to `source` before it connects."""
    connect = socket.socket.connect

    def bound(self: socket.socket, address: tuple[str, int]) -> None:
        self.bind((source, 0))
        connect(self, address)

    socket.socket.connect = bound  # type: ignore[assignment,method-assign]


if __name__ == "__main__":
    if len(sys.argv) > 4:
        come_from(sys.argv[4])
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
