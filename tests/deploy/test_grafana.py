"""The overlay with metrics fits the compose file it is put on, and Prometheus asks where the nodes answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from node.config import table as directives


@pytest.fixture
def overlay(root: Path) -> Any:
    return yaml.safe_load((root / "deploy" / "grafana" / "compose.yml").read_text())["services"]


def test_nodes_are_as_they_were_but_for_their_metrics(compose: Any, overlay: Any) -> None:
    assert set(overlay) - {"prometheus", "grafana"} == set(compose.nodes)
    for name, service in compose.nodes.items():
        assert set(overlay[name]) == {"command"}
        plain, measured = compose.config(service), compose.config(service | overlay[name])
        assert measured[directives.PORT] == plain[directives.PORT]
        assert measured[directives.METRICS_BIND] == ("0.0.0.0",)
        assert measured[directives.METRICS_PORT] == 9121
        assert not plain[directives.METRICS_PORT]


def test_prometheus_asks_all_nodes(compose: Any, overlay: Any, root: Path) -> None:
    settings = yaml.safe_load((root / "deploy" / "grafana" / "prometheus.yml").read_text())
    (job,) = settings["scrape_configs"]
    assert job["static_configs"] == [{"targets": [f"{name}:9121" for name in compose.nodes]}]


def test_files_that_are_mounted_are_there(overlay: Any, root: Path) -> None:
    mounted = [path for name in ("prometheus", "grafana") for path in overlay[name]["volumes"]]
    assert len(mounted) == 4
    assert all((root / path.split(":")[0]).is_file() for path in mounted)
