"""Drift: what should be the same on all nodes and is not.

Configuration is compared between servers of one name and version, since defaults differ between others, and
without what is a node's own: where it listens, its files, how it is announced. Functions and users are
compared between all nodes that have such commands.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

from ctl.plan.findings.finding import Finding, names
from ctl.snapshot import Member
from ctl.survey import NodeFacts, Survey, most_common

OWN = re.compile(
    r"""(tls-)?port | bind | bind-source-addr | cluster-port | unixsocket.* | dir | dbfilename | logfile
    | pidfile | cluster-config-file | append(file|dir)name | cluster-announce-.* | (replica|slave)-announce-.*
    | replicaof | slaveof | primary-?of | availability-zone | syslog-ident | aclfile | proc-title-template
    | .*_?cpulist | (replica|slave)-priority | tls-.*-file | oom-score-adj.* | loadmodule""",
    re.VERBOSE,
)
SECRET = re.compile(r"requirepass|masterauth|primaryauth|.*-file-pass|.*password.*")
GRAVE = re.compile(
    r"""cluster-(node-timeout|require-full-coverage|replica-validity-factor|migration-barrier|allow-.*
    |link-sendbuf-limit|databases) | maxmemory.* | requirepass | masterauth | primaryauth | masteruser
    | primaryuser | append(only|fsync) | min-replicas-.* | repl-backlog-size | repl-timeout | databases
    | proto-max-bulk-len | tls-(cluster|replication) | lazyfree-.* | notify-keyspace-events
    | protected-mode | timeout | maxclients""",
    re.VERBOSE,
)
OLD_WORDS = (("slave", "replica"), ("master", "primary"))
LONGEST_VALUE = 40


def config_drift(survey: Survey) -> Iterator[Finding]:
    """One finding a directive."""
    for group in _kinds(survey):
        configs = {member: config for member in group if (config := survey.facts_of(member).config)}
        for directive in sorted({name for config in configs.values() for name in config}):
            if OWN.fullmatch(directive) or any(_is_alias(directive, config) for config in configs.values()):
                continue
            values = {member: config.get(directive) for member, config in configs.items()}
            if len(set(values.values())) > 1:
                yield _differs(directive, values)


def _kinds(survey: Survey) -> list[list[Member]]:
    """Answering members by the name and version of their servers."""
    kinds: dict[tuple[str, str], list[Member]] = {}
    for member in survey.snapshot.members:
        if member.view is not None:
            info = member.view.info
            name = info.get("server_name", "redis")
            kinds.setdefault((name, info.get(f"{name}_version", "")), []).append(member)
    return list(kinds.values())


def _is_alias(directive: str, config: Mapping[str, str]) -> bool:
    """Whether this is the old name of another directive that is listed as well."""
    return any(old in directive and directive.replace(old, new) in config for old, new in OLD_WORDS)


def _differs(directive: str, values: Mapping[Member, str | None]) -> Finding:
    common = most_common({member.node_id: value for member, value in values.items()})
    odd = [member for member, value in values.items() if value != common]
    if SECRET.fullmatch(directive):
        what = f"{directive} is another on {names(odd)} than on most nodes (values are not shown)"
    else:
        by_value: dict[str | None, list[Member]] = {}
        for member in odd:
            by_value.setdefault(values[member], []).append(member)
        parts = [f"{_shown(value)} on {names(members)}" for value, members in by_value.items()]
        what = f"{directive} is {_shown(common)} on most nodes, but {', '.join(parts)}"
    grave = bool(GRAVE.fullmatch(directive))
    return Finding(
        "warning" if grave else "info",
        "config-drift",
        what,
        "Which node serves a slot then makes a difference, and fail-over changes how it is served."
        if grave
        else "May be meant.",
        tuple(member.node_id for member in odd),
        f"ctl cluster set-config {directive} VALUE",
    )


def _shown(value: str | None) -> str:
    if value is None:
        return "unknown"
    text = value if value else '""'
    return text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 1] + "…"


def function_drift(survey: Survey) -> Iterator[Finding]:
    for name, missing, odd in _drift(survey, lambda facts: facts.functions):
        yield Finding(
            "warning",
            "function-drift",
            f"function library {name} {_difference(missing, odd)}",
            "FCALL gives another result, or none, depending on who serves the key's slot.",
            tuple(member.node_id for member in (*missing, *odd)),
            f"ctl cluster call --node primaries FUNCTION LOAD REPLACE CODE (library {name})",
        )


def user_drift(survey: Survey) -> Iterator[Finding]:
    for name, missing, odd in _drift(survey, lambda facts: facts.users):
        yield Finding(
            "warning",
            "acl-drift",
            f"ACL user {name} {_difference(missing, odd)}",
            "What a client may do depends on which node it asks; after a fail-over it may be locked out.",
            tuple(member.node_id for member in (*missing, *odd)),
            f"ctl cluster call ACL SETUSER {name} reset RULES…",
        )


def _difference(missing: list[Member], odd: list[Member]) -> str:
    parts = []
    if missing:
        parts.append(f"is missing on {names(missing)}")
    if odd:
        parts.append(f"is another on {names(odd)} than on most nodes")
    return " and ".join(parts)


def _drift(
    survey: Survey, pick: Callable[[NodeFacts], Mapping[str, str] | None]
) -> Iterator[tuple[str, list[Member], list[Member]]]:
    """(name, members that lack it, members that have another one) for each name that is not the same."""
    told = {
        member: named
        for member in survey.snapshot.members
        if (named := pick(survey.facts_of(member))) is not None
    }
    for name in sorted({name for named in told.values() for name in named}):
        present = {member.node_id: named.get(name) for member, named in told.items() if name in named}
        common = most_common(present)
        missing = [member for member, named in told.items() if name not in named]
        odd = [member for member, named in told.items() if name in named and named[name] != common]
        if missing or odd:
            yield name, missing, odd
