"""Which repairs a cluster needs, and which are not ours to choose.

A repair never guesses. It follows what the nodes themselves declare, and where that leaves two answers it is
left to the operator, with the option that decides:

    open slots       finished forward where both ends have the slot open for each other, or the target has
                     keys of it already; closed where nothing has moved. An owner that a stopped move has
                     taken from the one end and not given to the other is the one that imports.
    foreign keys     moved to the slot's owner, those that it lacks.
    two copies       of a key: left where they are unless both are the same, or --keep says which survives.
    uncovered slots  only with --cover-uncovered: to the node that holds most of their keys, else to the
                     primary with the fewest slots.
    disputed slots   to the claim with the larger epoch, which would win anyway, if the loser holds no key of
                     them: it would delete those.
    dead nodes       forgotten only where named by --forget.
    epochs           that collide are made different; strangers are introduced.

Everything else that `check` finds (drift, lag, placement) has no one right answer and is not touched.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ctl.plan.change import Change, Leave, Roster, Step
from ctl.plan.failover import find_one
from ctl.plan.findings.finding import NO_SLOTS, count, names, shortened
from ctl.plan.findings.nodes import strangers
from ctl.plan.findings.slots import colliding, differing, open_anywhere, strays
from ctl.plan.repairs import Bump, Introduce, Keep, Settle
from ctl.plan.steps import PlanError
from ctl.snapshot import Member
from ctl.survey import Survey
from gossip.slots import SlotSet

TTL_TOLERANCE_MS = 2000


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the operator allows. `forget` are node names as `find_one` takes them."""

    cover_uncovered: bool = False
    keep: Keep = ""
    forget: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Copy:
    """One node's copy of a key; None is what could not be read (the slot is closed there)."""

    node: str
    kind: str | None = None
    digest: str | None = None
    size_bytes: int | None = None
    ttl_ms: int | None = None
    idle_s: int | None = None


def same(one: Copy, other: Copy) -> bool:
    """Whether two copies are known to be equal. Times to live are read one after the other, so nearly so."""
    if one.digest is None or one.digest != other.digest or (one.ttl_ms is None) != (other.ttl_ms is None):
        return False
    return abs((one.ttl_ms or 0) - (other.ttl_ms or 0)) <= TTL_TOLERANCE_MS


@dataclass(frozen=True, slots=True)
class Collision:
    """A key that several nodes hold."""

    slot: int
    key: bytes
    copies: tuple[Copy, ...]

    @property
    def same(self) -> bool:
        """Whether all copies are known to be equal."""
        return all(same(self.copies[0], other) for other in self.copies[1:])


