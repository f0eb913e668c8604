"""Searches in geospatial indexes: GEOSEARCH, GEOSEARCHSTORE, and the older GEORADIUS in its four names.

All of them are one search with other words for it. Members come cell by cell in the order of Redis (see
`node.values.geohash.score_ranges`) unless they are sorted by distance; those at the same distance keep that
order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from node.command.args import finite_float, integer, syntax_error
from node.command.call import Call
from node.command.keyspec import KeyFlag, KeysFunction, KeySpec, Keyword, Range, key
from node.command.spec import ACCESS, DENYOOM, OW, READONLY, RO, UPDATE, WRITE, command
from node.commands.access import read_at, store
from node.commands.geo import distance_reply, place, place_reply, unit_m
from node.commands.zsets import ZSET
from node.errors import CommandError
from node.integers import INT64_MAX, INT64_MIN
from node.resp import encode
from node.resp.encode import EMPTY_ARRAY, array, bulk
from node.values import geohash
from node.values.geohash import Box, Circle, Place, Shape
from node.values.zsets import ScoreRange, Zset

_NO_MEMBER = b"ERR could not decode requested zset member"
_BAD_RADIUS = b"ERR need numeric radius"
_NEGATIVE_RADIUS = b"ERR radius cannot be negative"
_BAD_WIDTH = b"ERR need numeric width"
_BAD_HEIGHT = b"ERR need numeric height"
_NEGATIVE_SIDE = b"ERR height or width cannot be negative"
_BAD_COUNT = b"ERR COUNT must be > 0"
_ANY_ALONE = b"ERR the ANY argument requires COUNT argument"
_NO_CENTRE = b"ERR exactly one of FROMMEMBER or FROMLONLAT can be specified for %b"
_NO_SHAPE = b"ERR exactly one of BYRADIUS and BYBOX can be specified for %b"
_WITH_AND_STORE = b"ERR %b is not compatible with WITHDIST, WITHHASH and WITHCOORD options"

_PIECE = 256
"""How many members are looked at between two looks at whether ANY has enough."""


class _Found(NamedTuple):
    """A member within the shape."""

    distance_m: float
    score: float
    member: bytes
    place: Place


class _Form(NamedTuple):
    """A command's kind of arguments: a centre (and radius) at fixed places, or all by words."""

    source: int  # where the key stands
    options: int  # where the options begin
    by_words: bool = False
    may_store: bool = False
    stores: bool = False


class _Search:
    """The arguments of a search. `value` is the index, None when there is none."""

    def __init__(self, call: Call, argv: list[bytes], form: _Form) -> None:
        """Raises CommandError."""
        self.value = read_at(call, argv[form.source], Zset)
        self.target = argv[1] if form.stores else None
        self.store_distance = False
        self.with_distance = self.with_hash = self.with_place = False
        self.count = 0
        self.any = False
        self.descending: bool | None = None  # None: not sorted
        self._centre: Place | None = None
        self._has_centre = ""  # the word it came by
        self._has_shape = ""
        self._make: Callable[[Place], Shape] | None = None
        self._form = form
        if not form.by_words:
            self._fixed(argv, form)
        self._read_options(argv, form)
        self._check(argv, form)

    def shape(self) -> Shape:
        """What is searched; only to be asked for when there is an index."""
        assert self._centre is not None
        assert self._make is not None
        return self._make(self._centre)

    def _fixed(self, argv: list[bytes], form: _Form) -> None:
        """`longitude latitude radius unit` or `member radius unit`, of an index that exists."""
        if form.options == 6:
            self._centre = place(argv[2], argv[3])
        elif self.value is None:
            return
        else:
            self._centre = self._member(argv[2])
        self._radius(*argv[form.options - 2 : form.options])

    def _member(self, member: bytes) -> Place | None:
        if self.value is None:
            return None
        score = self.value.score(member)
        if score is None:
            raise CommandError(_NO_MEMBER)
        return geohash.place_of(score)

    def _radius(self, radius_text: bytes, unit_word: bytes) -> None:
        radius = finite_float(radius_text, _BAD_RADIUS)
        if radius < 0:
            raise CommandError(_NEGATIVE_RADIUS)
        unit = unit_m(unit_word)
        self._make = lambda centre: Circle(centre, radius, unit)

    def _box(self, width_text: bytes, height_text: bytes, unit_word: bytes) -> None:
        width, height = finite_float(width_text, _BAD_WIDTH), finite_float(height_text, _BAD_HEIGHT)
        if width < 0 or height < 0:
            raise CommandError(_NEGATIVE_SIDE)
        unit = unit_m(unit_word)
        self._make = lambda centre: Box(centre, width, height, unit)

    def _read_options(self, argv: list[bytes], form: _Form) -> None:
        at = form.options
        while at < len(argv):
            word = argv[at].upper()
            if not self._flag(word):
                at += self._with_arguments(word, argv[at + 1 :], form)
            at += 1

    def _flag(self, word: bytes) -> bool:
        if word == b"WITHDIST":
            self.with_distance = True
        elif word == b"WITHHASH":
            self.with_hash = True
        elif word == b"WITHCOORD":
            self.with_place = True
        elif word == b"ANY":
            self.any = True
        elif word in (b"ASC", b"DESC"):
            self.descending = word == b"DESC"
        elif word == b"STOREDIST" and self._form.stores:
            self.store_distance = True
        else:
            return False
        return True

    def _with_arguments(self, word: bytes, rest: list[bytes], form: _Form) -> int:
        """Takes an option with arguments; returns how many it has."""
        given = len(rest)
        if word == b"COUNT" and given >= 1:
            self.count = integer(rest[0])
            if self.count <= 0:
                raise CommandError(_BAD_COUNT)
            return 1
        if word in (b"STORE", b"STOREDIST") and given >= 1 and form.may_store:
            self.target, self.store_distance = rest[0], word == b"STOREDIST"
            return 1
        if not form.by_words:
            raise syntax_error()
        if word == b"FROMMEMBER" and given >= 1 and self._has_centre in ("", "member"):
            self._centre, self._has_centre = self._member(rest[0]), "member"
            return 1
        if word == b"FROMLONLAT" and given >= 2 and self._has_centre in ("", "place"):
            self._centre, self._has_centre = place(rest[0], rest[1]), "place"
            return 2
        if word == b"BYRADIUS" and given >= 2 and self._has_shape in ("", "radius"):
            self._radius(rest[0], rest[1])
            self._has_shape = "radius"
            return 2
        if word == b"BYBOX" and given >= 3 and self._has_shape in ("", "box"):
            self._box(rest[0], rest[1], rest[2])
            self._has_shape = "box"
            return 3
        raise syntax_error()

    def _check(self, argv: list[bytes], form: _Form) -> None:
        if self.target is not None and (self.with_distance or self.with_hash or self.with_place):
            name = b"GEOSEARCHSTORE" if form.stores else b"STORE option in GEORADIUS"
            raise CommandError(_WITH_AND_STORE % name)
        if form.by_words and not self._has_centre:
            raise CommandError(_NO_CENTRE % argv[0])
        if form.by_words and not self._has_shape:
            raise CommandError(_NO_SHAPE % argv[0])
        if self.any and not self.count:
            raise CommandError(_ANY_ALONE)


