"""deploy/Dockerfile and .dockerignore without an engine: instructions, and that what they copy is there."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Instruction:
    name: str
    text: str

    @property
    def json(self) -> list[str]:
        """Of the exec form, which needs no shell: signals reach the program itself."""
        words = json.loads(self.text)
        assert isinstance(words, list)
        return words


@pytest.fixture
def stages(root: Path) -> list[list[Instruction]]:
    """The instructions of each stage, FROM first."""
    text = (root / "deploy" / "Dockerfile").read_text()
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    found: list[list[Instruction]] = []
    for line in joined.splitlines():
        name, _, rest = line.partition(" ")
        if name == "FROM":
            found.append([])
        if found:
            found[-1].append(Instruction(name, rest.strip()))
    return found


def texts(stage: list[Instruction], name: str) -> list[str]:
    return [instruction.text for instruction in stage if instruction.name == name]


def test_there_are_two_stages_of_one_base(stages: list[list[Instruction]]) -> None:
    """So that what the builder compiles fits the interpreter it is copied to."""
    builder, final = stages
    assert texts(builder, "FROM") == [texts(final, "FROM")[0] + " AS builder"]
    assert not any("apt-get" in text for text in texts(final, "RUN"))


def test_the_image_is_not_made_without_crcmods_c_part(stages: list[list[Instruction]]) -> None:
    install, check = texts(stages[0], "RUN")[0], texts(stages[0], "RUN")[-1]
    assert {"gcc", "libc6-dev"} <= set(shlex.split(install))
    code = check.rpartition(" -c ")[2].strip('"')
    assert "sys.exit(not crc64.has_c_extension())" in code
    with pytest.raises(SystemExit):
        exec(compile(code, "Dockerfile", "exec"), {})


def test_both_programs_are_installed(stages: list[list[Instruction]], root: Path) -> None:
    """pyproject.toml declares them, the builder installs them, the final stage has them on its path."""
    final = stages[1]
    assert "--from=builder /opt/shoal /opt/shoal" in texts(final, "COPY")
    assert any(text.startswith("PATH=/opt/shoal/bin:$PATH") for text in texts(final, "ENV"))
    scripts = (root / "pyproject.toml").read_text().partition("[project.scripts]")[2]
    assert re.search(r"^ctl = ", scripts, re.MULTILINE)
    assert re.search(r"^shoal-node = ", scripts, re.MULTILINE)


def test_the_node_runs_without_rights_and_is_process_1(stages: list[list[Instruction]], root: Path) -> None:
    final = stages[1]
    assert texts(final, "USER") == ["shoal"]
    names = [instruction.name for instruction in final]
    assert names.index("USER") > max(place for place, name in enumerate(names) if name in ("RUN", "COPY"))
    last = {instruction.name: instruction for instruction in final}
    assert last["ENTRYPOINT"].json == ["start-node"]
    assert last["CMD"].json == ["--protected-mode", "no"]
    assert last["STOPSIGNAL"].text == "SIGTERM"
    assert last["WORKDIR"].text == last["VOLUME"].text == "/data"
    health = last["HEALTHCHECK"].text.rpartition("CMD ")[2]
    for program in (*last["ENTRYPOINT"].json, *json.loads(health)):
        assert (root / "deploy" / "bin" / program).is_file()


def test_what_is_copied_is_there_and_not_ignored(stages: list[list[Instruction]], root: Path) -> None:
    kept = [line[1:] for line in (root / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    sources = set()
    for text in texts(stages[0], "COPY") + texts(stages[1], "COPY"):
        words = [word for word in text.split() if not word.startswith("--chmod")]
        if not words[0].startswith("--from"):
            sources |= {word.rstrip("/") for word in words[:-1]}
    assert sources == set(kept)
    assert all((root / source).exists() for source in sources)


def test_every_package_of_the_project_is_copied(root: Path) -> None:
    packages = {path.parent.name for path in root.glob("*/__init__.py")}
    kept = (root / ".dockerignore").read_text().splitlines()
    assert packages <= {line[1:] for line in kept if line.startswith("!")}
