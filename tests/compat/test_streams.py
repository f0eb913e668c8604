"""The group stream beside redis-server 7.0: every option, every error, and random sequences.

That server makes a consumer only when it gets something, and does not know when one was last active: both
came with 7.2, so consumers are made before they read or claim here, and XINFO CONSUMERS is not compared.
"""

from __future__ import annotations

import random

import pytest

ADDING = """
XADD s 1-1 f v
XADD s 1-2 f v g w
XADD s 1-2 f v
XADD s 1-1 f v
XADD s 1-* f v
XADD s 1-* g w
XADD s 2-* f v
XADD s 3 f v
XADD s 3-0 f v
XADD s 0-5 f v
XADD s 0-* f v
XADD s 007-03 f v
XADD s ' 8-1' f v
XADD s +9-1 f v
XADD s 10- f v
XADD s -10 f v
XADD s 10--1 f v
XADD s 10--02 f v
XADD s '10-1\\x00x' f v
XADD s x f v
XADD s '' f v
XADD s - f v
XADD s + f v
XADD s 1-2-3 f v
XADD s *-* f v
XADD s 18446744073709551616-1 f v
XADD s 99999999999999999999999999 f v
XADD t 0-0 f v
XADD t 0 f v
XADD t 0-* f v
XADD t NOMKSTREAM 0-* f v
XADD none NOMKSTREAM * f v
XADD none nomkstream 1-1 f v
EXISTS none
XADD s
XADD s *
XADD s * f
XADD s * f v g
XADD s 1-1 f
XADD s 0-0 f
XADD s MAXLEN 5
XADD s NOMKSTREAM MAXLEN 5
XADD s NOMKSTREAM MAXLEN 5 *
XLEN s
XRANGE s - +
XINFO STREAM s
XADD u 18446744073709551615-18446744073709551614 f v
XADD u 18446744073709551615-* f v
XADD u 18446744073709551615-* f v
XADD u * f v
XADD u 1-1 f v
XADD u 18446744073709551615-18446744073709551615 f v
XADD w 5-18446744073709551615 f v
# 7.0 calls it too large.
- XADD w 5-* f v
XADD w 6-* f v
XADD future 33177117420000-7 f v
XADD future * f v
XADD future * f v
XADD b 1-1 '\\xff\\xfe\\xfd' '\\xfd\\x00\\xff' '' '' '\\xfe' '\\xff\\xff'
XADD b 1-2 '\\xff\\xfe\\xfd' '' '' '\\xfd\\x03' '\\xfe' '\\xfd\\x03\\xfe'
XADD b 1-3 '\\xfd\\x03' ''
XADD b 1-4 '\\xfd\\x03' '\\xfd\\x03'
XRANGE b - +
OBJECT ENCODING b
TYPE b
SET string v
XADD string * f v
XADD string 0-0 f v
XADD string NOMKSTREAM 1-1 f v
XLEN string
XLEN none
"""

TRIMMING = """
XADD s MAXLEN 3 1-1 f v
XADD s MAXLEN 3 2-1 f v
XADD s MAXLEN = 3 3-1 f v
XADD s maxlen 3 4-1 f v
XRANGE s - +
XADD s MINID 3 5-1 f v
XADD s MINID = 4-1 6-1 f v
XRANGE s - +
XADD s MAXLEN ~ 1 7-1 f v
XADD s MAXLEN ~ 1 LIMIT 0 8-1 f v
XADD s LIMIT 10 MAXLEN ~ 1 9-1 f v
XADD s MAXLEN 0 10-1 f v
XLEN s
XINFO STREAM s
XADD s MAXLEN 1 MINID 1 11-1 f v
XADD s MINID 1 MAXLEN 1 11-1 f v
XADD s MAXLEN 1 MAXLEN 1 11-1 f v
XADD s MAXLEN x 11-1 f v
XADD s MAXLEN -1 11-1 f v
XADD s MAXLEN ~ x 11-1 f v
XADD s MAXLEN ~ 11-1 f v
XADD s MAXLEN = ~ 1 11-1 f v
XADD s MINID x 11-1 f v
XADD s MINID - 11-1 f v
XADD s MAXLEN 5 LIMIT 1 11-1 f v
XADD s MAXLEN = 5 LIMIT 1 11-1 f v
XADD s MAXLEN 5 LIMIT 0 11-1 f v
XADD s MAXLEN ~ 5 LIMIT -1 11-1 f v
XADD s MAXLEN ~ 5 LIMIT x 11-1 f v
XADD s LIMIT 5 11-1 f v
XADD s LIMIT 0 11-1 f v
XTRIM s
XTRIM s MAXLEN
XTRIM s MAXLEN ~
XTRIM s MAXLEN =
XTRIM s MAXLEN 5 LIMIT 5
XTRIM s LIMIT 5
XTRIM s LIMIT 0
XTRIM s LIMIT 5 MAXLEN 5
XTRIM s NOMKSTREAM MAXLEN 5
XTRIM s MAXLEN 5 x
XTRIM s FOO 5
XTRIM s MAXLEN -5
XTRIM s MAXLEN ~ 5 LIMIT -5
XTRIM s MINID ~
XTRIM s MINID *
XTRIM none MAXLEN 5
XTRIM none MAXLEN x
XADD s 12-1 f v
XADD s 12-2 f v
XADD s 12-3 f v
XTRIM s MAXLEN 2
XTRIM s MINID 12-3
XTRIM s MAXLEN ~ 0
XTRIM s MAXLEN 0
XINFO STREAM s
XTRIM s MAXLEN 0
XTRIM s MINID 99
SET string v
XTRIM string MAXLEN 5
XTRIM string MAXLEN x
"""

