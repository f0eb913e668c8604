"""ctl over TLS: redis-cli's options, for every verb alike."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def files(certificates: Path) -> Callable[[str, str], tuple[str, ...]]:
    """--tls with an authority, and with the certificate of a name."""

    def options(name: str, authority: str = "ca") -> tuple[str, ...]:
        own = ("--cert", str(certificates / f"{name}.crt"), "--key", str(certificates / f"{name}.key"))
        return ("--tls", "--cacert", str(certificates / f"{authority}.crt"), *own)

    return options


def test_a_cluster_that_nobody_reaches_in_the_clear(
    ctl: Any, files: Any, free_run: Callable[[int], int], certificates: Path
) -> None:
    """It is made, grown and changed over TLS; the local record knows how, and others must say it."""
    base = free_run(3)
    size = ("--nodes", "2", "--replicas", "0", "--base-port", str(base))
    text = ctl("create", *size, *files("node"), "--", "--cluster-node-timeout", "3000")
    assert "cluster ok" in text
    assert f"redis-cli -c -h 127.0.0.1 -p {base} --tls --cacert {certificates / 'ca.crt'} --cert" in text
    settings = ctl.json("call", "CONFIG", "GET", "port", "tls-port", "tls-cluster", "tls-replication")
    for port in (base, base + 1):
        words = iter(settings[f"127.0.0.1:{port}"])
        told = dict(zip(words, words, strict=True))
        assert told == {"port": "0", "tls-port": str(port), "tls-cluster": "yes", "tls-replication": "yes"}
    assert "agree" in ctl("add-node", "--yes", "--replica-of", f"127.0.0.1:{base}")
    for way in ((), ("--no-atomic",)):
        moved = ctl("reshard", "--from", str(base), "--to", str(base + 1), "--slots", "20", *way, "--yes")
        assert "20 slots moved" in moved
    assert "2 warnings" in ctl("check", status=1)  # too few nodes, and nothing else
    elsewhere = ("--addr", f"127.0.0.1:{base}")
    _with_mistakes(ctl, files, elsewhere, certificates)


def _with_mistakes(ctl: Any, files: Any, elsewhere: tuple[str, str], certificates: Path) -> None:
    """One line that says what is wrong, one what to do."""
    assert "Then give --tls" in ctl("status", *elsewhere, status=3)
    assert "self-signed" in ctl("status", *elsewhere, "--tls", status=3)
    ca = str(certificates / "ca.crt")
    refused = ctl("status", *elsewhere, "--tls", "--cacert", ca, status=3)
    assert "certificate required" in refused
    assert "--cert and --key" in refused
    wrong_name = ctl("status", *elsewhere, *files("client"), "--sni", "other.example", status=3)
    assert "not valid for 'other.example'" in wrong_name
    assert "--sni" in wrong_name
    expired = ctl("status", *elsewhere, *files("expired"), status=3)
    assert "certificate expired" in expired
    foreign = files("client", "foreign")
    assert "certificate verify failed" in ctl("status", *elsewhere, *foreign, status=3)
    assert "cluster ok" in ctl("status", *elsewhere, *files("client"))
    assert "cluster ok" in ctl("status", *elsewhere, *files("client"), "--sni", "node.example")
    assert "cluster ok" in ctl("status", *elsewhere, *foreign, "--insecure")
    environment = {
        "SHOAL_TLS": "1",
        "SHOAL_CACERT": ca,
        "SHOAL_CERT": str(certificates / "client.crt"),
        "SHOAL_KEY": str(certificates / "client.key"),
    }
    assert "cluster ok" in ctl("status", *elsewhere, **environment)


def test_options_that_do_not_go_together(ctl: Any, certificates: Path) -> None:
    node = ("--addr", "127.0.0.1:1", "--tls")
    own = str(certificates / "node.crt")
    assert "--cert and --key go together" in ctl("status", *node, "--cert", own, status=2)
    assert "does not exist" in ctl("status", *node, "--cacert", "nowhere", status=2)
    other_key = str(certificates / "other.key")
    assert "key values mismatch" in ctl("status", *node, "--cert", own, "--key", other_key, status=2)
    assert "cannot use the authorities in" in ctl("status", *node, "--cacert", other_key, status=2)


def test_nodes_without_a_certificate_do_not_start(ctl: Any, free_run: Callable[[int], int]) -> None:
    size = ("--nodes", "1", "--replicas", "0", "--base-port", str(free_run(1)))
    assert "No tls-cert-file configured!" in ctl("create", *size, "--tls", status=1)
