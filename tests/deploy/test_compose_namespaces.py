"""The commands of docker-compose.yml, run as an engine would run them: the proof that its addresses work.

Every container becomes a network namespace with the container's address, joined by a bridge to one that
plays the machine, where a small relay stands for published ports. Where namespaces may not be made,
containers become addresses 127.0.77.131 to 136, which SHOAL_NET makes of the same file. Nothing of the
machine's own network is touched in either case.

Not shown here, since it needs an engine: the image, volumes, restarts.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

DEPLOY = Path(__file__).parents[2] / "deploy"
HERE = Path(__file__).parent
DEADLINE_S = 25.0

MACHINE_OUTSIDE = "192.0.2.1"  # the machine's address in the network that it shares with other machines
ELSEWHERE = "192.0.2.2"


class Site(ABC):
    """Where containers run. `inside`, `machine` and `elsewhere` are places of clients."""

    variables: Mapping[str, str] = {}

    def __init__(self, compose: Any, environment: Mapping[str, str], directory: Path) -> None:
        self.compose = compose
        self.directory = directory
        self.environment = {
            "PATH": f"{DEPLOY / 'bin'}:{Path(sys.executable).parent}:/usr/sbin:/usr/bin:/sbin:/bin",
            **environment,
        }
        self.gateway: str = compose.subnet["gateway"]
        self.processes: list[subprocess.Popen[str]] = []
        self.nodes: dict[str, subprocess.Popen[str]] = {}
        self.hosts = directory / "hosts"
        names = [f"{compose.address(service)} {name}" for name, service in compose.nodes.items()]
        self.hosts.write_text("\n".join(["127.0.0.1 localhost", *names, ""]))

    @abstractmethod
    def at(self, place: str) -> list[str]:
        """What to put before a command that is to run there."""

    @abstractmethod
    def node_extras(self, service: Mapping[str, Any]) -> list[str]:
        """Arguments that stand for what the place does not give a node."""

    @abstractmethod
    def client_extras(self, place: str) -> list[str]:
        """The same for client.py."""

    def start(self, place: str, words: list[str], **options: Any) -> subprocess.Popen[str]:
        """Names of containers are known there, as an engine's name service has them."""
        named = ["unshare", "--mount", "sh", "-c", 'mount --bind "$0" /etc/hosts; exec "$@"', str(self.hosts)]
        prefix = [*self.at(place), *named] if self.at(place) else []
        environment = {**self.environment, **options.pop("env", {})}
        process = subprocess.Popen([*prefix, *words], text=True, env=environment, **options)
        self.processes.append(process)
        return process

    def run(self, place: str, *words: str, env: Mapping[str, str] | None = None) -> tuple[int, str]:
        """Exit status and output of a command that ends by itself."""
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        process = self.start(place, list(words), env=env or {}, **pipes)
        output, _ = process.communicate(timeout=DEADLINE_S)
        return process.returncode, output

    def client(self, place: str, host: str, port: int) -> list[str]:
        """Writes and reads from there; returns the addresses that the client used."""
        script = [sys.executable, str(HERE / "client.py"), host, str(port), place, *self.client_extras(place)]
        status, output = self.run(place, *script)
        assert status == 0, output
        return output.split()

    def start_node(self, name: str) -> None:
        """Also once more, with the volume that it had."""
        service = self.compose.nodes[name]
        data = self.directory / name
        data.mkdir(exist_ok=True)
        words = [*self.compose.words(service), *self.node_extras(service)]
        with (data / "log").open("a") as log:
            options = {"cwd": data, "env": service["environment"], "stdout": log, "stderr": log}
            self.nodes[name] = self.start(name, words, **options)

    def start_nodes(self) -> None:
        for name in self.compose.nodes:
            self.start_node(name)

    def wait_healthy(self) -> None:
        """As depends_on with condition: service_healthy does, by the health check of the file."""
        deadline = time.monotonic() + DEADLINE_S
        for name, service in self.compose.nodes.items():
            _, *check = service["healthcheck"]["test"]
            while (result := self.run(name, *check, env=service["environment"]))[0]:
                assert time.monotonic() < deadline, result[1] + (self.directory / name / "log").read_text()

    def publish(self, address: str) -> None:
        targets = [
            f"{service['environment']['SHOAL_PORT']}:{self.compose.address(service)}"
            for service in self.compose.nodes.values()
        ]
        script = [sys.executable, str(HERE / "publish.py"), address, self.gateway, *targets]
        relay = self.start("machine", script, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert relay.stdout is not None
        assert relay.stdout.readline() == "ready\n"

    def stop_nodes(self) -> list[int]:
        """As `docker compose stop` does; returns the exit statuses."""
        for process in self.nodes.values():
            process.send_signal(signal.SIGTERM)
        return [process.wait(DEADLINE_S) for process in self.nodes.values()]

    def kill_all(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()


class Namespaces(Site):
    """A namespace each: every container, a client inside, the machine, and another machine."""

    def __init__(self, compose: Any, environment: Mapping[str, str], directory: Path) -> None:
        super().__init__(compose, environment, directory)
        self.prefix = f"shoal-{os.getpid()}-"
        self.addresses = {name: compose.address(service) for name, service in compose.nodes.items()}
        self.addresses["inside"] = compose.subnet["ip_range"].partition("/")[0]

    @staticmethod
    def missing() -> str:
        """Why they cannot be made; empty when they can."""
        if not shutil.which("ip") or not shutil.which("unshare"):
            return "iproute2 or util-linux is not installed"
        if os.geteuid() != 0:
            return "namespaces need root"
        name = f"shoal-{os.getpid()}-try"
        tried = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
        if tried.returncode == 0:
            tried = subprocess.run(
                ["ip", "-n", name, "link", "add", "br0", "type", "bridge"],
                capture_output=True, text=True, check=False,
            )  # fmt: skip
            subprocess.run(["ip", "netns", "del", name], check=False)
        return tried.stderr.strip()

    def __enter__(self) -> Namespaces:
        try:
            self._connect()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        self.kill_all()
        for place in [*self.addresses, "machine", "elsewhere"]:
            subprocess.run(["ip", "netns", "del", self.prefix + place], capture_output=True, check=False)

    def at(self, place: str) -> list[str]:
        return ["ip", "netns", "exec", self.prefix + place]

    def node_extras(self, service: Mapping[str, Any]) -> list[str]:
        return []

    def client_extras(self, place: str) -> list[str]:
        return []

    def _connect(self) -> None:
        places = [*self.addresses, "machine", "elsewhere"]
        machine = f"{self.prefix}machine"
        cables = [
            f"link add veth{number} netns {machine} type veth peer name eth0 netns {self.prefix}{place}"
            for number, place in enumerate([*self.addresses, "elsewhere"])
        ]
        _ip([f"netns add {self.prefix}{place}" for place in places])
        _ip(cables)
        outer = f"veth{len(self.addresses)}"
        bridge = ["link set lo up", "link add br0 type bridge", f"addr add {self.gateway}/24 dev br0"]
        bridge += [f"link set veth{n} master br0 up" for n in range(len(self.addresses))]
        bridge += ["link set br0 up", f"addr add {MACHINE_OUTSIDE}/24 dev {outer}", f"link set {outer} up"]
        _ip(bridge, machine)
        for place, address in {**self.addresses, "elsewhere": ELSEWHERE}.items():
            lines = ["link set lo up", f"addr add {address}/24 dev eth0", "link set eth0 up"]
            if place != "elsewhere":
                lines.append(f"route add default via {self.gateway}")
            _ip(lines, self.prefix + place)


def _ip(lines: list[str], namespace: str = "") -> None:
    options = ["-n", namespace] if namespace else []
    subprocess.run(
        ["ip", *options, "-batch", "-"], input="\n".join(lines), text=True, check=True, capture_output=True
    )


class Loopback(Site):
    """Addresses of the loopback interface: what a namespace would decide, arguments must."""

    variables = {"SHOAL_NET": "127.0.77"}

    def missing(self) -> str:
        """Why it cannot be done; empty when it can."""
        wanted = [("127.0.0.1", compose_port(service)) for service in self.compose.nodes.values()]
        for service in self.compose.nodes.values():
            port = compose_port(service)
            wanted += [(self.compose.address(service), port), (self.compose.address(service), port + 10_000)]
        for address in wanted:
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind(address)
                except OSError as error:
                    return f"{address[0]}:{address[1]}: {error.strerror}"
        return ""

    def __enter__(self) -> Loopback:
        # Without namespaces nobody resolves names: addresses take their place.
        create = self.compose.services["create"]
        for name, service in self.compose.nodes.items():
            address = self.compose.address(service)
            create["command"] = [word.replace(f"{name}:", f"{address}:") for word in create["command"]]
        return self

    def __exit__(self, *_error: object) -> None:
        self.kill_all()

    def at(self, place: str) -> list[str]:
        return []

    def node_extras(self, service: Mapping[str, Any]) -> list[str]:
        address = self.compose.address(service)
        # The health check asks 127.0.0.1, which is the relay's here.
        return ["--bind", address, "--bind-source-addr", address]

    def client_extras(self, place: str) -> list[str]:
        return [self.compose.subnet["ip_range"].partition("/")[0]] if place == "inside" else []

    def wait_healthy(self) -> None:
        deadline = time.monotonic() + DEADLINE_S
        for service in self.compose.nodes.values():
            while True:
                with contextlib.suppress(OSError):
                    socket.create_connection((self.compose.address(service), compose_port(service))).close()
                    break
                assert time.monotonic() < deadline


def compose_port(service: Mapping[str, Any]) -> int:
    return int(service["environment"]["SHOAL_PORT"])


@pytest.fixture
def site(compose_with: Callable[..., Any], tmp_path: Path) -> Iterator[Callable[..., Site]]:
    """Six nodes that run, published; `site(variables)`. Gone after the test."""
    with contextlib.ExitStack() as stack:

        def build(kind: type[Site] | None = None, **variables: str) -> Site:
            environment = {name: variables[name] for name in variables if name == "SHOAL_PASSWORD"}
            reason = Namespaces.missing() if kind is not Loopback else "not asked for"
            if reason:
                compose = compose_with(variables | Loopback.variables)
                loopback = Loopback(compose, environment, tmp_path)
                if busy := loopback.missing():
                    pytest.skip(f"no namespaces ({reason}), and no loopback addresses ({busy})")
                made: Site = stack.enter_context(loopback)
            else:
                made = stack.enter_context(Namespaces(compose_with(variables), environment, tmp_path))
            made.start_nodes()
            made.wait_healthy()
            made.publish(variables.get("SHOAL_BIND", "127.0.0.1"))
            return made

        yield build


def created(site: Site) -> str:
    """What the one-shot service says; it must end well."""
    status, output = site.run("inside", *site.compose.words(site.compose.services["create"]))
    logs = [path.read_text()[-1500:] for path in sorted(site.directory.glob("*/log"))]
    assert status == 0, "\n".join([output, *logs])
    return output


def inside(site: Site) -> list[str]:
    """The nodes' addresses in the network, with their ports."""
    return [f"{site.compose.address(s)}:{compose_port(s)}" for s in site.compose.nodes.values()]


def outside(site: Site, host: str) -> list[str]:
    return [f"{host}:{compose_port(service)}" for service in site.compose.nodes.values()]


@pytest.mark.parametrize("kind", [Namespaces, pytest.param(Loopback, marks=pytest.mark.slow)])
def test_compose_up_serves_this_machine_and_containers(site: Callable[..., Site], kind: type[Site]) -> None:
    """With no variable set. A second `up` finds the cluster and is content."""
    here = site(kind)
    assert "16384 of 16384 slots" in created(here)
    assert "there already, and all is well" in created(here)
    assert here.client("machine", "127.0.0.1", 7000) == outside(here, "127.0.0.1")
    node_3 = list(here.compose.nodes.values())[2]
    name = "node-3" if isinstance(here, Namespaces) else here.compose.address(node_3)
    assert here.client("inside", name, compose_port(node_3)) == inside(here)
    assert here.stop_nodes() == [0] * 6


def test_announced_to_other_machines_with_a_password(site: Callable[..., Site]) -> None:
    """SHOAL_ANNOUNCE, SHOAL_BIND and SHOAL_PASSWORD: clients of another machine, of this one and inside."""
    if reason := Namespaces.missing():
        pytest.skip(f"another machine needs a namespace: {reason}")
    here = site(SHOAL_ANNOUNCE=MACHINE_OUTSIDE, SHOAL_BIND="0.0.0.0", SHOAL_PASSWORD="two words")
    created(here)
    for place in ("elsewhere", "machine"):
        assert here.client(place, MACHINE_OUTSIDE, 7005) == outside(here, MACHINE_OUTSIDE)
    assert here.client("inside", "node-1", 7000) == inside(here)
    status, output = here.run("inside", "env", "SHOAL_PASSWORD=", "node-health", "7000")
    assert (status, output) == (1, "port 7000: Connection refused\n")  # it asks the node of its own machine


@pytest.mark.slow
def test_a_primary_that_is_restarted_at_once_loses_nothing(site: Callable[..., Site]) -> None:
    """It waits until its replica has taken over, then copies the keys. All six restarted find each other."""
    here = site()
    created(here)
    here.client("machine", "127.0.0.1", 7000)
    assert sizes(here) == [200, 200]
    here.nodes["node-1"].kill()
    here.nodes["node-1"].wait()
    here.start_node("node-1")
    here.wait_healthy()
    assert "there already, and all is well" in created(here)
    assert sizes(here) == [200, 200]

    assert here.stop_nodes() == [0] * 6
    here.start_nodes()
    here.wait_healthy()
    assert "there already, and all is well" in created(here)
    assert here.client("inside", here.compose.address(here.compose.nodes["node-2"]), 7001) == inside(here)


def sizes(site: Site) -> list[int]:
    """How many keys all primaries hold, and all replicas."""
    seed = f"{site.compose.address(site.compose.nodes['node-2'])}:7001"
    status, output = site.run("inside", "ctl", "cluster", "status", "--addr", seed, "--json")
    assert status == 0, output
    nodes = json.loads(output)["nodes"]
    return [sum(node["keys"] for node in nodes if node["role"] == role) for role in ("primary", "replica")]
