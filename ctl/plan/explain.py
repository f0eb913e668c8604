"""Where a key or a slot lives and why, in sentences, each with what it was read from.

An explanation goes the way a client's command goes: from the key to what of it is hashed, to the slot, to the
owner and what makes it that, to where the slot is moving, to the node that has the key.
"""

from __future__ import annotations

from binascii import crc_hqx
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from ctl.plan.findings.finding import count, names
from ctl.plan.steps import PlanError
from ctl.plan.watch import lag_bytes
from ctl.snapshot import ClusterSnapshot, Member
from ctl.survey import Survey
from gossip.slots import SLOT_COUNT, SlotSet, key_slot

Tone = Literal["plain", "good", "bad"]
SubjectKind = Literal["key", "slot", "node"]
UNREAD = "unread"


@dataclass(frozen=True, slots=True)
class Statement:
    """A sentence, and the observations that it rests on."""

    text: str
    evidence: tuple[str, ...] = ()
    tone: Tone = "plain"


@dataclass(frozen=True, slots=True)
class Explanation:
    """`facts` are the answer for machines: text, numbers, or None."""

    kind: SubjectKind
    subject: str
    statements: tuple[Statement, ...]
    facts: Mapping[str, str | int | None]


@dataclass(frozen=True, slots=True)
class KeyCopy:
    """What one node said about a key. `refusal` is its error reply, `kind` is empty where it has none."""

    node_id: str
    kind: str = ""
    encoding: str = ""
    ttl_ms: int | None = None
    size_bytes: int | None = None
    refusal: str = ""

    @property
    def exists(self) -> bool:
        return bool(self.kind)


@dataclass(frozen=True, slots=True)
class Subject:
    """What is to be explained: a key, a slot, or a member."""

    kind: SubjectKind
    key: bytes = b""
    slot: int = -1
    member: Member | None = None


def choose(
    snapshot: ClusterSnapshot, text: str | None, *, key: str | None, slot: int | None, node: str | None
) -> Subject:
    """What the arguments mean. `text` may be any of the three; raises PlanError where it may be two."""
    if key is not None:
        return _key_subject(key.encode())
    if slot is not None:
        return Subject("slot", slot=slot)
    if node is not None:
        return Subject("node", member=_find(snapshot, node))
    assert text is not None
    members = snapshot.find(text)
    is_slot = text.isdecimal() and int(text) < SLOT_COUNT
    if members and is_slot:
        raise PlanError(
            f"{text} is a slot, and names the node {names(members)}",
            f"Say --slot {text}, --node {text} or --key {text}.",
        )
    if members:
        return Subject("node", member=_find(snapshot, text))
    return Subject("slot", slot=int(text)) if is_slot else _key_subject(text.encode())


def _key_subject(key: bytes) -> Subject:
    return Subject("key", key=key, slot=key_slot(key))


def _find(snapshot: ClusterSnapshot, name: str) -> Member:
    found = snapshot.find(name)
    if len(found) != 1:
        known = ", ".join(member.name for member in found or snapshot.members)
        what = f"{name} may mean" if found else f"no node {name} in the cluster, only"
        raise PlanError(f"{what} {known}", "Give an address, or a node id.")
    return found[0]


def explain_key(
    survey: Survey, key: bytes, counts: Mapping[str, int], copies: Sequence[KeyCopy]
) -> Explanation:
    """`counts` are keys of its slot by node id, `copies` what each node that was asked said of the key."""
    slot = key_slot(key)
    owner = survey.owner(slot)
    statements = [*_hashing(key), *_ownership(survey, slot), *_openness(survey, slot, counts)]
    statements += _existence(survey, owner, copies)
    at = next((copy for copy in copies if copy.exists and owner and copy.node_id == owner.node_id), None)
    found = at or next((copy for copy in copies if copy.exists), None)
    facts = {
        "slot": slot,
        "owner": owner.node_id if owner else None,
        "owner_address": owner.name if owner else None,
        "held_by": found.node_id if found else None,
        "type": found.kind if found else None,
        "encoding": found.encoding or None if found else None,
        "ttl_ms": found.ttl_ms if found else None,
        "bytes": found.size_bytes if found else None,
    }
    return Explanation("key", shown(key), tuple(statements), facts)


