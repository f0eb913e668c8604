"""docker-compose.yml without an engine: what it says, and that our own programs understand it."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Mapping
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from ctl.cli import cli
from ctl.snapshot import Address
from node.cluster.endpoints import audience
from node.cluster.settings import bus_port
from node.config import table as directives

# The keys of the Compose specification that the file may use: a misspelt one would be an error of the engine.
SERVICE_KEYS = {
    "build", "cap_drop", "command", "depends_on", "entrypoint", "environment", "healthcheck", "image",
    "networks", "ports", "read_only", "restart", "security_opt", "stop_grace_period", "tmpfs", "ulimits",
    "volumes",
}  # fmt: skip
DURATION = re.compile(r"(\d+)s")


def test_there_are_six_nodes_and_the_service_that_joins_them(compose: Any) -> None:
    assert list(compose.nodes) == [f"node-{number}" for number in range(1, 7)]
    assert set(compose.services) - set(compose.nodes) == {"create"}
    for service in compose.services.values():
        assert set(service) <= SERVICE_KEYS


def test_nodes_differ_in_port_address_and_volume_alone(compose: Any) -> None:
    """What is common stands once, behind an anchor."""

    def common(service: Mapping[str, Any]) -> dict[str, Any]:
        own = {"command", "ports", "networks", "volumes"}
        environment = {name: value for name, value in service["environment"].items() if name != "SHOAL_PORT"}
        return {key: value for key, value in service.items() if key not in own} | {"environment": environment}

    first, *others = map(common, compose.nodes.values())
    assert all(other == first for other in others)


def test_nodes_understand_their_arguments(compose: Any) -> None:
    for service in compose.nodes.values():
        config = compose.config(service)
        assert config[directives.CLUSTER_ENABLED]
        assert config[directives.BIND] == ("*", "-::*")
        assert not config[directives.PROTECTED_MODE]
        assert config[directives.REQUIREPASS] == b""
        assert config[directives.CLUSTER_ANNOUNCE_HOSTNAME] == "127.0.0.1"
        assert config[directives.CLUSTER_PREFERRED_ENDPOINT_TYPE] == "hostname"


def test_each_node_is_published_on_the_port_it_listens_on(compose: Any) -> None:
    """A client outside is sent to the node's own port, so it must be the same on both sides."""
    ports = set()
    for service in compose.nodes.values():
        port = compose.config(service)[directives.PORT]
        assert service["ports"] == [f"127.0.0.1:{port}:{port}"]
        assert service["environment"]["SHOAL_PORT"] == str(port)
        ports.add(port)
    assert len(ports) == 6


def test_the_bus_is_at_port_plus_10000_and_stays_inside(compose: Any) -> None:
    buses = {bus_port(compose.config(service)) for service in compose.nodes.values()}
    ports = {compose.config(service)[directives.PORT] for service in compose.nodes.values()}
    assert buses == {port + 10_000 for port in ports}
    assert not buses & ports
    published = {int(entry.rsplit(":", 1)[1]) for s in compose.nodes.values() for entry in s["ports"]}
    assert not published & buses


def test_addresses_are_fixed_and_no_container_gets_one_by_chance(compose: Any) -> None:
    """nodes.conf holds addresses: they must be the same after the next start."""
    subnet, spare = ip_network(compose.subnet["subnet"]), ip_network(compose.subnet["ip_range"])
    addresses = [ip_address(compose.address(service)) for service in compose.nodes.values()]
    assert len(set(addresses)) == 6
    assert spare.subnet_of(subnet)  # type: ignore[arg-type]
    for address in addresses:
        assert address in subnet
        assert address not in spare


def test_the_gateway_is_outside_and_everything_else_inside(compose: Any) -> None:
    """Connections to published ports come from the gateway, those of containers from their addresses, and
    those of a node's own container from its loopback.
    """
    spare = ip_network(compose.subnet["ip_range"])
    containers = ["127.0.0.1", *map(compose.address, compose.nodes.values()), str(spare[1]), str(spare[-2])]
    for service in compose.nodes.values():
        config = compose.config(service)
        assert audience(config, f"{compose.subnet['gateway']}:50000".encode()).kind == "hostname"
        assert {audience(config, f"{address}:50000".encode()).kind for address in containers} == {"ip"}