DELETING = """
XADD s 1-1 f v
XADD s 1-2 f v
XADD s 1-3 f v
XADD s 1-4 g w
XADD s 1-5 f v
XDEL s 1-3
XDEL s 1-3
XDEL s 1-1 1-2 9-9
XINFO STREAM s
XDEL s 1-5 x
XDEL s x
XDEL s -
XDEL s 1-*
XDEL none x
XDEL none 1-1
XLEN s
XDEL s 1-4 1-4
XDEL s 1-5
XLEN s
XINFO STREAM s
EXISTS s
XADD s 1-5 f v
XADD s 1-6 f v
XINFO STREAM s
SET string v
XDEL string 1-1
XDEL string x
XSETID s 1-6
XSETID s 1-5
XSETID s 2
XADD s 2-0 f v
XADD s 2-1 f v
XSETID s 3-3 ENTRIESADDED 1
XSETID s 3-3 ENTRIESADDED 2 MAXDELETEDID 2-9
XSETID s 3-3 MAXDELETEDID 4-0
XSETID s 3-3 ENTRIESADDED -1
XSETID s 3-3 ENTRIESADDED x
XSETID s 3-3 MAXDELETEDID x
XSETID s 3-3 ENTRIESADDED
XSETID s 3-3 FOO 1
XSETID s x
XSETID none 1-1
XSETID none x
XSETID string 1-1
XSETID s 4-0 entriesadded 100 maxdeletedid 0-0
XSETID s 4-0 ENTRIESADDED 9223372036854775807
XINFO STREAM s
"""

RANGES = """
XADD s 1-1 f v
XADD s 1-5 f v
XADD s 2-0 f v
XADD s 3-3 f v
XRANGE s - +
XREVRANGE s + -
XRANGE s 1 1
XRANGE s 1 2
XRANGE s 1-2 3
XRANGE s (1-1 +
XRANGE s (1 +
XRANGE s - (3-3
XRANGE s - (3
XRANGE s (1-5 (3-3
XRANGE s 3 1
XREVRANGE s 3 1
XREVRANGE s 1 3
XREVRANGE s (3-3 (1-1
XREVRANGE s (3 (1
XRANGE s - + COUNT 2
XREVRANGE s + - COUNT 2
XRANGE s - + COUNT 0
XRANGE s - + COUNT -5
XRANGE s - + count 1 COUNT 3
XRANGE s - + COUNT
XRANGE s - + COUNT x
XRANGE s - + FOO 1
XRANGE s - + COUNT 1 FOO
XRANGE s + -
XRANGE s ( +
XRANGE s (- +
XRANGE s - (+
XRANGE s x +
XRANGE s - x
XRANGE s 1-* +
XRANGE s (18446744073709551615-18446744073709551615 +
XRANGE s - (0-0
XREVRANGE s (0-0 -
XREVRANGE s + (18446744073709551615-18446744073709551615
XRANGE s - 18446744073709551615
XRANGE none - +
XRANGE none - + COUNT 0
XREVRANGE none + -
XRANGE none x y
SET string v
XRANGE string - +
XRANGE string - + COUNT x
XREVRANGE string + -
"""

