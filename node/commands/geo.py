"""Commands of the group geo on single members: sorted sets whose scores are places (`node.values.geohash`).
Searches are in `geo_search.py`.

GEOADD is a ZADD of the scores that it works out, and this is what replicas are told.
"""

from __future__ import annotations

from node.command.args import finite_float, syntax_error
from node.command.call import Call
from node.command.keyspec import key
from node.command.spec import ACCESS, DENYOOM, READONLY, RO, RW, UPDATE, WRITE, command
from node.commands.access import read_own
from node.commands.zsets import zadd
from node.errors import CommandError
from node.resp.encode import Encoder, array, bulk
from node.values import geohash
from node.values.geohash import Place
from node.values.zsets import Zset

_UNITS_M = {b"M": 1.0, b"KM": 1000.0, b"FT": 0.3048, b"MI": 1609.34}
_BAD_UNIT = b"ERR unsupported unit provided. please use M, KM, FT, MI"
_BAD_PLACE = b"ERR invalid longitude,latitude pair %f,%f"


# Arguments and replies


def place(longitude: bytes, latitude: bytes) -> Place:
    """A place of two arguments. Raises CommandError."""
    found = finite_float(longitude), finite_float(latitude)
    if not geohash.is_place(*found):
        raise CommandError(_BAD_PLACE % found)
    return found


def unit_m(word: bytes) -> float:
    """A unit of distance in metres. Raises CommandError."""
    unit = _UNITS_M.get(word.upper())
    if unit is None:
        raise CommandError(_BAD_UNIT)
    return unit


def distance_reply(distance: float) -> bytes:
    """With four digits, of which the last is rounded to even."""
    whole, fraction = divmod(round(distance * 10_000), 10_000)
    return bulk(b"%d.%04d" % (whole, fraction))


def place_reply(reply: Encoder, found: Place) -> bytes:
    """Longitude and latitude with up to 17 digits behind the point."""
    degrees = [(b"%.17f" % degree).rstrip(b"0").rstrip(b".") for degree in found]
    if reply.version > 2:
        return array([b",%b\r\n" % degree for degree in degrees])
    return array([bulk(degree) for degree in degrees])


# Commands


@command(
    b"GEOADD", arity=-5, group="geo", since="3.2.0", flags=WRITE | DENYOOM, keys=[key(1, RW | UPDATE)],
    complexity="O(log(N)) for each item added, where N is the number of elements in the sorted set.",
    categories=["geo"],
)  # fmt: skip
def geoadd(call: Call, argv: list[bytes]) -> bytes:
    """Adds members with their places to a geospatial index, or changes the places of those that are there."""
    at = 2
    options = set()
    while at < len(argv) and (word := argv[at].upper()) in (b"NX", b"XX", b"CH"):
        options.add(word)
        at += 1
    if (len(argv) - at) % 3 or {b"NX", b"XX"} <= options:
        raise syntax_error()
    words = [b"ZADD", *argv[1:at]]
    for longitude, latitude, member in zip(argv[at::3], argv[at + 1 :: 3], argv[at + 2 :: 3], strict=True):
        words += [b"%d" % geohash.encode(place(longitude, latitude)), member]
    before = len(call.changes.log)
    reply: bytes = zadd(call, words)
    if len(call.changes.log) > before:
        call.rewrite(words)
    return reply


@command(
    b"GEODIST", arity=-4, group="geo", since="3.2.0", flags=READONLY, keys=[key(1, RO | ACCESS)],
    complexity="O(1)", categories=["geo"],
)  # fmt: skip
def geodist(call: Call, argv: list[bytes]) -> bytes:
    """Returns the distance between two members of a geospatial index."""
    unit = unit_m(argv[4]) if len(argv) == 5 else 1.0
    if len(argv) > 5:
        raise syntax_error()
    value = read_own(call, argv[1], Zset)
    if value is None:
        return call.reply.null
    scores = value.score(argv[2]), value.score(argv[3])
    if scores[0] is None or scores[1] is None:
        return call.reply.null
    distance = geohash.distance_m(geohash.place_of(scores[0]), geohash.place_of(scores[1]))
    return distance_reply(distance / unit)


@command(
    b"GEOHASH", arity=-2, group="geo", since="3.2.0", flags=READONLY, keys=[key(1, RO | ACCESS)],
    complexity="O(1) for each member requested.", categories=["geo"],
)  # fmt: skip
def geohash_(call: Call, argv: list[bytes]) -> bytes:
    """Returns the places of members of a geospatial index as geohashes of 11 characters."""
    value = read_own(call, argv[1], Zset)
    replies = []
    for member in argv[2:]:
        score = None if value is None else value.score(member)
        replies.append(call.reply.null if score is None else bulk(geohash.text(geohash.place_of(score))))
    return array(replies)


@command(
    b"GEOPOS", arity=-2, group="geo", since="3.2.0", flags=READONLY, keys=[key(1, RO | ACCESS)],
    complexity="O(1) for each member requested.", categories=["geo"],
)  # fmt: skip
def geopos(call: Call, argv: list[bytes]) -> bytes:
    """Returns the longitudes and latitudes of members of a geospatial index."""
    value = read_own(call, argv[1], Zset)
    replies = []
    for member in argv[2:]:
        score = None if value is None else value.score(member)
        replies.append(
            call.reply.null_array if score is None else place_reply(call.reply, geohash.place_of(score))
        )
    return array(replies)
