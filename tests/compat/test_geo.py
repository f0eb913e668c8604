"""The group geo beside redis-server 7.0: every option, every error, and random places and searches."""

from __future__ import annotations

import random

import pytest

MEMBERS = """
GEOADD g 13.361389 38.115556 Palermo 15.087269 37.502669 Catania
GEOADD g 13.361389 38.115556 Palermo
GEOADD g CH 13.4 38.115556 Palermo 1 2 new
GEOADD g NX 1 1 Palermo 3 4 newer
GEOADD g XX 5 6 absent 13.361389 38.115556 Palermo
GEOADD g XX CH 5 6 new
GEOADD g nx ch 7 8 newest
GEOADD missing XX 1 2 a
EXISTS missing
ZRANGE g 0 -1 WITHSCORES
GEOPOS g Palermo Catania absent new ''
GEOPOS g
GEOPOS missing a b
GEOPOS missing
GEOHASH g Palermo Catania absent new
GEOHASH g
GEOHASH missing a
GEODIST g Palermo Catania
GEODIST g Palermo Catania m
GEODIST g Palermo Catania KM
GEODIST g Palermo Catania mi
GEODIST g Palermo Catania ft
GEODIST g Palermo Palermo
GEODIST g Palermo absent
GEODIST g absent Palermo
GEODIST missing a b
GEODIST g Palermo Catania cm
GEODIST missing a b cm
GEODIST g Palermo Catania m x
GEODIST g Palermo
GEOADD edges 180 85.05112878 a -180 -85.05112878 b 180 -85.05112878 c -180 85.05112878 d 0 0 e -0 -0 f
ZRANGE edges 0 -1 WITHSCORES
GEOPOS edges a b c d e f
GEOHASH edges a b c d e f
GEODIST edges a b
GEODIST edges a d
GEODIST edges c d
GEODIST edges e f
GEOADD g 180.0001 0 x
GEOADD g -180.0001 0 x
GEOADD g 0 85.06 x
GEOADD g 0 -85.06 x
GEOADD g inf 0 x
GEOADD g nan 0 x
GEOADD g 1e3 0 x
GEOADD g x 0 x
GEOADD g 0 x x
GEOADD g '' 0 x
GEOADD g ' 1' 0 x
GEOADD g 1 2 ok 200 2 bad
EXISTS ok
GEOADD g 1 2
GEOADD g 1 2 a 3
GEOADD g NX XX 1 2 a
GEOADD g NX 1 2
GEOADD g CH CH CH
GEOADD g INCR 1 2 a
GEOADD g GT 1 2 a
GEOADD g
ZSCORE g ok
ZADD odd -1 minus 0 zero 1.5 fraction inf inf -inf minf 1e30 huge
ZADD odd 4503599627370496 over 9223372036854775808 top
GEOPOS odd minus zero fraction inf minf huge over top
GEOHASH odd minus zero fraction inf minf huge over top
GEODIST odd zero minus
GEODIST odd zero inf
GEODIST odd minf huge
SET s v
GEOADD s 1 2 a
GEOADD s 1 2
GEOADD s 500 2 a
GEOPOS s a
GEOHASH s a
GEODIST s a b
GEODIST s a b cm
TYPE g
OBJECT ENCODING g
"""

