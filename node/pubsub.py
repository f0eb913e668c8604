"""Publish and subscribe: who gets which message.

Channels, patterns and shard channels each have an audience, the sessions that are subscribed, in the order
they came. A message is encoded once for each version of the protocol and queued to its whole audience at
once; sending is spread over turns by the reactor, behind everybody's replies (`node.pushes`). Queueing costs
some 0.3 µs a subscriber. So that a stream of messages to very many takes no more of a turn than that of one,
whoever publishes when `TURN_MESSAGES` have been queued goes on in the next turn.

A published message is local, and is passed on by `pass_on`: to every node of a cluster over the bus (that of
a shard channel to the nodes of its shard), without a cluster to the replicas. What arrives from elsewhere
comes in by `receive` and is passed on no further.

Shard channels belong to slots. When a slot is no longer this node's, its shard channels lose their audience,
which is told so (`leave_slots`).

Source: https://redis.io/docs/interact/pubsub/; the Redis cluster specification, "Pub/Sub".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from gossip.slots import key_slot
from node.clients import POSTPONED, Clients
from node.clock import Clock
from node.command.session import Block, Session
from node.command.subscriptions import Subscriptions
from node.observe.info import Fields
from node.pubsub_patterns import Patterns
from node.pushes import Pushes
from node.resp.encode import RESP3, bulk, integer
from node.timers import Timers

TURN_MESSAGES = 10_000

Audience = dict[Session, None]

PassOn = Callable[[int, bytes, bytes, bool], None]
"""Database index of the publisher, channel, message, whether it is a shard channel."""


def _nobody(_db_index: int, _channel: bytes, _message: bytes, _sharded: bool) -> None:
    """Until the application sets something better."""


class PubSub:
    """All subscriptions of a node. The application sets `pass_on`."""

    def __init__(self, clock: Clock, clients: Clients, timers: Timers, pushes: Pushes) -> None:
        self._clock = clock
        self._clients = clients
        self._timers = timers
        self._pushes = pushes
        self._channels: dict[bytes, Audience] = {}
        self._patterns: dict[bytes, Audience] = {}
        self._matching = Patterns()
        self._slots: dict[int, dict[bytes, Audience]] = {}  # shard channels by slot
        self._subscribers: dict[Session, None] = {}
        self._queued = 0  # messages in this turn
        self._held_back: list[Session] = []
        self.pass_on: PassOn = _nobody
        clients.on_removed.append(self.forget)

    # Subscribing

    def subscribe(self, session: Session, channel: bytes) -> bytes:
        """SUBSCRIBE to one channel; the confirmation."""
        mine = self._subscriptions(session)
        mine.channels[channel] = None
        self._channels.setdefault(channel, {})[session] = None
        return _confirmation(session, b"subscribe", channel, mine.count)

    def subscribe_pattern(self, session: Session, pattern: bytes) -> bytes:
        """PSUBSCRIBE to one pattern; the confirmation."""
        mine = self._subscriptions(session)
        mine.patterns[pattern] = None
        audience = self._patterns.setdefault(pattern, {})
        if not audience:
            self._matching.add(pattern)
        audience[session] = None
        return _confirmation(session, b"psubscribe", pattern, mine.count)

    def subscribe_shard(self, session: Session, channel: bytes) -> bytes:
        """SSUBSCRIBE to one shard channel; the confirmation."""
        mine = self._subscriptions(session)
        mine.shard_channels[channel] = None
        self._slots.setdefault(key_slot(channel), {}).setdefault(channel, {})[session] = None
        return _confirmation(session, b"ssubscribe", channel, len(mine.shard_channels))

    def _subscriptions(self, session: Session) -> Subscriptions:
        if session.subscriptions is None:
            session.subscriptions = Subscriptions()
            self._subscribers[session] = None
            session.update_guard()
        return session.subscriptions

    def unsubscribe(self, session: Session, channels: list[bytes]) -> bytes:
        """UNSUBSCRIBE from these channels (none: from all); the confirmations."""
        mine = session.subscriptions or Subscriptions()
        parts = []
        for channel in channels or list(mine.channels):
            if channel in mine.channels:
                del mine.channels[channel]
                _leave(self._channels, channel, session)
            parts.append(_confirmation(session, b"unsubscribe", channel, mine.count))
        return self._unsubscribed(
            session, parts or [_confirmation(session, b"unsubscribe", None, mine.count)]
        )

    def unsubscribe_patterns(self, session: Session, patterns: list[bytes]) -> bytes:
        """PUNSUBSCRIBE; the confirmations."""
        mine = session.subscriptions or Subscriptions()
        parts = []
        for pattern in patterns or list(mine.patterns):
            if pattern in mine.patterns:
                del mine.patterns[pattern]
                self._leave_pattern(session, pattern)
            parts.append(_confirmation(session, b"punsubscribe", pattern, mine.count))
        return self._unsubscribed(
            session, parts or [_confirmation(session, b"punsubscribe", None, mine.count)]
        )

    def unsubscribe_shard(self, session: Session, channels: list[bytes]) -> bytes:
        """SUNSUBSCRIBE; the confirmations."""
        mine = session.subscriptions or Subscriptions()
        parts = []
        for channel in channels or list(mine.shard_channels):
            if channel in mine.shard_channels:
                del mine.shard_channels[channel]
                self._leave_shard(session, channel)
            parts.append(_confirmation(session, b"sunsubscribe", channel, len(mine.shard_channels)))
        count = len(mine.shard_channels)
        return self._unsubscribed(session, parts or [_confirmation(session, b"sunsubscribe", None, count)])

    def _unsubscribed(self, session: Session, parts: list[bytes]) -> bytes:
        if session.subscriptions is not None and not session.subscriptions:
            self._end(session)
        return b"".join(parts)

    def _leave_pattern(self, session: Session, pattern: bytes) -> None:
        _leave(self._patterns, pattern, session)
        if pattern not in self._patterns:
            self._matching.remove(pattern)

    def _leave_shard(self, session: Session, channel: bytes) -> None:
        slot = key_slot(channel)
        _leave(self._slots[slot], channel, session)
        if not self._slots[slot]:
            del self._slots[slot]

    def _end(self, session: Session) -> None:
        session.subscriptions = None
        self._subscribers.pop(session, None)
        session.update_guard()

    def forget(self, session: Session) -> None:
        """Ends all subscriptions of a session in silence: RESET, or its connection has ended."""
        mine = session.subscriptions
        if mine is None:
            return
        for channel in mine.channels:
            _leave(self._channels, channel, session)
        for pattern in mine.patterns:
            self._leave_pattern(session, pattern)
        for channel in mine.shard_channels:
            self._leave_shard(session, channel)
        self._end(session)

    def leave_slots(self, is_ours: Callable[[int], bool]) -> None:
        """Ends the subscriptions of shard channels whose slots are not ours; their clients are told."""
        for slot in [slot for slot in self._slots if not is_ours(slot)]:
            for channel, audience in self._slots.pop(slot).items():
                for session in audience:
                    mine = session.subscriptions
                    assert mine is not None, "who is in an audience is subscribed"
                    del mine.shard_channels[channel]
                    count = len(mine.shard_channels)
                    self._pushes.send(session, _confirmation(session, b"sunsubscribe", channel, count))
                    if not mine:
                        self._end(session)

    # Publishing

    @property
    def has_listeners(self) -> bool:
        """Whether anybody is subscribed to a channel or a pattern."""
        return bool(self._channels or self._patterns)

    @property
    def has_shard_channels(self) -> bool:
        return bool(self._slots)

    def publish(self, session: Session, channel: bytes, message: bytes, sharded: bool = False) -> int:
        """PUBLISH, SPUBLISH: to those subscribed here and elsewhere; how many are so here."""
        receivers = self.receive(channel, message, sharded)
        self.pass_on(session.call.db.index, channel, message, sharded)
        if self._queued >= TURN_MESSAGES:
            self._hold_back(session)
        return receivers

    def receive(self, channel: bytes, message: bytes, sharded: bool = False) -> int:
        """Delivers to those who are subscribed here; how many."""
        if sharded:
            slot = self._slots.get(key_slot(channel)) if self._slots else None
            audience = slot.get(channel) if slot is not None else None
            return self._deliver(audience, b"smessage", channel, message) if audience is not None else 0
        receivers = 0
        audience = self._channels.get(channel)
        if audience is not None:
            receivers = self._deliver(audience, b"message", channel, message)
        if self._patterns:
            for pattern in self._matching.match(channel):
                receivers += self._deliver(self._patterns[pattern], b"pmessage", pattern, channel, message)
        return receivers

    def _deliver(self, audience: Audience, *parts: bytes) -> int:
        body = b"%d\r\n%b" % (len(parts), b"".join(map(bulk, parts)))
        array, push = b"*" + body, b">" + body
        pushes = self._pushes
        current = pushes.current
        for session in audience:
            data = push if session.speaks is RESP3 else array
            if session is current:
                pushes.held.append(data)
            else:
                session.transport.push(data)
        count = len(audience)
        self._queued += count
        return count

    def _hold_back(self, session: Session) -> None:
        """What `session` asks next is run in another turn: others come first, and messages get sent."""
        if not self._held_back:
            self._timers.at(self._clock.now_ms, self._go_on)
        if session.deny_blocking or session.from_primary or session.blocked is not None:
            return
        self._held_back.append(session)
        block = Block(
            POSTPONED, None, lambda: b"", lambda: self._held_back.remove(session), may_time_out=False
        )
        self._clients.block(session, block)

    def _go_on(self) -> None:
        self._queued = 0
        for session in list(self._held_back):
            self._clients.end_block(session)
            session.transport.resume()

    # What is told of it

    def channels(self) -> Iterable[bytes]:
        """Channels that somebody is subscribed to, patterns aside."""
        return self._channels.keys()

    def shard_channels(self) -> Iterable[bytes]:
        return (channel for channels in self._slots.values() for channel in channels)

    def subscriber_count(self, channel: bytes) -> int:
        return len(self._channels.get(channel, ()))

    def shard_subscriber_count(self, channel: bytes) -> int:
        return len(self._slots.get(key_slot(channel), {}).get(channel, ()))

    @property
    def pattern_count(self) -> int:
        """How many different patterns somebody is subscribed to."""
        return len(self._patterns)

    def info_clients(self) -> Fields:
        """Fields of INFO clients."""
        yield "pubsub_clients", len(self._subscribers)

    def info_stats(self) -> Fields:
        """Fields of INFO stats."""
        yield "pubsub_channels", len(self._channels)
        yield "pubsub_patterns", len(self._patterns)
        yield "pubsubshard_channels", sum(map(len, self._slots.values()))


def _leave(audiences: dict[bytes, Audience], name: bytes, session: Session) -> None:
    audience = audiences[name]
    del audience[session]
    if not audience:
        del audiences[name]


def _confirmation(session: Session, kind: bytes, name: bytes | None, count: int) -> bytes:
    encoder = session.call.reply
    return encoder.push([bulk(kind), encoder.optional(name), integer(count)])
