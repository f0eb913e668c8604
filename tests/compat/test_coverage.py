"""Every data command of the reference has been compared with redis-server in this run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

REFERENCE = Path(__file__).parents[1] / "fixtures" / "reference" / "commands.json"
DATA_GROUPS = {
    "string", "list", "hash", "set", "sorted-set", "stream", "bitmap", "hyperloglog", "geo", "generic",
}  # fmt: skip
NOT_COMPARED = {
    "migrate": "takes a second server: tests/integration",
    "waitaof": "Redis 7.0 has it not",
    "xgroup|help": "the words are our own",
    "xinfo|help": "the words are our own",
}
"""Why not; unit tests run them (tests/node/command/test_coverage.py)."""


def _data_commands() -> set[str]:
    names = set()
    for command in json.loads(REFERENCE.read_text()):
        if command["group"] in DATA_GROUPS:
            subcommands = command.get("subcommands", ())
            names |= {sub["name"] for sub in subcommands} or {command["name"]}
    return names


def test_every_data_command_is_compared(request, counts):
    """Or a reason is given."""
    config = request.config
    files = {item.path for item in request.session.items}
    if config.option.keyword or not files.issuperset(Path(__file__).parent.glob("test_*.py")):
        pytest.skip("only some of the differential tests run")
    assert not _data_commands() - counts.by_name.keys() - NOT_COMPARED.keys()