def _find(value: Zset, shape: Shape, enough: int) -> list[_Found]:
    """The members within a shape; not many more than `enough`, if that is not 0."""
    found: list[_Found] = []
    for low, high in geohash.score_ranges(shape):
        start, stop = value.score_span(ScoreRange(low, high, high_open=True))
        step = _PIECE if enough else stop - start
        while start < stop:
            for score, member in value.slice(start, min(start + step, stop)):
                there = geohash.place_of(score)
                distance = shape.distance_m(there)
                if distance is not None:
                    found.append(_Found(distance, score, member, there))
            if enough and len(found) >= enough:
                return found[:enough]
            start += step
    return found


def _result(search: _Search) -> list[_Found]:
    """The members found, sorted and cut as was asked for. COUNT alone means the nearest."""
    if search.value is None:
        return []
    found = _find(search.value, search.shape(), search.count if search.any else 0)
    descending = search.descending
    if descending is None and search.count and not search.any:
        descending = False
    if descending is not None:
        found.sort(key=lambda one: one.distance_m, reverse=descending)
    return found[: search.count] if search.count else found


def _run(call: Call, argv: list[bytes], form: _Form) -> bytes:
    search = _Search(call, argv, form)
    found = _result(search)
    if search.target is None:
        return _reply(call, search, found) if found else EMPTY_ARRAY
    entries = []
    if found:
        unit = search.shape().unit_m
        entries = [
            (one.distance_m / unit if search.store_distance else one.score, one.member) for one in found
        ]
    result = Zset.from_entries(entries, call.db.limits)
    event = b"geosearchstore" if form.stores else b"georadiusstore"
    return encode.integer(store(call, search.target, result, ZSET, event))


def _reply(call: Call, search: _Search, found: list[_Found]) -> bytes:
    if not (search.with_distance or search.with_hash or search.with_place):
        return array([bulk(one.member) for one in found])
    unit = search.shape().unit_m
    replies = []
    for one in found:
        parts = [bulk(one.member)]
        if search.with_distance:
            parts.append(distance_reply(one.distance_m / unit))
        if search.with_hash:
            parts.append(encode.integer(_integer(one.score)))
        if search.with_place:
            parts.append(place_reply(call.reply, one.place))
        replies.append(array(parts))
    return array(replies)


def _integer(score: float) -> int:
    """As the processor converts a double to a signed integer."""
    return int(score) if INT64_MIN <= score <= INT64_MAX and score < 2.0**63 else INT64_MIN


