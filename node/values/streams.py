"""Stream values: an append-only log of entries with ids in order, and the groups that consume it.

Entries are in macro nodes (`streams_nodes.py`), which a binary search finds by id; appending and trimming at
the front touch one node. Ids are plain integers (`streams_ids.py`), groups are in `streams_groups.py`.

How many entries a group has read, and so how many wait for it (its *lag*), is counted while that is exact. An
entry deleted in what is still ahead of the group makes the count uncertain; where the group stands at a place
whose number is certain (before the first entry, at it, at the last), it becomes known again.

Source: the pages of the stream commands; t_stream.c of Redis 7.2 for trimming and counting.
"""

from __future__ import annotations

import sys
from bisect import bisect_right
from itertools import pairwise
from operator import attrgetter
from typing import ClassVar

from node.values.limits import Limits
from node.values.streams_groups import Group
from node.values.streams_ids import MAX_ID, MIN_ID, StreamId
from node.values.streams_nodes import Node, StreamEntry

_BASE = attrgetter("base")
_OBJECT_BYTES = 200
_KEY_BITS = 128


class Stream:
    """A stream, which may be empty. `last_id` only grows, `first_id` is that of the first entry (0: none),
    `max_deleted_id` the highest ever deleted by name, `entries_added` how many were ever added.
    """

    __slots__ = (
        "entries_added",
        "first_id",
        "groups",
        "last_id",
        "length",
        "max_deleted_id",
        "nodes",
    )

    type_name: ClassVar[bytes] = b"stream"

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.length = 0
        self.last_id: StreamId = MIN_ID
        self.first_id: StreamId = MIN_ID
        self.max_deleted_id: StreamId = MIN_ID
        self.entries_added = 0
        self.groups: dict[bytes, Group] = {}

    # Reading

    def entries(
        self,
        low: StreamId = MIN_ID,
        high: StreamId = MAX_ID,
        count: int | None = None,
        *,
        reverse: bool = False,
    ) -> list[StreamEntry]:
        """The entries with ids from `low` to `high`, no more than `count`; with `reverse` the last ones, from
        the last on.
        """
        if low > high:
            return []
        wanted = self.length if count is None else count
        found: list[StreamEntry] = []
        nodes = self.nodes
        at = self._node_index(high if reverse else low)
        while wanted > 0 and 0 <= at < len(nodes):
            node = nodes[at]
            if node.last < low if reverse else node.base > high:
                break
            start, stop = node.position(low), node.position(high + 1)
            if reverse:
                start = max(start, stop - wanted)
                found += reversed(node.between(start, stop))
            else:
                stop = min(stop, start + wanted)
                found += node.between(start, stop)
            wanted -= stop - start
            at += -1 if reverse else 1
        return found

    def get(self, id: StreamId) -> StreamEntry | None:
        """The entry of this id."""
        found = self.entries(id, id, 1)
        return found[0] if found else None

    def __contains__(self, id: StreamId) -> bool:
        if not self.nodes:
            return False
        return self.nodes[self._node_index(id)].find(id) >= 0

    def last_entry_id(self) -> StreamId:
        """The id of the last entry there is, 0-0 when there is none."""
        for node in reversed(self.nodes):
            if node.live:
                return node.id_at(node.end - 1)
        return MIN_ID

    def _node_index(self, id: StreamId) -> int:
        """The last node whose base is not above `id`, else the first one."""
        nodes = self.nodes
        if nodes and nodes[-1].base <= id:
            return len(nodes) - 1
        return max(bisect_right(nodes, id, key=_BASE) - 1, 0)

    # Adding

    def append(self, id: StreamId, items: list[bytes], text_bytes: int, limits: Limits) -> None:
        """Adds an entry (field, value, field, value, …), `text_bytes` long in all; its id must be above
        `last_id`.
        """
        assert id > self.last_id
        nodes = self.nodes
        if not nodes or not nodes[-1].has_room(text_bytes, limits):
            self._begin_node(id, items[::2])
        nodes[-1].append(id, items)
        self.entries_added += 1
        self.last_id = id
        if self.length == 0:
            self.first_id = id
        self.length += 1

    def _begin_node(self, base: StreamId, fields: list[bytes]) -> None:
        nodes = self.nodes
        if nodes:
            nodes[-1].seal()
            if nodes[-1].fields == fields:
                fields = nodes[-1].fields
        nodes.append(Node(base, fields))

    # Removing

    def remove(self, id: StreamId) -> bool:
        """Deletes one entry; whether there was one."""
        if not self.nodes:
            return False
        index = self._node_index(id)
        node = self.nodes[index]
        at = node.find(id)
        if at < 0:
            return False
        if node.live == 1:
            del self.nodes[index]
        else:
            node.remove(at)
        self.length -= 1
        self.max_deleted_id = max(self.max_deleted_id, id)
        if id == self.first_id:
            self.find_first()
        return True

    def trim_to_length(self, length: int, *, limit: int = 0, whole_nodes: bool = False) -> int:
        """Removes the first entries beyond `length`; returns how many.

        With `whole_nodes` only nodes are removed that may go as a whole, with a `limit` above 0 no more than
        so many entries.
        """
        dropped = removed = 0
        for node in self.nodes:
            live, surplus = node.live, self.length - removed - length
            if surplus <= 0 or (limit and removed + live > limit):
                break
            if live > surplus:
                if not whole_nodes:
                    node.remove_first(surplus)
                    removed += surplus
                break
            dropped += 1
            removed += live
        self._trimmed(dropped, removed)
        return removed

    def trim_below(self, id: StreamId, *, limit: int = 0, whole_nodes: bool = False) -> int:
        """Removes the entries with ids below `id`, otherwise like `trim_to_length`."""
        dropped = removed = 0
        for node in self.nodes:
            if limit and removed + node.live > limit:
                break
            if node.last >= id:
                if not whole_nodes:
                    below = node.position(id) - node.first
                    node.remove_first(below)
                    removed += below
                break
            dropped += 1
            removed += node.live
        self._trimmed(dropped, removed)
        return removed

    def _trimmed(self, dropped: int, removed: int) -> None:
        del self.nodes[:dropped]
        self.length -= removed
        if removed:
            self.find_first()

    def find_first(self) -> None:
        """Sets `first_id` to what the nodes hold."""
        self.first_id = next((node.id_at(node.first) for node in self.nodes if node.live), MIN_ID)

    # Groups

    def add_group(self, name: bytes, last_id: StreamId, entries_read: int | None) -> Group | None:
        """A new group; None when there is one of this name."""
        if name in self.groups:
            return None
        group = self.groups[name] = Group(last_id, entries_read)
        return group

    def groups_by_name(self) -> list[tuple[bytes, Group]]:
        """The groups in the order in which they are told."""
        return [(name, self.groups[name]) for name in sorted(self.groups)]

    def advance(self, group: Group, id: StreamId) -> bool:
        """Notes that the entry `id` is delivered to the group; whether that moves the group on."""
        if id <= group.last_id:
            return False
        if group.entries_read is not None and not self._deleted_from(id):
            group.entries_read += 1
        elif self.entries_added:
            group.entries_read = self.entries_up_to(id)
        group.last_id = id
        return True

    def lag(self, group: Group) -> int | None:
        """How many entries wait to be delivered to a group; None when that cannot be told."""
        if not self.entries_added:
            return 0
        if group.entries_read is not None and not self._deleted_from(group.last_id):
            return self.entries_added - group.entries_read
        read = self.entries_up_to(group.last_id)
        return None if read is None else self.entries_added - read

    def entries_up_to(self, id: StreamId) -> int | None:
        """How many entries were ever added with ids up to `id`; None when that cannot be told."""
        if not self.entries_added:
            return 0
        if id == self.last_id or (not self.length and id < self.last_id):
            return self.entries_added
        if id > self.last_id:
            return None
        if self.max_deleted_id < self.first_id or self.max_deleted_id == MIN_ID:
            if id < self.first_id:
                return self.entries_added - self.length
            if id == self.first_id:
                return self.entries_added - self.length + 1
        return None

    def _deleted_from(self, id: StreamId) -> bool:
        """Whether an entry may be missing at or behind `id`, in what the stream still holds."""
        if not self.length or self.max_deleted_id == MIN_ID or self.first_id > self.max_deleted_id:
            return False
        return id <= self.max_deleted_id

    # Whole

    def encoding(self) -> bytes:
        """As OBJECT ENCODING answers."""
        return b"stream"

    def copy(self) -> Stream:
        """A stream of its own with the same entries and groups."""
        new = Stream()
        new.nodes = [node.copy() for node in self.nodes]
        new.length, new.entries_added = self.length, self.entries_added
        new.first_id, new.last_id, new.max_deleted_id = self.first_id, self.last_id, self.max_deleted_id
        new.groups = {name: group.copy() for name, group in self.groups.items()}
        return new

    def radix_nodes(self) -> int:
        """How many nodes the radix tree has in which Redis keeps macro nodes by their base; XINFO tells it.

        A tree over keys of equal length has a node for each key, one for each place where keys part, and one
        for each stretch without a parting.
        """
        bases = [node.base for node in self.nodes]
        if not bases:
            return 1
        forks = [(_KEY_BITS - (a ^ b).bit_length()) // 8 for a, b in pairwise(bases)]
        forks.append(-1)
        count = len(bases)
        above: list[int] = []  # the forks on the way to the key, the deepest last, as bytes before them
        before = -1
        for fork in forks:
            count += max(before, fork) + 1 < _KEY_BITS // 8
            before = fork
            while above and above[-1] > fork:
                depth = above.pop()
                count += 1 + (depth > max(above[-1] if above else -1, fork) + 1)
            if fork >= 0 and (not above or above[-1] < fork):
                above.append(fork)
        return count

    def memory_bytes(self, samples: int = 5) -> int:
        """An estimate of the memory it takes; the size of nodes is that of `samples` of them (0: all)."""
        size = _OBJECT_BYTES + sys.getsizeof(self.nodes)
        sealed = len(self.nodes) - 1
        sampled = [node.memory_bytes() for node in self.nodes[: min(samples or sealed, sealed)]]
        if sampled:
            size += sum(sampled) * sealed // len(sampled)
        if self.nodes:
            size += self.nodes[-1].memory_bytes() + sum(map(sys.getsizeof, self.nodes[-1].fields))
        return size + sum(sys.getsizeof(name) + group.memory_bytes() for name, group in self.groups.items())

    def check(self) -> None:
        """Asserts the invariants: order of nodes, counts, first and last ids, groups."""
        below = MIN_ID - 1
        for node in self.nodes:
            node.check()
            assert below < node.base
            below = node.last
        ids = [entry.id for entry in self.entries()]
        assert len(ids) == self.length == sum(node.live for node in self.nodes)
        assert ids == sorted(set(ids))
        assert self.first_id == (ids[0] if ids else MIN_ID)
        assert self.last_entry_id() == (ids[-1] if ids else MIN_ID)
        assert below <= self.last_id
        assert self.length <= self.entries_added or self.entries_added == 0
        for group in self.groups.values():
            group.check()
