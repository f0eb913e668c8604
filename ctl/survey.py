"""What a closer look at a cluster finds, beside its snapshot: configuration, functions, users, keys by slot.

A snapshot costs three commands a node and is what most verbs need. `check`, `fix` and `explain` ask more, and
not every server can answer: a fact that a node does not tell is None (it has no such command, or the user may
not call it), never an empty one, so that two nodes are compared only where both have spoken.

Pure data, made by `ctl.execute.survey`. Passwords never get here: users are held as digests of their rules.
Sources: the pages of CONFIG GET, FUNCTION LIST, ACL LIST, CLUSTER LINKS, CLUSTER COUNTKEYSINSLOT and
CLUSTER GETSLOTMIGRATIONS.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeAlias

from ctl.snapshot import ClusterSnapshot, Member, NodeView

Value: TypeAlias = "bytes | int | Exception | Sequence[Value] | None"

ENDED_STATES = ("success", "failed", "cancelled", "canceled")
DIGEST_LENGTH = 12


@dataclass(frozen=True, slots=True)
class SlotMigration:
    """One line of CLUSTER GETSLOTMIGRATIONS. `slots` is in the node's words, `0-5 7`."""

    name: str
    operation: str
    slots: str
    source_id: str
    target_id: str
    state: str
    message: str
    remaining_bytes: int | None = None

    @property
    def ended(self) -> bool:
        return self.state.lower() in ENDED_STATES


@dataclass(frozen=True, slots=True)
class BusLink:
    """One line of CLUSTER LINKS: a connection of the bus, seen from the node that was asked."""

    node_id: str
    outgoing: bool
    created_ms: int
    queued_bytes: int


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """What one node tells beyond its view; None for what it cannot tell.

    `functions` and `users` are digests by name, `slot_keys` the number of keys by slot, in database 0, where
    there are any: its own slots' and others'. `now_ms` is the node's clock.
    """

    config: Mapping[str, str] | None = None
    functions: Mapping[str, str] | None = None
    users: Mapping[str, str] | None = None
    migrations: tuple[SlotMigration, ...] | None = None
    links: tuple[BusLink, ...] | None = None
    slot_keys: Mapping[int, int] | None = None
    now_ms: int | None = None

    def keys_of(self, slot: int) -> int:
        return (self.slot_keys or {}).get(slot, 0)

    def number(self, directive: str) -> int | None:
        """A whole number of the configuration; None where it is not told."""
        text = (self.config or {}).get(directive, "")
        return int(text) if text.lstrip("-").isdecimal() else None


NO_FACTS = NodeFacts()


@dataclass(frozen=True)
class Survey:
    """A snapshot with facts by node id. Without facts it is as good as its snapshot."""

    snapshot: ClusterSnapshot
    facts: Mapping[str, NodeFacts] = field(default_factory=dict)

    def facts_of(self, node: Member | NodeView) -> NodeFacts:
        node_id = node.node_id if isinstance(node, Member) else node.myself.node_id
        return self.facts.get(node_id, NO_FACTS)

    @cached_property
    def owners(self) -> dict[int, list[Member]]:
        """Slots by the members that claim them, best known lines; more than one is a dispute."""
        owners: dict[int, list[Member]] = {}
        for member in self.snapshot.primaries:
            for slot in member.line.slots:
                owners.setdefault(slot, []).append(member)
        return owners

    def owner(self, slot: int) -> Member | None:
        """The member whose claim counts: of several, the one with the largest configuration epoch."""
        claims = self.owners.get(slot, [])
        return max(claims, key=lambda member: member.line.config_epoch, default=None)

    def zone_of(self, member: Member) -> str:
        """Its availability zone; empty where it tells none (Valkey 8.1 and Shoal have such a directive)."""
        configured = (self.facts_of(member).config or {}).get("availability-zone", "")
        return configured or (member.view.info.get("availability_zone", "") if member.view else "")

    def holders(self, slot: int) -> dict[Member, int]:
        """Answering primaries that hold keys of `slot`, with their number; most first."""
        counted = {
            member: count
            for member in self.snapshot.primaries
            if member.reachable and (count := self.facts_of(member).keys_of(slot))
        }
        return dict(sorted(counted.items(), key=lambda item: -item[1]))

    @cached_property
    def voters(self) -> tuple[Member, ...]:
        """Primaries with slots: those whose votes count."""
        return tuple(member for member in self.snapshot.primaries if member.line.slots)


