"""The byte layout of the cluster bus: `encode` and `decode` a message, and cut a stream into frames.

All integers are big endian. A frame is one of two shapes, told apart by the top bit of its type:

    full header, 2256 bytes:  "RCmb" · length · version · port · type · gossip count · current epoch ·
                              config epoch · offset · sender · slots · replica of · ip · extension count ·
                              30 reserved · plain port · bus port · flags · state · 3 message flags
    light header, 16 bytes:   "RCmb" · length · version · 2 reserved · type · 2 reserved

What follows the full header depends on the type:

    PING PONG MEET        gossip entries of 104 bytes each, then extensions: length (multiple of 8, itself
                          included) · type · 2 reserved · payload padded with zeros
    FAIL                  node id
    UPDATE                config epoch · node id · slots
    PUBLISH PUBLISHSHARD  channel length · payload length · channel · payload
    MODULE                module id · payload length · type · payload
    AUTH and MFSTART      nothing

Only PUBLISH, PUBLISHSHARD and MODULE come light (Valkey); a light message names no sender.

What a peer sends is not trusted: whatever does not fit is a `WireError`, for which its link is dropped, and
text is held to characters that cannot break a line of nodes.conf. A frame of an unknown type is skipped, as
Redis does, so that a newer peer's link is kept.

Source: the Redis cluster specification, "Cluster bus"; the frames in tests/fixtures/bus.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from struct import Struct

from gossip.errors import WireError
from gossip.messages import (
    AuthAck,
    AuthRequest,
    Extensions,
    Fail,
    ForgottenNode,
    GossipEntry,
    Header,
    ManualFailoverStart,
    Message,
    MessageFlag,
    MessageType,
    Module,
    NodeFlag,
    NodeId,
    Ping,
    Publish,
    Update,
)
from gossip.slots import SlotSet

SIGNATURE = b"RCmb"
VERSION = 1
LIGHT_BIT = 0x8000

_PREFIX = Struct("!4sIHHHH")
_HEADER = Struct("!4sIHHHHQQQ40s2048s40s46sH30xHHHBB2x")
_GOSSIP = Struct("!40sII46sHHHH2x")
_EXTENSION = Struct("!IH2x")
_FORGOTTEN = Struct("!40sQ")
_UPDATE = Struct("!Q40s2048s")
_PUBLISH = Struct("!II")
_MODULE = Struct("!QIB")

HEADER_BYTES = _HEADER.size
LIGHT_HEADER_BYTES = _PREFIX.size
ID_BYTES = 40
IP_BYTES = 46
HOSTNAME_BYTES_MAX = 255

# A heartbeat of 60,000 gossip entries fits; payloads may be as long as a client's longest string.
FRAME_BYTES_MAX = 8 << 20
PAYLOAD_FRAME_BYTES_MAX = (512 << 20) + 65536

_PAYLOAD_TYPES = frozenset((MessageType.PUBLISH, MessageType.PUBLISHSHARD, MessageType.MODULE))
_HEARTBEAT_TYPES = frozenset((MessageType.PING, MessageType.PONG, MessageType.MEET))

_EXT_HOSTNAME = 0
_EXT_HUMAN_NODENAME = 1
_EXT_FORGOTTEN_NODE = 2
_EXT_SHARD_ID = 3
_EXT_CLIENT_IPV4 = 4
_EXT_CLIENT_IPV6 = 5
_EXT_AVAILABILITY_ZONE = 6

_NO_ID = bytes(ID_BYTES)
# Making an enum's value costs as much as unpacking an entry; there are few of them.
_node_flags = lru_cache(maxsize=4096)(NodeFlag)
_message_flags = lru_cache(maxsize=256)(MessageFlag)
_is_id = re.compile(rb"[0-9a-f]{40}").fullmatch
_is_text = re.compile(rb"[0-9A-Za-z._:%/-]*").fullmatch


# --- writing -----------------------------------------------------------------------------------------------


def encode(message: Message) -> bytes:
    """The frame of `message`, header included.

    EXT_DATA is added to the message flags when there are extensions. A `Publish` or `Module` without a header
    is written light. A value that does not fit its field is the caller's mistake: AssertionError or
    struct.error.
    """
    match message:
        case Ping(header, type_, gossip, extensions):
            assert type_ in _HEARTBEAT_TYPES, f"{type_!r} is no heartbeat"
            count, payload = _encode_extensions(extensions)
            body = b"".join([*map(_encode_gossip, gossip), *payload])
            return _full_frame(header, type_, body, len(gossip), count)
        case Fail(header, node):
            return _full_frame(header, MessageType.FAIL, _id_bytes(node))
        case Update(header, node, config_epoch, slots):
            body = _UPDATE.pack(config_epoch, _id_bytes(node), slots.bitmap())
            return _full_frame(header, MessageType.UPDATE, body)
        case AuthRequest(header):
            return _full_frame(header, MessageType.FAILOVER_AUTH_REQUEST)
        case AuthAck(header):
            return _full_frame(header, MessageType.FAILOVER_AUTH_ACK)
        case ManualFailoverStart(header):
            return _full_frame(header, MessageType.MFSTART)
        case Publish(maybe_header, channel, data, sharded):
            body = _PUBLISH.pack(len(channel), len(data)) + channel + data
            return _payload_frame(
                maybe_header, MessageType.PUBLISHSHARD if sharded else MessageType.PUBLISH, body
            )
        case Module(maybe_header, module_id, module_type, data):
            body = _MODULE.pack(module_id, len(data), module_type) + data
            return _payload_frame(maybe_header, MessageType.MODULE, body)


def _payload_frame(header: Header | None, type_: MessageType, body: bytes) -> bytes:
    if header is not None:
        return _full_frame(header, type_, body)
    length = LIGHT_HEADER_BYTES + len(body)
    return _PREFIX.pack(SIGNATURE, length, VERSION, 0, type_ | LIGHT_BIT, 0) + body


def _full_frame(
    header: Header, type_: MessageType, body: bytes = b"", gossip_count: int = 0, extension_count: int = 0
) -> bytes:
    flags = header.message_flags | (MessageFlag.EXT_DATA if extension_count else 0)
    head = _HEADER.pack(
        SIGNATURE,
        HEADER_BYTES + len(body),
        VERSION,
        header.port,
        type_,
        gossip_count,
        header.current_epoch,
        header.config_epoch,
        header.offset,
        _id_bytes(header.sender),
        header.slots.bitmap(),
        _id_bytes(header.replica_of) if header.replica_of else _NO_ID,
        _ip_bytes(header.ip),
        extension_count,
        header.plain_port,
        header.bus_port,
        header.flags,
        not header.state_ok,
        flags,
    )
    return head + body


def _encode_gossip(entry: GossipEntry) -> bytes:
    return _GOSSIP.pack(
        _id_bytes(entry.node),
        entry.ping_sent_s,
        entry.pong_received_s,
        _ip_bytes(entry.ip),
        entry.port,
        entry.bus_port,
        entry.flags,
        entry.plain_port,
    )


def _encode_extensions(extensions: Extensions) -> tuple[int, list[bytes]]:
    """The number of extensions and their bytes, in the order in which Redis and Valkey write them."""
    found: list[tuple[int, bytes]] = [
        (type_, text.encode("ascii") + b"\0")
        for type_, text in (
            (_EXT_HOSTNAME, extensions.hostname),
            (_EXT_HUMAN_NODENAME, extensions.human_nodename),
            (_EXT_CLIENT_IPV4, extensions.client_ipv4),
            (_EXT_CLIENT_IPV6, extensions.client_ipv6),
            (_EXT_AVAILABILITY_ZONE, extensions.availability_zone),
        )
        if text is not None
    ]
    found += [
        (_EXT_FORGOTTEN_NODE, _FORGOTTEN.pack(_id_bytes(forgotten.node), forgotten.ttl_s))
        for forgotten in extensions.forgotten
    ]
    if extensions.shard_id is not None:
        found.append((_EXT_SHARD_ID, _id_bytes(extensions.shard_id)))
    found += extensions.unknown
    return len(found), [_encode_extension(type_, payload) for type_, payload in found]


def _encode_extension(type_: int, payload: bytes) -> bytes:
    padding = -len(payload) % 8
    return _EXTENSION.pack(_EXTENSION.size + len(payload) + padding, type_) + payload + bytes(padding)


@lru_cache(maxsize=8192)
def _id_bytes(node: NodeId) -> bytes:
    data = node.encode("ascii")
    assert _is_id(data), f"{node!r} is no node id"
    return data


@lru_cache(maxsize=8192)
def _ip_bytes(ip: str) -> bytes:
    data = ip.encode("ascii")
    assert len(data) < IP_BYTES, f"the address {ip!r} is too long for the bus"
    return data


# --- reading -----------------------------------------------------------------------------------------------


def decode(frame: bytes) -> Message | None:
    """The message of one whole frame, or None for a well-formed frame of a type this version does not know.

    Raises WireError with what is wrong: signature, version, length, gossip or extensions beyond the frame, an
    id or a text that is none.
    """
    if len(frame) < LIGHT_HEADER_BYTES:
        raise WireError(f"a frame of {len(frame)} bytes is shorter than any header")
    length, type_ = _check_prefix(frame, 0)
    if length != len(frame):
        raise WireError(f"the frame says {length} bytes and has {len(frame)}")
    if type_ & LIGHT_BIT:
        return _PAYLOADS[type_ ^ LIGHT_BIT](None, memoryview(frame)[LIGHT_HEADER_BYTES:])
    header, gossip_count, extension_count = _decode_header(frame)
    body = memoryview(frame)[HEADER_BYTES:]
    if type_ in _HEARTBEAT_TYPES:
        return _decode_heartbeat(header, MessageType(type_), gossip_count, extension_count, body)
    decode_body = _BODIES.get(type_)
    return decode_body(header, body) if decode_body else None


def _check_prefix(data: bytes | bytearray, start: int) -> tuple[int, int]:
    """Checks the 16 bytes that every frame begins with; returns the frame's length and its raw type."""
    signature, length, version, _, type_, _ = _PREFIX.unpack_from(data, start)
    if signature != SIGNATURE:
        raise WireError(f"signature {signature!r} is not {SIGNATURE!r}")
    if version != VERSION:
        raise WireError(f"bus protocol version {version} is not known (only {VERSION} is)")
    bare_type = type_ & ~LIGHT_BIT
    if type_ != bare_type and bare_type not in _PAYLOAD_TYPES:
        raise WireError(f"message type {bare_type} has no light form")
    shortest = LIGHT_HEADER_BYTES if type_ != bare_type else HEADER_BYTES
    longest = PAYLOAD_FRAME_BYTES_MAX if bare_type in _PAYLOAD_TYPES else FRAME_BYTES_MAX
    if not shortest <= length <= longest:
        raise WireError(
            f"length {length} of a frame of type {bare_type} is outside {shortest}..{longest} bytes"
        )
    return length, type_


