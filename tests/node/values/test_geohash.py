"""Places as numbers; what Redis makes of the same places and searches is compared in tests/compat."""

from __future__ import annotations

import math
import random

import pytest

from node.values import geohash
from node.values.geohash import LATITUDE_MAX, Box, Circle, Place, Shape

PALERMO, CATANIA = (13.361389, 38.115556), (15.087269, 37.502669)


def _score(place: Place) -> float:
    return float(geohash.encode(place))


def test_the_examples_of_the_documentation() -> None:
    palermo, catania = geohash.place_of(_score(PALERMO)), geohash.place_of(_score(CATANIA))
    assert palermo == (13.36138933897018433, 38.11555639549629859)
    assert geohash.text(palermo) == b"sqc8b49rny0"
    assert geohash.text(catania) == b"sqdtr74hyu0"
    assert f"{geohash.distance_m(palermo, catania):.4f}" == "166274.1516"


def test_a_place_is_found_within_half_a_cell() -> None:
    rng = random.Random(1)
    for _ in range(2000):
        place = rng.uniform(-180, 180), rng.uniform(-LATITUDE_MAX, LATITUDE_MAX)
        longitude, latitude = geohash.place_of(_score(place))
        assert abs(longitude - place[0]) <= 180 / (1 << 26) * 1.0001
        assert abs(latitude - place[1]) <= LATITUDE_MAX / (1 << 26) * 1.0001


def test_the_middle_of_a_cell_is_in_the_cell_at_every_step() -> None:
    rng = random.Random(2)
    for _ in range(1000):
        place = rng.uniform(-180, 180), rng.uniform(-LATITUDE_MAX, LATITUDE_MAX)
        for step in range(1, 27):
            cell = geohash.encode(place, step)
            west, south, east, north = geohash.decode(cell, step)
            assert west <= place[0] <= east
            assert south <= place[1] <= north
            assert cell >> 2 * step == 0
    assert geohash.place_of(_score(PALERMO)) == tuple(
        (low + high) / 2
        for low, high in zip(*[geohash.decode(int(_score(PALERMO)))[i : i + 2] for i in (0, 2)], strict=True)
    )


@pytest.mark.parametrize("score", [-1.0, -0.0, 2.0**52, 2.0**53, 2.0**64, -1e300, 1e300, math.inf, -math.inf])
def test_any_score_is_some_place(score: float) -> None:
    place = geohash.place_of(score)
    assert geohash.is_place(*place)
    assert len(geohash.text(place)) == 11


def test_distances_are_symmetric_and_half_the_globe_at_most() -> None:
    rng = random.Random(3)
    for _ in range(1000):
        a, b = [(rng.uniform(-180, 180), rng.uniform(-85, 85)) for _ in range(2)]
        distance = geohash.distance_m(a, b)
        assert distance == pytest.approx(geohash.distance_m(b, a), rel=1e-9)
        assert 0 <= distance <= 6372797.560856 * math.pi
        assert geohash.distance_m(a, a) == 0
        assert geohash.distance_m(a, (a[0], b[1])) <= distance * (1 + 1e-9) or abs(a[0] - b[0]) > 90
    assert geohash.distance_m((0, 0), (180, 0)) == pytest.approx(6372797.560856 * math.pi)


def _shape(rng: random.Random) -> Shape:
    centre = rng.uniform(-120, 120), rng.uniform(-60, 60)
    unit = rng.choice([1.0, 1000.0, 1609.34])
    size = 10 ** rng.uniform(1, 6) / unit
    return rng.choice([Circle(centre, size, unit), Box(centre, size, size * rng.uniform(0.1, 3), unit)])


def test_the_ranges_of_a_search_hold_all_that_is_in_its_shape_and_no_range_twice() -> None:
    rng = random.Random(4)
    inside = 0
    for _ in range(400):
        shape = _shape(rng)
        ranges = geohash.score_ranges(shape)
        assert len(set(ranges)) == len(ranges) <= 9
        reach = math.degrees(shape.reach_m() / 6_372_797)
        for _ in range(60):
            longitude = shape.centre[0] + rng.uniform(-reach, reach) * 1.5
            latitude = shape.centre[1] + rng.uniform(-reach, reach)
            if not geohash.is_place(longitude, latitude):
                continue
            score = _score((longitude, latitude))
            distance = shape.distance_m(geohash.place_of(score))
            if distance is not None:
                inside += 1
                assert any(low <= score < high for low, high in ranges)
    assert inside > 5000


@pytest.mark.parametrize("size", [0.0, 5e-324, 1e-9, 1e30, 1e308, math.inf])
@pytest.mark.parametrize("centre", [(0.0, 0.0), (180.0, LATITUDE_MAX), (-180.0, -LATITUDE_MAX)])
def test_no_size_is_too_small_or_too_large(size: float, centre: Place) -> None:
    for shape in (Circle(centre, size, 1000.0), Box(centre, size, size, 1609.34)):
        ranges = geohash.score_ranges(shape)
        assert 1 <= len(ranges) <= 9
        assert all(low < high for low, high in ranges)


def test_a_box_is_as_wide_at_the_latitude_of_the_place() -> None:
    box = Box((0.0, 60.0), 200.0, 400.0, 1000.0)
    at_centre = 100_000 / (6372797.560856 * math.cos(math.radians(60))) * 180 / math.pi
    assert box.distance_m((at_centre * 0.999, 60.0)) is not None
    assert box.distance_m((at_centre * 1.001, 60.0)) is None
    assert box.distance_m((at_centre * 0.999, 61.0)) is not None
    assert box.distance_m((at_centre * 1.001, 61.0)) is not None
    assert box.distance_m((at_centre * 0.999, 59.0)) is None
    assert box.distance_m((0.0, 61.9)) is None
