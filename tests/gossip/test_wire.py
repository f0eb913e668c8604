"""The codec of the cluster bus, held to frames captured from real Redis and Valkey clusters."""

from __future__ import annotations

import json
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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
    Ping,
    Publish,
    Update,
)
from gossip.slots import SlotSet
from gossip.wire import FrameReader, decode, encode

BUS = Path(__file__).parent.parent / "fixtures" / "bus"
CAPTURED = [
    pytest.param(index.parent / entry["file"], entry, id=f"{index.parent.name}-{entry['file']}")
    for index in sorted(BUS.glob("*/index.json"))
    for entry in json.loads(index.read_text())
]
EXTENSION_NAMES = {0: "hostname", 1: "human_nodename", 3: "shard_id"}
NODE = "0123456789abcdef0123456789abcdef01234567"
HEADER = Header(
    sender=NODE,
    flags=NodeFlag.PRIMARY | NodeFlag.MYSELF,
    current_epoch=7,
    config_epoch=3,
    offset=99,
    slots=SlotSet.from_ranges([(0, 5460)]),
    port=7000,
    bus_port=17000,
)
EXT_HEADER = replace(HEADER, message_flags=MessageFlag.EXT_DATA)


def test_captures_are_here() -> None:
    """Without the frames the tests below would pass on nothing."""
    assert len(CAPTURED) == 43


# --- captured frames ---------------------------------------------------------------------------------------


def header_as_recorded(header: Header) -> dict[str, Any]:
    return {
        "port": header.port,
        "current_epoch": header.current_epoch,
        "config_epoch": header.config_epoch,
        "offset": header.offset,
        "sender": header.sender,
        "slots": [list(pair) for pair in header.slots.ranges()],
        "replica_of": header.replica_of,
        "my_ip": header.ip,
        "pport": header.plain_port,
        "cport": header.bus_port,
        "flags": int(header.flags),
        "state": 0 if header.state_ok else 1,
        "mflags": [int(header.message_flags), 0, 0],
    }


def gossip_as_recorded(entry: GossipEntry) -> dict[str, Any]:
    return {
        "node": entry.node,
        "ping_sent": entry.ping_sent_s,
        "pong_received": entry.pong_received_s,
        "ip": entry.ip,
        "port": entry.port,
        "cport": entry.bus_port,
        "flags": int(entry.flags),
        "pport": entry.plain_port,
    }


def body_as_recorded(message: Message) -> dict[str, Any]:
    match message:
        case Ping():
            return {"type": int(message.type), "gossip": [gossip_as_recorded(e) for e in message.gossip]}
        case Fail():
            return {"type": 3, "failing": message.node}
        case Update():
            slots = [list(pair) for pair in message.slots.ranges()]
            return {
                "type": 7,
                "update": {"config_epoch": message.config_epoch, "node": message.node, "slots": slots},
            }
        case AuthRequest():
            return {"type": 5}
        case AuthAck():
            return {"type": 6}
        case ManualFailoverStart():
            return {"type": 8}
        case Publish():
            type_ = (10 if message.sharded else 4) | (0 if message.header else 0x8000)
            return {
                "type": type_,
                "channel": message.channel.decode(),
                "message": message.payload.decode(),
            }
        case Module():
            pytest.fail("no module's message was captured")


def recorded_extensions(entry: dict[str, Any]) -> Extensions:
    """What the index's raw extensions say, read without the codec."""
    known: dict[str, Any] = {}
    for extension in entry["ext"]:
        assert extension["length"] == 8 + len(extension["data_hex"]) // 2
        text = bytes.fromhex(extension["data_hex"]).rstrip(b"\0").decode()
        known[EXTENSION_NAMES[extension["type"]]] = text
    return Extensions(**known)


@pytest.mark.parametrize(("path", "entry"), CAPTURED)
def test_decodes_captured_frame_as_recorded(path: Path, entry: dict[str, Any]) -> None:
    """Every field of the recording is in the message."""
    message = decode(path.read_bytes())
    assert message is not None
    read = body_as_recorded(message)
    if not isinstance(message, Publish | Module) or message.header is not None:
        assert message.header is not None
        read |= header_as_recorded(message.header)
    recorded = {key: entry[key] for key in entry if key in read}
    assert read == recorded
    unread = entry.keys() - read.keys()
    assert unread <= {"file", "totlen", "ver", "type_name", "count", "extensions", "ext"}
    if isinstance(message, Ping):
        assert message.extensions == recorded_extensions(entry)
        assert (len(message.gossip), len(entry["ext"])) == (entry["count"], entry["extensions"])


