"""How a node is and why: who holds it for failed and since when, and what keeps a replica from election.

Failure is a matter of opinion. Each node suspects (PFAIL) whom its own pings do not reach within the node
time-out; primaries report their suspicions to each other, and where a majority of those with slots agrees one
of them says FAIL, and all follow. A replica of a failed primary then asks for votes, unless something in its
own state forbids it; those conditions are checked here one by one, on the replica's own figures.

Source: the Redis cluster specification, "Failure detection" and "Replica election and promotion".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ctl.plan.explain import Explanation, Statement
from ctl.plan.findings.finding import count, names, role, shortened
from ctl.plan.watch import lag_bytes
from ctl.snapshot import Member, NodeLine, NodeView
from ctl.survey import Survey

DEFAULT_NODE_TIMEOUT_MS = 15_000
DEFAULT_VALIDITY_FACTOR = 10
DEFAULT_PING_PERIOD_S = 10


def explain_node(survey: Survey, member: Member, reports: Mapping[str, int]) -> Explanation:
    """`reports` are CLUSTER COUNT-FAILURE-REPORTS about it, by the id of the node that was asked."""
    statements = [*_identity(survey, member), *_answering(member)]
    statements += _opinions(survey, member, reports)
    statements += _own_state(member)
    if member.is_primary:
        statements += _succession(survey, member)
    else:
        statements += _replica(survey, member)
    facts: dict[str, str | int | None] = {
        "id": member.node_id,
        "role": role(member),
        "failed_by": len(member.failed_by),
        "suspected_by": len(member.suspected_by),
        "majority": _majority(survey),
        "epoch": member.line.config_epoch,
    }
    return Explanation("node", member.name, tuple(statements), facts)


def _identity(survey: Survey, member: Member) -> Iterator[Statement]:
    source = "its own word" if member.view else "what the others know of it"
    evidence = (f"node id {member.node_id}", f"{source} (CLUSTER NODES)")
    if member.is_primary:
        what = f"a primary with {count(len(member.line.slots), 'slot')}"
        slots = f" ({shortened(member.line.slots, 3)})" if member.line.slots else ""
        epoch = f" and configuration epoch {member.line.config_epoch}"
        yield Statement(f"{member.name} is {what}{slots}{epoch}.", evidence)
        return
    primary = survey.snapshot.member(member.line.primary_id or "")
    whose = primary.name if primary else f"{(member.line.primary_id or '')[:8]}, which nobody knows"
    yield Statement(f"{member.name} is a replica of {whose}.", evidence)


def _answering(member: Member) -> Iterator[Statement]:
    if member.view is None:
        yield Statement("It does not answer ctl.", (member.reason or "it has no address",), "bad")
        return
    info = member.view.info
    up = f"up for {info['uptime_in_seconds']} s" if "uptime_in_seconds" in info else "it answered"
    yield Statement("It answers ctl.", (up,), "good")
    if info.get("loading") == "1":
        evidence = f"loading:1, {info.get('loading_loaded_perc', '?')} % read"
        yield Statement("It is loading its data and refuses commands until then.", (evidence,), "bad")


def _opinions(survey: Survey, member: Member, reports: Mapping[str, int]) -> Iterator[Statement]:
    snapshot, majority = survey.snapshot, _majority(survey)
    voters = {voter.node_id for voter in survey.voters}
    views = [view for view in snapshot.views if view.myself.node_id != member.node_id]
    about = [(view, line) for view in views for line in view.others if line.node_id == member.node_id]
    evidence = [_opinion(survey, view, line) for view, line in about if _flag(line) or not line.link_up]
    counted = [
        f"{_name(survey, node_id)} counts {count(number, 'failure report')}"
        for node_id, number in reports.items()
        if number
    ]
    asked = f"{len(survey.voters)} primaries have slots, so a majority is {majority}"
    if member.failed_by:
        text = f"It is FAIL: {len(member.failed_by)} of {count(len(views), 'node')} hold it for failed."
        yield Statement(text, (*evidence, *counted, asked), "bad")
        if member.reachable:
            yield Statement(
                "It answers ctl all the same: its bus port is cut off, or it has just come back.",
                (f"bus port {member.line.bus_port}",),
            )
    elif member.suspected_by:
        accusing = len(member.suspected_by & voters)
        text = (
            f"It is suspected (PFAIL) by {count(len(member.suspected_by), 'node')}, {accusing} of them with a"
            f" vote; it is not FAIL before {majority} of these agree."
        )
        yield Statement(text, (*evidence, *counted, asked), "bad")
    else:
        links = sum(1 for _, line in about if line.link_up)
        yet = "" if member.reachable else " yet"
        text = f"Nobody holds it for failed{yet}: {links} of {count(len(views), 'node')} are linked with it."
        yield Statement(text, tuple(evidence), "good" if links == len(views) else "plain")
    if strangers := [view for view in views if member.node_id not in {line.node_id for line in view.lines}]:
        unknown = ", ".join(str(view.address) for view in strangers)
        yield Statement(f"It is not known to {unknown}.", ("`ctl cluster fix` introduces them",), "bad")


def _opinion(survey: Survey, view: NodeView, line: NodeLine) -> str:
    """`10.0.0.1:7000 says fail, last pong 12.3 s ago, no link`."""
    parts = [f"{view.address} says {_flag(line)}" if _flag(line) else f"{view.address} holds it for well"]
    now_ms = survey.facts_of(view).now_ms
    if now_ms is not None and line.pong_received_ms:
        parts.append(f"last pong {(now_ms - line.pong_received_ms) / 1000:,.1f} s ago")
    if now_ms is not None and line.ping_sent_ms:
        parts.append(f"a ping unanswered for {(now_ms - line.ping_sent_ms) / 1000:,.1f} s")
    outgoing = [link for link in survey.facts_of(view).links or () if link.node_id == line.node_id]
    if not line.link_up:
        parts.append("no link")
    elif outgoing and (queued := max(link.queued_bytes for link in outgoing)):
        parts.append(f"{queued:,} bytes queued on its link")
    return ", ".join(parts)


def _flag(line: NodeLine) -> str:
    return "FAIL" if line.failed else "PFAIL" if line.suspected else ""


def _own_state(member: Member) -> Iterator[Statement]:
    """Why it says cluster_state:fail, from its own view."""
    view = member.view
    if view is None or view.state_ok:
        return
    info = view.cluster_info
    voters = [line for line in view.lines if line.is_primary and line.slots]
    reached = [line for line in voters if "myself" in line.flags or not (line.failed or line.suspected)]
    evidence = [
        f"{name}:{info[name]}"
        for name in (
            "cluster_slots_assigned",
            "cluster_slots_ok",
            "cluster_slots_pfail",
            "cluster_slots_fail",
        )
        if name in info
    ]
    needed = len(voters) // 2 + 1
    if len(reached) < needed:
        why = f"it reaches {len(reached)} of {len(voters)} primaries, and a majority is {needed}"
    elif int(info.get("cluster_slots_assigned", "16384")) < 16384:
        why = "slots have no owner in its eyes, and cluster-require-full-coverage is on"
    elif int(info.get("cluster_slots_fail", "0")):
        why = "slots belong to a failed primary, and cluster-require-full-coverage is on"
    else:
        why = "it has been in touch with the majority for too short a time"
    yield Statement(f"It refuses commands (cluster_state:fail): {why}.", tuple(evidence), "bad")


def _succession(survey: Survey, member: Member) -> Iterator[Statement]:
    """What becomes of a primary's slots: who took them, or why nobody does."""
    snapshot = survey.snapshot
    replicas = snapshot.replicas_of(member.node_id)
    if not (member.failed_by or member.suspected_by or not member.reachable):
        if member.line.slots and not replicas:
            yield Statement("Nobody could take its place: it has no replica.", (), "bad")
        for replica in replicas:
            obstacles = list(_obstacles(survey, replica, member, failed=False))
            if obstacles:
                reasons = tuple(line for each in obstacles for line in (each.text, *each.evidence))
                yield Statement(f"{replica.name} could not take its place now.", reasons, "bad")
            else:
                behind = lag_bytes(snapshot, replica)
                evidence = (f"{count(behind, 'byte')} behind",) if behind is not None else ()
                yield Statement(f"{replica.name} could take its place.", evidence, "good")
        return
    if not member.line.slots:
        yield Statement("It owns no slots (any more), so nobody has to take its place.")
        return
    if not member.failed_by:
        yield Statement("No election starts before it is FAIL.")
    if not replicas:
        yield Statement("Nobody takes its place: it has no replica.", (), "bad")
    for replica in replicas:
        yield from _candidacy(survey, replica, member)


