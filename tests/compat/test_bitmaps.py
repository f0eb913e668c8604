"""The group bitmap beside redis-server 7.0: every option, every error, and random sequences."""

from __future__ import annotations

import random

import pytest

SINGLE = """
SETBIT k 7 1
SETBIT k 7 0
SETBIT k 7 0
GET k
SETBIT k 100 1
STRLEN k
GET k
GETBIT k 100
GETBIT k 99
GETBIT k 4294967295
GETBIT missing 5
GETBIT k -1
GETBIT k 4294967296
GETBIT k x
GETBIT k 1.0
GETBIT k ''
GETBIT k '#1'
GETBIT missing x
SETBIT k -1 1
SETBIT k 4294967296 1
SETBIT k x 1
SETBIT k 9223372036854775808 1
SETBIT k 1 2
SETBIT k 1 -1
SETBIT k 1 x
SETBIT k 1 4294967297
SETBIT k 1 9223372036854775808
SETBIT k x y
SETBIT zeros 20 0
GET zeros
SET n 12345
SETBIT n 7 1
GET n
GETBIT n 2
INCR n
SET e '' EX 100
SETBIT e 0 1
~ TTL e
LPUSH l x
SETBIT l 0 1
SETBIT l 0 2
SETBIT l x 1
GETBIT l 0
GETBIT l x
SETBIT k 1
SETBIT k
GETBIT k
GETBIT k 1 1
SETBIT k 1 1 1
"""

COUNT = """
SET k foobar
BITCOUNT k
BITCOUNT k 0 0
BITCOUNT k 1 1
BITCOUNT k 0 -1
BITCOUNT k -2 -1
BITCOUNT k -1 -2
BITCOUNT k 3 2
BITCOUNT k 100 200
BITCOUNT k -100 200
BITCOUNT k -100 -50
BITCOUNT k -100 0
BITCOUNT k 0 -100
BITCOUNT k 1 1 BYTE
BITCOUNT k 5 30 BIT
BITCOUNT k 5 30 bit
BITCOUNT k 5 5 BIT
BITCOUNT k 1 1 BIT
BITCOUNT k -5 -1 BIT
BITCOUNT k 8 7 BIT
BITCOUNT k 0 10000 BIT
BITCOUNT k -10000 3 BIT
BITCOUNT k 48 48 BIT
BITCOUNT k 47 48 BIT
BITCOUNT k 0 0 BITS
BITCOUNT k -1 -2 BITS
BITCOUNT k 0
BITCOUNT k 0 1 BIT x
BITCOUNT k x 1
BITCOUNT k 0 x
BITCOUNT k x y z
BITCOUNT k 0 x z
BITCOUNT k 9223372036854775807 9223372036854775807
BITCOUNT k -9223372036854775808 9223372036854775807
BITCOUNT k 0 9223372036854775808
BITCOUNT missing
BITCOUNT missing x y z
BITCOUNT missing 0
SET n 12345
BITCOUNT n
BITCOUNT n 1 2
SET e ''
BITCOUNT e
BITCOUNT e 0 -1
BITCOUNT e 0 0 BIT
LPUSH l x
BITCOUNT l
BITCOUNT l x y
BITCOUNT
"""

POSITION = """
SET k '\\xff\\xf0\\x00'
BITPOS k 0
BITPOS k 1
BITPOS k 0 2
BITPOS k 1 2
BITPOS k 1 1
BITPOS k 0 0 0
BITPOS k 0 0 1
BITPOS k 0 -1
BITPOS k 1 -1
BITPOS k 1 -3 -1
BITPOS k 1 2 1
BITPOS k 0 3
BITPOS k 0 3 5
BITPOS k 0 100
BITPOS k 0 -100 -50
BITPOS k 0 0 -1 BYTE
BITPOS k 0 0 11 BIT
BITPOS k 0 0 12 BIT
BITPOS k 1 12 -1 BIT
BITPOS k 1 7 15 bit
BITPOS k 1 9 15 bit
BITPOS k 0 9 11 bit
BITPOS k 0 13 13 bit
BITPOS k 0 -5 -1 BIT
BITPOS k 0 -1 -5 BIT
BITPOS k 0 24 24 BIT
BITPOS k 0 23 24 BIT
BITPOS k 0 0 1 BITS
BITPOS k 0 x 1 BITS
BITPOS k 0 0 x BITS
BITPOS k 0 0 x BIT
BITPOS k 0 x
BITPOS k 0 0 x
BITPOS k 2
BITPOS k -1
BITPOS k x
BITPOS k 0 0 1 BIT x
BITPOS k 4294967296
BITPOS missing 0
BITPOS missing 1
BITPOS missing 0 x
BITPOS missing 2
SET ones '\\xff\\xff\\xff'
BITPOS ones 0
BITPOS ones 0 0
BITPOS ones 0 1
BITPOS ones 0 3
BITPOS ones 0 0 -1
BITPOS ones 0 0 -1 BIT
BITPOS ones 0 5 -1 BIT
BITPOS ones 1 23 -1 BIT
SET zeros '\\x00\\x00\\x00'
BITPOS zeros 1
BITPOS zeros 1 0 -1
BITPOS zeros 1 3 -3 BIT
BITPOS zeros 0 5 7 BIT
SET e ''
BITPOS e 0
BITPOS e 1
BITPOS e 0 0
BITPOS e 0 0 -1
SET n 12
BITPOS n 1
LPUSH l x
BITPOS l 1
BITPOS l 2
BITPOS l 1 x
BITPOS k
BITPOS
"""

