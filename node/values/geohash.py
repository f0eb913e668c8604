"""Places on the globe as numbers: geohashes of 52 bits, distances, and which scores a search has to look at.

Longitude and latitude are each made a fraction of their range, of as many bits as the *step* says, and the
bits are interleaved, longitude first. Places near each other thus mostly share the first bits, and a cell (a
prefix) is one range of numbers: those of a sorted set's scores, at step 26. A search looks at the cell that
holds its centre, of a step at which a cell is about as large as what is searched, and at the eight around it,
where they can hold anything at all.

Floating-point operations are those of Redis in their order, so that distances and scores are the same to the
last bit, and members are found in the same order.

Source: the pages of GEOADD and GEOSEARCH; geohash.c, geohash_helper.c and geo.c of Redis 7.2.
"""

from __future__ import annotations

import math
from typing import NamedTuple, Protocol, TypeAlias

STEP_MAX = 26
LONGITUDE_MAX = 180.0
LATITUDE_MAX = 85.05112878
"""As far as the square Mercator map (EPSG:3857) goes to the poles."""

_EARTH_RADIUS_M = 6372797.560856
_MERCATOR_MAX_M = 20037726.37
_RADIANS = math.pi / 180.0
_COLUMNS = 1 << STEP_MAX
_CELLS = _COLUMNS * _COLUMNS
_UINT32_MAX = (1 << 32) - 1
_UINT64_MAX = (1 << 64) - 1
_ALPHABET = b"0123456789bcdefghjkmnpqrstuvwxyz"