def explain_slot(survey: Survey, slot: int, counts: Mapping[str, int]) -> Explanation:
    owner = survey.owner(slot)
    statements = [*_ownership(survey, slot), *_openness(survey, slot, counts), *_keys(survey, counts)]
    facts = {
        "slot": slot,
        "owner": owner.node_id if owner else None,
        "owner_address": owner.name if owner else None,
        "keys": counts.get(owner.node_id) if owner else None,
    }
    return Explanation("slot", str(slot), tuple(statements), facts)


def shown(key: bytes) -> str:
    return key.decode(errors="backslashreplace")


def _hashing(key: bytes) -> list[Statement]:
    start = key.find(b"{")
    end = key.find(b"}", start + 1) if start >= 0 else -1
    hashed = key
    if end > start + 1 >= 1:
        hashed = key[start + 1 : end]
        tag = f"The key {shown(key)} has the hash tag {shown(hashed)}, and only that is hashed."
        text, evidence = tag, "it stands between the first { and the first } after it"
    elif start >= 0:
        text = f"All of the key {shown(key)} is hashed: its braces make no hash tag."
        evidence = "nothing stands between them" if end == start + 1 else "no } follows the first {"
    else:
        text, evidence = f"The key {shown(key)} has no hash tag, so all of it is hashed.", "it has no {"
    crc = crc_hqx(hashed, 0)
    return [
        Statement(text, (evidence,)),
        Statement(
            f"That makes slot {key_slot(key)}.",
            (f"CRC16 of {shown(hashed)} is {crc}, modulo {SLOT_COUNT} that is {key_slot(key)}",),
        ),
    ]


def _ownership(survey: Survey, slot: int) -> list[Statement]:
    snapshot, owner = survey.snapshot, survey.owner(slot)
    opinions = _opinions(snapshot, slot)
    if owner is None:
        blamed = [
            f"{names(viewers)} give{'s' if len(viewers) == 1 else ''} it to {_name(snapshot, node_id)}"
            for node_id, viewers in opinions.items()
            if node_id
        ]
        text = f"Slot {slot} has no owner; commands for its keys are refused."
        action = "`ctl cluster fix --cover-uncovered` gives it to somebody"
        return [Statement(text, (*blamed, action), "bad")]
    statements = [
        Statement(
            f"Slot {slot} is owned by {owner.name}, with configuration epoch {owner.line.config_epoch}.",
            _agreement(snapshot, owner, opinions),
            "plain" if owner.healthy else "bad",
        )
    ]
    rivals = [member for member in survey.owners[slot] if member != owner]
    if rivals:
        epochs = ", ".join(f"{member.name} with epoch {member.line.config_epoch}" for member in rivals)
        statements.append(Statement(f"It is claimed by {epochs} as well; the larger epoch wins.", (), "bad"))
    if not owner.healthy:
        why = owner.reason or f"{count(len(owner.failed_by), 'node')} flag it as failed"
        action = f"`ctl cluster explain --node {owner.name}` says more"
        statements.append(Statement("Its owner is out of service.", (why, action), "bad"))
    return [*statements, _replicas(survey, owner)]


def _opinions(snapshot: ClusterSnapshot, slot: int) -> dict[str, list[Member]]:
    """Who the answering nodes take for the owner: viewers by node id, empty for nobody."""
    opinions: dict[str, list[Member]] = {}
    for member in snapshot.members:
        if member.view is not None:
            owner = next((line.node_id for line in member.view.lines if slot in line.slots), "")
            opinions.setdefault(owner, []).append(member)
    return opinions


def _agreement(
    snapshot: ClusterSnapshot, owner: Member, opinions: Mapping[str, list[Member]]
) -> tuple[str, ...]:
    asked = sum(map(len, opinions.values()))
    agreeing = opinions.get(owner.node_id, [])
    lines = [
        f"{len(agreeing)} of {count(asked, 'node')} that answer "
        f"say{'s' if len(agreeing) == 1 else ''} so (CLUSTER NODES)"
    ]
    for node_id, viewers in opinions.items():
        if node_id != owner.node_id:
            whom = _name(snapshot, node_id) if node_id else "nobody"
            lines.append(f"{names(viewers)} say{'s' if len(viewers) == 1 else ''} {whom}")
    return tuple(lines)


def _name(snapshot: ClusterSnapshot, node_id: str) -> str:
    member = snapshot.member(node_id)
    return member.name if member else node_id[:8]


def _replicas(survey: Survey, owner: Member) -> Statement:
    replicas = survey.snapshot.replicas_of(owner.node_id)
    if not replicas:
        return Statement("No replica could take its place.", (f"nobody follows {owner.name}",), "bad")
    evidence = tuple(f"{replica.name}: {_step(survey.snapshot, replica)}" for replica in replicas)
    return Statement(f"Its replica{'s are' if len(replicas) > 1 else ' is'} {names(replicas)}.", evidence)