def _decode_header(frame: bytes) -> tuple[Header, int, int]:
    """The header, the number of gossip entries and the number of extensions."""
    (
        _signature,
        _length,
        _version,
        port,
        _type,
        gossip_count,
        current_epoch,
        config_epoch,
        offset,
        sender,
        slots,
        replica_of,
        ip,
        extension_count,
        plain_port,
        bus_port,
        flags,
        state,
        message_flags,
    ) = _HEADER.unpack_from(frame)
    header = Header(
        sender=_id(sender),
        flags=_node_flags(flags),
        current_epoch=current_epoch,
        config_epoch=config_epoch,
        offset=offset,
        slots=SlotSet.from_bitmap(slots),
        replica_of="" if replica_of == _NO_ID else _id(replica_of),
        ip=_ip(ip),
        port=port,
        bus_port=bus_port,
        plain_port=plain_port,
        state_ok=state == 0,
        message_flags=_message_flags(message_flags),
    )
    return header, gossip_count, extension_count


def _decode_heartbeat(
    header: Header, type_: MessageType, gossip_count: int, extension_count: int, body: memoryview
) -> Ping:
    gossip_bytes = gossip_count * _GOSSIP.size
    if gossip_bytes > len(body):
        raise WireError(f"{gossip_count} gossip entries do not fit {len(body)} bytes")
    gossip = tuple(
        GossipEntry(
            node=_id(node),
            ping_sent_s=ping_sent_s,
            pong_received_s=pong_received_s,
            ip=_ip(ip),
            port=port,
            bus_port=bus_port,
            flags=_node_flags(flags),
            plain_port=plain_port,
        )
        for node, ping_sent_s, pong_received_s, ip, port, bus_port, flags, plain_port in _GOSSIP.iter_unpack(
            body[:gossip_bytes]
        )
    )
    # Without the flag the count of extensions means nothing: older peers leave anything there.
    if not header.message_flags & MessageFlag.EXT_DATA:
        extension_count = 0
    extensions = _decode_extensions(body[gossip_bytes:], extension_count)
    return Ping(header, type_, gossip, extensions)


