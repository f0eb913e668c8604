"""The commands of the group pubsub: see node.pubsub.

What SUBSCRIBE and its kin answer are pushes, one for each channel, and so are sent where CLIENT REPLY holds
replies back.

Source: https://redis.io/commands/?group=pubsub
"""

from __future__ import annotations

from collections.abc import Iterable

from node.command.call import Call
from node.command.help import help_reply
from node.command.keyspec import KeyFlag, key, keys
from node.command.session import ReplyMode
from node.command.spec import FAST, LOADING, MAY_REPLICATE, NOSCRIPT, PUBSUB, STALE, command, container
from node.errors import CommandError
from node.pubsub import PubSub
from node.resp.encode import array, bulk, integer
from node.values.glob import compile_glob

_SUBSCRIBE = PUBSUB | NOSCRIPT | LOADING | STALE
_PUBLISH = PUBSUB | LOADING | STALE | FAST | MAY_REPLICATE
_LOOK = PUBSUB | LOADING | STALE

container(b"PUBSUB", group="pubsub", since="2.8.0", summary="A container for commands on subscriptions.")


def _pushed(call: Call, confirmations: bytes) -> bytes:
    """The reply of a command that answers with pushes."""
    session = call.session
    if session.reply_mode is ReplyMode.ON or session.deny_blocking:
        return confirmations
    session.transport.send(confirmations)
    return b""


# Subscribing


@command(
    b"SUBSCRIBE", arity=-2, group="pubsub", since="2.0.0", flags=_SUBSCRIBE, needs=PubSub,
    complexity="O(N) where N is the number of channels to subscribe to.",
)  # fmt: skip
def subscribe(pubsub: PubSub, call: Call, argv: list[bytes]) -> bytes:
    """Listens for messages published to channels."""
    return _pushed(call, b"".join([pubsub.subscribe(call.session, name) for name in argv[1:]]))


@command(
    b"PSUBSCRIBE", arity=-2, group="pubsub", since="2.0.0", flags=_SUBSCRIBE, needs=PubSub,
    complexity="O(N) where N is the number of patterns to subscribe to.",
)  # fmt: skip
def psubscribe(pubsub: PubSub, call: Call, argv: list[bytes]) -> bytes:
    """Listens for messages published to channels that match one or more patterns."""
    return _pushed(call, b"".join([pubsub.subscribe_pattern(call.session, name) for name in argv[1:]]))


@command(
    b"SSUBSCRIBE", arity=-2, group="pubsub", since="7.0.0", flags=_SUBSCRIBE, needs=PubSub,
    keys=[keys(1, KeyFlag.NOT_KEY)],
    complexity="O(N) where N is the number of shard channels to subscribe to.",
)  # fmt: skip
def ssubscribe(pubsub: PubSub, call: Call, argv: list[bytes]) -> bytes:
    """Listens for messages published to shard channels."""
    if call.session.deny_blocking:
        raise CommandError(b"ERR SSUBSCRIBE isn't allowed for a DENY BLOCKING client")
    return _pushed(call, b"".join([pubsub.subscribe_shard(call.session, name) for name in argv[1:]]))


@command(
    b"UNSUBSCRIBE", arity=-1, group="pubsub", since="2.0.0", flags=_SUBSCRIBE, needs=PubSub,
    complexity="O(N) where N is the number of channels to unsubscribe.",
)  # fmt: skip
def unsubscribe(pubsub: PubSub, call: Call, argv: list[bytes]) -> bytes:
    """Stops listening to channels, or to all."""
    return _pushed(call, pubsub.unsubscribe(call.session, argv[1:]))


@command(
    b"PUNSUBSCRIBE", arity=-1, group="pubsub", since="2.0.0", flags=_SUBSCRIBE, needs=PubSub,
    complexity="O(N) where N is the number of patterns to unsubscribe.",
)  # fmt: skip
def punsubscribe(pubsub: PubSub, call: Call, argv: list[bytes]) -> bytes:
    """Stops listening to channels that match patterns, or to all such."""
    return _pushed(call, pubsub.unsubscribe_patterns(call.session, argv[1:]))


@command(
    b"SUNSUBSCRIBE", arity=-1, group="pubsub", since="7.0.0", flags=_SUBSCRIBE, needs=PubSub,
    keys=[keys(1, KeyFlag.NOT_KEY)],
    complexity="O(N) where N is the number of shard channels to unsubscribe.",
)  # fmt: skip
def sunsubscribe(pubsub: PubSub, call: Call, argv: list[bytes]) -> bytes:
    """Stops listening to shard channels, or to all."""
    return _pushed(call, pubsub.unsubscribe_shard(call.session, argv[1:]))


# Publishing


