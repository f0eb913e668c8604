"""Configurations of nodes with TLS."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from node.config.config import Config
from node.log import open_log
from node.tls.contexts import Tls


@pytest.fixture
def make_config(certificates: Path) -> Callable[..., Config]:
    """A node's configuration with TLS, changed by keywords (`tls_port="0"`); an empty one is left out."""

    def make(**changes: str) -> Config:
        settings = {
            "tls_port": "7000",
            "tls_cert_file": str(certificates / "node.crt"),
            "tls_key_file": str(certificates / "node.key"),
            "tls_ca_cert_file": str(certificates / "ca.crt"),
        } | changes
        config = Config()
        pairs = [
            (name.replace("_", "-").encode(), value.encode()) for name, value in settings.items() if value
        ]
        config.set_many(pairs)
        return config

    return make


@pytest.fixture
def make_tls(make_config: Callable[..., Config]) -> Callable[..., Tls]:
    """The same, configured. Raises TlsError."""

    def make(**changes: str) -> Tls:
        config = make_config(**changes)
        tls = Tls(config, open_log(config, lambda: "M"))
        tls.configure()
        return tls

    return make