COMBINE = """
MSET a foobar b abcdef c '\\xff\\x00' e '' n 12345
BITOP AND d a b
GET d
BITOP OR d a b
GET d
BITOP XOR d a b
GET d
BITOP NOT d a
GET d
BITOP and d a c
GET d
BITOP or d a c n
GET d
BITOP xor d a c n missing e
GET d
BITOP AND d a missing
GET d
BITOP XOR d a a
GET d
BITOP AND d a
GET d
BITOP NOT d e
EXISTS d
BITOP OR d e missing
BITOP NOT d missing
SET d v EX 100
BITOP OR d a
TTL d
BITOP AND a a b
GET a
BITOP NOT d n
BITOP OR d n n
GET d
INCR d
SET d v
BITOP OR d missing
EXISTS d
BITOP NOT d a b
BITOP NAND d a b
BITOP '' d a b
BITOP AND d
LPUSH l x
BITOP AND d a l
BITOP AND d missing l
BITOP NOT d l
BITOP OR l a b
GET l
LPUSH l2 x
BITOP OR l2 missing
EXISTS l2
BITOP
"""

FIELDS = """
BITFIELD k
EXISTS k
BITFIELD k GET u8 0
EXISTS k
BITFIELD k SET u8 0 255 GET u8 0 GET i8 0 GET u4 4 GET u5 4 GET i64 0 GET u63 1
BITFIELD k INCRBY i5 100 1 GET u4 0
BITFIELD k set u8 '#0' 17 get u8 '#0' GET u8 '#1' incrby u8 '#2' 3
GET k
BITFIELD k INCRBY u2 100 1 OVERFLOW SAT INCRBY u2 102 1
BITFIELD k INCRBY u2 100 1 OVERFLOW SAT INCRBY u2 102 1
BITFIELD k INCRBY u2 100 1 OVERFLOW SAT INCRBY u2 102 1
BITFIELD k INCRBY u2 100 1 OVERFLOW SAT INCRBY u2 102 1
BITFIELD k OVERFLOW FAIL INCRBY u2 102 1
BITFIELD k OVERFLOW FAIL SET u2 102 5 OVERFLOW WRAP SET u2 102 5 OVERFLOW SAT SET u2 102 -1 GET u2 102
BITFIELD s SET i8 0 127 INCRBY i8 0 1 OVERFLOW SAT INCRBY i8 0 -1 SET i8 0 128 SET i8 0 -129 GET i8 0
BITFIELD s OVERFLOW SAT SET i8 0 -9223372036854775808 GET i8 0 SET i8 0 9223372036854775807 GET i8 0
BITFIELD s OVERFLOW SAT SET i63 0 -9223372036854775808 GET i63 0 SET u63 0 -1 GET u63 0
BITFIELD s SET i64 3 -9223372036854775808 INCRBY i64 3 -1 INCRBY i64 3 1 GET i64 3
BITFIELD s OVERFLOW SAT INCRBY i64 3 -1 INCRBY i64 3 9223372036854775807 INCRBY i64 3 9223372036854775807
BITFIELD s OVERFLOW FAIL INCRBY i64 3 9223372036854775807 INCRBY i1 0 5 INCRBY u1 0 5
BITFIELD s SET i1 0 1 GET i1 0 GET u1 0 INCRBY i1 0 1
BITFIELD s SET u63 11 9223372036854775807 INCRBY u63 11 1 INCRBY u63 11 -9223372036854775808
GET s
BITFIELD longer OVERFLOW FAIL INCRBY u2 100 9
EXISTS longer
STRLEN longer
BITFIELD same SET u8 0 0
BITFIELD same SET u8 0 0
GET same
BITFIELD k GET u8 4294967295
BITFIELD k GET u8 4294967296
BITFIELD k SET u8 4294967296 1
BITFIELD k GET u8 '#536870911'
BITFIELD k GET u8 '#536870912'
BITFIELD k GET u8 -1
BITFIELD k GET u8 x
BITFIELD k GET u8 '#'
BITFIELD k GET u8 '#-1'
BITFIELD k GET u8 '##1'
BITFIELD k GET u64 0
BITFIELD k GET u0 0
BITFIELD k GET i0 0
BITFIELD k GET i65 0
BITFIELD k GET U8 0
BITFIELD k GET x8 0
BITFIELD k GET 8 0
BITFIELD k GET '' 0
BITFIELD k GET i 0
BITFIELD k GET i08 0
BITFIELD k GET i+8 0
BITFIELD k GET i-8 0
BITFIELD k GET i8
BITFIELD k SET i8 0
BITFIELD k SET i8 0 x
BITFIELD k SET i8 0 9223372036854775808
BITFIELD k SET x 0 x
BITFIELD k INCRBY i8 0
BITFIELD k OVERFLOW
BITFIELD k OVERFLOW x
BITFIELD k OVERFLOW SAT
BITFIELD k OVERFLOW x GET
BITFIELD k nonsense
BITFIELD k SET u8 0 1 nonsense
BITFIELD k GET u8 0
BITFIELD_RO k GET u8 0 GET i4 8
BITFIELD_RO k
BITFIELD_RO missing GET u8 100
BITFIELD_RO k SET u8 0 1
BITFIELD_RO k GET u8 0 INCRBY u8 0 1
BITFIELD_RO k OVERFLOW SAT GET u8 0
BITFIELD_RO k OVERFLOW x GET u8 0
BITFIELD_RO k SET u8 0 x
SET n 12345
BITFIELD n GET u8 0 GET u8 32 GET u16 32
BITFIELD n INCRBY u8 0 1
GET n
INCR n
SET t v EX 100
BITFIELD t SET u8 0 65
~ TTL t
LPUSH l x
BITFIELD l GET u8 0
BITFIELD l SET u8 0 1
BITFIELD l
BITFIELD l GET u99 0
BITFIELD_RO l GET u8 0
BITFIELD_RO l SET u8 0 1
BITFIELD
BITFIELD_RO
"""

