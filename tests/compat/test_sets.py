"""The group set beside redis-server 7.0: every option, every error, and random sequences.

That server has no compact sets of strings (they came with 7.2), so the encoding of those is not compared.
"""

from __future__ import annotations

import random

import pytest

MEMBERS = """
SADD s 1
SADD s 1 2 3
SADD s 3
SADD s -5 9223372036854775807 -9223372036854775808
SMEMBERS s
OBJECT ENCODING s
SCARD s
SISMEMBER s 2
SISMEMBER s 02
SISMEMBER s +2
SISMEMBER s 9223372036854775808
SISMEMBER s x
SISMEMBER missing x
SMISMEMBER s 1 x 2 02 3
SMISMEMBER missing 1 x
SADD s 9223372036854775808
OBJECT ENCODING missing
* SMEMBERS s
SADD s '' '\\x00\\r\\n\\xff\\xfe\\xfd' '\\xff' '\\xfd\\x02'
SISMEMBER s '\\xff'
SISMEMBER s '\\xfd\\x02'
SISMEMBER s '\\xfd'
SMISMEMBER s '' '\\x00\\r\\n\\xff\\xfe\\xfd'
* SMEMBERS s
SREM s 1 1 x 2
SREM s '\\xff' ''
* SMEMBERS s
SREM missing x
SADD one x
SREM one y
SREM one y x z
EXISTS one
SMEMBERS missing
SCARD missing
TYPE s
EXPIRE s 100
SADD s more
SREM s more
~ TTL s
"""

MOVE = """
SADD a 1 2 x
SADD b 2 y
SMOVE a b 1
SMOVE a b 2
SMOVE a b 1
SMOVE a b x
EXISTS a
* SMEMBERS b
SMOVE missing b x
SMOVE b new y
SMEMBERS new
SMOVE b b x
SMOVE b b missing
SET s v
SMOVE s b x
SMOVE b s x
SMOVE b s missing
SMOVE missing s x
SMOVE s missing x
* SMEMBERS b
SMOVE b b
"""

POP = """
SPOP missing
SPOP missing 0
SPOP missing 5
SADD s x
SPOP s
EXISTS s
SADD s x
SPOP s 0
SPOP s 1
EXISTS s
SADD s 3 1 2
SPOP s 3
EXISTS s
SADD s 3 1 2
SPOP s 99
EXISTS s
SADD s 1
SPOP s x
SPOP s -1
SPOP s 1.5
SPOP s 9223372036854775808
SPOP s 1 2
SPOP s x 2
SPOP s 9223372036854775807
SRANDMEMBER missing
SRANDMEMBER missing 5
SRANDMEMBER missing -5
SADD s 7
SRANDMEMBER s
SRANDMEMBER s 0
SRANDMEMBER s 1
SRANDMEMBER s 5
SRANDMEMBER s -3
SRANDMEMBER s -1
SADD s 5 6
SRANDMEMBER s 3
SRANDMEMBER s 99
SRANDMEMBER s x
SRANDMEMBER s 1 x
SRANDMEMBER s x x
SRANDMEMBER s 9223372036854775807
SRANDMEMBER s -9223372036854775808
SRANDMEMBER s 9223372036854775808
SRANDMEMBER missing -9223372036854775807
SET str v
SPOP str
SPOP str 0
SPOP str x
SPOP str -1
SRANDMEMBER str
SRANDMEMBER str 0
SRANDMEMBER str x
"""

ALGEBRA = """
SADD a 1 2 3 4 5
SADD b 4 5 6
SADD c 5 x y
SINTER a
SINTER a b
SINTER a b c
SINTER a missing
SINTER missing
SINTER a a
SINTER b a b a
* SUNION a b c
SUNION a
SUNION missing
SUNION missing b missing
* SUNION b a
SDIFF a b
SDIFF a b c
SDIFF a missing
SDIFF missing a
SDIFF a a
SDIFF b a a
SDIFF a b a
* SDIFF c
* SDIFF c a b
SINTERSTORE d a b
SMEMBERS d
OBJECT ENCODING d
SUNIONSTORE d a b
SMEMBERS d
SUNIONSTORE d a c
* SMEMBERS d
SDIFFSTORE d a b
SMEMBERS d
SDIFFSTORE d a a
EXISTS d
SINTERSTORE d a b
EXPIRE d 100
SUNIONSTORE d d c
TTL d
* SMEMBERS d
SINTERSTORE d a missing
EXISTS d
SINTERSTORE d a missing
SUNIONSTORE d missing missing
SET s v
SUNIONSTORE s a
TYPE s
SET s v
SINTERSTORE s a missing
EXISTS s
SINTERSTORE a a b
SMEMBERS a
SDIFFSTORE a a a
EXISTS a
SET s v
SINTER s
SINTER b s
SINTER missing s
SINTER s missing
SUNION b s
SDIFF b s
SDIFF missing s
SINTERSTORE d b s
SUNIONSTORE d s
SDIFFSTORE d missing s
SDIFFSTORE b b s
SMEMBERS b
"""

CARD = """
SADD a 1 2 3 4 5
SADD b 4 5 6
SINTERCARD 1 a
SINTERCARD 2 a b
SINTERCARD 2 a b LIMIT 1
SINTERCARD 2 a b LIMIT 0
SINTERCARD 2 a b LIMIT 9
SINTERCARD 2 a b limit 1 LIMIT 2
SINTERCARD 2 a missing
SINTERCARD 2 a b LIMIT -1
SINTERCARD 2 a b LIMIT x
SINTERCARD 2 a b LIMIT
SINTERCARD 2 a b x
SINTERCARD 2 a b x 1
SINTERCARD 2 a b LIMIT 1 x
SINTERCARD 2 a
SINTERCARD 0 a
SINTERCARD -1 a
SINTERCARD x a
SINTERCARD 1
SINTERCARD 1.5 a
SINTERCARD 9223372036854775808 a
SINTERCARD 9223372036854775807 a
SET s v
SINTERCARD 2 a s
SINTERCARD 2 missing s
SINTERCARD 2 a s LIMIT x
SINTERCARD 2 a a
"""