SEARCHES = """
GEOADD g 13.361389 38.115556 Palermo 15.087269 37.502669 Catania
GEOADD g 12.758489 38.788135 edge1 17.241510 38.788135 edge2
GEOSEARCH g FROMLONLAT 15 37 BYRADIUS 200 km ASC
GEOSEARCH g FROMLONLAT 15 37 BYRADIUS 200 km DESC
GEOSEARCH g FROMLONLAT 15 37 BYBOX 400 400 km ASC WITHCOORD WITHDIST
GEOSEARCH g FROMLONLAT 15 37 BYBOX 400 400 km ASC WITHCOORD WITHDIST WITHHASH
GEOSEARCH g fromlonlat 15 37 bybox 400 400 KM withhash
GEOSEARCH g FROMMEMBER Palermo BYRADIUS 200 km ASC WITHDIST
GEOSEARCH g FROMMEMBER Palermo BYRADIUS 0 m WITHDIST
GEOSEARCH g FROMMEMBER Palermo BYBOX 0 0 m WITHDIST
GEOSEARCH g FROMLONLAT 15 37 BYRADIUS 200 km COUNT 1
GEOSEARCH g FROMLONLAT 15 37 BYRADIUS 400 km COUNT 2 DESC
GEOSEARCH g FROMLONLAT 15 37 BYRADIUS 400 km COUNT 2 ANY
GEOSEARCH g FROMLONLAT 15 37 BYRADIUS 400 km COUNT 3 ANY ASC
GEOSEARCH g FROMLONLAT 15 37 BYRADIUS 400 km ANY COUNT 100 DESC WITHDIST
GEOSEARCH g FROMLONLAT 15 37 BYRADIUS 124.2742 mi ASC WITHDIST
GEOSEARCH g FROMLONLAT 15 37 BYRADIUS 656167 ft ASC WITHDIST
GEOSEARCH g FROMLONLAT 15 37 BYRADIUS 1e5 km ASC WITHDIST
GEOSEARCH g FROMLONLAT 15 37 BYRADIUS 1e300 km ASC
GEOSEARCH g FROMLONLAT 15 37 BYRADIUS inf km ASC
GEOSEARCH g FROMLONLAT 15 37 BYBOX inf inf km ASC
GEOSEARCH g FROMLONLAT 15 37 BYBOX 1e200 1e200 km ASC
GEOSEARCH g FROMLONLAT -100 -37 BYRADIUS 10 km
GEOSEARCH g FROMLONLAT 15 37 FROMLONLAT 13 38 BYRADIUS 100 km BYRADIUS 50 km WITHDIST
GEOSEARCH g FROMMEMBER Palermo FROMMEMBER Catania BYBOX 1 1 km BYBOX 100 100 km WITHDIST
GEOSEARCH g FROMMEMBER Palermo FROMLONLAT 13 38 BYRADIUS 100 km
GEOSEARCH g FROMLONLAT 13 38 FROMMEMBER Palermo BYRADIUS 100 km
GEOSEARCH g FROMLONLAT 13 38 BYRADIUS 100 km BYBOX 1 1 km
GEOSEARCH g FROMLONLAT 13 38 BYBOX 1 1 km BYRADIUS 100 km
GEOSEARCH g FROMMEMBER absent BYRADIUS 100 km
GEOSEARCH g FROMLONLAT 15 37 ASC DESC WITHDIST COUNT 5
geosearch g BYRADIUS 15 km ASC DESC WITHDIST COUNT 5
GEOSearch missing FROMMEMBER x ASC DESC WITHDIST COUNT 5
GEOSEARCH missing FROMMEMBER x BYRADIUS 1 km ANY
GEOSEARCH missing FROMMEMBER x BYRADIUS 1 km
GEOSEARCH missing FROMLONLAT 500 1 BYRADIUS 1 km
GEOSEARCH missing FROMLONLAT 1 1 BYRADIUS 1 km STORE x
GEOSEARCH g FROMLONLAT 500 37 BYRADIUS 200 km
GEOSEARCH g FROMLONLAT x 37 BYRADIUS 200 km
GEOSEARCH g FROMLONLAT 15 37 BYRADIUS x km
GEOSEARCH g FROMLONLAT 15 37 BYRADIUS -1 km
GEOSEARCH g FROMLONLAT 15 37 BYRADIUS -1 cm
GEOSEARCH g FROMLONLAT 15 37 BYRADIUS 1 cm
GEOSEARCH g FROMLONLAT 15 37 BYBOX x y km
GEOSEARCH g FROMLONLAT 15 37 BYBOX 1 y km
GEOSEARCH g FROMLONLAT 15 37 BYBOX 1 -1 cm
GEOSEARCH g FROMLONLAT 15 37 BYBOX -1 1 km
GEOSEARCH g FROMLONLAT 15 37 BYBOX 1 1 cm
GEOSEARCH g FROMLONLAT 15 37 BYRADIUS 1 km COUNT 0
GEOSEARCH g FROMLONLAT 15 37 BYRADIUS 1 km COUNT -1
GEOSEARCH g FROMLONLAT 15 37 BYRADIUS 1 km COUNT x
GEOSEARCH g FROMLONLAT 15 37 BYRADIUS 1 km COUNT
GEOSEARCH g FROMLONLAT 15 37 BYRADIUS 1 km ANY
GEOSEARCH g FROMLONLAT 15 37 BYRADIUS 1 km STOREDIST
GEOSEARCH g FROMLONLAT 15 37 BYRADIUS 1 km STORE x
GEOSEARCH g FROMLONLAT 15 37 BYRADIUS 1 km nonsense
GEOSEARCH g FROMLONLAT 15 37 BYRADIUS 1
GEOSEARCH g FROMLONLAT 15 37 BYBOX 1 1
GEOSEARCH g BYRADIUS 1 km FROMMEMBER ASC ASC
GEOSEARCH g BYRADIUS 1 km ASC FROMMEMBER
SET s v
GEOSEARCH s FROMLONLAT 500 37 BYRADIUS 200 km
GEOSEARCH g
"""