def _decode_extensions(data: memoryview, count: int) -> Extensions:
    found = _FoundExtensions()
    start = 0
    for _ in range(count):
        if len(data) - start < _EXTENSION.size:
            raise WireError(f"{count} extensions do not fit {len(data)} bytes")
        length, type_ = _EXTENSION.unpack_from(data, start)
        if length < _EXTENSION.size or length % 8:
            raise WireError(f"an extension of {length} bytes is not padded to a multiple of 8")
        if length > len(data) - start:
            raise WireError(f"an extension of {length} bytes does not fit {len(data) - start}")
        found.add(type_, bytes(data[start + _EXTENSION.size : start + length]))
        start += length
    if start != len(data):
        raise WireError(f"{len(data) - start} bytes behind the last extension")
    return found.extensions() if count else _NO_EXTENSIONS


_NO_EXTENSIONS = Extensions()


class _FoundExtensions:
    """Collects extensions; of a kind sent twice the last one counts, but every forgotten node does."""

    def __init__(self) -> None:
        self._texts: dict[int, str] = {}
        self._forgotten: list[ForgottenNode] = []
        self._unknown: list[tuple[int, bytes]] = []

    def add(self, type_: int, payload: bytes) -> None:
        if type_ == _EXT_FORGOTTEN_NODE:
            if len(payload) != _FORGOTTEN.size:
                raise WireError(f"a forgotten node of {len(payload)} bytes")
            node, ttl_s = _FORGOTTEN.unpack(payload)
            self._forgotten.append(ForgottenNode(_id(node), ttl_s))
        elif type_ == _EXT_SHARD_ID:
            self._texts[type_] = _id(payload)
        elif type_ <= _EXT_AVAILABILITY_ZONE:
            if b"\0" not in payload:
                raise WireError(f"the text of extension {type_} has no end")
            self._texts[type_] = _text(payload)
        else:
            self._unknown.append((type_, payload))

    def extensions(self) -> Extensions:
        return Extensions(
            hostname=self._texts.get(_EXT_HOSTNAME),
            human_nodename=self._texts.get(_EXT_HUMAN_NODENAME),
            shard_id=self._texts.get(_EXT_SHARD_ID),
            forgotten=tuple(self._forgotten),
            availability_zone=self._texts.get(_EXT_AVAILABILITY_ZONE),
            client_ipv4=self._texts.get(_EXT_CLIENT_IPV4),
            client_ipv6=self._texts.get(_EXT_CLIENT_IPV6),
            unknown=tuple(self._unknown),
        )