# A string of the kind that is changed in place, read by everything that reads strings.
LONG = """
SETBIT long 40000 1
STRLEN long
GETRANGE long 4998 5010
APPEND long abc
APPEND long 12345
GETRANGE long -9 -1
SETRANGE long 5000 'hello world'
SETRANGE long 6000 x
GETRANGE long 4999 5012
GET long
MGET long missing long
BITCOUNT long
BITCOUNT long 40000 40010 BIT
BITPOS long 1
BITPOS long 0 5000 5001
BITFIELD long INCRBY u8 40000 1 GET i16 39999
BITOP NOT inverted long
BITOP XOR all long inverted
BITCOUNT all
COPY long twin
SETBIT long 3 1
GETBIT twin 3
APPEND twin x
STRLEN long
TYPE long
OBJECT ENCODING long
* SCAN 0 TYPE string COUNT 100
RENAME long other
STRLEN other
INCR other
INCRBYFLOAT other 1
LCS other twin LEN
GETEX other EX 100
GETSET other short
GET other
SETBIT other 40000 1
GETDEL other
SETBIT other 40000 1
SET other v GET
SETBIT other 40000 1
SET other v XX
APPEND other w
LPUSH l x
APPEND l x
RPUSH ids 1
SETBIT long1 40000 1
SORT ids GET long*
SORT ids BY long*
"""

SCRIPTS = {
    "single bits": SINGLE,
    "bitcount": COUNT,
    "bitpos": POSITION,
    "bitop": COMBINE,
    "bitfield": FIELDS,
    "long strings": LONG,
}


@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("name", SCRIPTS)
def test_replies_are_those_of_redis_server(run_script, name, protocol):
    run_script(SCRIPTS[name], protocol)


