"""Placement: what the loss of one host, or of one availability zone, would cost.

Two things can be lost with a place: slots, when a primary and all its replicas are there; and the majority,
when at least half of the primaries are, since then nobody is left to promote the replicas elsewhere.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Literal

from ctl.plan.findings.finding import Finding, shortened
from ctl.snapshot import Member
from ctl.survey import Survey

Kind = Literal["host", "zone"]


def shared_hosts(survey: Survey) -> Iterator[Finding]:
    yield from _places(survey, "host", lambda member: member.host)


def shared_zones(survey: Survey) -> Iterator[Finding]:
    """Where nodes tell their zone; one that does not is taken to stand alone."""
    zones = {member.node_id: survey.zone_of(member) for member in survey.snapshot.members}
    if any(zones.values()):
        yield from _places(survey, "zone", lambda member: zones[member.node_id])


def _places(survey: Survey, kind: Kind, place_of: Callable[[Member], str]) -> Iterator[Finding]:
    snapshot = survey.snapshot
    alive = [member for member in snapshot.members if not member.failed_by]
    places = {place_of(member) for member in alive}
    if len(places) == 1 and len(alive) > 1:
        where = "on one host" if kind == "host" else "in one zone"
        yield Finding(
            "info",
            f"one-{kind}",
            f"all {len(alive)} nodes are {where}, {places.pop()}",
            "Good for trying; replicas protect against the end of a process, not of the machine."
            if kind == "host"
            else "Replicas protect against the end of a machine, not of the zone.",
        )
        return
    for replica in snapshot.replicas:
        primary = snapshot.member(replica.line.primary_id or "")
        if primary and place_of(primary) == place_of(replica) != "":
            yield _together(survey, kind, primary, replica, place_of)
    yield from _majority(survey, kind, place_of)


def _together(
    survey: Survey, kind: Kind, primary: Member, replica: Member, place_of: Callable[[Member], str]
) -> Finding:
    place = place_of(primary)
    others = [r for r in survey.snapshot.replicas_of(primary.node_id) if r.healthy and place_of(r) != place]
    preposition = "on" if kind == "host" else "in"
    if others:
        why = f"The loss of that {kind} would take both; {others[0].name} is elsewhere."
    else:
        lost = shortened(primary.line.slots)
        why = f"The loss of that {kind} ({place}) would take both, and with them slots {lost}."
    return Finding(
        "info" if others else "warning",
        f"same-{kind}",
        f"{replica.name} is {preposition} the same {kind} as its primary {primary.name}",
        why,
        (replica.node_id, primary.node_id),
        "" if others else f"ctl cluster add-node HOST:PORT --replica-of {primary.name}, elsewhere",
        primary.line.slots,
    )


def _majority(survey: Survey, kind: Kind, place_of: Callable[[Member], str]) -> Iterator[Finding]:
    voters = survey.voters
    preposition = "on" if kind == "host" else "in"
    for place, number in Counter(filter(None, map(place_of, voters))).most_common(1):
        if len(voters) > 1 and 2 * number >= len(voters):
            there = [member for member in voters if place_of(member) == place]
            elsewhere = [
                replica
                for member in there
                for replica in survey.snapshot.replicas_of(member.node_id)
                if replica.healthy and place_of(replica) != place
            ]
            yield Finding(
                "warning",
                f"majority-{preposition}-one-{kind}",
                f"{number} of {len(voters)} primaries are {preposition} {place}",
                f"Without that {kind} no majority is left to promote replicas.",
                tuple(member.node_id for member in there),
                f"ctl cluster failover {elsewhere[0].name}"
                if elsewhere
                else f"Spread the primaries over three {kind}s or more.",
            )


def quorum(survey: Survey) -> Iterator[Finding]:
    number = len(survey.voters)
    if 0 < number < 3:
        yield Finding(
            "warning",
            "few-primaries",
            f"{number} primar{'y owns' if number == 1 else 'ies own'} all slots",
            "Fail-over needs the votes of a majority of primaries, which three are needed for.",
            action="ctl cluster add-node HOST:PORT, then ctl cluster rebalance --use-empty",
        )
