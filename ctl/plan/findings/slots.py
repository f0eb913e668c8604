"""Slots: that each has one owner, that all nodes agree on it, and that keys are where they belong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from ctl.plan.findings.finding import FIX, Finding, count, names, shortened
from ctl.snapshot import Member
from ctl.survey import Survey
from gossip.slots import SLOT_COUNT, SlotSet


def uncovered_slots(survey: Survey) -> Iterator[Finding]:
    if missing := survey.snapshot.uncovered:
        keys = sum(sum(survey.holders(slot).values()) for slot in missing)
        yield Finding(
            "error",
            "uncovered-slots",
            f"{len(missing)} of {SLOT_COUNT} slots have no owner: {shortened(missing)}",
            "Keys of these slots are refused; with cluster-require-full-coverage, all keys are."
            + (f" Nodes still hold {count(keys, 'key')} of them." if keys else ""),
            action=f"{FIX} --cover-uncovered",
            slots=missing,
        )


def disputed_slots(survey: Survey) -> Iterator[Finding]:
    """Slots that two nodes claim for themselves."""
    by_claim: dict[tuple[str, ...], list[int]] = {}
    for slot, claims in survey.owners.items():
        answering = [member for member in claims if member.reachable]
        if len(answering) > 1:
            by_claim.setdefault(tuple(member.node_id for member in answering), []).append(slot)
    for ids, slots in by_claim.items():
        members = [member for member in survey.snapshot.members if member.node_id in ids]
        yield Finding(
            "error",
            "disputed-slots",
            f"{names(members)} each claim {count(len(slots), 'slot')}: {shortened(SlotSet(slots))}",
            "Both take writes. When they hear of each other the larger epoch wins, and the other deletes its"
            " keys of these slots.",
            ids,
            FIX,
            SlotSet(slots),
        )


def map_disagreement(survey: Survey) -> Iterator[Finding]:
    """Each node's map against the one that most nodes have."""
    snapshot = survey.snapshot
    maps = {view.address: frozenset(view.owners().items()) for view in snapshot.views}
    if len(set(maps.values())) < 2:
        return
    common, _ = Counter(maps.values()).most_common(1)[0]
    for view in snapshot.views:
        if maps[view.address] != common:
            slots = differing(dict(common), view.owners())
            yield Finding(
                "error",
                "map-disagreement",
                f"{view.address} has another owner than most nodes for slots {shortened(slots)}",
                "Clients that ask it are sent astray. Normal for some seconds after a change; if it stays,"
                " its bus links do not work or the owner's epoch is too small.",
                (view.myself.node_id,),
                FIX,
                slots,
            )


def differing(one: dict[str, SlotSet], other: dict[str, SlotSet]) -> SlotSet:
    """Slots that two maps give to different owners."""
    slots = SlotSet()
    for node_id in one.keys() | other.keys():
        a, b = one.get(node_id, SlotSet()), other.get(node_id, SlotSet())
        slots |= (a | b) - (a & b)
    return slots


def epochs(survey: Survey) -> Iterator[Finding]:
    for members in colliding(survey):
        yield Finding(
            "warning",
            "epoch-collision",
            f"{names(members)} share configuration epoch {members[0].line.config_epoch}",
            "Claims to a slot could not be told apart; nodes that see each other settle it in seconds.",
            tuple(member.node_id for member in members),
            FIX,
        )


def colliding(survey: Survey) -> list[list[Member]]:
    """Groups of primaries with slots that have one epoch."""
    by_epoch: dict[int, list[Member]] = {}
    for member in survey.voters:
        by_epoch.setdefault(member.line.config_epoch, []).append(member)
    return [members for members in by_epoch.values() if len(members) > 1]


