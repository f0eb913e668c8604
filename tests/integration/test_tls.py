"""TLS for clients, replication and the bus, with real processes: redis-py, redis-cli and redis-server 7.0."""

from __future__ import annotations

import os
import re
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.retry import Retry

from gossip.slots import key_slot

DEADLINE_S = 20.0


def eventually(holds: Callable[[], Any]) -> Any:
    """What `holds` returns once it is true; errors of redis-py count as not yet."""
    deadline_s = time.monotonic() + DEADLINE_S
    while True:
        try:
            value, error = holds(), None
        except redis.RedisError as failed:
            value, error = None, failed
        if value:
            return value
        if time.monotonic() > deadline_s:
            pytest.fail(f"never came to be: {error or value!r}")
        time.sleep(0.02)


Client = Callable[..., redis.Redis]


@pytest.fixture
def client(certificates: Path) -> Iterator[Client]:
    """redis-py over TLS, as `name` (None: without a certificate), checking the node's name."""
    made: list[redis.Redis] = []

    def make(port: int, name: str | None = "client", **options: Any) -> redis.Redis:
        own = {} if name is None else _pair(certificates, name)
        settings = {
            "ssl_ca_certs": str(certificates / "ca.crt"),
            "socket_timeout": DEADLINE_S,
            "retry": Retry(NoBackoff(), 0),
            **own,
            **options,
        }
        made.append(redis.Redis("127.0.0.1", port, ssl=True, **settings))
        return made[-1]

    yield make
    for each in made:
        each.close()


def _pair(certificates: Path, name: str) -> dict[str, str]:
    return {
        "ssl_certfile": str(certificates / f"{name}.crt"),
        "ssl_keyfile": str(certificates / f"{name}.key"),
    }


@pytest.fixture
def tls_node(shoal_node, tls_arguments, free_port):
    """Starts a node with a TLS port (`node.tls_port`) beside its plain one."""

    def start(*arguments: str, **options: Any) -> Any:
        port = options.pop("tls_port", None) or free_port()
        node = shoal_node(*tls_arguments, "--tls-port", str(port), *arguments, **options)
        node.tls_port = port
        return node

    return start


@pytest.fixture
def shared(shared_tls_node):
    """The node of several tests, as it is by default; empty."""
    node, node.tls_port = shared_tls_node
    node.connect().call("FLUSHALL")
    return node


class TestClients:
    def test_tls_alone(self, tls_node, client):
        """Port 0: nobody is served in the clear."""
        node = tls_node("--port", "0")
        one = client(node.tls_port)
        assert one.set("key", b"\x00\r\n")
        assert one.get("key") == b"\x00\r\n"
        info = one.info("server")
        assert info["tcp_port"] == node.tls_port
        assert info["listener0"]["name"] == "tls"
        assert "Ready to accept connections tls" in node.logged()
        assert "port=" + str(node.tls_port) in node.logged()

    def test_both_ports_serve_one_data_set(self, shared, client):
        node = shared
        client(node.tls_port).set("key", "value")
        assert node.connect().call("GET", "key") == b"value"

    def test_large_values_and_deep_pipelines(self, shared, client):
        """More than sockets take at once, in both directions, while another client is served."""
        node = shared
        one, value = client(node.tls_port), os.urandom(20_000_000)
        one.set("large", value)
        pipe = one.pipeline(transaction=False)
        for number in range(5000):
            pipe.set(f"key:{number}", number).get("small")
        assert len(pipe.execute()) == 10_000
        assert one.get("large") == value
        assert client(node.tls_port).mget("key:0", "key:4999") == [b"0", b"4999"]

    def test_a_client_that_reads_slowly_delays_nobody(self, shared, client):
        node = shared
        other = client(node.tls_port)
        other.set("large", bytes(8_000_000))
        slow = client(node.tls_port).connection_pool.get_connection()
        slow.send_command("GET", "large")
        eventually(lambda: any(int(each["omem"]) > 0 for each in other.client_list()))
        assert other.ping()
        assert slow.read_response() == bytes(8_000_000)
        slow.disconnect()

    def test_blocking_pushes_and_transactions(self, shared, client):
        node = shared
        one, two = client(node.tls_port), client(node.tls_port)
        waiting = threading.Thread(target=lambda: got.append(one.blpop("list", DEADLINE_S)))
        got: list[Any] = []
        waiting.start()
        eventually(lambda: two.info("clients")["blocked_clients"] == 1)
        two.pipeline().rpush("list", "a").set("x", 1).execute()
        waiting.join(DEADLINE_S)
        assert got == [(b"list", b"a")]
        with one.pubsub(ignore_subscribe_messages=True) as listener:
            listener.subscribe("channel")
            eventually(lambda: two.publish("channel", "hello") == 1)
            message = eventually(lambda: listener.get_message(timeout=1.0))
            assert message["data"] == b"hello"

    def test_redis_cli(self, shared, certificates):
        if shutil.which("redis-cli") is None:
            pytest.skip("redis-cli is not installed")
        node = shared
        command = ["redis-cli", "--tls", "--cacert", str(certificates / "ca.crt"), "-p", str(node.tls_port)]
        own = ["--cert", str(certificates / "client.crt"), "--key", str(certificates / "client.key")]
        told = subprocess.run(
            [*command, *own, "ECHO", "hello"], capture_output=True, check=True, timeout=DEADLINE_S
        )
        assert told.stdout == b"hello\n"
        refused = subprocess.run(
            [*command, "ECHO", "hello"], capture_output=True, check=False, timeout=DEADLINE_S
        )
        assert b"hello" not in refused.stdout


