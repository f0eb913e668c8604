"""A plan as a file: JSON with a format, a checksum, and all that is needed to run it later or elsewhere.

It is read back only whole and unchanged: what was reviewed is what runs.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import TypeAlias

from ctl.plan.change import Attach, Change, Configure, Join, Leave, Move, Roster, Seat, Start, Step, Stop
from ctl.plan.repairs import Bump, Introduce, Settle
from ctl.plan.steps import PlanError
from ctl.snapshot import Address
from gossip.slots import SlotSet

FORMAT = 1
Json: TypeAlias = "str | int | float | bool | list[Json] | Mapping[str, Json] | None"


def to_json(change: Change) -> dict[str, Json]:
    """The document of a plan. `checksum` is of all the rest."""
    document: dict[str, Json] = {
        "format": FORMAT,
        "verb": change.verb,
        "title": change.title,
        "fingerprint": change.roster.fingerprint,
        "slots": change.slot_count,
        "keys": change.keys,
        "bytes": change.size_bytes,
        "risks": list(change.risks),
        "steps": [step_to_json(step) for step in change.steps],
        "roster": [
            {"node": s.node, "address": s.address, "primary": s.primary, "slots": _ranges(s.slots)}
            for s in change.roster.seats
        ],
    }
    return {**document, "checksum": _checksum(document)}


def _checksum(document: Mapping[str, Json]) -> str:
    body = {name: value for name, value in document.items() if name != "checksum"}
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _ranges(slots: SlotSet) -> list[Json]:
    return [[first, last] for first, last in slots.ranges()]


def step_to_json(step: Step) -> dict[str, Json]:
    document: dict[str, Json] = {"kind": step.kind}
    for name in step.__dataclass_fields__:
        if name == "kind":
            continue
        value = getattr(step, name)
        if isinstance(value, SlotSet):
            value = _ranges(value)
        elif isinstance(value, Address):
            value = str(value)
        document[name] = value
    return document


def parse(text: str) -> Change:
    """The plan of a file that `--out` wrote. Raises PlanError for what is damaged, or of another version."""
    try:
        document = json.loads(text)
    except ValueError as error:
        raise damaged(f"it is no JSON: {error}") from error
    return change_of(document)


def change_of(document: object) -> Change:
    """The plan that `to_json` made a document of. Raises PlanError as `parse` does."""
    if not isinstance(document, dict) or "format" not in document:
        raise damaged("it is no plan of ctl")
    if document["format"] != FORMAT:
        raise PlanError(
            f"the plan has format {document['format']!r}, this ctl knows {FORMAT}",
            "Run it with the ctl that made it, or make it anew.",
        )
    if document.get("checksum") != _checksum(document):
        raise damaged("its checksum does not agree with its text")
    try:
        seats = [
            Seat(seat["node"], seat["address"], seat["primary"], _slots(seat["slots"]))
            for seat in document["roster"]
        ]
        steps = tuple(parse_step(step) for step in document["steps"])
        return Change(
            document["verb"], document["title"], Roster(tuple(seats)), steps, tuple(document["risks"])
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise damaged(repr(error)) from error


def damaged(why: str) -> PlanError:
    return PlanError(f"the plan is damaged: {why}", "Make it anew with --out.")


def _slots(ranges: list[list[int]]) -> SlotSet:
    return SlotSet.from_ranges([(first, last) for first, last in ranges])


def _address(text: str | None) -> Address | None:
    return Address.parse(text) if text is not None else None


def parse_step(document: Mapping[str, object]) -> Step:
    """Raises KeyError, TypeError or ValueError for what is none."""
    fields = dict(document)
    kind = fields.pop("kind")
    repairs: tuple[type[Step], ...] = (Settle, Bump, Introduce)
    types: dict[object, type[Step]] = {
        each.kind: each for each in (Move, Start, Stop, Join, Leave, Attach, Configure, *repairs)
    }
    if "slots" in fields:
        fields["slots"] = _slots(fields["slots"])  # type: ignore[arg-type]
    if "address" in fields:
        fields["address"] = _address(fields["address"])  # type: ignore[arg-type]
    return types[kind](**fields)  # type: ignore[arg-type]
