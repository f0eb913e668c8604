"""ctl.execute.local_growth"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ctl.execute import local, local_growth
from ctl.execute.fleet import Credentials
from ctl.execute.local import LocalCluster
from ctl.execute.processes import Process


@pytest.fixture
def cluster(tmp_path: Path, free_run: Any, monkeypatch: pytest.MonkeyPatch) -> LocalCluster:
    """One node that was never started; what would be started is only recorded."""
    port = free_run(2)
    monkeypatch.setattr(local, "spawn", lambda *_: Process(1, "birth"))
    directives = (("maxmemory", "9mb"), ("requirepass", "pw"), ("save", "60 1"), ("save", "9 9"))
    return local.prepare(tmp_path / "c", "127.0.0.1", [port], ("server",), directives, Credentials())


async def test_a_new_node_has_the_directives_of_the_others_and_its_own_places(cluster: LocalCluster) -> None:
    first = cluster.nodes[0].port
    port = local_growth.next_port(cluster)
    assert port > first
    grown = local_growth.start_node(cluster, port)
    assert [node.port for node in grown.nodes] == [first, port]
    assert local.load(cluster.directory) == grown
    text = (cluster.directory / str(port) / "node.conf").read_text()
    for line in (f"port {port}", "maxmemory 9mb", "requirepass pw", "masterauth pw", "save 60 1", "save 9 9"):
        assert line in text.splitlines()
    assert str(first) not in text
    smaller = await local_growth.end_node(grown, port, remove=True)
    assert [node.port for node in smaller.nodes] == [first]
    assert not (cluster.directory / str(port)).exists()
    assert local.load(cluster.directory) == smaller


async def test_a_node_that_is_not_there_is_not_ended(cluster: LocalCluster) -> None:
    assert await local_growth.end_node(cluster, 1, remove=True) == cluster


def test_a_changed_password_is_remembered(cluster: LocalCluster) -> None:
    local_growth.with_password(cluster, "new")
    found = local.load(cluster.directory)
    assert found is not None
    assert found.credentials.password == "new"
