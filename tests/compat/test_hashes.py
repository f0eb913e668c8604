"""The group hash beside redis-server 7.0: every option, every error, and random sequences. Times to live of
fields are younger than that server; they are in tests/node/commands/test_hashes_expiry.py.
"""

from __future__ import annotations

import random

import pytest

SET_AND_GET = """
HSET h a 1
HSET h a 2 b 3 c 4
HSET h b '' d '\\x00\\r\\n\\xff\\xfe\\xfd'
hset h '' empty
HGET h a
HGET h ''
HGET h d
HGET h missing
HGET missing a
HMGET h a missing d '' a
HMGET missing a b
HMSET h e 5
HMSET h e 5 f 6
HMSET new a 1
HGETALL h
HKEYS h
HVALS h
HLEN h
HGETALL missing
HKEYS missing
HVALS missing
HLEN missing
HEXISTS h a
HEXISTS h missing
HEXISTS missing a
HSTRLEN h d
HSTRLEN h missing
HSTRLEN missing a
HSETNX h a 9
HSETNX h z 9
HSETNX fresh a 1
HGET fresh a
TYPE h
OBJECT ENCODING h
HSET h a 2 a 3 a 4
HGET h a
HSET twice f 1 f 2
HDEL h a a missing
HDEL h b c d e f z
HLEN h
HDEL h ''
EXISTS h
HDEL missing a
HDEL fresh a b c
TYPE fresh
EXPIRE new 100
HSET new b 2
HDEL new a
~ TTL new
HSET new '\\xff' '\\xfe' '\\xfd' '\\xfd\\xfe\\xff' '\\xfd\\x00' '\\xff\\xff'
HGETALL new
HGET new '\\xfd'
HDEL new '\\xff'
HMGET new '\\xff' '\\xfd\\x00'
"""

COUNTERS = """
HINCRBY h n 5
HINCRBY h n -7
HINCRBY h n 0
HGET h n
HSET h max 9223372036854775807 min -9223372036854775808 text abc lead 007 space ' 1' empty '' float 1.5
HINCRBY h max 1
HINCRBY h max 0
HINCRBY h min -1
HINCRBY h max -9223372036854775808
HINCRBY h text 1
HINCRBY h lead 1
HINCRBY h space 1
HINCRBY h empty 1
HINCRBY h float 1
HINCRBY h n x
HINCRBY h n 1.5
HINCRBY h n ''
HINCRBY h n 9223372036854775808
HINCRBYFLOAT h f 10.50
HINCRBYFLOAT h f 0.1
HINCRBYFLOAT h f -5
HINCRBYFLOAT h f 5.0e3
HINCRBYFLOAT h f 1e-17
HINCRBYFLOAT h n 0.5
HINCRBYFLOAT h n 0.5
HINCRBY h n 1
HINCRBYFLOAT h n 0
HINCRBYFLOAT h text 1
HINCRBYFLOAT h space 1
HINCRBYFLOAT h empty 1
HINCRBYFLOAT h lead 1
HINCRBYFLOAT h n x
HINCRBYFLOAT h n ''
HINCRBYFLOAT h n nan
HINCRBYFLOAT h n inf
HINCRBYFLOAT h n -inf
HINCRBYFLOAT h n 1e5000
HINCRBYFLOAT new n 1e4932
HINCRBYFLOAT new n 1e4932
HSET h inf inf nan nan
HINCRBYFLOAT h inf 1
HINCRBYFLOAT h nan 1
HINCRBYFLOAT h hex 0x10
HINCRBYFLOAT h max 1
HINCRBYFLOAT fresh f 3.0
HGETALL h
HINCRBY fresh n 1
SET s v
HINCRBY s n x
HINCRBY s n 1
HINCRBYFLOAT s n x
HINCRBYFLOAT s n 1
"""

