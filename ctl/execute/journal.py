"""What a change has begun: a file that survives ctl, so that `resume` and `rollback` know what to do.

One JSON document a line, written and fsync'd before the thing it names is done:

    {"kind": "plan", "format": 1, "plan": {…}}      first; the whole plan, as `--out` writes it
    {"kind": "begin", "step": 3}                    before a step
    {"kind": "slots", "step": 3, "slots": […]}      before a group of slots is opened
    {"kind": "done", "step": 3}                     all nodes agree on what the step brought about
    {"kind": "direction", "word": "rollback"}       from here on the steps are undone

The file is removed at the end, so a journal that is there is one of a change that was not finished. It need
not tell how far a step got: steps are idempotent and look into the cluster first. A last line that was cut
off by a crash is dropped, since nothing had been done of what it says.

Journals of a local cluster are in its directory, all others below $XDG_STATE_HOME/shoal (or
~/.local/state/shoal); which of them belongs to a cluster is told by the node ids in its plan. The file is
locked (flock) while a ctl works on it, and private: a plan may hold a password.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ctl.errors import CtlError
from ctl.plan.change import Change
from ctl.plan.change_file import Json, change_of, to_json
from ctl.plan.steps import PlanError
from ctl.snapshot import ClusterSnapshot

FORMAT = 1
SUFFIX = ".journal"


def state_directory() -> Path:
    """Where journals of clusters go that are not local."""
    home = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(home) / "shoal"


@dataclass(frozen=True)
class Unfinished:
    """A journal found: its plan, the steps that had begun, those done, and whether it was rolling back.

    `path` is None when there is no journal, and open slots were found instead.
    """

    path: Path | None
    change: Change
    begun: frozenset[int]
    done: frozenset[int]
    rolling_back: bool


class Journal:
    """A journal that this ctl writes. Raises CtlError when it cannot: then nothing may be done either."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor

    @classmethod
    def create(cls, directory: Path, change: Change) -> Journal:
        """A new one, with the plan in it, on disk when this returns."""
        name = f"{time.strftime('%Y%m%dT%H%M%S')}-{change.verb}-{secrets.token_hex(3)}{SUFFIX}"
        path = directory / name
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        except OSError as error:
            raise CtlError(
                f"cannot write a journal to {directory}: {error.strerror}", "Nothing was done."
            ) from error
        journal = cls(path, descriptor)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        try:
            journal._write({"kind": "plan", "format": FORMAT, "plan": to_json(change)})
            _sync_directory(directory)
        except BaseException:
            journal.finish()
            raise
        return journal

    @classmethod
    def reopen(cls, found: Unfinished) -> Journal:
        """To go on with. Raises CtlError when another ctl of this machine does."""
        assert found.path is not None, "there is no journal"
        try:
            descriptor = os.open(found.path, os.O_RDWR | os.O_APPEND)
        except OSError as error:
            raise CtlError(f"cannot open {found.path}: {error.strerror}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise CtlError(
                f"another ctl is at work on this {found.change.verb}", f"Its journal is {found.path}."
            ) from None
        # A line that was cut off is not to become the beginning of the next one.
        os.ftruncate(descriptor, found.path.read_bytes().rfind(b"\n") + 1)
        return cls(found.path, descriptor)

    def begin(self, step: int) -> None:
        self._write({"kind": "begin", "step": step})

    def slots(self, step: int, slots: Iterable[int]) -> None:
        self._write({"kind": "slots", "step": step, "slots": list(slots)})

    def done(self, step: int) -> None:
        self._write({"kind": "done", "step": step})

    def direction(self, word: str) -> None:
        """`resume` or `rollback`."""
        self._write({"kind": "direction", "word": word})

    def finish(self) -> None:
        """The change is complete, or wholly undone: there is nothing to remember."""
        self.path.unlink(missing_ok=True)
        self.close()

    def close(self) -> None:
        """The file stays. May be called again."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _write(self, record: dict[str, Json]) -> None:
        try:
            line = json.dumps(record, separators=(",", ":")).encode() + b"\n"
            while line:
                line = line[os.write(self._descriptor, line) :]
            os.fsync(self._descriptor)
        except OSError as error:
            raise CtlError(
                f"cannot write the journal {self.path}: {error.strerror}",
                "Stopped before the next step; make room, then `ctl cluster resume`.",
            ) from error


def unfinished(directories: Iterable[Path], snapshot: ClusterSnapshot) -> list[Unfinished]:
    """Journals about this cluster, the oldest first. Raises CtlError for one that cannot be read."""
    found = [read(path) for directory in directories for path in _paths(directory)]
    return [each for each in found if each is not None and each.change.roster.knows(snapshot)]


def _paths(directory: Path) -> list[Path]:
    return sorted(directory.glob(f"*{SUFFIX}")) if directory.is_dir() else []


def read(path: Path) -> Unfinished | None:
    """None for a journal that was cut off before its plan was on disk. Raises CtlError for a damaged one."""
    try:
        records = list(_records(path.read_text()))
        if not records:
            return None
        head, *rest = records
        if head["format"] != FORMAT:
            raise CtlError(f"{path} has format {head['format']}, this ctl knows {FORMAT}")
        change = change_of(head["plan"])
        begun, done = _numbers(rest, "begin"), _numbers(rest, "done")
        words = [r["word"] for r in rest if r["kind"] == "direction"]
        return Unfinished(path, change, begun, done, bool(words) and words[-1] == "rollback")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CtlError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, PlanError) as error:
        raise CtlError(
            f"the journal {path} is damaged ({error})",
            "Move it away; open slots tell enough: `ctl cluster resume` finishes them without it.",
        ) from error


def _numbers(records: Iterable[Mapping[str, Json]], kind: str) -> frozenset[int]:
    """The numbers of steps that records of a kind name. Raises ValueError for one that is no number."""
    numbers = [record["step"] for record in records if record["kind"] == kind]
    if not all(type(number) is int for number in numbers):
        raise ValueError(f"a step of {numbers} is no number")
    return frozenset(number for number in numbers if isinstance(number, int))


def _records(text: str) -> Iterator[dict[str, Json]]:
    """Whole lines; what follows the last line's end was cut off."""
    for line in text.split("\n")[:-1]:
        record = json.loads(line)
        if not isinstance(record, dict):
            raise ValueError(f"not a record: {line!r}")
        yield record


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