class TestCertificates:
    def test_of_clients(self, shared, client):
        """With tls-auth-clients yes, the default: one of our authority, and valid; the log says why not."""
        node = shared
        assert client(node.tls_port).ping()
        for name, said in (
            (None, "peer did not return a certificate"),
            ("expired", "certificate verify failed: certificate has expired"),
            ("foreign", "certificate verify failed: unable to get local issuer certificate"),
        ):
            with pytest.raises(redis.ConnectionError):
                client(node.tls_port, name).ping()
            node.wait_for_log(f"Error accepting a client connection: {said} (addr=127.0.0.1:")
        assert client(node.tls_port, "other").ping()  # clients' names mean nothing

    def test_not_asked_for_or_not_needed(self, tls_node, client):
        node = tls_node("--tls-auth-clients", "no")
        assert client(node.tls_port, None).ping()
        assert client(node.tls_port, "foreign").ping()
        plain = node.connect()
        assert plain.call("CONFIG", "SET", "tls-auth-clients", "optional") == b"OK"
        assert client(node.tls_port, None).ping()
        with pytest.raises(redis.ConnectionError):
            client(node.tls_port, "foreign").ping()

    def test_of_the_node(self, shoal_node, certificates, free_port, client):
        """A client that checks finds one that is expired, or of another name; the log says that it left."""
        for name in ("expired", "other"):
            port = free_port()
            node = shoal_node(
                *("--tls-port", str(port), "--tls-ca-cert-file", str(certificates / "ca.crt")),
                *("--tls-cert-file", str(certificates / f"{name}.crt")),
                *("--tls-key-file", str(certificates / f"{name}.key")),
            )
            with pytest.raises(redis.ConnectionError):
                client(port).ping()
            node.wait_for_log("Error accepting a client connection: ")
            assert client(port, ssl_cert_reqs="none", ssl_check_hostname=False).ping()

    def test_a_node_that_cannot_speak_tls_does_not_start(self, start_node, free_port):
        node = start_node("--tls-port", str(free_port()))
        assert node.exit_status() == 1
        last = node.logged().strip().splitlines()[-1]
        assert last.endswith("Failed to configure TLS: No tls-cert-file configured!")
        assert "Traceback" not in node.logged()

    def test_renewed_at_run_time(self, tls_node, certificates, tmp_path, client):
        """Connections that exist go on; new ones see the new certificate, and a bad one changes nothing."""
        for suffix in ("crt", "key"):
            shutil.copy(certificates / f"node.{suffix}", tmp_path / f"own.{suffix}")
        own = str(tmp_path / "own.crt")
        node = tls_node("--tls-cert-file", own, "--tls-key-file", str(tmp_path / "own.key"))
        before, plain = client(node.tls_port), node.connect()
        assert before.ping()
        for suffix in ("crt", "key"):
            shutil.copy(certificates / f"other.{suffix}", tmp_path / f"own.{suffix}")
        assert plain.call("CONFIG", "SET", "tls-cert-file", own) == b"OK"
        assert before.ping()
        assert self.served_names(node.tls_port, certificates) == ("other.example",)
        (tmp_path / "own.crt").write_text("nonsense")
        refused = str(plain.call("CONFIG", "SET", "tls-cert-file", own))
        assert "Unable to update TLS configuration. Check server logs." in refused
        assert self.served_names(node.tls_port, certificates) == ("other.example",)
        assert before.ping()

    def served_names(self, port: int, certificates: Path) -> tuple[str, ...]:
        context = ssl.create_default_context(cafile=str(certificates / "ca.crt"))
        context.check_hostname = False
        context.load_cert_chain(certificates / "client.crt", certificates / "client.key")
        with (
            socket.create_connection(("127.0.0.1", port), DEADLINE_S) as plain,
            context.wrap_socket(plain) as secured,
        ):
            shown: Any = secured.getpeercert()
            return tuple(name for _, name in shown["subjectAltName"])

    def test_ports_opened_and_closed_at_run_time(self, tls_node, shoal_node, free_port, client):
        node, port = tls_node(), free_port()
        plain = node.connect()
        assert plain.call("CONFIG", "SET", "tls-port", port) == b"OK"
        assert client(port).ping()
        with pytest.raises(redis.ConnectionError):
            client(node.tls_port).ping()
        assert "Unable to listen on this port" in str(plain.call("CONFIG", "SET", "tls-port", node.port))
        assert client(port).ping()
        assert plain.call("CONFIG", "SET", "tls-port", 0) == b"OK"
        with pytest.raises(redis.ConnectionError):
            client(port).ping()
        without = shoal_node().connect()
        assert "Unable to update TLS" in str(without.call("CONFIG", "SET", "tls-port", free_port()))