def _decode_fail(header: Header, body: memoryview) -> Fail:
    _check_body(body, ID_BYTES)
    return Fail(header, _id(bytes(body)))


def _decode_update(header: Header, body: memoryview) -> Update:
    _check_body(body, _UPDATE.size)
    config_epoch, node, slots = _UPDATE.unpack(body)
    return Update(header, _id(node), config_epoch, SlotSet.from_bitmap(slots))


def _decode_bare(make: Callable[[Header], Message]) -> Callable[[Header, memoryview], Message]:
    def decode_bare(header: Header, body: memoryview) -> Message:
        _check_body(body, 0)
        return make(header)

    return decode_bare


def _decode_publish(header: Header | None, body: memoryview) -> Publish:
    return _decode_any_publish(header, body, sharded=False)


def _decode_publish_shard(header: Header | None, body: memoryview) -> Publish:
    return _decode_any_publish(header, body, sharded=True)


def _decode_any_publish(header: Header | None, body: memoryview, *, sharded: bool) -> Publish:
    if len(body) < _PUBLISH.size:
        raise WireError(f"a published message of {len(body)} bytes")
    channel_bytes, payload_bytes = _PUBLISH.unpack_from(body)
    _check_body(body, _PUBLISH.size + channel_bytes + payload_bytes)
    end = _PUBLISH.size + channel_bytes
    return Publish(header, bytes(body[_PUBLISH.size : end]), bytes(body[end:]), sharded)