READING = """
XADD a 1-1 f v
XADD a 1-2 f v
XADD b 5-1 f v
XREAD STREAMS a 0
XREAD STREAMS a 1-1
XREAD STREAMS a 1-2
XREAD STREAMS a 18446744073709551615-18446744073709551615
XREAD STREAMS a b 0 0
XREAD STREAMS a b none 0-0 5-1 0
XREAD COUNT 1 STREAMS a b 0 0
XREAD COUNT 0 STREAMS a 0
XREAD COUNT -1 STREAMS a 0
XREAD COUNT x STREAMS a 0
XREAD STREAMS a $
XREAD STREAMS none $
XREAD STREAMS a a 0 1-1
XREAD BLOCK 1 STREAMS a $
XREAD BLOCK 1 STREAMS a 0
XREAD BLOCK -1 STREAMS a 0
XREAD BLOCK x STREAMS a 0
XREAD BLOCK 1.5 STREAMS a 0
# 7.0 lets it overflow.
- XREAD BLOCK 9223372036854775807 STREAMS a 0
XREAD STREAMS a >
XREAD STREAMS a x
XREAD STREAMS a -
XREAD STREAMS a
- XREAD STREAMS a b 0
XREAD COUNT 1 a 0
XREAD COUNT 1
XREAD FOO 1 STREAMS a 0
XREAD GROUP g c STREAMS a 0
XREAD NOACK STREAMS a 0
XDEL a 1-2
XREAD STREAMS a 1-1
XREAD STREAMS a 0
XDEL a 1-1
XREAD STREAMS a 0
SET string v
XREAD STREAMS string 0
XREAD STREAMS a string 0 0
XREAD STREAMS string x
XREAD STREAMS a string x 0
"""

GROUPS = """
XGROUP CREATE s g 0
XGROUP CREATE s g $ MKSTREAM
XGROUP CREATE s g 0
XGROUP CREATE s g 0 mkstream
XGROUP CREATE s h 0 ENTRIESREAD 5
XGROUP CREATE s i $ MKSTREAM ENTRIESREAD -1
XGROUP CREATE s j 0 ENTRIESREAD -2
XGROUP CREATE s j 0 ENTRIESREAD x
XGROUP CREATE s j 0 ENTRIESREAD
XGROUP CREATE s j 0 FOO
XGROUP CREATE s j 0 MKSTREAM MKSTREAM MKSTREAM
XGROUP CREATE s k 0 MKSTREAM MKSTREAM MKSTREAM MKSTREAM
XGROUP CREATE s k x
XGROUP CREATE s k -
XGROUP CREATE s g x
XGROUP CREATE s
XINFO GROUPS s
XINFO STREAM s
XLEN s
XADD s 1-1 f v
XADD s 1-2 f v
XADD s 1-3 f v
XGROUP CREATECONSUMER s g c
XGROUP CREATECONSUMER s g c
XGROUP CREATECONSUMER s g d
XGROUP CREATECONSUMER s none c
XGROUP CREATECONSUMER none g c
XGROUP CREATECONSUMER s g
XREADGROUP GROUP g c COUNT 2 STREAMS s >
XREADGROUP GROUP g c STREAMS s 0
XREADGROUP GROUP g c COUNT 1 STREAMS s 0
XREADGROUP GROUP g c STREAMS s 1-1
XREADGROUP GROUP g d STREAMS s 0
XREADGROUP GROUP g d NOACK STREAMS s >
XREADGROUP GROUP g d STREAMS s >
XREADGROUP GROUP g d BLOCK 1 STREAMS s >
XREADGROUP GROUP g c BLOCK 1 STREAMS s 0
XINFO GROUPS s
XPENDING s g
XACK s g 1-1
XACK s g 1-1 1-2 1-3
XACK s g x
XACK s g 1-1 x
XACK s none x
XACK none g x
XREADGROUP GROUP none c STREAMS s >
XREADGROUP GROUP g c STREAMS none >
XREADGROUP GROUP g c STREAMS s $
XREADGROUP GROUP g c STREAMS s x
XREADGROUP GROUP g c STREAMS s 18446744073709551615-18446744073709551615
XREADGROUP GROUP g c COUNT x STREAMS s >
XREADGROUP GROUP g c STREAMS s
XREADGROUP GROUP g STREAMS s >
XREADGROUP STREAMS s s s s 0 0 0 0
XREADGROUP GROUP g c s > x y
XREADGROUP FOO g c STREAMS s >
XGROUP SETID s g 0
XREADGROUP GROUP g d COUNT 1 STREAMS s >
XGROUP SETID s g $
XGROUP SETID s g 1-2 ENTRIESREAD 2
XINFO GROUPS s
XGROUP SETID s g -
XGROUP SETID s g +
XINFO GROUPS s
XGROUP SETID s g x
XGROUP SETID s g 0 ENTRIESREAD 1 ENTRIESREAD 2
XGROUP SETID s g 0 MKSTREAM
XGROUP SETID s none 0
XGROUP SETID none g 0
XGROUP DELCONSUMER s g d
XGROUP DELCONSUMER s g d
XGROUP DELCONSUMER s none d
XGROUP DELCONSUMER none g d
XGROUP DESTROY s h
XGROUP DESTROY s h
XGROUP DESTROY none h
XGROUP DESTROY s
XGROUP FOO s g
XGROUP
XINFO GROUPS s
XINFO GROUPS none
XINFO STREAM none
XINFO CONSUMERS none g
XINFO CONSUMERS s none
XINFO STREAM s FOO
XINFO STREAM s FULL COUNT
XINFO STREAM s FULL COUNT x
XINFO STREAM s FULL FOO 1
XINFO STREAM s FULL COUNT 1 2
XINFO FOO s
XINFO
XINFO STREAM
SET string v
XGROUP CREATE string g 0
XGROUP CREATE string g 0 MKSTREAM
XGROUP SETID string g 0
XGROUP DESTROY string g
XGROUP CREATECONSUMER string g c
XGROUP DELCONSUMER string g c
XREADGROUP GROUP g c STREAMS string >
XACK string g 1-1
XPENDING string g
XCLAIM string g c 0 1-1
XAUTOCLAIM string g c 0 0
XINFO STREAM string
XINFO GROUPS string
XINFO CONSUMERS string g
"""