class TestTheWrongPort:
    def test_plain_text_to_the_tls_port(self, shared, client):
        node = shared
        with socket.create_connection(("127.0.0.1", node.tls_port), DEADLINE_S) as plain:
            plain.sendall(b"PING\r\n")
            while plain.recv(1024):  # an alert, and the end
                pass
        node.wait_for_log("(the other side does not speak TLS here?) (addr=127.0.0.1:")
        assert client(node.tls_port).ping()

    def test_tls_to_the_plain_port(self, shared, client):
        node = shared
        with pytest.raises(redis.ConnectionError):
            client(node.port).ping()
        node.wait_for_log("A client speaks TLS to the plain port: 127.0.0.1:")
        assert node.connect().call("PING") == b"PONG"

    def test_those_who_say_nothing_take_the_place_of_clients(self, tls_node, client):
        """maxclients holds for handshakes too; they end when the client does."""
        node = tls_node("--maxclients", "3")
        plain = node.connect()
        silent = [socket.create_connection(("127.0.0.1", node.tls_port), DEADLINE_S) for _ in range(2)]
        with socket.create_connection(("127.0.0.1", node.tls_port), DEADLINE_S) as third:
            assert third.recv(1) == b""
        assert "rejected_connections:1" in plain.call("INFO", "stats").decode()
        for each in silent:
            each.close()
        node.wait_for_log("was closed during the TLS handshake")
        assert eventually(client(node.tls_port).ping)