def open_slots(survey: Survey) -> Iterator[Finding]:
    """One finding for each way between two nodes, whichever of them knows of it."""
    ways: dict[tuple[str, str], tuple[set[int], set[int]]] = {}
    for member in survey.snapshot.members:
        for slot, other in member.line.migrating.items():
            ways.setdefault((member.node_id, other), (set(), set()))[0].add(slot)
        for slot, other in member.line.importing.items():
            ways.setdefault((other, member.node_id), (set(), set()))[1].add(slot)
    for (source_id, target_id), (leaving, coming) in ways.items():
        source, target = survey.snapshot.member(source_id), survey.snapshot.member(target_id)
        for slots, how in (
            (leaving & coming, "open at both ends"),
            (leaving - coming, "migrating, and the target does not import it"),
            (coming - leaving, "importing, and the source does not migrate it"),
        ):
            if slots:
                yield _open(survey, source, target, (source_id, target_id), SlotSet(slots), how)


def _open(
    survey: Survey,
    source: Member | None,
    target: Member | None,
    ids: tuple[str, str],
    slots: SlotSet,
    how: str,
) -> Finding:
    ends = [
        member.name if member else node_id[:8] for member, node_id in zip((source, target), ids, strict=True)
    ]
    held = [
        f"{member.name} holds {count(keys, 'key')}"
        for member in (source, target)
        if member and (keys := sum(survey.facts_of(member).keys_of(slot) for slot in slots))
    ]
    return Finding(
        "warning",
        "open-slots",
        f"{count(len(slots), 'slot')} from {ends[0]} to {ends[1]} {how}: {shortened(slots)}"
        + (f"; {', '.join(held)}" if held else ""),
        "A move of slots is under way, or was interrupted. Until it ends, commands with several keys may get"
        " TRYAGAIN, and every miss costs a redirection.",
        ids,
        f"If no move is under way: {FIX}",
        slots,
    )


def foreign_keys(survey: Survey) -> Iterator[Finding]:
    """Keys in a slot that another node owns, where no move explains them."""
    for member, by_slot in strays(survey).items():
        slots = SlotSet(by_slot)
        owners = dict.fromkeys(owner for slot in slots if (owner := survey.owner(slot)))
        yield Finding(
            "warning",
            "foreign-keys",
            f"{member.name} holds {count(sum(by_slot.values()), 'key')} of {count(len(slots), 'slot')} that"
            f" {names(owners)} {'owns' if len(owners) == 1 else 'own'}: {shortened(slots)}",
            "No client can reach them here; they take memory, and may be older or newer than the owner's.",
            (member.node_id, *(owner.node_id for owner in owners)),
            FIX,
            slots,
        )


def strays(survey: Survey) -> dict[Member, dict[int, int]]:
    """Keys by slot, of slots that the member does not own, has not open, and that somebody else owns."""
    found: dict[Member, dict[int, int]] = {}
    opened = open_anywhere(survey)
    for member in survey.snapshot.primaries:
        for slot, keys in (survey.facts_of(member).slot_keys or {}).items():
            owner = survey.owner(slot)
            if keys and owner is not None and slot not in member.line.slots and slot not in opened:
                found.setdefault(member, {})[slot] = keys
    return found


def open_anywhere(survey: Survey) -> set[int]:
    return {
        slot
        for member in survey.snapshot.members
        for slot in (*member.line.migrating, *member.line.importing)
    }


def migrations(survey: Survey) -> Iterator[Finding]:
    """Atomic migrations that have not ended, told by either end."""
    told: set[str] = set()
    for view in survey.snapshot.views:
        for job in survey.facts_of(view).migrations or ():
            if job.ended or job.name in told:
                continue
            told.add(job.name)
            ends = (survey.snapshot.member(job.source_id), survey.snapshot.member(job.target_id))
            source, target = (end.name if end else "an unknown node" for end in ends)
            healthy = all(end is not None and end.healthy for end in ends)
            yield Finding(
                "info" if healthy else "warning",
                "slot-migration",
                f"an atomic migration of slots {job.slots} from {source} to {target} is in state {job.state}",
                "The slots stay where they are until it hands over."
                if healthy
                else "One of its ends does not answer or is failed, so it cannot end well.",
                (job.source_id, job.target_id),
                "" if healthy else f"ctl cluster call --node {source} CLUSTER CANCELSLOTMIGRATIONS",
            )