def _candidacy(survey: Survey, replica: Member, primary: Member) -> Iterator[Statement]:
    obstacles = list(_obstacles(survey, replica, primary, failed=True))
    for obstacle in obstacles:
        yield Statement(f"{replica.name} is not elected: {obstacle.text}.", obstacle.evidence, "bad")
    if obstacles:
        return
    ahead = [
        other
        for other in survey.snapshot.replicas_of(primary.node_id)
        if other.reachable and (other.replication_offset or 0) > (replica.replication_offset or 0)
    ]
    evidence = [f"replication offset {replica.replication_offset}"]
    if ahead:
        evidence.append(f"{names(ahead)} {'has' if len(ahead) == 1 else 'have'} received more and asks first")
    timeout_ms = _timeout_ms(survey, replica)
    evidence.append(f"a vote that failed is tried again after {timeout_ms * 4 / 1000:g} s (4 × node timeout)")
    yield Statement(
        f"Nothing in its state keeps {replica.name} from being elected; it may be about to.",
        (*evidence, f"`ctl cluster failover {replica.name} --force` does it now"),
    )


def _replica(survey: Survey, member: Member) -> Iterator[Statement]:
    primary = survey.snapshot.member(member.line.primary_id or "")
    if member.view is not None:
        info = member.view.info
        down = info.get("master_link_down_since_seconds")
        evidence = [f"master_link_status:{info.get('master_link_status', '?')}"]
        if down is not None:
            evidence.append(f"master_link_down_since_seconds:{down}")
        behind = lag_bytes(survey.snapshot, member)
        if behind is not None:
            evidence.append(f"{count(behind, 'byte')} behind its primary")
        bad = member.link_state == "down"
        text = f"Its replication link is {member.link_state}."
        yield Statement(
            text, tuple(evidence), "bad" if bad else "good" if member.link_state == "up" else "plain"
        )
    if primary is None:
        return
    if primary.failed_by and primary.line.slots:
        yield from _candidacy(survey, member, primary)
        return
    for obstacle in _obstacles(survey, member, primary, failed=False):
        text = f"It could not take the place of {primary.name} now: {obstacle.text}."
        yield Statement(text, obstacle.evidence, "bad")