@pytest.mark.parametrize(("path", "entry"), CAPTURED)
def test_encodes_captured_frame_byte_for_byte(path: Path, entry: dict[str, Any]) -> None:
    message = decode(path.read_bytes())
    assert message is not None
    assert encode(message) == path.read_bytes()


# --- round trips -------------------------------------------------------------------------------------------

u16 = st.integers(0, 0xFFFF)
u32 = st.integers(0, 0xFFFFFFFF)
u64 = st.integers(0, 0xFFFFFFFFFFFFFFFF)
ids = st.text("0123456789abcdef", min_size=40, max_size=40)
ips = st.sampled_from(["", "127.0.0.1", "10.1.2.3", "fe80::1", "2001:db8:1234:5678:9abc:def0:1234:5678"])
names = st.text("abcdefghijklmnopqrstuvwxyz0123456789-.", max_size=255)
slot_sets = st.lists(st.integers(0, 16383), max_size=5).map(SlotSet)
headers = st.builds(
    Header,
    sender=ids,
    flags=u16.map(NodeFlag),
    current_epoch=u64,
    config_epoch=u64,
    offset=u64,
    slots=slot_sets,
    replica_of=st.just("") | ids,
    ip=ips,
    port=u16,
    bus_port=u16,
    plain_port=u16,
    state_ok=st.booleans(),
    message_flags=st.integers(0, 255).map(lambda bits: MessageFlag(bits) | MessageFlag.EXT_DATA),
)
gossip_entries = st.builds(
    GossipEntry,
    node=ids,
    ping_sent_s=u32,
    pong_received_s=u32,
    ip=ips,
    port=u16,
    bus_port=u16,
    flags=u16.map(NodeFlag),
    plain_port=u16,
)
maybe_names = st.none() | names
unknown_extensions = st.tuples(
    st.integers(7, 0xFFFF), st.integers(0, 4).flatmap(lambda n: st.binary(min_size=8 * n, max_size=8 * n))
)
extension_sets = st.builds(
    Extensions,
    hostname=maybe_names,
    human_nodename=maybe_names,
    shard_id=st.none() | ids,
    forgotten=st.lists(st.builds(ForgottenNode, ids, u64), max_size=3).map(tuple),
    availability_zone=maybe_names,
    client_ipv4=st.none() | ips,
    client_ipv6=st.none() | ips,
    unknown=st.lists(unknown_extensions, max_size=2).map(tuple),
)
heartbeats = st.builds(
    Ping,
    headers,
    st.sampled_from([MessageType.PING, MessageType.PONG, MessageType.MEET]),
    st.lists(gossip_entries, max_size=4).map(tuple),
    extension_sets,
)
maybe_headers = st.none() | headers
messages: st.SearchStrategy[Message] = st.one_of(
    heartbeats,
    st.builds(Fail, headers, ids),
    st.builds(Update, headers, ids, u64, slot_sets),
    st.builds(AuthRequest, headers),
    st.builds(AuthAck, headers),
    st.builds(ManualFailoverStart, headers),
    st.builds(Publish, maybe_headers, st.binary(max_size=50), st.binary(max_size=50), st.booleans()),
    st.builds(Module, maybe_headers, u64, st.integers(0, 255), st.binary(max_size=50)),
)
quick = settings(max_examples=150, deadline=None)


@quick
@given(messages)
def test_what_is_encoded_decodes_to_the_same(message: Message) -> None:
    assert decode(encode(message)) == message


@quick
@given(messages, st.data())
def test_a_truncated_frame_is_a_wire_error(message: Message, data: st.DataObject) -> None:
    frame = encode(message)
    with pytest.raises(WireError):
        decode(frame[: data.draw(st.integers(0, len(frame) - 1))])


@quick
@given(messages, st.data())
def test_a_mutated_frame_decodes_or_is_a_wire_error(message: Message, data: st.DataObject) -> None:
    """Nothing else may escape, and what decodes can be encoded again."""
    frame = bytearray(encode(message))
    # Half of the changes go where lengths and counts stand, or into the body: most others hit the slot map.
    places = st.one_of(
        st.integers(0, len(frame) - 1),
        st.sampled_from([4, 5, 6, 7, 12, 13, 14, 15, 2214, 2215, 2253]),
        st.integers(2256, 2256 + 300),
    )
    for place in data.draw(st.lists(places, min_size=1, max_size=4)):
        frame[place % len(frame)] = data.draw(st.integers(0, 255))
    try:
        decoded = decode(bytes(frame))
    except WireError:
        return
    if decoded is not None:
        assert decode(encode(decoded)) is not None