STORES = """
GEOADD g 13.361389 38.115556 Palermo 15.087269 37.502669 Catania
GEOADD g 12.758489 38.788135 edge1 17.241510 38.788135 edge2
GEOSEARCHSTORE d g FROMLONLAT 15 37 BYBOX 400 400 km ASC COUNT 3
= ZRANGE d 0 -1 WITHSCORES
GEOSEARCH d FROMLONLAT 15 37 BYBOX 400 400 km ASC WITHCOORD WITHDIST WITHHASH
GEOSEARCHSTORE d g FROMLONLAT 15 37 BYBOX 400 400 km ASC COUNT 3 STOREDIST
= ZRANGE d 0 -1 WITHSCORES
OBJECT ENCODING d
GEOSEARCHSTORE d g FROMMEMBER Palermo BYRADIUS 100 mi storedist desc
= ZRANGE d 0 -1 WITHSCORES
EXPIRE d 100
GEOSEARCHSTORE d g FROMLONLAT 15 37 BYBOX 400 400 km COUNT 1 ANY
TTL d
= ZRANGE d 0 -1 WITHSCORES
GEOSEARCHSTORE d g FROMLONLAT -100 37 BYBOX 1 1 km
EXISTS d
GEOSEARCHSTORE d g FROMLONLAT -100 37 BYBOX 1 1 km
SET d v
GEOSEARCHSTORE d missing FROMLONLAT 15 37 BYBOX 1 1 km
EXISTS d
GEOSEARCHSTORE d missing FROMMEMBER x BYBOX 1 1 km
SET d v
GEOSEARCHSTORE d g FROMLONLAT 15 37 BYRADIUS 200 km
TYPE d
GEOSEARCHSTORE d g FROMLONLAT 15 37 BYRADIUS 200 km WITHDIST
GEOSEARCHSTORE d g FROMLONLAT 15 37 BYRADIUS 200 km WITHHASH WITHCOORD
GEOSEARCHSTORE d missing FROMLONLAT 15 37 BYRADIUS 200 km WITHHASH
GEOSEARCHSTORE d g FROMLONLAT 15 37 BYRADIUS 200 km STORE x
GEOSEARCHSTORE d g FROMLONLAT 15 37 BYRADIUS 200 km STOREDIST x
GEOSEARCHSTORE d g FROMLONLAT 15 37 ASC DESC ASC
GEOSEARCHSTORE g g FROMLONLAT 15 37 BYRADIUS 200 km
ZRANGE g 0 -1 WITHSCORES
SET s v
GEOSEARCHSTORE d s FROMLONLAT 15 37 BYRADIUS 200 km
GEOSEARCHSTORE s g FROMLONLAT 15 37 BYRADIUS 200 km
TYPE s
GEOSEARCHSTORE d g
"""