def test_each_node_has_a_volume_of_its_own(compose: Any) -> None:
    mounts = [mount for service in compose.nodes.values() for mount in service["volumes"]]
    assert sorted(mounts) == sorted(f"{name}:/data" for name in compose.volumes)
    assert len(set(mounts)) == len(compose.nodes)


def test_health_is_asked_of_a_program_of_the_image(compose: Any, root: Path) -> None:
    for service in compose.nodes.values():
        kind, program, *_ = service["healthcheck"]["test"]
        assert kind == "CMD"
        assert (root / "deploy" / "bin" / program).is_file()
        assert {"interval", "timeout", "retries", "start_period"} < set(service["healthcheck"])


def test_a_node_that_comes_back_leaves_time_for_an_election(compose: Any) -> None:
    """And is not called unhealthy while it waits."""
    for service in compose.nodes.values():
        assert service["restart"] == "unless-stopped"
        delay_s = int(service["environment"]["SHOAL_RESTART_DELAY"])
        assert delay_s * 1000 >= 2 * compose.config(service)[directives.CLUSTER_NODE_TIMEOUT]
        start_period = DURATION.fullmatch(service["healthcheck"]["start_period"])
        assert start_period is not None
        assert int(start_period[1]) > delay_s


def test_create_waits_for_all_nodes_and_names_them(compose: Any) -> None:
    create = compose.services["create"]
    assert create["restart"] == "no"
    assert create["depends_on"] == {name: {"condition": "service_healthy"} for name in compose.nodes}
    assert create["entrypoint"] == ["ctl", "cluster", "create"]
    arguments = create["command"]
    addresses = [Address.parse(word) for word in arguments[: len(compose.nodes)]]
    assert addresses == [
        Address(name, compose.config(service)[directives.PORT]) for name, service in compose.nodes.items()
    ]
    assert arguments[len(addresses) :] == ["--replicas", "1", "--if-missing", "--timeout", "60", "--yes"]


def test_ctl_understands_what_create_gives_it(compose: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where names cannot be resolved it fails when it looks them up, not at its arguments."""

    def nowhere(*arguments: object, **options: object) -> None:
        raise socket.gaierror

    monkeypatch.setattr(socket, "getaddrinfo", nowhere)
    _ctl, *words = compose.words(compose.services["create"])
    result = CliRunner().invoke(cli, words)
    assert (result.exit_code, "no such host" in result.output) == (3, True)


def test_containers_have_no_more_rights_than_they_need(compose: Any) -> None:
    for service in compose.services.values():
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["read_only"] is True


def test_variables_open_the_cluster_to_other_machines(compose_with: Callable[..., Any]) -> None:
    variables = {
        "SHOAL_ANNOUNCE": "shoal.example.org",
        "SHOAL_BIND": "0.0.0.0",
        "SHOAL_PASSWORD": "two words",
        "SHOAL_NET": "10.9.8",
    }
    compose = compose_with(variables)
    for service in compose.nodes.values():
        config = compose.config(service)
        assert config[directives.CLUSTER_ANNOUNCE_HOSTNAME] == "shoal.example.org"
        assert config[directives.REQUIREPASS] == config[directives.MASTERAUTH] == b"two words"
        assert service["environment"]["SHOAL_PASSWORD"] == "two words"
        assert service["ports"][0].startswith("0.0.0.0:")
        assert ip_address(compose.address(service)) in ip_network("10.9.8.128/25")
    assert compose.services["create"]["environment"]["SHOAL_PASSWORD"] == "two words"
    assert compose.subnet["subnet"] == "10.9.8.0/24"


@pytest.mark.parametrize("name", ["start-node", "node-health"])
def test_programs_of_the_image_may_be_run(root: Path, name: str) -> None:
    assert (root / "deploy" / "bin" / name).stat().st_mode & 0o111
