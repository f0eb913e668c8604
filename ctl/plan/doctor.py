"""A running cluster held against the checklist of production: what is set, and how it has fared.

`check` asks whether a cluster is whole; the doctor, whether it is fit to be relied on. So a default that is
right on a laptop is a finding here. Severities are those of `check`: an `error` means that data is being lost
or refused now, or that strangers can read it; a `warning`, that this is what comes next; an `info`, something
to decide. Most things are set alike on all nodes, so a finding names all the nodes it holds for.

How it is set is looked at here, what it does under its load in `ctl.plan.doctor_load`.
Source: the pages of INFO and CONFIG GET, and the administration and security guides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

from ctl.plan import doctor_load
from ctl.plan.doctor_facts import Examination, everywhere, ids, info, number
from ctl.plan.findings import nodes, replication
from ctl.plan.findings.finding import SEVERITIES, Check, Finding
from ctl.snapshot import Member

__all__ = ["LOOKS", "diagnose"]

Look: TypeAlias = Callable[[Examination], Iterator[Finding]]

UNLIMITED = ["0", "0", "0"]
LIMITED_CLASSES = {"slave": "replica", "replica": "replica", "pubsub": "pubsub"}
LOOPBACK = ("127.", "::1", "localhost")


def diagnose(examination: Examination) -> list[Finding]:
    """All findings, gravest first."""
    found = [finding for check in CHECKS for finding in check(examination.survey)]
    found += [finding for look in LOOKS for finding in look(examination)]
    return sorted(found, key=lambda finding: SEVERITIES.index(finding.severity))


def memory_limit(examination: Examination) -> Iterator[Finding]:
    unlimited = examination.where(lambda member: number(member, "maxmemory") == 0)
    if unlimited:
        yield Finding(
            "warning",
            "no-maxmemory",
            f"maxmemory is 0, no limit, on {everywhere(examination, unlimited)}",
            "Memory grows until the system kills the process, which is a fail-over, and then the next one's.",
            ids(unlimited),
            "Leave a quarter of the machine for copies made while saving: "
            "ctl cluster set-config maxmemory SIZE",
        )
    full_stop = examination.where(
        lambda member: bool(number(member, "maxmemory")) and info(member, "maxmemory_policy") == "noeviction"
    )
    if full_stop:
        yield Finding(
            "info",
            "noeviction",
            f"maxmemory-policy is noeviction on {everywhere(examination, full_stop)}",
            "Right for data that must not go: writes are refused (OOM) at maxmemory. A cache wants eviction.",
            ids(full_stop),
            "For a cache: ctl cluster set-config maxmemory-policy allkeys-lru",
        )


def persistence(examination: Examination) -> Iterator[Finding]:
    unsaved = examination.where(
        lambda member: (
            examination.directive(member, "save") == ""
            and examination.directive(member, "appendonly") == "no"
        )
    )
    if unsaved:
        yield Finding(
            "warning",
            "no-persistence",
            f"neither snapshots nor the append-only file are on at {everywhere(examination, unsaved)}",
            "A primary that restarts before a replica took over comes back empty, and so do its replicas.",
            ids(unsaved),
            "ctl cluster set-config appendonly yes",
        )
    fields = (
        ("error", "bgsave-failed", "rdb_last_bgsave_status", "the last snapshot failed on"),
        ("error", "aof-write-failed", "aof_last_write_status", "the append-only file cannot be written on"),
        ("warning", "aof-rewrite-failed", "aof_last_bgrewrite_status", "the last AOF rewrite failed on"),
    )
    whys = {
        "bgsave-failed": "A restart goes back to an older snapshot; with stop-writes-on-bgsave-error writes"
        " are refused meanwhile.",
        "aof-write-failed": "Writes are refused, or lost by a restart.",
        "aof-rewrite-failed": "The append-only file grows without end, and so does the time of a restart.",
    }
    for severity, code, field_name, what in fields:
        failed = [
            member for member in examination.answering() if info(member, field_name) not in (None, "", "ok")
        ]
        if failed:
            yield Finding(
                "error" if severity == "error" else "warning",
                code,
                f"{what} {everywhere(examination, failed)}",
                whys[code],
                ids(failed),
                "Look for a full disk, permissions or too little memory to fork: ctl cluster logs",
            )


def access(examination: Examination) -> Iterator[Finding]:
    """Who gets in: the default user, protected mode and bind, which only together say it."""
    without = examination.where(lambda member: bool(examination.vitals_of(member).open_default_user))
    exposed = [member for member in without if _takes_strangers(examination, member)]
    inside = [member for member in without if member not in exposed]
    if exposed:
        yield Finding(
            "error",
            "open-to-network",
            f"{everywhere(examination, exposed)} let anybody in who reaches the port",
            "The default user needs no password and protected mode is off: all keys can be read, changed and"
            " dropped, and configuration with them.",
            ids(exposed),
            "ctl cluster set-config masterauth PASSWORD requirepass PASSWORD",
        )
    if inside:
        yield Finding(
            "warning",
            "no-password",
            f"on {everywhere(examination, inside)} the default user needs no password",
            "Protected mode or bind keep other machines out; every process of this one gets in.",
            ids(inside),
            "ctl cluster set-config masterauth PASSWORD requirepass PASSWORD",
        )
    unprotected = examination.where(
        lambda member: (
            examination.vitals_of(member).open_default_user is False and _takes_strangers(examination, member)
        )
    )
    if unprotected:
        yield Finding(
            "info",
            "protected-mode-off",
            f"protected-mode is off on {everywhere(examination, unprotected)}, which listen beyond loopback",
            "The password alone keeps strangers out; should it be taken away, nothing does.",
            ids(unprotected),
            "ctl cluster set-config protected-mode yes, and bind to the addresses that clients use",
        )


def _takes_strangers(examination: Examination, member: Member) -> bool:
    return examination.directive(member, "protected-mode") == "no" and not _loopback_only(
        examination.directive(member, "bind")
    )


def _loopback_only(bind: str | None) -> bool:
    """Also where bind is not told: nothing is claimed then. An empty one means every address."""
    return bind is None or (
        bool(bind.split()) and all(each.lstrip("-").startswith(LOOPBACK) for each in bind.split())
    )


def output_limits(examination: Examination) -> Iterator[Finding]:
    """Normal clients are held up by their own unread replies, so they may be without limit."""
    endless: dict[str, list[Member]] = {}
    for member in examination.answering():
        words = (examination.directive(member, "client-output-buffer-limit") or "").split()
        for start in range(0, len(words) - 3, 4):
            if words[start] in LIMITED_CLASSES and words[start + 1 : start + 4] == UNLIMITED:
                endless.setdefault(LIMITED_CLASSES[words[start]], []).append(member)
    for kind, members in endless.items():
        yield Finding(
            "warning",
            "unlimited-output",
            f"the output of {kind} clients has no limit on {everywhere(examination, members)}",
            "They are sent what others write: one that reads too slowly fills the memory of the node.",
            ids(members),
            f"ctl cluster set-config client-output-buffer-limit '{kind} 256mb 64mb 60'",
        )


def full_coverage(examination: Examination) -> Iterator[Finding]:
    strict = examination.where(
        lambda member: examination.directive(member, "cluster-require-full-coverage") == "yes"
    )
    if strict:
        yield Finding(
            "info",
            "full-coverage",
            f"cluster-require-full-coverage is yes on {everywhere(examination, strict)}",
            "One shard without a primary stops all others too.",
            ids(strict),
            "Where a part is better than nothing: ctl cluster set-config cluster-require-full-coverage no",
        )


def versions(examination: Examination) -> Iterator[Finding]:
    kinds: dict[str, list[Member]] = {}
    for member in examination.answering():
        name = info(member, "server_name") or "redis"
        version = info(member, f"{name}_version")
        if version:
            kinds.setdefault(f"{name} {version}", []).append(member)
    if len(kinds) > 1:
        most = max(kinds.values(), key=len)
        odd = [member for members in kinds.values() if members is not most for member in members]
        yield Finding(
            "warning",
            "version-mix",
            "nodes run " + "; ".join(f"{kind}: {len(members)}" for kind, members in kinds.items()),
            "Snapshots of a newer server may not load in an older one, so a replica can be unable to follow.",
            ids(odd),
            "Bring all to one version, replicas first and primaries after a fail-over.",
        )


CHECKS: tuple[Check, ...] = (
    nodes.failed_nodes,
    replication.replication_links,
    replication.replica_lag,
    replication.replica_count,
)
LOOKS: tuple[Look, ...] = (
    access,
    persistence,
    memory_limit,
    *doctor_load.LOOKS,
    output_limits,
    versions,
    full_coverage,
)
