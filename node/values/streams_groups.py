"""Consumer groups: who read which entries of a stream, and which of them are not acknowledged yet.

An entry that was delivered and not acknowledged is *pending*. Its delivery is in the group's list of pending
entries and in that of the consumer that got it last; both lists hold the same `Delivery`. Pending entries may
have been deleted from the stream meanwhile.

Source: https://redis.io/docs/data-types/streams/, "Consumer groups".
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TypeAlias

from sortedcontainers import SortedDict

from node.values.streams_ids import MAX_ID, StreamId

NEVER_MS = -1
"""When a consumer was last active that never was."""

_DELIVERY_BYTES = 56 + 44 + 2 * 110  # the delivery, its id, a place in two tables and their order


class Delivery:
    """That a consumer got an entry: the last time (Unix milliseconds), and how often in all."""

    __slots__ = ("consumer", "count", "time_ms")

    def __init__(self, consumer: Consumer, time_ms: int, count: int = 1) -> None:
        self.consumer = consumer
        self.time_ms = time_ms
        self.count = count


Pending: TypeAlias = "SortedDict[StreamId, Delivery]"


class Consumer:
    """A consumer. `seen_ms` is when it last tried to read or claim, `active_ms` when it last got anything."""

    __slots__ = ("active_ms", "name", "pending", "seen_ms")

    def __init__(self, name: bytes, seen_ms: int, active_ms: int = NEVER_MS) -> None:
        self.name = name
        self.seen_ms = seen_ms
        self.active_ms = active_ms
        self.pending: Pending = SortedDict()

    def pending_from(self, low: StreamId, high: StreamId = MAX_ID) -> Iterator[tuple[StreamId, Delivery]]:
        """Its pending entries with ids from `low` to `high`, in order; they must not change meanwhile."""
        return _between(self.pending, low, high)


class Group:
    """A consumer group. `last_id` is the last entry delivered, `entries_read` how many of all that were ever
    added that makes, None when this is not known.
    """

    __slots__ = ("consumers", "entries_read", "last_id", "pending")

    def __init__(self, last_id: StreamId, entries_read: int | None) -> None:
        self.last_id = last_id
        self.entries_read = entries_read
        self.consumers: dict[bytes, Consumer] = {}
        self.pending: Pending = SortedDict()

    def pending_from(self, low: StreamId, high: StreamId = MAX_ID) -> Iterator[tuple[StreamId, Delivery]]:
        """Pending entries with ids from `low` to `high`, in order; they must not change meanwhile."""
        return _between(self.pending, low, high)

    # Consumers

    def add_consumer(self, name: bytes, now_ms: int) -> Consumer:
        """A new consumer; there must be none of this name."""
        assert name not in self.consumers
        consumer = self.consumers[name] = Consumer(name, now_ms)
        return consumer

    def remove_consumer(self, name: bytes) -> int | None:
        """Removes a consumer and forgets its deliveries; returns how many, None when there is no such one."""
        consumer = self.consumers.pop(name, None)
        if consumer is None:
            return None
        for id in consumer.pending:
            del self.pending[id]
        return len(consumer.pending)

    def consumers_by_name(self) -> list[Consumer]:
        """The consumers in the order in which they are told."""
        return [self.consumers[name] for name in sorted(self.consumers)]

    # Deliveries

    def deliver(self, id: StreamId, consumer: Consumer, now_ms: int) -> Delivery:
        """Notes that `consumer` gets an entry for the first time; a delivery to another becomes its own."""
        delivery: Delivery | None = self.pending.get(id)
        if delivery is None:
            delivery = self.add_delivery(id, consumer, now_ms)
        else:
            self.pass_on(id, delivery, consumer)
            delivery.time_ms = now_ms
            delivery.count = 1
        return delivery

    def add_delivery(self, id: StreamId, consumer: Consumer, time_ms: int, count: int = 1) -> Delivery:
        """An entry that was not pending is."""
        delivery = Delivery(consumer, time_ms, count)
        self.pending[id] = delivery
        consumer.pending[id] = delivery
        return delivery

    def pass_on(self, id: StreamId, delivery: Delivery, consumer: Consumer) -> None:
        """A pending entry gets another owner."""
        if delivery.consumer is not consumer:
            del delivery.consumer.pending[id]
            consumer.pending[id] = delivery
            delivery.consumer = consumer

    def acknowledge(self, id: StreamId) -> bool:
        """Whether the entry was pending; it is no longer."""
        delivery = self.pending.pop(id, None)
        if delivery is None:
            return False
        del delivery.consumer.pending[id]
        return True

    # Whole

    def copy(self) -> Group:
        """A group of its own with the same consumers and deliveries."""
        new = Group(self.last_id, self.entries_read)
        for name, old in self.consumers.items():
            consumer = new.consumers[name] = Consumer(name, old.seen_ms, old.active_ms)
            copies = [(id, Delivery(consumer, each.time_ms, each.count)) for id, each in old.pending.items()]
            consumer.pending.update(copies)
            new.pending.update(copies)
        return new

    def memory_bytes(self) -> int:
        """An estimate of the memory it takes."""
        consumers = sum(sys.getsizeof(name) + 1500 for name in self.consumers)
        return 1600 + consumers + _DELIVERY_BYTES * len(self.pending)

    def check(self) -> None:
        """Asserts that each delivery is in the lists of the group and of one consumer."""
        owned = 0
        for name, consumer in self.consumers.items():
            assert consumer.name == name
            for id, delivery in consumer.pending.items():
                assert delivery.consumer is consumer
                assert self.pending[id] is delivery
            owned += len(consumer.pending)
        assert owned == len(self.pending)


def _between(pending: Pending, low: StreamId, high: StreamId) -> Iterator[tuple[StreamId, Delivery]]:
    for id in pending.irange(low, high):
        yield id, pending[id]
