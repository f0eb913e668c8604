"""The compose file as the engine would read it: variables put in, anchors resolved."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from node.config.config import Config
from node.config.file import load, parse_arguments

ROOT = Path(__file__).parents[2]
_VARIABLE = re.compile(r"\$(?:\$|\{(?P<name>\w+)(?::-(?P<default>[^}]*))?\})")


@dataclass(frozen=True)
class Compose:
    """`services`, `networks`, `volumes` as in the file."""

    services: Mapping[str, Any]
    networks: Mapping[str, Any]
    volumes: Mapping[str, Any]

    @property
    def nodes(self) -> dict[str, Any]:
        """The services that run a node, in the order of the file."""
        return {name: service for name, service in self.services.items() if name.startswith("node-")}

    @staticmethod
    def words(service: Mapping[str, Any]) -> list[str]:
        """What process 1 of the container is started with."""
        return [*service["entrypoint"], *service["command"]]

    @classmethod
    def arguments(cls, service: Mapping[str, Any]) -> list[str]:
        """The node's own arguments."""
        program, *arguments = cls.words(service)
        assert program == "start-node"
        return arguments

    @classmethod
    def config(cls, service: Mapping[str, Any]) -> Config:
        """What the node makes of them. Raises ConfigFileError."""
        return load(parse_arguments(cls.arguments(service))).config

    @staticmethod
    def address(service: Mapping[str, Any]) -> str:
        """The fixed address in the compose network."""
        [network] = service["networks"].values()
        return str(network["ipv4_address"])

    @property
    def subnet(self) -> dict[str, str]:
        [network] = self.networks.values()
        [configuration] = network["ipam"]["config"]
        return dict(configuration)


def _read(environment: Mapping[str, str] | None = None) -> Compose:
    """`environment` is what `${NAME:-default}` is replaced from, which is all of compose's syntax we use."""

    def value(match: re.Match[str]) -> str:
        name = match["name"]
        if name is None:
            return "$"
        assert match["default"] is not None, f"{name} has no default: compose would warn at every command"
        return (environment or {}).get(name) or match["default"]

    def interpolated(tree: Any) -> Any:
        if isinstance(tree, dict):
            return {key: interpolated(branch) for key, branch in tree.items()}
        if isinstance(tree, list):
            return [interpolated(branch) for branch in tree]
        return _VARIABLE.sub(value, tree) if isinstance(tree, str) else tree

    tree = interpolated(yaml.safe_load((ROOT / "docker-compose.yml").read_text()))
    return Compose(tree["services"], tree["networks"], tree["volumes"])


@pytest.fixture
def compose() -> Compose:
    """The file with no variable set."""
    return _read()


@pytest.fixture
def compose_with() -> Any:
    """The file as it is with variables: `compose_with({"SHOAL_BIND": "0.0.0.0"})`."""
    return _read


@pytest.fixture
def root() -> Path:
    """The repository."""
    return ROOT