FULL = """
XADD s 1-1 f v
XADD s 1-2 f v
XADD s 1-3 f v
XGROUP CREATE s g 0
XGROUP CREATE s h 1-1 ENTRIESREAD 1
XINFO STREAM s FULL
XINFO STREAM s full count 1
XINFO STREAM s FULL COUNT 0
XINFO STREAM s FULL COUNT -1
"""

LAG = """
XGROUP CREATE s g $ MKSTREAM
XGROUP CREATECONSUMER s g c
XINFO GROUPS s
XADD s 1-0 f v
XADD s 2-0 f v
XADD s 3-0 f v
XADD s 4-0 f v
XADD s 5-0 f v
XINFO GROUPS s
XREADGROUP GROUP g c COUNT 1 STREAMS s >
XINFO GROUPS s
XDEL s 3-0
XINFO GROUPS s
XREADGROUP GROUP g c COUNT 1 STREAMS s >
XINFO GROUPS s
XREADGROUP GROUP g c COUNT 1 STREAMS s >
XINFO GROUPS s
XREADGROUP GROUP g c COUNT 5 STREAMS s >
XINFO GROUPS s
XADD s 6-0 f v
XINFO GROUPS s
XTRIM s MAXLEN 1
XINFO GROUPS s
XGROUP CREATE s first 0
XGROUP CREATE s at 6-0
XGROUP CREATE s over 7-0
XGROUP CREATE s mid 2-0
XINFO GROUPS s
XDEL s 6-0
XINFO GROUPS s
XSETID s 9-0 ENTRIESADDED 50 MAXDELETEDID 8-0
XINFO GROUPS s
"""