def _decode_module(header: Header | None, body: memoryview) -> Module:
    if len(body) < _MODULE.size:
        raise WireError(f"a module's message of {len(body)} bytes")
    module_id, payload_bytes, type_ = _MODULE.unpack_from(body)
    _check_body(body, _MODULE.size + payload_bytes)
    return Module(header, module_id, type_, bytes(body[_MODULE.size :]))


_PAYLOADS: dict[int, Callable[[Header | None, memoryview], Message]] = {
    MessageType.PUBLISH: _decode_publish,
    MessageType.PUBLISHSHARD: _decode_publish_shard,
    MessageType.MODULE: _decode_module,
}
_BODIES: dict[int, Callable[[Header, memoryview], Message]] = {
    MessageType.FAIL: _decode_fail,
    MessageType.UPDATE: _decode_update,
    MessageType.FAILOVER_AUTH_REQUEST: _decode_bare(AuthRequest),
    MessageType.FAILOVER_AUTH_ACK: _decode_bare(AuthAck),
    MessageType.MFSTART: _decode_bare(ManualFailoverStart),
    **_PAYLOADS,
}


def _check_body(body: memoryview, expected_bytes: int) -> None:
    if len(body) != expected_bytes:
        raise WireError(f"a body of {len(body)} bytes where {expected_bytes} are due")


@lru_cache(maxsize=8192)
def _id(data: bytes) -> NodeId:
    if not _is_id(data):
        raise WireError(f"{data[:ID_BYTES]!r} is no node id")
    return data.decode("ascii")


@lru_cache(maxsize=8192)
def _ip(data: bytes) -> str:
    if data[-1]:
        raise WireError(f"the address {data!r} has no end")
    return _text(data)


def _text(data: bytes) -> str:
    text = data[: data.index(0)]
    if len(text) > HOSTNAME_BYTES_MAX or not _is_text(text):
        raise WireError(f"{text[:64]!r} is no address or name")
    return text.decode("ascii")


# --- streams -----------------------------------------------------------------------------------------------


class FrameReader:
    """Cuts what one link brings into messages.

    A frame's first 16 bytes are checked as soon as they are there, so that at most one frame of a permitted
    length is ever held. `ignored_count` counts the frames of unknown types.
    """

    def __init__(self) -> None:
        self.ignored_count = 0
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Message]:
        """The messages that `data` completes, in order.

        Raises WireError at the first frame that is wrong, behind the messages before it; the link is then of
        no more use. What is not iterated over comes with the next call.
        """
        self._buffer += data
        return self._messages()

    def end(self) -> None:
        """The link was closed. Raises WireError when that cut a frame in half."""
        if self._buffer:
            raise WireError(f"the link was closed {len(self._buffer)} bytes into a frame")

    def _messages(self) -> Iterator[Message]:
        buffer = self._buffer
        while frame := self._take_frame(buffer):
            message = decode(frame)
            if message is None:
                self.ignored_count += 1
            else:
                yield message

    @staticmethod
    def _take_frame(buffer: bytearray) -> bytes | None:
        if len(buffer) < LIGHT_HEADER_BYTES:
            # Garbage may be shorter than a header, and then nothing more may ever come.
            if buffer[: len(SIGNATURE)] != SIGNATURE[: len(buffer)]:
                raise WireError(f"signature {bytes(buffer[:4])!r} is not {SIGNATURE!r}")
            return None
        length, _ = _check_prefix(buffer, 0)
        if len(buffer) < length:
            return None
        frame = bytes(buffer[:length])
        del buffer[:length]
        return frame