RANDOM = """
HRANDFIELD missing
HRANDFIELD missing 1
HRANDFIELD missing -1
HRANDFIELD missing 5 WITHVALUES
HSET h a 1
HRANDFIELD h
HRANDFIELD h 0
HRANDFIELD h 1
HRANDFIELD h 10
HRANDFIELD h -3
HRANDFIELD h 1 WITHVALUES
HRANDFIELD h 10 withvalues
HRANDFIELD h -3 WITHVALUES
HRANDFIELD h 0 WITHVALUES
HSET h b 2 c 3
HRANDFIELD h 3
HRANDFIELD h 99 WITHVALUES
HRANDFIELD h x
HRANDFIELD h 1.5
HRANDFIELD h 1 x
HRANDFIELD h x x
HRANDFIELD h 1 WITHVALUES x
HRANDFIELD h x WITHVALUES x
HRANDFIELD h 9223372036854775807
HRANDFIELD h -9223372036854775808
HRANDFIELD h 9223372036854775808
HRANDFIELD h 9223372036854775807 WITHVALUES
HRANDFIELD h -9223372036854775807 WITHVALUES
HRANDFIELD missing -9223372036854775807 WITHVALUES
HRANDFIELD h 4611686018427387903 WITHVALUES
HRANDFIELD h 4611686018427387904 WITHVALUES
SET s v
HRANDFIELD s
HRANDFIELD s x
HRANDFIELD s 1
HRANDFIELD s 0
"""

SCAN = """
HSCAN missing 0
HSCAN missing 0 BAD OPTION
HSCAN missing x
HSET h a 1 b 2 ab 3
HSCAN h 0
HSCAN h 5
HSCAN h 0 COUNT 1
HSCAN h 0 MATCH a*
HSCAN h 0 MATCH *
HSCAN h 0 match nothing count 100
HSCAN h 0 MATCH a MATCH b
HSCAN h x
HSCAN h 0 COUNT 0
HSCAN h 0 COUNT -1
HSCAN h 0 COUNT x
HSCAN h 0 COUNT
HSCAN h 0 MATCH
HSCAN h 0 TYPE hash
HSCAN h 0 x
SET s v
HSCAN s 0
HSCAN s x
HSCAN s 0 x
"""

ERRORS = """
HSET h
HSET h a
HSET h a 1 b
HMSET h a
HMSET h a 1 b
hmset h a 1 b
HSETNX h a
HSETNX h a b c
HGET h
HGET h a b
HMGET h
HDEL h
HLEN
HLEN h x
HSTRLEN h
HEXISTS h
HGETALL
HKEYS h x
HVALS
HINCRBY h a
HINCRBYFLOAT h a
HSCAN h
HRANDFIELD
EXISTS h
SET s v
HSET s a 1
HSET s a
HMSET s a 1
HSETNX s a 1
HGET s a
HMGET s a
HDEL s a
HLEN s
HSTRLEN s a
HEXISTS s a
HGETALL s
HKEYS s
HVALS s
GET s
SADD t v
HGET t v
HSET h a 1
GET h
INCR h
SADD h x
STRLEN h
SETNX h x
SET h x GET
TYPE h
SET h x
TYPE h
"""

MOVING = """
HSET h a 1 b 2
COPY h i
HSET i a 9
HGETALL h
RENAME h j
HGETALL j
EXISTS h
HSET h x y
RENAME j h
HGETALL h
MOVE h 1
SELECT 1
HGETALL h
SELECT 0
SORT i
"""


@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("script", [SET_AND_GET, COUNTERS, RANDOM, SCAN, ERRORS, MOVING])
def test_replies_are_those_of_redis_server(run_script, script, protocol):
    run_script(script, protocol)


def _big(field_bytes: int, value_bytes: int, count: int) -> str:
    words = " ".join(f"{n:0{field_bytes}d} {'v' * value_bytes}" for n in range(count))
    return f"HSET h {words}"