PENDING = """
XADD s 1-1 f v
XADD s 1-2 f v
XADD s 1-3 f v
XADD s 1-4 f v
XGROUP CREATE s g 0
XGROUP CREATECONSUMER s g c
XGROUP CREATECONSUMER s g d
XGROUP CREATECONSUMER s g e
XREADGROUP GROUP g c COUNT 2 STREAMS s >
XREADGROUP GROUP g d COUNT 1 STREAMS s >
XPENDING s g
~ XPENDING s g - + 10
~ XPENDING s g - + 2
XPENDING s g - + 0
XPENDING s g - + -1
~ XPENDING s g - + 10 c
XPENDING s g - + 10 e
XPENDING s g - + 10 none
~ XPENDING s g (1-1 (1-3 10
~ XPENDING s g 1 1 10
XPENDING s g + - 10
XPENDING s g IDLE 1000000 - + 10
~ XPENDING s g idle 0 - + 10 d
~ XPENDING s g IDLE -5 - + 10 d
XPENDING s g IDLE x - + 10 d
XPENDING s g IDLE 1
XPENDING s g IDLE 1 -
XPENDING s g IDLE 1 - +
XPENDING s g -
XPENDING s g - +
XPENDING s g - + x
XPENDING s g x + 1
XPENDING s g - x 1
XPENDING s g (18446744073709551615-18446744073709551615 + 1
XPENDING s g - (0-0 1
~ XPENDING s g - + 10 c d
~ XPENDING s g - + 10 c d e
~ XPENDING s g IDLE 0 - + 10 c d
XPENDING s none
XPENDING none g
XPENDING none g - + x
XCLAIM s g d 0 1-1
XCLAIM s g d 0 1-1 JUSTID
XCLAIM s g d 1000000 1-2
XCLAIM s g d 0 1-2 RETRYCOUNT 7 IDLE 1000000
~ XPENDING s g - + 10
~ XPENDING s g IDLE 500000 - + 1 c
XCLAIM s g d 0 1-4
XCLAIM s g d 0 1-4 FORCE
~ XPENDING s g - + 10
XCLAIM s g c 0 1-4 TIME 1000 RETRYCOUNT 3 JUSTID FORCE
~ XCLAIM s g c 1 1-4
XCLAIM s g c -5 1-1 1-2 1-3 1-9 9
XCLAIM s g c 0 1-1 LASTID 8-8 JUSTID
XINFO GROUPS s
XCLAIM s g c 0 1-1 LASTID 2-2 JUSTID
XCLAIM s g c x 1-1
XCLAIM s g c 0 x
XCLAIM s g c 0 1-1 x
XCLAIM s g c 0 1-1 IDLE x
XCLAIM s g c 0 1-1 TIME x
XCLAIM s g c 0 1-1 RETRYCOUNT x
XCLAIM s g c 0 1-1 LASTID x
XCLAIM s g c 0 1-1 IDLE
XCLAIM s g c 0 FORCE
XCLAIM s g c 0 1-1 FORCE 1-2
XCLAIM s g c 0 1-1 idle -1000 retrycount -1
XCLAIM s none c 0 1-1
XCLAIM none g c 0 1-1
XCLAIM none g c x x
XDEL s 1-2 1-3
XCLAIM s g e 0 1-2 1-1
XCLAIM s g e 0 1-2 FORCE
XREADGROUP GROUP g c STREAMS s 0
XPENDING s g
XAUTOCLAIM s g e 0 0
~ XPENDING s g - + 10
XAUTOCLAIM s g d 0 -
XAUTOCLAIM s g d 0 (1-1 COUNT 1 JUSTID
XAUTOCLAIM s g d 0 + JUSTID
XAUTOCLAIM s g c 0 0 COUNT 1
XAUTOCLAIM s g c 0 1-4 COUNT 1
XAUTOCLAIM s g c 1000000 0
XAUTOCLAIM s g c 0 0 COUNT 0
XAUTOCLAIM s g c 0 0 COUNT -1
XAUTOCLAIM s g c 0 0 COUNT x
XAUTOCLAIM s g c 0 0 COUNT 9223372036854775807
XAUTOCLAIM s g c 0 0 COUNT
XAUTOCLAIM s g c 0 0 FOO
XAUTOCLAIM s g c x 0
XAUTOCLAIM s g c 0 x
XAUTOCLAIM s g c 0 (18446744073709551615-18446744073709551615
XAUTOCLAIM s none c 0 0
XAUTOCLAIM none g c 0 0
XAUTOCLAIM none g c x 0
XPENDING s g
"""

KEYSPACE = """
XADD s 1-1 f v
XGROUP CREATE s g 0
XGROUP CREATECONSUMER s g c
XREADGROUP GROUP g c STREAMS s >
COPY s t
XADD s 1-2 f v
XACK s g 1-1
XINFO STREAM t
XINFO GROUPS t
XPENDING t g
RENAME t u
XRANGE u - +
OBJECT ENCODING u
EXPIRE u 100
XADD u 2-2 f v
~ TTL u
"""