def _step(snapshot: ClusterSnapshot, replica: Member) -> str:
    if not replica.reachable:
        return f"does not answer: {replica.reason}"
    behind = lag_bytes(snapshot, replica)
    return f"link {replica.link_state}" + (f", {count(behind, 'byte')} behind" if behind is not None else "")


def _openness(survey: Survey, slot: int, counts: Mapping[str, int]) -> list[Statement]:
    """Whether the slot is on its way, told by either end; and atomic migrations of it."""
    snapshot = survey.snapshot
    told, evidence = [], []
    for member in snapshot.members:
        for ends, word, way in (
            (member.line.migrating, "to", "MIGRATING"),
            (member.line.importing, "from", "IMPORTING"),
        ):
            if slot in ends:
                other = _name(snapshot, ends[slot])
                told.append(f"{member.name} {way.lower()} it {word} {other}")
                evidence.append(
                    f"{member.name}: {way}, {count(counts.get(member.node_id, 0), 'key')} of it there"
                )
    statements = []
    if told:
        statements.append(
            Statement(
                f"It is open: {'; '.join(told)}. Clients are sent to the target for keys that have left.",
                (*evidence, "`ctl cluster fix` finishes a move that was interrupted"),
                "bad" if len(told) < 2 else "plain",
            )
        )
    for view in snapshot.views:
        for job in survey.facts_of(view).migrations or ():
            if not job.ended and slot in _ranges(job.slots):
                text = (
                    f"An atomic migration of it to {_name(snapshot, job.target_id)} is in state {job.state}."
                )
                statements.append(Statement(text, (f"job {job.name} at {view.address}",)))
    return statements or [Statement("No move of it is under way.")]


def _ranges(text: str) -> SlotSet:
    pairs = (word.partition("-") for word in text.split())
    return SlotSet.from_ranges([(int(first), int(last or first)) for first, _, last in pairs])


def _keys(survey: Survey, counts: Mapping[str, int]) -> list[Statement]:
    held = [
        f"{_name(survey.snapshot, node_id)} holds {count(number, 'key')} of it"
        for node_id, number in counts.items()
        if number
    ]
    if not held:
        return [Statement("No primary that answers holds a key of it.", ("CLUSTER COUNTKEYSINSLOT",))]
    return [Statement(f"{'; '.join(held)}.", ("CLUSTER COUNTKEYSINSLOT",))]


def _existence(survey: Survey, owner: Member | None, copies: Sequence[KeyCopy]) -> list[Statement]:
    snapshot = survey.snapshot
    statements = []
    holders = [copy for copy in copies if copy.exists]
    primaries = {member.node_id for member in snapshot.primaries}
    for copy in holders:
        if copy.node_id in primaries:
            lives = owner is not None and copy.node_id == owner.node_id
            name = _name(snapshot, copy.node_id)
            text = f"The key is on {name}: {_value(copy)}."
            if not lives:
                value = " and does not let it be read" if copy.kind == UNREAD else f": {_value(copy)}"
                text = f"A key of that name is on {name}, which does not own its slot{value}."
            statements.append(
                Statement(text, ("TYPE, PTTL, OBJECT ENCODING, MEMORY USAGE",), "plain" if lives else "bad")
            )
    if not any(copy.node_id in primaries for copy in holders):
        asked = [copy for copy in copies if copy.node_id in primaries]
        refused = tuple(f"{_name(snapshot, copy.node_id)}: {copy.refusal}" for copy in asked if copy.refusal)
        statements.append(
            Statement("The key does not exist." if not refused else "Nobody could be asked for it.", refused)
        )
    with_it = [snapshot.member(copy.node_id) for copy in holders if copy.node_id not in primaries]
    if with_it:
        statements.append(
            Statement(f"{names([m for m in with_it if m])} {'has' if len(with_it) == 1 else 'have'} a copy.")
        )
    return statements


def _value(copy: KeyCopy) -> str:
    parts = [copy.kind + (f" ({copy.encoding})" if copy.encoding else "")]
    if copy.size_bytes is not None:
        parts.append(f"{count(copy.size_bytes, 'byte')} of memory")
    parts.append(f"expires in {copy.ttl_ms / 1000:,.1f} s" if copy.ttl_ms is not None else "never expires")
    return ", ".join(parts)