# Commands

_RADIUS_COMPLEXITY = (
    "O(N+log(M)) where N is the number of elements inside the bounding box of the circular area delimited by "
    "center and radius and M is the number of items inside the index."
)
_SEARCH_COMPLEXITY = (
    "O(N+log(M)) where N is the number of elements in the grid-aligned bounding box area around the shape "
    "provided as the filter and M is the number of items inside the shape"
)


_STORES = (b"STORE", b"STOREDIST")


def _stored_at(start_from: int) -> list[KeySpec]:
    return [KeySpec(OW | UPDATE, Keyword(word, start_from), Range()) for word in _STORES]


def _keys_with_targets(options: int) -> KeysFunction:
    """Of several targets the last one is written. All are told: who looks at the first alone (as the key
    specifications have it) would let a client write where it may not.
    """

    def find(argv: list[bytes]) -> list[tuple[int, KeyFlag]]:
        found = [(1, RO | ACCESS)]
        at = options
        while at < len(argv):
            word = argv[at].upper()
            if word in _STORES and at + 1 < len(argv):
                found.append((at + 1, OW | UPDATE))
            at += 2 if word in _STORES or word == b"COUNT" else 1
        return found

    return find


@command(
    b"GEOSEARCH", arity=-7, group="geo", since="6.2.0", flags=READONLY, keys=[key(1, RO | ACCESS)],
    complexity=_SEARCH_COMPLEXITY, categories=["geo"],
)  # fmt: skip
def geosearch(call: Call, argv: list[bytes]) -> bytes:
    """Returns the members of a geospatial index within a circle or a box."""
    return _run(call, argv, _Form(source=1, options=2, by_words=True))


@command(
    b"GEOSEARCHSTORE", arity=-8, group="geo", since="6.2.0", flags=WRITE | DENYOOM,
    keys=[key(1, OW | UPDATE), key(2, RO | ACCESS)], complexity=_SEARCH_COMPLEXITY, categories=["geo"],
)  # fmt: skip
def geosearchstore(call: Call, argv: list[bytes]) -> bytes:
    """Stores the members of a geospatial index within a circle or a box in a sorted set."""
    return _run(call, argv, _Form(source=2, options=3, by_words=True, stores=True))


@command(
    b"GEORADIUS", arity=-6, group="geo", since="3.2.0", flags=WRITE | DENYOOM,
    keys=[key(1, RO | ACCESS), *_stored_at(6)], complexity=_RADIUS_COMPLEXITY, categories=["geo"],
    find_keys=_keys_with_targets(6),
    deprecated_since="6.2.0",
    replaced_by="`GEOSEARCH` and `GEOSEARCHSTORE` with the `BYRADIUS` argument",
)  # fmt: skip
def georadius(call: Call, argv: list[bytes]) -> bytes:
    """Returns or stores the members of a geospatial index within a circle around a place."""
    return _run(call, argv, _Form(source=1, options=6, may_store=True))


@command(
    b"GEORADIUS_RO", arity=-6, group="geo", since="3.2.10", flags=READONLY, keys=[key(1, RO | ACCESS)],
    complexity=_RADIUS_COMPLEXITY, categories=["geo"], deprecated_since="6.2.0",
    replaced_by="`GEOSEARCH` with the `BYRADIUS` argument",
)  # fmt: skip
def georadius_ro(call: Call, argv: list[bytes]) -> bytes:
    """Returns the members of a geospatial index within a circle around a place."""
    return _run(call, argv, _Form(source=1, options=6))


@command(
    b"GEORADIUSBYMEMBER", arity=-5, group="geo", since="3.2.0", flags=WRITE | DENYOOM,
    keys=[key(1, RO | ACCESS), *_stored_at(5)], complexity=_RADIUS_COMPLEXITY, categories=["geo"],
    find_keys=_keys_with_targets(5),
    deprecated_since="6.2.0",
    replaced_by="`GEOSEARCH` and `GEOSEARCHSTORE` with the `BYRADIUS` and `FROMMEMBER` arguments",
)  # fmt: skip
def georadiusbymember(call: Call, argv: list[bytes]) -> bytes:
    """Returns or stores the members of a geospatial index within a circle around one of them."""
    return _run(call, argv, _Form(source=1, options=5, may_store=True))


@command(
    b"GEORADIUSBYMEMBER_RO", arity=-5, group="geo", since="3.2.10", flags=READONLY,
    keys=[key(1, RO | ACCESS)], complexity=_RADIUS_COMPLEXITY, categories=["geo"], deprecated_since="6.2.0",
    replaced_by="`GEOSEARCH` with the `BYRADIUS` and `FROMMEMBER` arguments",
)  # fmt: skip
def georadiusbymember_ro(call: Call, argv: list[bytes]) -> bytes:
    """Returns the members of a geospatial index within a circle around one of them."""
    return _run(call, argv, _Form(source=1, options=5))