@quick
@given(st.lists(messages, max_size=3), st.data())
def test_messages_do_not_depend_on_how_the_stream_is_cut(sent: list[Message], data: st.DataObject) -> None:
    stream = b"".join(map(encode, sent))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    reader = FrameReader()
    read = []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        read += list(reader.feed(stream[start:end]))
    reader.end()
    assert read == sent


# --- what is refused ---------------------------------------------------------------------------------------


def patched(message: Message, offset: int, value: bytes) -> bytes:
    frame = bytearray(encode(message))
    frame[offset : offset + len(value)] = value
    return bytes(frame)


def resized(message: Message, change_bytes: int) -> bytes:
    """The frame with bytes added or taken away at its end, and a length that agrees."""
    frame = bytearray(encode(message))
    frame = frame[:change_bytes] if change_bytes < 0 else frame + bytes(change_bytes)
    frame[4:8] = struct.pack("!I", len(frame))
    return bytes(frame)


PING = Ping(EXT_HEADER, MessageType.PING, (), Extensions(hostname="a.example", shard_id=NODE))
GOSSIPING = Ping(
    HEADER, MessageType.PONG, (GossipEntry(NODE, 1, 2, "127.0.0.1", 7001, 17001, NodeFlag.PRIMARY),)
)
PUBLISH = Publish(HEADER, b"news", b"hello")
LIGHT = Publish(None, b"news", b"hello")
MODULE = Module(HEADER, 5, 1, b"data")
FORGET = Ping(EXT_HEADER, MessageType.PING, (), Extensions(forgotten=(ForgottenNode(NODE, 60),)))
STRANGE = Ping(EXT_HEADER, MessageType.PING, (), Extensions(unknown=((0, b"no end!!"),)))

BAD_FRAMES = {
    "signature": (patched(PING, 0, b"RCmc"), "signature b'RCmc'"),
    "version": (patched(PING, 8, b"\0\2"), "version 2"),
    "shorter than it says": (encode(PING)[:-1], "says 2328 bytes and has 2327"),
    "longer than it says": (encode(PING) + b"\0", "says 2328 bytes and has 2329"),
    "shorter than a header": (encode(PING)[:9], "shorter than any header"),
    "full type in a light length": (patched(LIGHT, 12, b"\0\4"), "length 33 of a frame of type 4"),
    "light form of a full type": (patched(LIGHT, 12, b"\x80\0"), "type 0 has no light form"),
    "heartbeat too long": (patched(PING, 4, b"\x40\0\0\0"), "length 1073741824 of a frame of type 0"),
    "gossip beyond the frame": (patched(GOSSIPING, 14, b"\0\2"), "2 gossip entries do not fit 104"),
    "bytes behind the gossip": (patched(GOSSIPING, 14, b"\0\0"), "104 bytes behind"),
    "extension count": (patched(PING, 2214, b"\0\3"), "3 extensions do not fit"),
    "extension beyond the frame": (patched(PING, 2256, b"\0\0\1\0"), "256 bytes does not fit 72"),
    "extension of no length": (patched(PING, 2256, b"\0\0\0\0"), "extension of 0 bytes"),
    "extension not padded": (patched(PING, 2256, b"\0\0\0\x17"), "extension of 23 bytes"),
    "extension without its flag": (patched(PING, 2253, b"\0"), "72 bytes behind"),
    "text without an end": (encode(STRANGE), "extension 0 has no end"),
    "forgotten node too short": (patched(PING, 2260, b"\0\2"), "forgotten node of 16 bytes"),
    "shard id": (patched(PING, 2256 + 24 + 8, b"Z"), "no node id"),
    "hostname with a line break": (patched(PING, 2264, b"\n"), "no address or name"),
    "hostname not ASCII": (patched(PING, 2264, b"\xe9"), "no address or name"),
    "ip not ASCII": (patched(GOSSIPING, 2256 + 48, b"\xff"), "no address or name"),
    "ip without an end": (patched(HEADER_PING := Ping(HEADER, MessageType.PING), 2168, b"1" * 46), "no end"),
    "sender upper case": (patched(HEADER_PING, 40, b"A"), "no node id"),
    "sender not ASCII": (patched(HEADER_PING, 40, b"\xff"), "no node id"),
    "sender empty": (patched(HEADER_PING, 40, bytes(40)), "no node id"),
    "replica of half an id": (patched(HEADER_PING, 2128, b"abc"), "no node id"),
    "FAIL too short": (resized(Fail(HEADER, NODE), -1), "body of 39 bytes where 40"),
    "FAIL too long": (resized(Fail(HEADER, NODE), 1), "body of 41 bytes where 40"),
    "FAIL of no node": (patched(Fail(HEADER, NODE), 2256, bytes(40)), "no node id"),
    "UPDATE too short": (resized(Update(HEADER, NODE, 1, SlotSet()), -8), "body of 2088 bytes where 2096"),
    "vote with a body": (resized(AuthAck(HEADER), 8), "body of 8 bytes where 0"),
    "PUBLISH without lengths": (resized(PUBLISH, -10), "published message of 7 bytes"),
    "PUBLISH channel beyond": (patched(PUBLISH, 2256, b"\xff\xff\xff\xff"), "where 4294967308 are due"),
    "light PUBLISH payload beyond": (patched(LIGHT, 20, b"\0\0\0\6"), "body of 17 bytes where 18"),
    "MODULE without its head": (resized(MODULE, -8), "module's message of 9 bytes"),
    "MODULE payload beyond": (patched(MODULE, 2264, b"\0\0\0\5"), "body of 17 bytes where 18"),
}