def _obstacles(survey: Survey, replica: Member, primary: Member, *, failed: bool) -> Iterator[Statement]:
    """What keeps `replica` from being elected in place of `primary`; `failed`: it is needed now."""
    if replica.view is None:
        yield Statement("it does not answer", (replica.reason,) if replica.reason else ())
        return
    facts = survey.facts_of(replica)
    if "nofailover" in replica.line.flags or _is_on(facts.config, "no-failover"):
        yield Statement("it is told never to be", ("cluster-replica-no-failover yes",))
    if failed:
        line = next((line for line in replica.view.lines if line.node_id == primary.node_id), None)
        if line is not None and not line.failed:
            flags = ",".join(sorted(line.flags))
            yield Statement(f"{primary.name} is not FAIL in its own eyes", (f"its flags there: {flags}",))
    yield from _stale(survey, replica)
    voters = [line for line in replica.view.lines if line.is_primary and line.slots]
    able = [line for line in voters if not (line.failed or line.suspected) and line.link_up]
    if not failed:
        able = [line for line in able if line.node_id != primary.node_id]
    needed = len(voters) // 2 + 1
    if len(able) < needed:
        lost = [str(line.address or line.node_id[:8]) for line in voters if line not in able]
        yield Statement(
            f"it could get {count(len(able), 'vote')} of the {needed} that are needed",
            (f"primaries with slots: {len(voters)}", f"without a vote for it: {', '.join(lost)}"),
        )


def _stale(survey: Survey, replica: Member) -> Iterator[Statement]:
    """The age of its data against cluster-replica-validity-factor."""
    assert replica.view is not None
    info, facts = replica.view.info, survey.facts_of(replica)
    down = info.get("master_link_down_since_seconds", "0")
    if info.get("master_link_status") == "up":
        return
    if down.startswith("-"):
        yield Statement(
            "it has never had a link to its primary, so its data is of unknown age",
            (f"master_link_down_since_seconds:{down}",),
        )
        return
    factor = _factor(facts.config)
    if not factor:
        return
    timeout_ms = _timeout_ms(survey, replica)
    period_s = facts.number("repl-ping-replica-period") or DEFAULT_PING_PERIOD_S
    limit_ms = factor * timeout_ms + period_s * 1000
    age_ms = max(0, int(down) * 1000 - timeout_ms) if down.isdecimal() else 0
    if age_ms > limit_ms:
        yield Statement(
            f"its data is {age_ms / 1000:g} s old, and {limit_ms / 1000:g} s are allowed",
            (
                f"master_link_down_since_seconds:{down}, less the node timeout",
                f"allowed: cluster-replica-validity-factor {factor} × cluster-node-timeout {timeout_ms} ms"
                f" + repl-ping-replica-period {period_s} s",
                "0 for that factor allows any age",
            ),
        )


def _factor(config: Mapping[str, str] | None) -> int:
    text = _directive(config, "validity-factor")
    return int(text) if text.isdecimal() else DEFAULT_VALIDITY_FACTOR


def _is_on(config: Mapping[str, str] | None, ending: str) -> bool:
    return _directive(config, ending) == "yes"


def _directive(config: Mapping[str, str] | None, ending: str) -> str:
    """Of cluster-replica-…, which older servers call cluster-slave-…"""
    known = config or {}
    return known.get(f"cluster-replica-{ending}", known.get(f"cluster-slave-{ending}", ""))


def _timeout_ms(survey: Survey, member: Member) -> int:
    return survey.facts_of(member).number("cluster-node-timeout") or DEFAULT_NODE_TIMEOUT_MS


def _majority(survey: Survey) -> int:
    return len(survey.voters) // 2 + 1


def _name(survey: Survey, node_id: str) -> str:
    member = survey.snapshot.member(node_id)
    return member.name if member else node_id[:8]