class TestReplication:
    def replicates(self, primary: redis.Redis, replica: redis.Redis) -> None:
        primary.set("before", "full synchronisation")
        eventually(lambda: replica.info("replication")["master_link_status"] == "up")
        primary.set("after", "stream")
        eventually(lambda: replica.get("after") == b"stream")
        assert replica.get("before") == b"full synchronisation"

    def test_among_our_own(self, tls_node, client):
        primary = tls_node("--port", "0")
        address = ("--replicaof", f"127.0.0.1 {primary.tls_port}")
        replica = tls_node("--port", "0", "--tls-replication", "yes", *address)
        self.replicates(client(primary.tls_port), client(replica.tls_port))
        [told] = [
            each for name, each in client(primary.tls_port).info("replication").items() if name == "slave0"
        ]
        assert told["port"] == replica.tls_port

    def test_a_primary_with_a_certificate_of_somebody_else(self, tls_node, certificates, client):
        """Said in the log; when it has another one, the link comes up."""
        primary = tls_node(
            *("--tls-cert-file", str(certificates / "foreign.crt")),
            *("--tls-key-file", str(certificates / "foreign.key")),
        )
        replica = tls_node("--tls-replication", "yes", "--replicaof", f"127.0.0.1 {primary.tls_port}")
        replica.wait_for_log("TLS handshake failed: certificate verify failed: unable to get local issuer")
        files = {
            f"tls-{kind}-file": str(certificates / f"node.{end}")
            for kind, end in (("cert", "crt"), ("key", "key"))
        }
        assert (
            primary.connect().call("CONFIG", "SET", *(word for pair in files.items() for word in pair))
            == b"OK"
        )
        self.replicates(client(primary.tls_port), client(replica.tls_port))

    def test_with_redis_server(self, tls_node, tls_arguments, start_redis, free_port, client):
        """Ours follows it, and it follows ours."""
        redis_port, second_port = free_port(), free_port()
        original = start_redis(*tls_arguments, "--tls-port", str(redis_port))
        ours = tls_node("--tls-replication", "yes", "--replicaof", f"127.0.0.1 {redis_port}")
        follower = ("--tls-replication", "yes", "--replicaof", f"127.0.0.1 {ours.tls_port}")
        last = start_redis(*tls_arguments, "--tls-port", str(second_port), *follower)
        self.replicates(client(redis_port), client(ours.tls_port))
        self.replicates(client(redis_port), client(second_port))
        assert (original.process.poll(), last.process.poll()) == (None, None)


CLUSTER = ("--cluster-enabled", "yes", "--cluster-node-timeout", "2000")
OVER_TLS = ("--tls-cluster", "yes", "--tls-replication", "yes")