_LONGITUDE_BITS = 0xAAAAAAAAAAAAAAAA
_LATITUDE_BITS = 0x5555555555555555
_NEIGHBOURS = ((0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (-1, 1), (1, -1), (-1, -1))
"""Steps east and north, in the order in which the cells around the centre's are looked at."""


Place: TypeAlias = tuple[float, float]
"""Longitude and latitude: degrees east and north."""


class Area(NamedTuple):
    """Degrees; a cell, or what encloses a search."""

    west: float
    south: float
    east: float
    north: float


# Places and numbers


def is_place(longitude: float, latitude: float) -> bool:
    """Whether a place can be encoded."""
    return -LONGITUDE_MAX <= longitude <= LONGITUDE_MAX and -LATITUDE_MAX <= latitude <= LATITUDE_MAX


def encode(place: Place, step: int = STEP_MAX, latitude_max: float = LATITUDE_MAX) -> int:
    """The cell of a place: `2 * step` bits."""
    east = (place[0] + LONGITUDE_MAX) / (LONGITUDE_MAX + LONGITUDE_MAX)
    north = (place[1] + latitude_max) / (latitude_max + latitude_max)
    bits = bytearray(64)
    bits[0::2] = f"{int(east * (1 << step)):032b}".encode()
    bits[1::2] = f"{int(north * (1 << step)):032b}".encode()
    return int(bits, 2)


def decode(cell: int, step: int = STEP_MAX) -> Area:
    """The area of a cell."""
    bits = f"{cell:064b}"
    column, row = int(bits[0::2], 2), int(bits[1::2], 2)
    count = 1 << step
    width, height = LONGITUDE_MAX + LONGITUDE_MAX, LATITUDE_MAX + LATITUDE_MAX
    return Area(
        -LONGITUDE_MAX + column / count * width,
        -LATITUDE_MAX + row / count * height,
        -LONGITUDE_MAX + (column + 1 & _UINT32_MAX) / count * width,
        -LATITUDE_MAX + (row + 1 & _UINT32_MAX) / count * height,
    )


def place_of(score: float) -> Place:
    """The middle of the cell that a score names, which any other number does in some way as well."""
    if not 0 <= score < _CELLS:
        west, south, east, north = decode(_cell_of(score))
        longitude, latitude = (west + east) / 2, (south + north) / 2
        longitude = max(min(longitude, LONGITUDE_MAX), -LONGITUDE_MAX)
        return longitude, max(min(latitude, LATITUDE_MAX), -LATITUDE_MAX)
    # The same with less ado: a search asks this of every candidate.
    bits = f"{int(score):064b}"
    column, row = int(bits[0::2], 2), int(bits[1::2], 2)
    west = column / _COLUMNS * (LONGITUDE_MAX + LONGITUDE_MAX) - LONGITUDE_MAX
    east = (column + 1) / _COLUMNS * (LONGITUDE_MAX + LONGITUDE_MAX) - LONGITUDE_MAX
    south = row / _COLUMNS * (LATITUDE_MAX + LATITUDE_MAX) - LATITUDE_MAX
    north = (row + 1) / _COLUMNS * (LATITUDE_MAX + LATITUDE_MAX) - LATITUDE_MAX
    return (west + east) / 2, (south + north) / 2


def _cell_of(score: float) -> int:
    """As the processor converts a double to 64 bits."""
    if -(2.0**63) <= score < 2.0**64:
        return int(score) & _UINT64_MAX
    return 1 << 63 if score < 0 else 0


def text(place: Place) -> bytes:
    """The geohash as the world writes it, 11 characters; there latitudes go up to 90 degrees."""
    cell = encode(place, latitude_max=90.0)
    return bytes(_ALPHABET[cell >> shift & 31] for shift in range(47, 0, -5)) + _ALPHABET[:1]


# Distances


def distance_m(a: Place, b: Place) -> float:
    """Along the surface of a sphere, by the haversine formula."""
    v = math.sin((b[0] * _RADIANS - a[0] * _RADIANS) / 2)
    if v == 0.0:
        return latitude_distance_m(a[1], b[1])
    a_radians, b_radians = a[1] * _RADIANS, b[1] * _RADIANS
    u = math.sin((b_radians - a_radians) / 2)
    square = u * u + math.cos(a_radians) * math.cos(b_radians) * v * v
    return 2.0 * _EARTH_RADIUS_M * math.asin(math.sqrt(min(square, 1.0)))


def latitude_distance_m(a: float, b: float) -> float:
    """Between two places of the same longitude."""
    return _EARTH_RADIUS_M * abs(b * _RADIANS - a * _RADIANS)


# Searches


class Shape(Protocol):
    """What is searched."""

    @property
    def centre(self) -> Place: ...

    @property
    def unit_m(self) -> float:
        """The unit in which it was given and distances are told."""

    def distance_m(self, place: Place) -> float | None:
        """How far a place is from the centre; None when it is outside."""

    def half_sides_m(self) -> tuple[float, float]:
        """How far it reaches to east and west, and to north and south."""

    def reach_m(self) -> float:
        """How far it reaches at most."""


class Circle(NamedTuple):
    """Places up to a distance from the centre; `unit_m` is that of the radius."""

    centre: Place
    radius: float
    unit_m: float

    def distance_m(self, place: Place) -> float | None:
        distance = distance_m(self.centre, place)
        return None if distance > self.radius * self.unit_m else distance

    def half_sides_m(self) -> tuple[float, float]:
        return self.reach_m(), self.reach_m()

    def reach_m(self) -> float:
        return self.radius * self.unit_m


class Box(NamedTuple):
    """Places up to half the sides away from the centre: east and west at their own latitude."""

    centre: Place
    width: float
    height: float
    unit_m: float

    def distance_m(self, place: Place) -> float | None:
        if latitude_distance_m(place[1], self.centre[1]) > self.height * self.unit_m / 2:
            return None
        if distance_m(place, (self.centre[0], place[1])) > self.width * self.unit_m / 2:
            return None
        return distance_m(self.centre, place)

    def half_sides_m(self) -> tuple[float, float]:
        return self.unit_m * (self.width / 2), self.unit_m * (self.height / 2)

    def reach_m(self) -> float:
        width, height = self.width / 2, self.height / 2
        return math.sqrt(width * width + height * height) * self.unit_m


def score_ranges(shape: Shape) -> list[tuple[int, int]]:
    """From which score to before which one the members in a shape are, range by range as to be looked at."""
    bounds = _bounds(shape)
    step = _step(shape.reach_m(), shape.centre[1])
    if step > 1 and not _reaches(shape.centre, step, bounds):
        step -= 1
    cell = encode(shape.centre, step)
    area = decode(cell, step)
    cells: list[int] = [cell]
    for east, north in _NEIGHBOURS:
        if step >= 2 and _is_useless(area, bounds, east, north):
            continue
        neighbour = _moved(cell, east, north, step)
        # Where there are few cells, the same comes again from the other side; but the first is never skipped.
        if len(cells) == 1 or neighbour != cells[-1]:
            cells.append(neighbour)
    shift = 2 * (STEP_MAX - step)
    return [(cell << shift, cell + 1 << shift) for cell in cells]


def _bounds(shape: Shape) -> Area:
    """What encloses a shape: on the half of the globe where it is, its edge nearer to the pole is used."""
    longitude, latitude = shape.centre
    half_width, half_height = shape.half_sides_m()
    height = half_height / _EARTH_RADIUS_M / _RADIANS
    edge = latitude - height if latitude < 0 else latitude + height
    width = _quotient(half_width / _EARTH_RADIUS_M, _cosine(edge * _RADIANS)) / _RADIANS
    return Area(longitude - width, latitude - height, longitude + width, latitude + height)


def _cosine(angle: float) -> float:
    return math.cos(angle) if math.isfinite(angle) else math.nan


def _quotient(a: float, b: float) -> float:
    return a / b if b else math.copysign(math.inf, a) if a else math.nan


def _step(reach_m: float, latitude: float) -> int:
    """At how many bits a cell is about as large as what is searched; fewer near the poles."""
    if reach_m == 0:
        return STEP_MAX
    step = -1
    while reach_m < _MERCATOR_MAX_M:
        reach_m *= 2
        step += 1
    step -= (abs(latitude) > 66) + (abs(latitude) > 80)
    return max(1, min(step, STEP_MAX))


def _reaches(centre: Place, step: int, bounds: Area) -> bool:
    """Whether the cells around the centre's reach as far as what is searched."""
    cell = encode(centre, step)
    north, south = decode(_moved(cell, 0, 1, step), step), decode(_moved(cell, 0, -1, step), step)
    east, west = decode(_moved(cell, 1, 0, step), step), decode(_moved(cell, -1, 0, step), step)
    return not (
        north.north < bounds.north
        or south.south > bounds.south
        or east.east < bounds.east
        or west.west > bounds.west
    )


def _is_useless(area: Area, bounds: Area, east: int, north: int) -> bool:
    """Whether what is searched ends within the centre's cell in the direction of a neighbour."""
    return (
        (north < 0 and area.south < bounds.south)
        or (north > 0 and area.north > bounds.north)
        or (east < 0 and area.west < bounds.west)
        or (east > 0 and area.east > bounds.east)
    )


def _moved(cell: int, east: int, north: int, step: int) -> int:
    """The cell so many (-1 to 1) cells away; beyond the edge of the map it is one of the opposite edge."""
    whole = (1 << 2 * step) - 1
    column, row = cell & _LONGITUDE_BITS, cell & _LATITUDE_BITS
    if east:
        column = _counted(column, east, _LATITUDE_BITS & whole) & _LONGITUDE_BITS & whole
    if north:
        row = _counted(row, north, _LONGITUDE_BITS & whole) & _LATITUDE_BITS & whole
    return column | row


def _counted(spread: int, by: int, between: int) -> int:
    """One more or less of a number whose bits have others `between` them, which carry across."""
    if by > 0:
        return spread + between + 1
    return (spread | between) - (between + 1) & _UINT64_MAX