@dataclass(frozen=True, slots=True)
class Left:
    """A problem that is not repaired: `code` as in findings, why not, and what would repair it."""

    code: str
    text: str
    action: str
    slots: SlotSet = NO_SLOTS


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The change that repairs what can be, the rest, and the keys that are on two nodes."""

    change: Change
    left: tuple[Left, ...]
    collisions: tuple[Collision, ...]


@dataclass(frozen=True, slots=True)
class _Verdict:
    """Who is to own an open slot, or why that is not ours to say."""

    owner: Member | None
    reason: str


def plan_fix(survey: Survey, collisions: Sequence[Collision], wishes: Wishes) -> Diagnosis:
    """The repairs of a surveyed cluster. Raises PlanError for a node to forget that must not be."""
    return _Planner(survey, collisions, wishes).plan()


class _Planner:
    def __init__(self, survey: Survey, collisions: Sequence[Collision], wishes: Wishes) -> None:
        self._survey = survey
        self._snapshot = survey.snapshot
        self._collisions = collisions
        self._wishes = wishes
        self._left: list[Left] = []
        self._forgotten = [self._dead(name) for name in wishes.forget]

    def plan(self) -> Diagnosis:
        steps: list[Step] = [Leave(member.node_id, member.address) for member in self._forgotten]
        steps += self._introductions()
        steps += self._bumps()
        settles = [*self._open(), *self._uncovered(), *self._foreign()]
        change = Change(
            "fix",
            _title([*steps, *settles]),
            Roster.of(self._snapshot),
            (*steps, *settles),
            tuple(self._risks(settles)),
        )
        return Diagnosis(change, tuple(self._left), tuple(self._collisions))

    # nodes

    def _dead(self, name: str) -> Member:
        member = find_one(self._snapshot, name)
        if member.reachable:
            raise PlanError(
                f"{member.name} answers: a node that is alive is not forgotten",
                f"`ctl cluster remove-node {member.name}` moves its slots away first.",
            )
        heirs = [r for r in self._snapshot.replicas_of(member.node_id) if r.reachable]
        if heirs:
            raise PlanError(
                f"{member.name} has a replica with its data, {heirs[0].name}",
                f"First: ctl cluster failover {heirs[0].name} --force",
            )
        return member

    def _introductions(self) -> list[Step]:
        """Both ways where neither knows the other would be one too many: a handshake is mutual."""
        gone = {member.node_id for member in self._forgotten}
        pairs: dict[frozenset[str], Introduce] = {}
        for view in self._snapshot.views:
            for member in strangers(self._snapshot, view):
                if member.node_id in gone:
                    continue
                if member.reachable:
                    pair = frozenset((view.myself.node_id, member.node_id))
                    pairs.setdefault(pair, Introduce(view.myself.node_id, member.node_id))
                else:
                    self._leave(
                        "stranger",
                        f"{view.address} does not know {member.name}, which does not answer",
                        f"Restart {member.name}, or --forget {member.name}",
                    )
        return list(pairs.values())

    def _bumps(self) -> list[Step]:
        bumps: dict[str, Bump] = {}
        for members in colliding(self._survey):
            for member in members[1:]:
                if member.reachable:
                    reason = f"it shares epoch {member.line.config_epoch} with {members[0].name}"
                    bumps[member.node_id] = Bump(member.node_id, reason)
        for member, slots in self._unheard_claims().items():
            reason = f"others do not believe its claim to slots {shortened(slots)}"
            bumps.setdefault(member.node_id, Bump(member.node_id, reason))
        return list(bumps.values())

    def _unheard_claims(self) -> dict[Member, SlotSet]:
        """Answering owners whose claim some view does not share, with these slots."""
        survey, found = self._survey, dict[Member, SlotSet]()
        truth: dict[str, SlotSet] = {}
        for slot, claims in survey.owners.items():
            if len(claims) == 1 or not self._disputed(slot, claims):
                owner = survey.owner(slot)
                assert owner is not None
                truth[owner.node_id] = truth.get(owner.node_id, SlotSet()) | SlotSet([slot])
        settled = SlotSet()
        for slots in truth.values():
            settled |= slots
        for view in self._snapshot.views:
            wrong = differing(truth, view.owners()) & settled
            # Who does not know a node cannot believe it: introducing the two is another repair.
            known = {line.node_id for line in view.lines}
            for node_id, slots in truth.items():
                member = self._snapshot.member(node_id) if node_id in known else None
                if member is not None and member.reachable and (unheard := slots & wrong):
                    found[member] = found.get(member, SlotSet()) | unheard
        return found

    def _disputed(self, slot: int, claims: list[Member]) -> bool:
        """Whether the claim of a node that would lose the slot holds keys; noted as left."""
        winner = self._survey.owner(slot)
        losers = [
            member for member in claims if member != winner and self._survey.facts_of(member).keys_of(slot)
        ]
        if losers:
            self._leave(
                "disputed-slots",
                f"{names(claims)} claim slot {slot} and hold keys of it; whoever yields deletes its own",
                "Back up the keys of one of them first, then CLUSTER DELSLOTS there.",
                SlotSet([slot]),
            )
        return bool(losers)

    # slots

    def _open(self) -> list[Settle]:
        groups: dict[tuple[str, str], list[int]] = {}
        for slot in sorted(open_anywhere(self._survey)):
            verdict = self._verdict(slot)
            if verdict.owner is None:
                self._leave("open-slots", f"slot {slot} stays open: {verdict.reason}", "", SlotSet([slot]))
            elif not self._collides(slot, verdict.owner, "open-slots"):
                groups.setdefault((verdict.owner.node_id, verdict.reason), []).append(slot)
        return [self._settle(owner, slots, reason) for (owner, reason), slots in groups.items()]

    def _verdict(self, slot: int) -> _Verdict:
        survey = self._survey
        owner = survey.owner(slot)
        importing = [m for m in self._snapshot.primaries if slot in m.line.importing]
        if owner in self._forgotten:
            owner = None
        if silent := self._silent(slot):
            return _Verdict(None, f"{silent.name} has a part in it and does not answer")
        if owner is None:
            if len(importing) == 1:
                name = importing[0].name
                return _Verdict(importing[0], f"the move to {name} was stopped in its last step")
            return _Verdict(None, "it has no owner, and more than one node imports it, or none")
        aims = {owner.line.migrating.get(slot, ""), *(m.node_id for m in importing)}
        targets = [m for m in self._snapshot.primaries if m.node_id in aims and m != owner]
        if len(targets) == 1:
            [target] = targets
            both = owner.line.migrating.get(slot) == target.node_id and target.line.importing.get(slot) == (
                owner.node_id
            )
            if survey.facts_of(target).keys_of(slot):
                return _Verdict(target, f"{target.name} has keys of it already")
            if both:
                return _Verdict(target, f"{owner.name} and {target.name} both have it open for each other")
        if len(targets) > 1:
            return _Verdict(owner, f"{names(targets)} all want it, so it stays with {owner.name}")
        return _Verdict(owner, f"nothing has left {owner.name}")

    def _silent(self, slot: int) -> Member | None:
        """A member that is owner, source or target of an open slot and does not answer."""
        ids = set()
        for member in self._snapshot.members:
            for ends in (member.line.migrating, member.line.importing):
                if slot in ends:
                    ids |= {member.node_id, ends[slot]}
        owner = self._survey.owner(slot)
        members = [self._snapshot.member(node_id) for node_id in ids]
        for concerned in [*members, owner]:
            if concerned and not concerned.reachable and concerned not in self._forgotten:
                return concerned
        return None

    def _uncovered(self) -> list[Settle]:
        missing = self._snapshot.uncovered
        for member in self._forgotten:
            missing |= member.line.slots
        decided = SlotSet(slot for slot in open_anywhere(self._survey) if self._verdict(slot).owner)
        missing -= decided
        if not missing:
            return []
        if not self._wishes.cover_uncovered:
            self._leave(
                "uncovered-slots",
                f"slots {shortened(missing)} have no owner; whether their keys are lost is not known here",
                "Bring the node back that had them, or give them away: --cover-uncovered",
                missing,
            )
            return []
        return self._cover(missing)

    def _cover(self, missing: SlotSet) -> list[Settle]:
        primaries = [
            m
            for m in self._snapshot.primaries
            if m.reachable and not m.failed_by and m not in self._forgotten
        ]
        if not primaries:
            raise PlanError("no primary answers that could take the slots")
        load = {member: len(member.line.slots) for member in primaries}
        groups: dict[tuple[Member, str], list[int]] = {}
        for first, last in missing.ranges():
            empty = []
            for slot in range(first, last + 1):
                holders = [m for m in self._survey.holders(slot) if m in load]
                if not holders:
                    empty.append(slot)
                    continue
                if not self._collides(slot, holders[0], "uncovered-slots"):
                    groups.setdefault((holders[0], "it holds their keys"), []).append(slot)
                    load[holders[0]] += 1
            # Neighbours stay together: a map of few ranges is easier to read and to send.
            share = -(-len(empty) // len(primaries))
            for start in range(0, len(empty), share or 1):
                least = min(primaries, key=lambda member: load[member])
                part = empty[start : start + share]
                groups.setdefault((least, "nobody holds keys of them"), []).extend(part)
                load[least] += len(part)
        return [self._settle(owner.node_id, slots, reason) for (owner, reason), slots in groups.items()]

    def _foreign(self) -> list[Settle]:
        groups: dict[str, set[int]] = {}
        for holder, by_slot in strays(self._survey).items():
            for slot in by_slot:
                owner = self._survey.owner(slot)
                assert owner is not None
                if owner in self._forgotten:
                    continue  # covered above, where its slots get an owner
                if owner.reachable:
                    groups.setdefault(owner.node_id, set()).add(slot)
                else:
                    self._leave(
                        "foreign-keys",
                        f"{holder.name} holds keys of slot {slot}, whose owner {owner.name} does not answer",
                        "Look again when it does.",
                        SlotSet([slot]),
                    )
        for collision in self._collisions:
            owner = self._survey.owner(collision.slot)
            if owner and collision.slot in groups.get(owner.node_id, ()) and not self._wishes.keep:
                self._leave(
                    "foreign-keys",
                    f"key {collision.key!r} of slot {collision.slot} is on {self._holders(collision)}; unless"
                    " both are found to be the same, both stay",
                    "--keep source | target | newer",
                    SlotSet([collision.slot]),
                )
        return [
            self._settle(owner, sorted(slots), "other nodes hold keys of them")
            for owner, slots in groups.items()
        ]

    def _collides(self, slot: int, owner: Member, code: str) -> bool:
        """Whether the slot has to wait for a decision about keys with two values; noted as left."""
        if self._wishes.keep:
            return False
        found = [c for c in self._collisions if c.slot == slot and not c.same]
        if found:
            self._leave(
                code,
                f"{count(len(found), 'key')} of slot {slot} {'is' if len(found) == 1 else 'are'} on"
                f" {self._holders(found[0])} with different values",
                f"--keep source | target | newer, where target is {owner.name}",
                SlotSet([slot]),
            )
        return bool(found)

    def _holders(self, collision: Collision) -> str:
        members = [self._snapshot.member(copy.node) for copy in collision.copies]
        return " and on ".join(member.name for member in members if member)

    def _settle(self, owner: str, slots: Iterable[int], reason: str) -> Settle:
        wanted = SlotSet(slots)
        keys = sum(
            number
            for slot in wanted
            for holder, number in self._survey.holders(slot).items()
            if holder.node_id != owner
        )
        return Settle(owner, wanted, keys, self._wishes.keep, reason)

    # words

    def _risks(self, settles: Sequence[Settle]) -> Iterable[str]:
        for member in self._forgotten:
            lost = (
                f"; the keys of its slots {shortened(member.line.slots)} are lost"
                if member.line.slots
                else ""
            )
            yield f"{member.name} is forgotten for good{lost}."
        if any(step.reason == "nobody holds keys of them" for step in settles):
            yield (
                "Slots that nobody holds keys of become writable; should their old owner return, it deletes"
                " its keys of them."
            )
        colliding_keys = sum(1 for each in self._collisions if not each.same)
        if colliding_keys and self._wishes.keep:
            yield (
                f"{count(colliding_keys, 'key')} may have two values: the {_kept(self._wishes.keep)}"
                " survives, the other is deleted."
            )

    def _leave(self, code: str, text: str, action: str, slots: SlotSet = NO_SLOTS) -> None:
        left = Left(code, text, action, slots)
        if left not in self._left:
            self._left.append(left)


def _kept(keep: Keep) -> str:
    return {
        "source": "copy on the node that a key moves from",
        "target": "copy on the owner",
        "newer": "copy used last",
    }.get(keep, "")


def _title(steps: Sequence[Step]) -> str:
    return f"repair a cluster in {count(len(steps), 'step')}"