def parse_config(reply: Value) -> dict[str, str] | None:
    return {str(name): _text(value) for name, value in _pairs(reply).items()} if _is_list(reply) else None


def parse_functions(reply: Value) -> dict[str, str] | None:
    """Libraries of FUNCTION LIST WITHCODE, by name, as a digest of engine and code."""
    if not isinstance(reply, list):
        return None
    libraries = [_pairs(library) for library in reply]
    return {
        _text(each.get("library_name")): _digest(
            _text(each.get("engine")) + "\n" + _text(each.get("library_code"))
        )
        for each in libraries
    }


def parse_users(reply: Value) -> dict[str, str] | None:
    """Users of ACL LIST, by name, as a digest of their rules.

    The order of rules that stand for themselves (passwords, flags, patterns) says nothing; that of commands
    and of selectors does and is kept.
    """
    if not isinstance(reply, list):
        return None
    users = {}
    for line in reply:
        _, _, rest = _text(line).partition(" ")
        name, _, rules = rest.partition(" ")
        plain, _, selectors = rules.partition("(")
        words = [word for word in plain.split() if word != "sanitize-payload"]
        ordered = [word for word in words if word[0] in "+-"]
        unordered = sorted(word for word in words if word[0] not in "+-")
        users[name] = _digest(" ".join([*unordered, *ordered, selectors]))
    return users


def parse_migrations(reply: Value) -> tuple[SlotMigration, ...] | None:
    if not isinstance(reply, list):
        return None
    return tuple(_migration(_pairs(each)) for each in reply)


def _migration(pairs: Mapping[str, Value]) -> SlotMigration:
    remaining = pairs.get("remaining_repl_size")
    return SlotMigration(
        name=_text(pairs.get("name")),
        operation=_text(pairs.get("operation")).lower(),
        slots=_text(pairs.get("slot_ranges")),
        source_id=_text(pairs.get("source_node")),
        target_id=_text(pairs.get("target_node")),
        state=_text(pairs.get("state")),
        message=_text(pairs.get("message")),
        remaining_bytes=remaining if isinstance(remaining, int) else None,
    )


def parse_links(reply: Value) -> tuple[BusLink, ...] | None:
    if not isinstance(reply, list):
        return None
    return tuple(
        BusLink(
            node_id=_text(pairs.get("node")),
            outgoing=_text(pairs.get("direction")) == "to",
            created_ms=_number(pairs.get("create-time")),
            queued_bytes=_number(pairs.get("send-buffer-used")),
        )
        for pairs in map(_pairs, reply)
    )


def parse_time_ms(reply: Value) -> int | None:
    """Of TIME's seconds and microseconds."""
    if not isinstance(reply, list) or len(reply) != 2:
        return None
    return int(_text(reply[0])) * 1000 + int(_text(reply[1])) // 1000


def most_common(values: Mapping[str, str | None]) -> str | None:
    """The value that most have; of equals, the one that comes first."""
    return Counter(values.values()).most_common(1)[0][0]


def _is_list(reply: Value) -> bool:
    return isinstance(reply, list)


def _pairs(reply: Value) -> dict[str, Value]:
    """A map, which RESP2 sends as a flat list."""
    if not isinstance(reply, list):
        return {}
    return {_text(name): value for name, value in zip(reply[::2], reply[1::2], strict=False)}


def _text(value: Value) -> str:
    if isinstance(value, bytes):
        return value.decode(errors="backslashreplace")
    if isinstance(value, list):
        return " ".join(_text(each) for each in value)
    return "" if value is None else str(value)


def _number(value: Value) -> int:
    return value if isinstance(value, int) else 0


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:DIGEST_LENGTH]
