"""Replication: that every shard has a replica, and that it is in step."""

from __future__ import annotations

from collections.abc import Iterator

from ctl.plan.findings.finding import Finding, count
from ctl.snapshot import Member
from ctl.survey import Survey

LAG_LIMIT_S = 10
BACKLOG_SHARE = 0.5


def replication_links(survey: Survey) -> Iterator[Finding]:
    for replica in survey.snapshot.replicas:
        if replica.link_state == "down":
            yield Finding(
                "warning",
                "link-down",
                f"{replica.name} has no link to its primary{_since(replica)}",
                "Writes do not reach it: what it misses is lost should it be promoted.",
                (replica.node_id,),
                f"ctl cluster explain --node {replica.name}",
            )
        elif replica.link_state == "syncing":
            yield Finding(
                "info",
                "syncing",
                f"{replica.name} is receiving the data of its primary",
                "It cannot take over before that is done.",
                (replica.node_id,),
            )


def _since(replica: Member) -> str:
    down = replica.view.info.get("master_link_down_since_seconds", "") if replica.view else ""
    if down.startswith("-"):
        return " and never had one"
    return f" for {down} s" if down.isdecimal() and int(down) else ""


def replica_lag(survey: Survey) -> Iterator[Finding]:
    """As the primary counts it, in one reply: its own offset against what each replica has acknowledged."""
    for primary in survey.snapshot.primaries:
        if primary.view is None:
            continue
        info = primary.view.info
        offset = int(info.get("master_repl_offset", "0"))
        backlog = int(info.get("repl_backlog_size", "0"))
        for name, line in info.items():
            if not (name.startswith("slave") and name[5:].isdecimal()):
                continue
            fields = dict(pair.split("=", 1) for pair in line.split(",") if "=" in pair)
            if fields.get("state") != "online":
                continue
            behind, silent_s = offset - int(fields.get("offset", offset)), int(fields.get("lag", "0"))
            if (backlog and behind > backlog * BACKLOG_SHARE) or silent_s >= LAG_LIMIT_S:
                yield _lagging(survey, primary, fields, behind, silent_s, backlog)


def _lagging(
    survey: Survey, primary: Member, fields: dict[str, str], behind: int, silent_s: int, backlog: int
) -> Finding:
    where = f"{fields.get('ip', '')}:{fields.get('port', '')}"
    replica = next((m for m in survey.snapshot.replicas_of(primary.node_id) if m.name == where), None)
    return Finding(
        "warning",
        "replica-lag",
        f"{where} is {count(behind, 'byte')} behind its primary {primary.name}"
        f" and last acknowledged {silent_s} s ago",
        "What it lacks is lost if it has to take over now; and when its link breaks while it is behind by"
        f" more than the backlog ({backlog:,} bytes), it needs a full copy.",
        (replica.node_id,) if replica else (primary.node_id,),
        "Look for a slow disk or network there; a larger repl-backlog-size bridges longer gaps.",
    )


def replica_count(survey: Survey) -> Iterator[Finding]:
    snapshot = survey.snapshot
    for primary in snapshot.primaries:
        if not primary.line.slots:
            if not primary.failed_by:
                yield Finding(
                    "info",
                    "empty-primary",
                    f"{primary.name} is a primary without slots",
                    "It serves nothing and has no vote.",
                    (primary.node_id,),
                    "ctl cluster rebalance --use-empty",
                )
        elif not any(replica.healthy for replica in snapshot.replicas_of(primary.node_id)):
            yield Finding(
                "warning",
                "no-replica",
                f"{primary.name} has no replica that is alive",
                "When it fails, its slots are gone until it is back.",
                (primary.node_id,),
                f"ctl cluster add-node HOST:PORT --replica-of {primary.name}",
            )