RADIUS = """
GEOADD g 13.361389 38.115556 Palermo 15.087269 37.502669 Catania
GEOADD g 12.758489 38.788135 edge1 17.241510 38.788135 edge2
GEORADIUS g 15 37 200 km WITHDIST
GEORADIUS g 15 37 200 km WITHCOORD
GEORADIUS g 15 37 200 km WITHDIST WITHCOORD WITHHASH ASC
GEORADIUS g 15 37 400 km COUNT 2
GEORADIUS g 15 37 400 km COUNT 2 ANY
GEORADIUS g 15 37 400 km DESC
GEORADIUS_RO g 15 37 200 km WITHDIST ASC
GEORADIUSBYMEMBER g Palermo 200 km WITHDIST ASC
GEORADIUSBYMEMBER_RO g Palermo 200 km WITHDIST DESC
GEORADIUSBYMEMBER g absent 200 km
GEORADIUSBYMEMBER g absent x cm
GEORADIUSBYMEMBER g Palermo x cm
GEORADIUSBYMEMBER g Palermo -1 cm
GEORADIUSBYMEMBER g Palermo 1 cm
GEORADIUSBYMEMBER missing x y z
GEORADIUSBYMEMBER missing x y z nonsense
GEORADIUSBYMEMBER missing x y z COUNT 0
GEORADIUSBYMEMBER missing x 1 km STORE d
GEORADIUSBYMEMBER_RO missing x 1 km STORE d
GEORADIUS missing 15 37 200 km
GEORADIUS missing 15 37 x km
GEORADIUS missing 500 37 x km
GEORADIUS g x 37 x km
GEORADIUS g 15 37 -1 km
GEORADIUS g 15 37 200 km STORE d
= ZRANGE d 0 -1 WITHSCORES
GEORADIUS g 15 37 200 km STOREDIST d
= ZRANGE d 0 -1 WITHSCORES
GEORADIUS g 15 37 400 km STORE d STOREDIST e COUNT 2
EXISTS e
GEORADIUS g 15 37 400 km storedist d store e COUNT 2
= ZRANGE e 0 -1 WITHSCORES
GEORADIUSBYMEMBER g Palermo 200 km STORE d DESC
= ZRANGE d 0 -1 WITHSCORES
GEORADIUS g -100 37 1 km STORE d
EXISTS d
GEORADIUS missing 15 37 1 km STORE e
EXISTS e
GEORADIUS g 15 37 200 km STORE d WITHDIST
GEORADIUS g 15 37 200 km STORE
GEORADIUS g 15 37 200 km STOREDIST
GEORADIUS_RO g 15 37 200 km STORE d
GEORADIUS_RO g 15 37 200 km STOREDIST d
GEORADIUSBYMEMBER_RO g Palermo 200 km STORE d
GEORADIUS g 15 37 200 km FROMMEMBER x
GEORADIUS g 15 37 200 km BYRADIUS 1 km
GEORADIUS g 15 37 200 km ANY
GEORADIUS g 15 37 200 km COUNT 0
GEORADIUS g 15 37 200 km nonsense
GEORADIUS g 15 37 200
SET s v
GEORADIUS s 500 37 200 km
GEORADIUSBYMEMBER s x 200 km
GEORADIUS
GEORADIUSBYMEMBER g Palermo 200
"""

SCRIPTS = {"members": MEMBERS, "searches": SEARCHES, "stores": STORES, "radius": RADIUS}


@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("name", SCRIPTS)
def test_replies_are_those_of_redis_server(run_script, name, protocol):
    run_script(SCRIPTS[name], protocol)


# Random places and searches