@pytest.mark.parametrize(("frame", "problem"), BAD_FRAMES.values(), ids=BAD_FRAMES)
def test_a_bad_frame_is_refused_with_what_is_wrong(frame: bytes, problem: str) -> None:
    with pytest.raises(WireError, match=problem):
        decode(frame)


def test_extensions_set_their_flag() -> None:
    """A writer cannot forget EXT_DATA: without it peers would take the extensions for garbage."""
    read = decode(encode(Ping(HEADER, MessageType.PING, (), Extensions(hostname="a.example"))))
    assert read == Ping(EXT_HEADER, MessageType.PING, (), Extensions(hostname="a.example"))


def test_without_the_flag_the_count_of_extensions_means_nothing() -> None:
    """Redis looks at the count only when EXT_DATA is set."""
    assert decode(patched(HEADER_PING, 2214, b"\0\5")) == HEADER_PING


def test_the_last_of_two_hostnames_counts() -> None:
    twice = Extensions(hostname="first", unknown=((0, b"second\0\0"),))
    read = decode(encode(Ping(EXT_HEADER, MessageType.PING, (), twice)))
    assert isinstance(read, Ping)
    assert read.extensions == Extensions(hostname="second")


def test_every_forgotten_node_counts() -> None:
    forgotten = (ForgottenNode(NODE, 60), ForgottenNode(NODE[::-1], 5))
    message = Ping(EXT_HEADER, MessageType.PING, (), Extensions(forgotten=forgotten))
    assert decode(encode(message)) == message


@pytest.mark.parametrize(
    "message",
    [
        replace(PING, type=MessageType.FAIL),
        Fail(HEADER, "not an id"),
        AuthAck(replace(HEADER, ip="1" * 46)),
    ],
)
def test_a_value_that_does_not_fit_is_the_writers_mistake(message: Message) -> None:
    with pytest.raises(AssertionError):
        encode(message)


# --- streams -----------------------------------------------------------------------------------------------


def test_a_frame_of_an_unknown_type_is_skipped() -> None:
    """A newer peer's link is kept, as Redis keeps it."""
    unknown = patched(HEADER_PING, 12, b"\0\x0b")
    assert decode(unknown) is None
    reader = FrameReader()
    assert list(reader.feed(unknown + encode(LIGHT))) == [LIGHT]
    assert reader.ignored_count == 1


def test_messages_before_a_bad_frame_are_delivered() -> None:
    messages_read = FrameReader().feed(encode(LIGHT) + b"RCmb" + bytes(12))
    assert next(messages_read) == LIGHT
    with pytest.raises(WireError, match="version 0"):
        next(messages_read)


def test_half_a_frame_is_an_error_only_when_the_link_closes() -> None:
    reader = FrameReader()
    assert list(reader.feed(encode(PING)[:2300])) == []
    with pytest.raises(WireError, match="2300 bytes into a frame"):
        reader.end()


def test_garbage_is_refused_before_a_whole_header_is_there() -> None:
    reader = FrameReader()
    assert list(reader.feed(b"RC")) == []
    with pytest.raises(WireError, match="signature b'RCx'"):
        list(reader.feed(b"x"))


def test_a_frame_too_long_is_refused_by_its_first_bytes() -> None:
    """Nothing is gathered for a heartbeat that announces a gigabyte."""
    with pytest.raises(WireError, match="length 1073741824"):
        list(FrameReader().feed(patched(PING, 4, b"\x40\0\0\0")[:16]))
