"""deploy/systemd/shoal-node@.service: what it starts, how it is fenced in, what systemd says to it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from node.config import table as directives
from node.config.file import load, parse_arguments

EXPOSURE_MAX = 20  # tenths; systemd calls anything below 5.0 well protected


@pytest.fixture
def unit(root: Path) -> str:
    """The template as it is for port 7000."""
    return (root / "deploy/systemd/shoal-node@.service").read_text().replace("%i", "7000")


def values(unit: str, key: str) -> list[str]:
    return [line.partition("=")[2] for line in unit.splitlines() if line.startswith(f"{key}=")]


def test_the_node_understands_what_it_is_started_with(unit: str, tmp_path: Path) -> None:
    """Arguments come after the file, and count more."""
    (tmp_path / "node.conf").write_text("port 1\ncluster-enabled yes\ndir /\n")
    (tmp_path / "var/lib/shoal/7000").mkdir(parents=True)
    [line] = values(unit, "ExecStart")
    line = line.replace("${CREDENTIALS_DIRECTORY}", str(tmp_path)).replace("/var/", f"{tmp_path}/var/")
    program, *arguments = line.split()
    assert program == "/opt/shoal/bin/shoal-node"
    config = load(parse_arguments(arguments)).config
    assert (config[directives.PORT], config[directives.CLUSTER_ENABLED]) == (7000, True)
    assert config[directives.DIR] == str(tmp_path / "var/lib/shoal/7000")
    assert (config[directives.SUPERVISED], values(unit, "Type")) == ("systemd", ["notify"])


def test_a_node_that_failed_leaves_time_for_an_election(unit: str) -> None:
    assert values(unit, "Restart") == ["always"]
    assert int(values(unit, "RestartSec")[0]) * 1000 > directives.CLUSTER_NODE_TIMEOUT.default


def test_state_survives_and_the_configuration_is_private(unit: str) -> None:
    assert values(unit, "StateDirectory") == ["shoal/7000"]
    assert values(unit, "LoadCredential") == ["node.conf:/etc/shoal/7000.conf"]
    assert values(unit, "DynamicUser") == ["yes"]


@pytest.fixture
def installed(unit: str, tmp_path: Path) -> Path:
    """The unit with a program that is there; systemd-analyze looks for it."""
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not installed")
    path = tmp_path / "shoal-node@7000.service"
    path.write_text(unit.replace("/opt/shoal/bin/shoal-node", "/bin/true"))
    return path


def test_systemd_finds_no_fault(installed: Path) -> None:
    result = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(installed)], capture_output=True, text=True, check=False
    )
    assert (result.returncode, result.stderr) == (0, "")


def test_systemd_calls_it_well_protected(installed: Path) -> None:
    result = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", f"--threshold={EXPOSURE_MAX}", str(installed)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout
