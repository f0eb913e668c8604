"""How a cluster fares under its load: memory, clients, forks, the backlog, slow commands, big and hot keys.

Counters of INFO run since the node started (or CONFIG RESETSTAT), so one that is not zero says that something
has happened, not that it still does; texts say so. Keys are a sample: what is not found may still be there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Literal

from ctl.plan.doctor_facts import MIB, Examination, SampledKey, ids, info, number, size, told
from ctl.plan.findings.finding import Finding, count
from ctl.snapshot import Member

MEMORY_SHARE = 0.8
MEMORY_SHARE_GRAVE = 0.95
CLIENTS_SHARE = 0.8
FRAGMENTATION_RATIO = 1.5
SWAPPED_RATIO = 0.9
FRAGMENTATION_FLOOR_BYTES = 100 * MIB
FORK_US = 1_000_000
FORK_NOTED_US = 100_000
BACKLOG_S = 60
RECENT_S = 3600
SLOW_US = 100_000
BIG_KEY_BYTES = 10 * MIB
BIG_KEY_NOTED_BYTES = MIB
HOT_FREQUENCY = 100
LISTED_KEYS = 5
SINCE = "since it started or CONFIG RESETSTAT"


def memory_use(examination: Examination) -> Iterator[Finding]:
    """A cache that evicts any key is meant to be full; elsewhere full means that writes are refused."""
    shares: dict[str, dict[Member, float]] = {}
    for member in examination.answering():
        used, limit = number(member, "used_memory"), number(member, "maxmemory")
        if used is None or not limit or used <= limit * MEMORY_SHARE:
            continue
        cache = (info(member, "maxmemory_policy") or "").startswith("allkeys")
        grave = used >= limit * MEMORY_SHARE_GRAVE
        severity = "info" if cache else "error" if grave else "warning"
        shares.setdefault(severity, {})[member] = used / limit
    for severity, members in shares.items():
        yield Finding(
            _severity(severity),
            "memory-high",
            f"more than {MEMORY_SHARE:.0%} of maxmemory is used on "
            + told({member: f"{share:.0%}" for member, share in members.items()}),
            "It evicts keys to make room for new ones, as a cache does."
            if severity == "info"
            else "At maxmemory writes are refused when nothing may be evicted.",
            ids(list(members)),
            "More memory (ctl cluster set-config maxmemory SIZE) or more shards (ctl cluster add-node, "
            "ctl cluster rebalance --use-empty --by memory)",
        )


def _severity(word: str) -> Literal["error", "warning", "info"]:
    return "error" if word == "error" else "warning" if word == "warning" else "info"


def fragmentation(examination: Examination) -> Iterator[Finding]:
    """Small processes are left out: what the program itself takes is most of them."""
    wasted: dict[Member, str] = {}
    swapped: dict[Member, str] = {}
    for member in examination.answering():
        ratio, used = number(member, "mem_fragmentation_ratio"), number(member, "used_memory")
        if ratio is None or used is None:
            continue
        if ratio > FRAGMENTATION_RATIO and used * (ratio - 1) > FRAGMENTATION_FLOOR_BYTES:
            wasted[member] = f"{ratio:.2f}, {size(used * (ratio - 1))} beside the data"
        elif 0 < ratio < SWAPPED_RATIO and used > FRAGMENTATION_FLOOR_BYTES:
            swapped[member] = f"{ratio:.2f}"
    if wasted:
        yield Finding(
            "warning",
            "fragmentation",
            f"the process takes far more memory than its data on {told(wasted)}",
            "maxmemory counts the data, the system counts the process: it may be killed below maxmemory.",
            ids(list(wasted)),
            "ctl cluster call MEMORY PURGE; activedefrag yes where there is one; else fail over, restart",
        )
    if swapped:
        yield Finding(
            "warning",
            "swapped",
            f"less of the data is in memory than there is of it on {told(swapped)}",
            "The rest is swapped out: each command that touches it waits for the disk.",
            ids(list(swapped)),
            "Give the machine more memory, or the node a smaller maxmemory.",
        )


def evictions(examination: Examination) -> Iterator[Finding]:
    for cache in (False, True):
        evicting = _counted(
            [
                member
                for member in examination.answering()
                if (info(member, "maxmemory_policy") or "").startswith("allkeys") is cache
            ],
            "evicted_keys",
        )
        if evicting:
            yield Finding(
                "info" if cache else "warning",
                "evictions",
                f"keys were evicted ({SINCE}) on {told(evicting)}",
                "A cache does that; compare keyspace_misses to see whether it is too small."
                if cache
                else "Keys with a deadline go before it; when there are none left, writes are refused.",
                ids(list(evicting)),
                "More memory or more shards, when these were wanted.",
            )


def connections(examination: Examination) -> Iterator[Finding]:
    rejected = _counted(list(examination.answering()), "rejected_connections")
    if rejected:
        yield Finding(
            "warning",
            "rejected-connections",
            f"connections were rejected ({SINCE}) on {told(rejected)}",
            "There were maxclients already: clients failed to connect, which often makes them try more.",
            ids(list(rejected)),
            "Bound the clients' pools, then: ctl cluster set-config maxclients NUMBER",
        )
    near: dict[Member, str] = {}
    for member in examination.answering():
        clients, limit = number(member, "connected_clients"), number(member, "maxclients")
        if clients is not None and limit and clients > limit * CLIENTS_SHARE:
            near[member] = f"{clients:.0f} of {limit:.0f}"
    if near:
        yield Finding(
            "warning",
            "clients-near-limit",
            f"nearly as many clients as there may be on {told(near)}",
            "At maxclients further ones are turned away.",
            ids(list(near)),
            "Bound the clients' pools, then: ctl cluster set-config maxclients NUMBER",
        )


def _counted(members: list[Member], field_name: str) -> dict[Member, str]:
    """Those whose counter is not zero."""
    return {member: f"{found:,.0f}" for member in members if (found := number(member, field_name))}


def forks(examination: Examination) -> Iterator[Finding]:
    took = {member: number(member, "latest_fork_usec") or 0 for member in examination.answering()}
    for severity, least, limit in (("warning", FORK_US, None), ("info", FORK_NOTED_US, FORK_US)):
        slow = {
            m: f"{us / 1000:.0f} ms" for m, us in took.items() if us >= least and (not limit or us < limit)
        }
        if slow:
            yield Finding(
                _severity(severity),
                "slow-fork",
                f"the last fork took long on {told(slow)}",
                "Nothing is served meanwhile: every snapshot, rewrite and full copy makes such a gap.",
                ids(list(slow)),
                "Turn transparent huge pages off, keep nodes smaller (more shards), save on replicas alone.",
            )


def backlog(examination: Examination) -> Iterator[Finding]:
    short: dict[Member, str] = {}
    for primary in examination.snapshot.primaries:
        rate = examination.vitals_of(primary).written_bytes_per_s
        backlog_bytes = number(primary, "repl_backlog_size")
        if rate and backlog_bytes and backlog_bytes / rate < BACKLOG_S:
            short[primary] = f"{size(backlog_bytes)} at {size(rate)}/s: {backlog_bytes / rate:.0f} s"
    if short:
        yield Finding(
            "warning",
            "small-backlog",
            f"the backlog holds less than {BACKLOG_S} s of the writes of now on {told(short)}",
            "A replica whose link is broken for longer needs a full copy, which costs its primary a fork.",
            ids(list(short)),
            "ctl cluster set-config repl-backlog-size SIZE",
        )


def slow_commands(examination: Examination) -> Iterator[Finding]:
    """Of the last hour. One finding a node: each has a slow log of its own."""
    for member in examination.answering():
        recent = [each for each in examination.vitals_of(member).slow or () if each.age_s <= RECENT_S]
        if not recent:
            continue
        worst = max(recent, key=lambda each: each.took_us)
        often = ", ".join(name for name, _ in Counter(each.name for each in recent).most_common(3))
        yield Finding(
            "warning" if worst.took_us >= SLOW_US else "info",
            "slow-commands",
            f"{member.name} logged {count(len(recent), 'slow command')} in the last hour ({often}); the"
            f" slowest, {worst.name}, took {worst.took_us / 1000:.0f} ms",
            "Commands run one after the other: all clients of the node waited as long.",
            (member.node_id,),
            f"ctl cluster call --node {member.name} SLOWLOG GET 10",
        )


def big_keys(examination: Examination) -> Iterator[Finding]:
    for member in examination.answering():
        keys = examination.vitals_of(member).keys or ()
        sized = [(each.size_bytes, each) for each in keys if (each.size_bytes or 0) >= BIG_KEY_NOTED_BYTES]
        if not sized:
            continue
        sized.sort(key=lambda pair: -(pair[0] or 0))
        largest = sized[0][0] or 0
        listed = ", ".join(f"{key.text} ({size(taken or 0)})" for taken, key in sized[:LISTED_KEYS])
        yield Finding(
            "warning" if largest >= BIG_KEY_BYTES else "info",
            "big-keys",
            f"{len(sized)} of {count(len(keys), 'sampled key')} on {member.name} take 1 MiB or more:"
            f" {listed}",
            "Reading, deleting or moving one holds the node up, and a slot cannot be split to even it out.",
            (member.node_id,),
            "Spread the value over several keys; delete with UNLINK.",
        )


def hot_keys(examination: Examination) -> Iterator[Finding]:
    for member in examination.answering():
        keys = examination.vitals_of(member).keys or ()
        hot = sorted(
            (each for each in keys if _frequency(each) >= HOT_FREQUENCY), key=_frequency, reverse=True
        )
        if hot:
            listed = ", ".join(f"{key.text} ({_frequency(key)})" for key in hot[:LISTED_KEYS])
            yield Finding(
                "info",
                "hot-keys",
                f"{len(hot)} of {count(len(keys), 'sampled key')} on {member.name} are hot"
                f" (LFU counter of 255): {listed}",
                "One shard serves a key, so more shards do not help with it.",
                (member.node_id,),
                "Cache it in clients (CLIENT TRACKING), read it from replicas, or keep copies of it.",
            )


def _frequency(key: SampledKey) -> int:
    return key.frequency or 0


LOOKS = (
    memory_use,
    fragmentation,
    evictions,
    connections,
    forks,
    backlog,
    slow_commands,
    big_keys,
    hot_keys,
)