def test_payload_of_a_string_changed_in_place_is_restored_by_redis(pair):
    pair.start(2)
    pair.ours.call(b"SETBIT", b"k", b"100000", b"1")
    payload = pair.ours.call(b"DUMP", b"k").split(b"\r\n", 1)[1][:-2]
    assert pair.theirs.call(b"RESTORE", b"k", b"0", payload) == b"+OK\r\n"
    assert pair.theirs.call(b"GET", b"k") == pair.ours.call(b"GET", b"k")


# Random sequences

KEYS = [b"a", b"b", b"long"]
NUMBERS = [0, 1, -1, 2, 3, 7, 8, 9, 15, 16, 31, 40, 63, 64, 100, -5, -64, 127, -129]
EXTREMES = [2**31, 2**62, 2**63 - 1, -(2**63), -(2**62), 2**63]


class Generator:
    """Makes requests on strings of a few bytes, and on one that is long enough to be changed in place."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)

    def sequence(self) -> list[tuple[str, list[bytes]]]:
        makers = [self._bit, self._range, self._combine, self._field, self._field, self._string]
        start = ("", [b"SETRANGE", b"long", b"8000", self._bytes()])
        requests = [("", self._rng.choice(makers)()) for _ in range(120)]
        return [start, *requests, *(("", [b"GET", key]) for key in KEYS)]

    def _key(self) -> bytes:
        return self._rng.choice(KEYS)

    def _bytes(self) -> bytes:
        return self._rng.choice([b"", b"\0", b"\xff\xff", b"12", b"abc", self._rng.randbytes(9)])

    def _number(self) -> bytes:
        return b"%d" % self._rng.choice(NUMBERS if self._rng.random() < 0.9 else EXTREMES)

    def _offset(self) -> bytes:
        return b"%d" % self._rng.choice([*range(80), 63_990, 64_010, 64_100, -1])

    def _bit(self) -> list[bytes]:
        word = self._rng.choice([b"SETBIT", b"SETBIT", b"GETBIT"])
        bit = [self._rng.choice([b"0", b"1", b"1"])] if word == b"SETBIT" else []
        return [word, self._key(), self._offset(), *bit]

    def _range(self) -> list[bytes]:
        ends = [self._number(), self._number(), self._rng.choice([b"BIT", b"byte"])]
        if self._rng.random() < 0.5:
            return [b"BITCOUNT", self._key(), *ends[: self._rng.choice([0, 2, 3])]]
        return [b"BITPOS", self._key(), self._rng.choice([b"0", b"1"]), *ends[: self._rng.randint(0, 3)]]

    def _combine(self) -> list[bytes]:
        word = self._rng.choice([b"AND", b"OR", b"XOR", b"NOT"])
        count = 1 if word == b"NOT" else self._rng.randint(1, 3)
        return [b"BITOP", word, self._key(), *(self._key() for _ in range(count))]

    def _field(self) -> list[bytes]:
        words = [b"BITFIELD", self._key()]
        for _ in range(self._rng.randint(1, 4)):
            width = self._rng.choice([1, 2, 3, 5, 7, 8, 9, 16, 31, 32, 33, 62, 63])
            kind = b"%c%d" % (self._rng.choice(b"iu"), width)
            if self._rng.random() < 0.15:
                kind = b"i64"
            place = self._rng.choice([self._offset(), b"#%d" % self._rng.randint(0, 5)])
            step = self._rng.choice(
                [
                    [b"GET", kind, place],
                    [b"SET", kind, place, self._number()],
                    [b"INCRBY", kind, place, self._number()],
                ]
            )
            if self._rng.random() < 0.4:
                words += [b"OVERFLOW", self._rng.choice([b"WRAP", b"SAT", b"FAIL"])]
            words += step
        return words

    def _string(self) -> list[bytes]:
        key = self._key()
        choices = [
            [b"SET", key, self._bytes()],
            [b"APPEND", key, self._bytes()],
            [b"SETRANGE", key, b"%d" % self._rng.randint(0, 12), self._bytes()],
            [b"GETRANGE", key, self._number(), self._number()],
            [b"STRLEN", key],
            [b"COPY", key, self._key(), b"REPLACE"],
        ]
        return self._rng.choice(choices)


def _sequence(seed: int) -> list[tuple[str, list[bytes]]]:
    return Generator(seed).sequence()


def test_random_sequences_reply_alike_and_leave_the_same(pair):
    pair.check_sequences(_sequence, range(60))


@pytest.mark.slow
def test_random_sequences_reply_alike_for_long(pair):
    pair.check_sequences(_sequence, range(60, 2000))