SCRIPTS = {
    "adding": ADDING,
    "trimming": TRIMMING,
    "deleting": DELETING,
    "ranges": RANGES,
    "reading": READING,
    "groups": GROUPS,
    "full": FULL,
    "lag": LAG,
    "pending": PENDING,
    "keyspace": KEYSPACE,
}


@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("name", SCRIPTS)
def test_stream_commands(run_script, name, protocol):
    run_script(SCRIPTS[name], protocol)


# Random sequences

KEYS = [b"a", b"b"]
GROUP_NAMES = [b"g", b"h"]
CONSUMERS = [b"c", b"d", b""]
FIELDS = [b"f", b"g", b"", b"12", b"\xff"]
VALUES = [b"", b"1", b"-70000", b"value", b"x" * 70, b"y" * 1500, b"\xfd\x03\xfe"]
LENGTH = 120

Request = tuple[str, list[bytes]]


class Generator:
    """Makes requests; what is likely to matter is made often."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)
        self._ms = 0

    def sequence(self) -> list[Request]:
        requests: list[Request] = []
        for _ in range(LENGTH):
            kind = self._rng.choices(
                [self._add, self._remove, self._range, self._read, self._group, self._claim, self._limits],
                [12, 5, 3, 8, 4, 6, 1],
            )[0]
            requests += kind()
        return requests

    def _of(self, *choices: bytes) -> bytes:
        return self._rng.choice(choices)

    def _key(self) -> bytes:
        return self._rng.choice(KEYS)

    def _count(self) -> bytes:
        return b"%d" % self._rng.choice([0, 1, 1, 2, 3, 5, 8])

    def _id(self) -> bytes:
        """An id near those there are."""
        ms = max(self._ms - int(self._rng.expovariate(0.2)), 0) + self._rng.choice([0, 0, 0, 1])
        return self._rng.choice([b"%d" % ms, *[b"%d-%d" % (ms, self._rng.randrange(4))] * 5])

    def _bound(self) -> bytes:
        return self._of(b"-", b"+", b"0", self._id(), self._id(), b"(" + self._id())

    def _trim(self, adding: bool) -> list[bytes]:
        words = [self._of(b"MAXLEN", b"MINID"), self._of(b"~", b"=", b"~")]
        words.append(self._count() if words[0] == b"MAXLEN" else self._id())
        if self._rng.random() < 0.3:
            words += [b"LIMIT", b"%d" % self._rng.choice([0, 1, 2, 3, 4, 10])]
        return words

    def _add(self) -> list[Request]:
        if self._rng.random() < 0.6:
            self._ms += 1
        items = []
        if self._rng.random() < 0.7:
            items = [b"f", self._rng.choice(VALUES)]
        else:
            for _ in range(self._rng.randint(1, 3)):
                items += [self._rng.choice(FIELDS), self._rng.choice(VALUES)]
        id = self._of(b"%d-*" % self._ms, b"%d-%d" % (self._ms, self._rng.randrange(4)), self._id())
        options = self._trim(adding=True) if self._rng.random() < 0.15 else []
        if self._rng.random() < 0.1:
            options.append(b"NOMKSTREAM")
        return [("", [b"XADD", self._key(), *options, id, *items])]

    def _remove(self) -> list[Request]:
        ids = [self._id() for _ in range(self._rng.randint(1, 4))]
        return [
            self._rng.choice(
                [
                    ("", [b"XDEL", self._key(), *ids]),
                    ("", [b"XDEL", self._key(), *ids]),
                    ("", [b"XTRIM", self._key(), *self._trim(adding=False)]),
                    ("", [b"XTRIM", self._key(), *self._trim(adding=False)]),
                    ("", [b"DEL", self._key()]) if self._rng.random() < 0.2 else ("", [b"XLEN", self._key()]),
                    ("", [b"COPY", self._key(), self._key()]),
                ]
            )
        ]

    def _range(self) -> list[Request]:
        name = self._of(b"XRANGE", b"XREVRANGE")
        words = [name, self._key(), self._bound(), self._bound()]
        if self._rng.random() < 0.5:
            words += [b"COUNT", self._count()]
        return [("", words), ("", [b"XINFO", b"STREAM", self._key()])]

    def _read(self) -> list[Request]:
        keys = self._rng.choice([KEYS, KEYS[:1], KEYS[1:]])
        if self._rng.random() < 0.2:
            positions = [self._rng.choice([b"$", b"0", self._id()]) for _ in keys]
            return [("", [b"XREAD", b"COUNT", self._count(), b"STREAMS", *keys, *positions])]
        group, consumer = self._rng.choice(GROUP_NAMES), self._rng.choice(CONSUMERS)
        options = [b"COUNT", self._count()] if self._rng.random() < 0.8 else []
        if self._rng.random() < 0.2:
            options.append(b"NOACK")
        positions = [self._rng.choice([b">", b">", b">", b"0", self._id()]) for _ in keys]
        return [
            *[("", [b"XGROUP", b"CREATECONSUMER", key, group, consumer]) for key in keys],
            ("", [b"XREADGROUP", b"GROUP", group, consumer, *options, b"STREAMS", *keys, *positions]),
            ("", [b"XINFO", b"GROUPS", keys[0]]),
        ]

    def _group(self) -> list[Request]:
        key, group = self._key(), self._rng.choice(GROUP_NAMES)
        id = self._of(b"0", b"$", b"$", self._id())
        read = [b"ENTRIESREAD", b"%d" % self._rng.choice([-1, 0, 3])] if self._rng.random() < 0.2 else []
        words = self._rng.choice(
            [
                [b"CREATE", key, group, id, b"MKSTREAM", *read],
                [b"CREATE", key, group, id, b"MKSTREAM", *read],
                [b"CREATE", key, group, id, *read],
                [b"SETID", key, group, id, *read],
                [b"DESTROY", key, group] if self._rng.random() < 0.3 else [b"SETID", key, group, id, *read],
                [b"DELCONSUMER", key, group, self._rng.choice(CONSUMERS)],
            ]
        )
        return [("", [b"XGROUP", *words]), ("", [b"XINFO", b"GROUPS", key])]

    def _claim(self) -> list[Request]:
        key, group, consumer = self._key(), self._rng.choice(GROUP_NAMES), self._rng.choice(CONSUMERS)
        ids = [self._id() for _ in range(self._rng.randint(1, 5))]
        options: list[bytes] = []
        for word in ([b"FORCE"], [b"JUSTID"], [b"RETRYCOUNT", self._count()], [b"LASTID", self._id()]):
            if self._rng.random() < 0.25:
                options += word
        words = self._rng.choice(
            [
                [b"XCLAIM", key, group, consumer, self._of(b"0", b"0", b"1000000"), *ids, *options],
                [b"XAUTOCLAIM", key, group, consumer, b"0", self._bound(), b"COUNT", b"2"],
                [b"XAUTOCLAIM", key, group, consumer, b"0", b"0", b"JUSTID"],
                [b"XACK", key, group, *ids],
                [b"XACK", key, group, *ids],
                [b"XPENDING", key, group],
            ]
        )
        listing = [b"XPENDING", key, group, self._bound(), self._bound(), self._count(), consumer]
        return [
            ("", [b"XGROUP", b"CREATECONSUMER", key, group, consumer]),
            ("", words),
            ("~", self._rng.choice([listing, listing[:-1]])),
        ]

    def _limits(self) -> list[Request]:
        # The limit on bytes stays as it is: redis-server 7.0 corrupts streams when it becomes lower.
        entries = self._of(b"2", b"3", b"5", b"0")
        return [("", [b"CONFIG", b"SET", b"stream-node-max-entries", entries])]


STATE: list[Request] = [
    ("", [b"CONFIG", b"SET", b"stream-node-max-entries", b"100"]),
    *[
        request
        for key in KEYS
        for request in (
            ("", [b"XRANGE", key, b"-", b"+"]),
            ("", [b"XREVRANGE", key, b"+", b"-"]),
            ("", [b"XINFO", b"STREAM", key]),
            ("", [b"XINFO", b"GROUPS", key]),
            *[("~", [b"XPENDING", key, group, b"-", b"+", b"1000"]) for group in GROUP_NAMES],
        )
    ],
]


def _sequence(seed: int) -> list[Request]:
    return Generator(seed).sequence() + STATE


def test_both_servers_have_the_same_streams(pair):
    pair.check_sequences(_sequence, range(120))


@pytest.mark.slow
def test_both_servers_have_the_same_streams_for_long(pair):
    pair.check_sequences(_sequence, range(120, 4000))
