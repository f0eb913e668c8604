"""The words for things, the same in tables and in JSON."""

from __future__ import annotations

from ctl.snapshot import ClusterSnapshot, Member


def health(member: Member) -> str:
    """`ok`, `fail` (the node refuses commands), `suspected`, `unreachable` or `failed`."""
    if member.failed_by:
        return "failed"
    if member.view is None:
        return "unreachable"
    if member.suspected_by:
        return "suspected"
    return "ok" if member.view.state_ok else "fail"


def state_of(member: Member) -> str:
    """Health, and for a replica the link to its primary: one cell of a table."""
    word = health(member)
    if word in ("failed", "unreachable") and member.reason:
        return f"{word}: {member.reason}"
    if word == "fail":
        return "cluster_state:fail"
    return f"link {member.link_state}" if word == "ok" and member.link_state else word


def server_of(member: Member) -> str:
    """Name and version, as `redis 7.0.15`; empty when it did not answer."""
    if member.view is None:
        return ""
    info = member.view.info
    name = info.get("server_name", "redis")
    version = info.get(f"{name}_version") or info.get("redis_version", "")
    return f"{name} {version}".strip()


def primary_of(snapshot: ClusterSnapshot, member: Member) -> str:
    """The address of a replica's primary; its id where nobody knows it, empty for a primary."""
    if member.line.primary_id is None:
        return ""
    primary = snapshot.member(member.line.primary_id)
    return primary.name if primary else member.line.primary_id[:8]


def memory(byte_count: int | None) -> str:
    """`912K`, `1.5M`: as INFO's human readable fields."""
    if byte_count is None:
        return ""
    size = float(byte_count)
    for unit in "BKMG":
        if size < 1000 or unit == "G":
            break
        size /= 1024
    return f"{size:.0f}{unit}" if size >= 100 or unit == "B" else f"{size:.1f}{unit}"


def duration(ms: int) -> str:
    return f"{ms} ms" if ms < 1000 else f"{ms / 1000:.1f} s"


def plural(count: int, noun: str) -> str:
    """`1 node`, `2 nodes`, `2 primaries`."""
    if count == 1:
        return f"1 {noun}"
    return f"{count:,} {noun[:-1]}ies" if noun.endswith("ry") else f"{count:,} {noun}s"


def rate(size_bytes: int, took_s: float) -> str:
    return f"{size_bytes / 1e6 / took_s:.1f} MB/s"