@command(
    b"PUBLISH", arity=3, group="pubsub", since="2.0.0", flags=_PUBLISH, needs=PubSub,
    complexity="O(N+M) where N is the number of clients subscribed to the receiving channel and M is the "
    "total number of subscribed patterns (by any client).",
)  # fmt: skip
def publish(pubsub: PubSub, call: Call, argv: list[bytes]) -> bytes:
    """Posts a message to a channel."""
    return integer(pubsub.publish(call.session, argv[1], argv[2]))


@command(
    b"SPUBLISH", arity=3, group="pubsub", since="7.0.0", flags=_PUBLISH, needs=PubSub,
    keys=[key(1, KeyFlag.NOT_KEY)],
    complexity="O(N) where N is the number of clients subscribed to the receiving shard channel.",
)  # fmt: skip
def spublish(pubsub: PubSub, call: Call, argv: list[bytes]) -> bytes:
    """Posts a message to a shard channel."""
    return integer(pubsub.publish(call.session, argv[1], argv[2], sharded=True))


# PUBSUB


def _matching(names: Iterable[bytes], argv: list[bytes]) -> bytes:
    if len(argv) > 3:
        raise CommandError(
            b"ERR unknown subcommand or wrong number of arguments for '%b'. Try PUBSUB HELP." % argv[1][:128]
        )
    if len(argv) == 3:
        matches = compile_glob(argv[2])
        names = [name for name in names if matches(name)]
    return array([bulk(name) for name in names])


@command(
    b"PUBSUB|CHANNELS", arity=-2, group="pubsub", since="2.8.0", flags=_LOOK, needs=PubSub,
    complexity="O(N) where N is the number of active channels, and assuming constant time pattern matching "
    "(relatively short channels and patterns)",
)  # fmt: skip
def channels(pubsub: PubSub, _call: Call, argv: list[bytes]) -> bytes:
    """Returns the channels that clients are subscribed to, all or those that match a pattern."""
    return _matching(pubsub.channels(), argv)


@command(
    b"PUBSUB|SHARDCHANNELS", arity=-2, group="pubsub", since="7.0.0", flags=_LOOK, needs=PubSub,
    complexity="O(N) where N is the number of active shard channels, and assuming constant time pattern "
    "matching (relatively short shard channels).",
)  # fmt: skip
def shardchannels(pubsub: PubSub, _call: Call, argv: list[bytes]) -> bytes:
    """Returns the shard channels that clients are subscribed to, all or those that match a pattern."""
    return _matching(pubsub.shard_channels(), argv)


@command(
    b"PUBSUB|NUMSUB", arity=-2, group="pubsub", since="2.8.0", flags=_LOOK, needs=PubSub,
    complexity="O(N) for the NUMSUB subcommand, where N is the number of requested channels",
)  # fmt: skip
def numsub(pubsub: PubSub, _call: Call, argv: list[bytes]) -> bytes:
    """Returns how many clients are subscribed to each of the channels."""
    counts = [(bulk(name), integer(pubsub.subscriber_count(name))) for name in argv[2:]]
    return array([part for pair in counts for part in pair])


@command(
    b"PUBSUB|SHARDNUMSUB", arity=-2, group="pubsub", since="7.0.0", flags=_LOOK, needs=PubSub,
    complexity="O(N) for the SHARDNUMSUB subcommand, where N is the number of requested shard channels",
)  # fmt: skip
def shardnumsub(pubsub: PubSub, _call: Call, argv: list[bytes]) -> bytes:
    """Returns how many clients are subscribed to each of the shard channels."""
    counts = [(bulk(name), integer(pubsub.shard_subscriber_count(name))) for name in argv[2:]]
    return array([part for pair in counts for part in pair])


@command(
    b"PUBSUB|NUMPAT", arity=2, group="pubsub", since="2.8.0", flags=_LOOK, needs=PubSub,
    complexity="O(1)",
)  # fmt: skip
def numpat(pubsub: PubSub, _call: Call, _argv: list[bytes]) -> bytes:
    """Returns how many different patterns clients are subscribed to."""
    return integer(pubsub.pattern_count)


@command(
    b"PUBSUB|HELP", arity=2, group="pubsub", since="6.2.0", flags=LOADING | STALE, complexity="O(1)",
)  # fmt: skip
def help_(_call: Call, _argv: list[bytes]) -> bytes:
    """Returns helpful text about the subcommands."""
    return help_reply("PUBSUB", _HELP)


_HELP = (
    "CHANNELS [<pattern>]",
    "    Return the channels that clients are subscribed to.",
    "NUMPAT",
    "    Return the number of patterns that clients are subscribed to.",
    "NUMSUB [<channel> ...]",
    "    Return the number of subscribers of each channel, patterns aside.",
    "SHARDCHANNELS [<pattern>]",
    "    Return the shard channels that clients are subscribed to.",
    "SHARDNUMSUB [<shardchannel> ...]",
    "    Return the number of subscribers of each shard channel.",
)