@pytest.mark.parametrize("size", [(3, 3, 511), (3, 3, 512), (3, 3, 513), (64, 64, 1), (65, 1, 1), (3, 65, 1)])
def test_encodings_at_the_thresholds(run_script, size):
    run_script(
        f"""
        {_big(*size)}
        OBJECT ENCODING h
        HSETNX h more x
        OBJECT ENCODING h
        HDEL h more
        OBJECT ENCODING h
        HLEN h
        * HGETALL h
        HINCRBY h more 1
        OBJECT ENCODING h
        """,
        3,
    )


def test_thresholds_follow_config_set(run_script):
    run_script(
        """
        CONFIG SET hash-max-listpack-entries 2 hash-max-ziplist-value 3
        HSET h a 1 b 2
        OBJECT ENCODING h
        HSET h c 3
        OBJECT ENCODING h
        HSET i a 1234
        OBJECT ENCODING i
        HSETNX j abcd 1
        OBJECT ENCODING j
        HINCRBY k f 1234
        OBJECT ENCODING k
        CONFIG SET hash-max-listpack-entries 512 hash-max-listpack-value 64
        HSET l a 1 b 2 c 3
        OBJECT ENCODING l
        OBJECT ENCODING h
        """,
        2,
    )


KEYS = [b"a", b"b"]
FIELDS = [b"f", b"g", b"h", b"", b"\xff\xfe", b"\xfd", b"12", b"f" * 64]
VALUES = [b"", b"1", b"-5", b"3.5", b"\xfe\xff\r\n", b"x", b"v" * 64, b"9223372036854775807", b"q\xfd"]
AMOUNTS = [b"1", b"-3", b"9223372036854775807", b"x"]
FLOATS = [b"0.1", b"-2.5", b"1e3", b"inf", b"q"]
LONG = b"v" * 65


def _sequence(seed: int, length: int = 120) -> list[tuple[str, list[bytes]]]:
    rng = random.Random(seed)
    one = rng.choice
    values = VALUES if seed % 3 else [*VALUES, LONG]
    in_order = "" if seed % 3 else "*"

    def request() -> tuple[str, list[bytes]]:
        key, field = one(KEYS), one(FIELDS)
        fields = rng.choices(FIELDS, k=rng.randint(1, 4))
        pairs = [word for name in fields for word in (name, one(values))]
        return one(
            [
                ("", [b"HSET", key, *pairs]),
                ("", [b"HSET", key, *pairs]),
                ("", [b"HMSET", key, *pairs]),
                ("", [b"HSETNX", key, field, one(values)]),
                ("", [b"HDEL", key, *fields]),
                ("", [b"HDEL", key, *fields]),
                ("", [b"HINCRBY", key, field, one(AMOUNTS)]),
                ("", [b"HINCRBYFLOAT", key, field, one(FLOATS)]),
                ("", [b"HGET", key, field]),
                ("", [b"HMGET", key, *fields]),
                ("", [b"HEXISTS", key, field]),
                ("", [b"HSTRLEN", key, field]),
                ("", [b"HLEN", key]),
                (in_order, [b"HGETALL", key]),
                (in_order, [b"HKEYS", key]),
                (in_order, [b"HVALS", key]),
                ("*", [b"HRANDFIELD", key, b"100", *one([[], [b"WITHVALUES"]])]),
                ("*", [b"HSCAN", key, b"0", b"COUNT", b"100", b"MATCH", one([b"*", b"f*", b"?"])]),
                ("", [b"OBJECT", b"ENCODING", key]),
                ("", [b"COPY", key, one(KEYS), b"REPLACE"]),
                ("", [b"RENAME", key, one(KEYS)]),
                ("", [b"SET", key, b"string"]),
                ("", [b"DEL", key]),
            ]
        )

    state = [("*", [b"HGETALL", key]) for key in KEYS]
    return [request() for _ in range(length)] + state


def test_random_sequences(pair):
    pair.check_sequences(_sequence, range(60))


@pytest.mark.slow
def test_random_sequences_for_long(pair):
    pair.check_sequences(_sequence, range(60, 3000))