SCAN = """
SSCAN missing 0
SSCAN missing 0 BAD
SSCAN missing x
SADD s 1 2 13
SSCAN s 0
SSCAN s 7
SSCAN s 0 COUNT 1
SSCAN s 0 MATCH 1*
SSCAN s 0 MATCH *
SSCAN s 0 match x COUNT 5
SSCAN s x
SSCAN s 0 COUNT 0
SSCAN s 0 COUNT x
SSCAN s 0 COUNT
SSCAN s 0 TYPE set
SSCAN s 0 NOVALUES
SADD t a b ab
* SSCAN t 0 COUNT 100 MATCH a*
SET str v
SSCAN str 0
SSCAN str x
SSCAN str 0 x
"""

ERRORS = """
SADD s
SREM s
SMOVE a b
SPOP
SCARD
SCARD a b
SISMEMBER s
SISMEMBER s a b
SMISMEMBER s
SMEMBERS
SMEMBERS a b
SINTER
SUNION
SDIFF
SINTERSTORE d
SUNIONSTORE d
SDIFFSTORE d
SINTERCARD
SSCAN s
SRANDMEMBER
EXISTS s
SET str v
SADD str x
SREM str x
SCARD str
SISMEMBER str x
SMISMEMBER str x
SMEMBERS str
GET str
HSET h f v
SADD h x
SADD s x
GET s
HGET s x
HSET s f v
APPEND s x
COPY s t
SADD t y
SMEMBERS s
RENAME t s
* SMEMBERS s
"""


@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("script", [MEMBERS, MOVE, POP, ALGEBRA, CARD, SCAN, ERRORS])
def test_replies_are_those_of_redis_server(run_script, script, protocol):
    run_script(script, protocol)


@pytest.mark.parametrize("count", [511, 512, 513])
def test_sets_of_integers_at_their_threshold(run_script, count):
    numbers = " ".join(map(str, range(count)))
    run_script(
        f"""
        SADD s {numbers}
        OBJECT ENCODING s
        SADD s 1000
        OBJECT ENCODING s
        SREM s 1000
        OBJECT ENCODING s
        * SMEMBERS s
        SUNIONSTORE d s
        SCARD d
        CONFIG SET set-max-intset-entries 2
        SADD few 1 2
        OBJECT ENCODING few
        SADD few 3
        CONFIG SET set-max-intset-entries 512
        SMISMEMBER few 1 2 3
        """,
        2,
    )


KEYS = [b"a", b"b", b"c"]
SMALL = [b"%d" % n for n in range(12)]
TEXTS = [b"x", b"", b"\xff\xfe", b"-1", b"07", b"y\xfd", b"9223372036854775808", b"m" * 65]


def _sequence(seed: int, length: int = 120) -> list[tuple[str, list[bytes]]]:
    rng = random.Random(seed)
    one = rng.choice
    pool = SMALL if seed % 3 == 0 else SMALL[:6] + TEXTS
    algebra = [b"SINTER", b"SUNION", b"SDIFF"]

    def request() -> tuple[str, list[bytes]]:
        key, member = one(KEYS), one(pool)
        members = rng.choices(pool, k=rng.randint(1, 5))
        some = rng.choices(KEYS, k=rng.randint(1, 3))
        return one(
            [
                ("", [b"SADD", key, *members]),
                ("", [b"SADD", key, *members]),
                ("", [b"SADD", key, member]),
                ("", [b"SREM", key, *members]),
                ("", [b"SREM", key, member]),
                ("", [b"SMOVE", key, one(KEYS), member]),
                ("", [b"SISMEMBER", key, member]),
                ("", [b"SMISMEMBER", key, *members]),
                ("", [b"SCARD", key]),
                ("*", [b"SMEMBERS", key]),
                ("*", [b"SPOP", key, b"100"]),
                ("*", [b"SRANDMEMBER", key, b"100"]),
                ("*", [b"SSCAN", key, b"0", b"COUNT", b"100", b"MATCH", one([b"*", b"?", b"1*"])]),
                ("*", [one(algebra), *some]),
                ("*", [one(algebra), *some]),
                ("", [one(algebra) + b"STORE", key, *some]),
                ("", [b"SINTERCARD", b"%d" % len(some), *some]),
                ("", [b"SINTERCARD", b"%d" % len(some), *some, b"LIMIT", b"2"]),
                ("*", [b"SORT", key, b"ALPHA"]),
                ("", [b"SORT", key, b"BY", b"nosort", b"STORE", one(KEYS)]),
                ("*", [b"LRANGE", key, b"0", b"-1"]),
                ("", [b"COPY", key, one(KEYS), b"REPLACE"]),
                ("", [b"RENAME", key, one(KEYS)]),
                ("", [b"DEL", key]),
            ]
        )

    state = [("*", [b"SMEMBERS", key]) for key in KEYS]
    return [request() for _ in range(length)] + state


def test_random_sequences(pair):
    pair.check_sequences(_sequence, range(60))


@pytest.mark.slow
def test_random_sequences_for_long(pair):
    pair.check_sequences(_sequence, range(60, 3000))
