"""What is wrong with a cluster: a list of findings from one survey.

Three severities. An `error` means that data cannot be reached or that the nodes do not agree what the cluster
is; a `warning`, that the next failure would do so, or that something has begun and not ended; an `info`, that
a choice was made which a reader should know. Errors and warnings are problems, infos are not: a laptop's
cluster stands on one host on purpose.

Each function of `ctl.plan.findings` looks for one thing and yields its findings; CHECKS is their order,
gravest first.
"""

from __future__ import annotations

from ctl.plan.findings import drift, nodes, placement, replication, slots
from ctl.plan.findings.finding import SEVERITIES, Check, Finding, Severity, role, shortened
from ctl.snapshot import ClusterSnapshot
from ctl.survey import Survey

__all__ = ["CHECKS", "Finding", "Severity", "check", "role", "shortened"]

CHECKS: tuple[Check, ...] = (
    slots.uncovered_slots,
    slots.disputed_slots,
    nodes.failed_nodes,
    nodes.refused_addresses,
    nodes.states,
    slots.map_disagreement,
    nodes.membership,
    slots.epochs,
    slots.open_slots,
    slots.foreign_keys,
    slots.migrations,
    replication.replication_links,
    replication.replica_lag,
    replication.replica_count,
    placement.shared_hosts,
    placement.shared_zones,
    placement.quorum,
    drift.config_drift,
    drift.function_drift,
    drift.user_drift,
    nodes.handshakes,
)


def check(looked: Survey | ClusterSnapshot) -> list[Finding]:
    """All findings, gravest first; a snapshot alone is checked for what it tells."""
    survey = looked if isinstance(looked, Survey) else Survey(looked)
    findings = [finding for look in CHECKS for finding in look(survey)]
    return sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity))