class Generator:
    """Places in one part of the world, or all over it, and searches of a size that finds some.

    Where members are a few cells apart many are equally far from one another. With COUNT, Redis returns such
    in the order that its partial quicksort leaves them in, we in the one in which they were found; so there
    is no COUNT then.
    """

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)
        longitude, latitude = self._rng.choice(
            [(0, 0), (15, 37), (179.99, 10), (-179.99, -40), (20, 84.9), (20, -84.9), (-70, 66), (100, -80)]
        )
        self._centre = longitude, latitude
        self._spread = self._rng.choice([0.001, 0.1, 3, 40, 180])

    def sequence(self) -> list[tuple[str, list[bytes]]]:
        rng = self._rng
        count = rng.choice([5, 60, 200, 200])
        requests = []
        for start in range(0, count, 20):
            words = [b"GEOADD", b"g"]
            for number in range(start, start + 20):
                words += [*self._place(), b"m%d" % number]
            requests.append(words)
        makers = [self._search, self._search, self._store, self._radius, self._look]
        requests += [rng.choice(makers)() for _ in range(60)]
        state = [("=", [b"ZRANGE", key, b"0", b"-1", b"WITHSCORES"]) for key in (b"g", b"d")]
        return [*(("", words) for words in requests), *state]

    def _place(self) -> list[bytes]:
        longitude, latitude = self._centre
        longitude += self._rng.uniform(-self._spread, self._spread)
        latitude += self._rng.uniform(-self._spread, self._spread) / 2
        if longitude > 180 or longitude < -180:
            longitude = (longitude + 180) % 360 - 180
        return [b"%r" % longitude, b"%r" % max(-85.05, min(85.05, latitude))]

    def _member(self) -> bytes:
        return b"m%d" % self._rng.randrange(220)

    def _size(self) -> tuple[bytes, bytes]:
        unit, metres = self._rng.choice([(b"m", 1), (b"km", 1000), (b"mi", 1609.34), (b"ft", 0.3048)])
        size = self._spread * 111_000 * self._rng.choice([0.001, 0.1, 0.3, 1, 2.5]) / metres
        return b"%r" % round(size, self._rng.choice([0, 3, 9])), unit

    def _options(self) -> list[bytes]:
        rng = self._rng
        words = rng.choice([[], [b"ASC"], [b"DESC"]])
        if self._spread > 0.001 and rng.random() < 0.5:
            words = rng.choice([[b"COUNT", b"3"], [b"COUNT", b"5", b"ANY"]])
        if self._spread > 0.001 and rng.random() < 0.3:
            words = words + rng.choice([[b"ASC"], [b"DESC"], [b"COUNT", b"%d" % rng.randint(1, 30)]])
        return words

    def _with(self) -> list[bytes]:
        return [word for word in (b"WITHDIST", b"WITHHASH", b"WITHCOORD") if self._rng.random() < 0.4]

    def _around(self) -> list[bytes]:
        rng = self._rng
        centre = rng.choice([[b"FROMMEMBER", self._member()], [b"FROMLONLAT", *self._place()]])
        size, unit = self._size()
        other = self._size()[0]
        return centre + rng.choice([[b"BYRADIUS", size, unit], [b"BYBOX", size, other, unit]])

    def _search(self) -> list[bytes]:
        return [b"GEOSEARCH", b"g", *self._around(), *self._options(), *self._with()]

    def _store(self) -> list[bytes]:
        stored = [b"STOREDIST"] if self._rng.random() < 0.5 else []
        return [b"GEOSEARCHSTORE", b"d", b"g", *self._around(), *self._options(), *stored]

    def _radius(self) -> list[bytes]:
        rng = self._rng
        head = rng.choice(
            [
                [b"GEORADIUS", b"g", *self._place()],
                [b"GEORADIUS_RO", b"g", *self._place()],
                [b"GEORADIUSBYMEMBER", b"g", self._member()],
                [b"GEORADIUSBYMEMBER_RO", b"g", self._member()],
            ]
        )
        return [*head, *self._size(), *self._options(), *self._with()]

    def _look(self) -> list[bytes]:
        member, other = self._member(), self._member()
        return self._rng.choice(
            [
                [b"GEODIST", b"g", member, other, self._rng.choice([b"m", b"km", b"mi", b"ft"])],
                [b"GEOPOS", b"g", member, other],
                [b"GEOHASH", b"g", member, other],
                [b"ZREM", b"g", member],
            ]
        )


def _sequence(seed: int) -> list[tuple[str, list[bytes]]]:
    return Generator(seed).sequence()


def test_random_places_are_found_alike(pair):
    pair.check_sequences(_sequence, range(60))


@pytest.mark.slow
def test_random_places_are_found_alike_for_long(pair):
    pair.check_sequences(_sequence, range(60, 1500))