class TestCluster:
    def join(self, nodes: list[redis.Redis], ports: list[int]) -> None:
        """All know each other, and each has its share of the slots."""
        share = 16384 // len(nodes) + 1
        for number, node in enumerate(nodes):
            node.execute_command("CLUSTER SET-CONFIG-EPOCH", number + 1)
            last = min((number + 1) * share, 16384) - 1
            node.execute_command("CLUSTER ADDSLOTSRANGE", number * share, last)
        for port in ports[1:]:
            nodes[0].execute_command("CLUSTER MEET", "127.0.0.1", port)
        for node in nodes:
            eventually(lambda node=node: self.knows(node, len(nodes)))

    def knows(self, node: redis.Redis, count: int) -> bool:
        info = str(node.execute_command("CLUSTER INFO"))
        wanted = (r"cluster_state\W+ok", rf"cluster_known_nodes\W+{count}\b")
        return all(re.search(each, info) for each in wanted)

    def test_ours_and_redis_server_on_one_bus(
        self, tls_node, tls_arguments, start_redis, free_port, client, certificates
    ):
        """Each kind of client is told ports of its kind; keys move by MIGRATE over TLS, both ways."""
        ours = [tls_node(*CLUSTER, *OVER_TLS) for _ in range(2)]
        redis_port = free_port()
        theirs = start_redis(*tls_arguments, "--tls-port", str(redis_port), *CLUSTER, *OVER_TLS)
        ports = [ours[0].tls_port, ours[1].tls_port, redis_port]
        nodes = [client(port) for port in ports]
        self.join(nodes, ports)
        plain = {ours[0].port, ours[1].port, theirs.port}
        for node in ours:
            eventually(lambda node=node: self.ports_told(node.connect()) == plain)
            moved = str(node.connect().call("GET", "key:1" if node is ours[0] else "key:3"))
            assert moved.startswith("MOVED") == (int(moved.rpartition(":")[2] or 0) in plain)
        with RedisCluster(
            startup_nodes=[ClusterNode("127.0.0.1", ports[0])],
            ssl=True,
            ssl_ca_certs=str(certificates / "ca.crt"),
            **_pair(certificates, "client"),
        ) as cluster:
            assert {node.port for node in cluster.get_nodes()} == set(ports)
            for number in range(100):
                cluster.set(f"key:{number}", number)
            key = next(key for key in (f"key:{n}" for n in range(100)) if key_slot(key.encode()) < 5000)
            for source, target in ((0, 2), (2, 1)):
                self.move(nodes, ports, key, source, target)
            assert [cluster.get(f"key:{number}") for number in range(100)] == [b"%d" % n for n in range(100)]
            assert nodes[1].exists(key)

    def ports_told(self, plain: Any) -> set[int]:
        return {primary[1] for _, _, primary, *_ in plain.call("CLUSTER", "SLOTS")}

    def move(self, nodes: list[redis.Redis], ports: list[int], key: str, source: int, target: int) -> None:
        """The slot of `key` with that key, as redis-cli does it."""
        slot = key_slot(key.encode())
        giver, taker = (nodes[each].execute_command("CLUSTER MYID").decode() for each in (source, target))
        nodes[target].execute_command("CLUSTER SETSLOT", slot, "IMPORTING", giver)
        nodes[source].execute_command("CLUSTER SETSLOT", slot, "MIGRATING", taker)
        moved = nodes[source].migrate("127.0.0.1", ports[target], key, 0, 5000)
        assert moved in (True, b"OK")
        for node in (nodes[target], nodes[source]):
            node.execute_command("CLUSTER SETSLOT", slot, "NODE", taker)
        for node in nodes:
            eventually(lambda node=node: self.owner(node, slot) == ports[target])

    def owner(self, node: redis.Redis, slot: int) -> int:
        """The port of its primary. As the server says it: redis-py's versions make different things of it."""
        connection = node.connection_pool.get_connection()
        connection.send_command("CLUSTER", "SLOTS")
        ranges = connection.read_response()
        node.connection_pool.release(connection)
        return next(primary[1] for first, last, primary, *_ in ranges if first <= slot <= last)

    def test_an_atomic_move(self, tls_node, client):
        """With tls-replication; and a node that has only that speaks TLS to its peers' second port."""
        ours = [tls_node(*CLUSTER, "--tls-replication", "yes") for _ in range(2)]
        nodes = [client(node.tls_port) for node in ours]
        for number, node in enumerate(nodes):
            node.execute_command("CLUSTER SET-CONFIG-EPOCH", number + 1)
            node.execute_command("CLUSTER ADDSLOTSRANGE", number * 8192, number * 8192 + 8191)
        nodes[0].execute_command("CLUSTER MEET", "127.0.0.1", ours[1].port)
        for node in nodes:
            eventually(lambda node=node: self.knows(node, 2))
        key = next(key for key in map(str, range(100)) if key_slot(key.encode()) < 8192)
        nodes[0].set(key, "moves")
        slot = key_slot(key.encode())
        taker = nodes[1].execute_command("CLUSTER MYID")
        nodes[0].execute_command("CLUSTER MIGRATESLOTS", "SLOTSRANGE", slot, slot, "NODE", taker)
        assert eventually(lambda: nodes[1].get(key)) == b"moves"
        assert "A client speaks TLS" not in ours[1].logged()

    def test_an_intruder_without_a_certificate_of_ours(self, tls_node, certificates):
        """Neither plain text nor another authority gets to the bus; the log says so once for each."""
        node = tls_node(*CLUSTER, *OVER_TLS)
        port = node.tls_port + 10_000
        for _ in range(2):
            with socket.create_connection(("127.0.0.1", port), DEADLINE_S) as plain:
                plain.sendall(b"RCmb" + bytes(100))
                while plain.recv(1024):
                    pass
        logged = node.wait_for_log("Error accepting a cluster node's connection from 127.0.0.1: ")
        context = ssl.create_default_context(cafile=str(certificates / "ca.crt"))
        context.load_cert_chain(certificates / "foreign.crt", certificates / "foreign.key")
        with (
            socket.create_connection(("127.0.0.1", port), DEADLINE_S) as plain,
            context.wrap_socket(plain, server_hostname="127.0.0.1") as secured,
            pytest.raises(ssl.SSLError, match="ALERT"),
        ):
            secured.recv(1024)
        node.wait_for_log("certificate verify failed: unable to get local issuer certificate")
        assert logged.count("does not speak TLS here?") == 1
        assert node.connect().call("PING") == b"PONG"
