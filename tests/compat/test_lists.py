"""The group list beside redis-server 7.0: every option, and every error."""

from __future__ import annotations

import random

import pytest

PUSH = """
LPUSH l a
LPUSH l b c
RPUSH l d e
LRANGE l 0 -1
LLEN l
LPUSHX l f g
RPUSHX l h
LPUSHX missing a
RPUSHX missing a b
EXISTS missing
LRANGE l 0 -1
LPUSH l '' '\\x00\\xff\\xfe\\xfd' 12 -5
LRANGE l 0 -1
TYPE l
SET s x
LPUSH s a
RPUSH s a
LPUSHX s a
LLEN s
LLEN missing
LPUSH l
RPUSH l
LPUSHX l
LLEN
LLEN a b
RPUSH l 1 EX
LRANGE l -2 -1
SET gone v PXAT 1
RPUSH gone a
TTL gone
"""

POP = """
RPUSH l a b c d e f g h
LPOP l
RPOP l
LPOP l 2
RPOP l 2
LPOP l 0
RPOP l 0
LPOP l 100
EXISTS l
LPOP l
RPOP l
LPOP l 1
LPOP l 0
RPOP l 0
RPUSH l a
LPOP l -1
LPOP l x
LPOP l 9223372036854775808
LPOP l 9223372036854775807
RPUSH l a b
RPOP l 2
SET s x
LPOP s
RPOP s 1
RPOP s 0
RPOP s -1
LPOP s 1 2
LPOP
RPOP
LPOP l 1 2
RPOP l 1 2
"""

RANGE = """
RPUSH l a b c d e
LRANGE l 0 0
LRANGE l 1 2
LRANGE l -3 -2
LRANGE l -100 1
LRANGE l 3 100
LRANGE l 5 10
LRANGE l 3 1
LRANGE l -1 -3
LRANGE l 0 -100
LRANGE l -9223372036854775808 9223372036854775807
LRANGE l 0 9223372036854775808
LRANGE l x 1
LRANGE l 1 x
LRANGE missing 0 -1
LRANGE missing x 0
LRANGE l 0
LINDEX l 0
LINDEX l 4
LINDEX l 5
LINDEX l -1
LINDEX l -5
LINDEX l -6
LINDEX l 9223372036854775807
LINDEX l -9223372036854775808
LINDEX l x
LINDEX missing 0
LINDEX missing x
LINDEX l
SET s x
LRANGE s 0 -1
LRANGE s x -1
LINDEX s 0
LINDEX s x
"""

CHANGE = """
RPUSH l a b c d e
LSET l 0 A
LSET l -1 E
LSET l 2 ''
LRANGE l 0 -1
LSET l 5 x
LSET l -6 x
LSET l x y
LSET l 9223372036854775807 x
LSET missing 0 x
LSET missing x x
LSET l 0
LINSERT l BEFORE b x
LINSERT l after b y
LINSERT l AFTER E z
LINSERT l before A 0
LRANGE l 0 -1
LINSERT l BEFORE nothing x
LINSERT missing BEFORE a b
LINSERT missing sideways a b
LINSERT l sideways a b
LINSERT l BEFORE a
SET s x
LSET s 0 x
LSET s x x
LINSERT s BEFORE a b
LINSERT s sideways a b
DEL l
RPUSH l a b a c a d a
LREM l 1 a
LRANGE l 0 -1
LREM l -1 a
LRANGE l 0 -1
LREM l -5 a
LREM l 0 nothing
LREM missing 0 a
LREM l x a
LREM missing x a
LREM s 0 x
LREM s x x
LREM l 0
LREM l 0 b
LREM l 9223372036854775807 c
LREM l 0 d
EXISTS l
RPUSH l a b c d e f
LTRIM l 1 -2
LRANGE l 0 -1
LTRIM l 0 -1
LTRIM l 1 1
LRANGE l 0 -1
LTRIM l -100 100
LTRIM l 5 10
EXISTS l
RPUSH l a
LTRIM l 1 0
EXISTS l
LTRIM l 0 -1
LTRIM l x 0
LTRIM l 0 x
LTRIM missing 0 x
LTRIM s 0 -1
LTRIM s 0 x
LTRIM l 0
"""

POSITIONS = """
RPUSH l a b c 1 2 3 c c
LPOS l c
LPOS l c RANK 2
LPOS l c RANK -1
LPOS l c RANK -2
LPOS l c RANK 4
LPOS l c COUNT 2
LPOS l c COUNT 0
LPOS l c COUNT 100
LPOS l c RANK -1 COUNT 2
LPOS l c RANK -2 COUNT 0
LPOS l c COUNT 0 MAXLEN 3
LPOS l c COUNT 0 MAXLEN 2
LPOS l c MAXLEN 2
LPOS l c MAXLEN 3
LPOS l c RANK -1 MAXLEN 1
LPOS l a RANK -1 MAXLEN 7
LPOS l a RANK -1 MAXLEN 8
LPOS l c COUNT 0 RANK 2 MAXLEN 7
LPOS l c maxlen 0 count 1 rank 1
LPOS l 1
LPOS l nothing
LPOS l nothing COUNT 0
LPOS missing c
LPOS missing c COUNT 1
LPOS l c RANK 0
LPOS l c RANK x
LPOS l c RANK 9223372036854775807
LPOS l c RANK -9223372036854775807
# Redis 7.0 takes this rank for 1, 7.2 refuses it.
- LPOS l c RANK -9223372036854775808
LPOS l c RANK 9223372036854775808
LPOS l c COUNT -1
LPOS l c COUNT x
LPOS l c MAXLEN -1
LPOS l c MAXLEN x
LPOS l c RANK
LPOS l c COUNT
LPOS l c nonsense
LPOS l c nonsense 1
LPOS l c COUNT 1 COUNT 2
SET s x
LPOS s c
LPOS s c RANK 0
LPOS l
"""

MOVE = """
RPUSH a 1 2 3
LMOVE a b LEFT RIGHT
LMOVE a b RIGHT LEFT
LMOVE a a LEFT RIGHT
LRANGE a 0 -1
LRANGE b 0 -1
LMOVE b b left right
LMOVE b b RIGHT RIGHT
LRANGE b 0 -1
LMOVE a b LEFT LEFT
EXISTS a
LRANGE b 0 -1
LMOVE missing b LEFT LEFT
LMOVE missing missing LEFT LEFT
RPOPLPUSH b a
RPOPLPUSH b b
RPOPLPUSH missing b
LRANGE a 0 -1
LRANGE b 0 -1
SET s x
LMOVE s a LEFT LEFT
LMOVE a s LEFT LEFT
LMOVE missing s LEFT LEFT
RPOPLPUSH s a
RPOPLPUSH a s
LRANGE a 0 -1
LMOVE a b LEFT UP
LMOVE a b UP LEFT
LMOVE missing b UP LEFT
LMOVE s b LEFT UP
LMOVE a b LEFT
LMOVE a b LEFT LEFT LEFT
RPOPLPUSH a
EXPIRE b 100
LMOVE a b LEFT LEFT
~ TTL b
"""

MPOP = """
RPUSH a 1 2 3
RPUSH b 4 5 6
LMPOP 1 a LEFT
LMPOP 2 missing b RIGHT COUNT 2
LMPOP 2 a b left count 100
LMPOP 2 a b RIGHT COUNT 1
LMPOP 2 a b RIGHT COUNT 1
LMPOP 1 a LEFT COUNT 0
LMPOP 1 a LEFT COUNT -1
LMPOP 1 a LEFT COUNT x
LMPOP 1 a LEFT COUNT
LMPOP 1 a LEFT COUNT 1 COUNT 2
LMPOP 1 a LEFT COUNT 1 x
LMPOP 1 a LEFT COUNT 0 x
LMPOP 1 a LEFT nonsense
LMPOP 1 a LEFT nonsense 1
LMPOP 1 a UP
LMPOP 0 a LEFT
LMPOP -1 a LEFT
LMPOP x a LEFT
LMPOP 2 a LEFT
LMPOP 3 a LEFT
LMPOP 9223372036854775807 a LEFT
LMPOP 9223372036854775808 a LEFT
LMPOP 1 a
LMPOP 1
SET s x
LMPOP 1 s LEFT
LMPOP 2 a s LEFT
RPUSH a 1
LMPOP 2 a s LEFT
RPUSH a 1
LMPOP 2 s a LEFT
LMPOP 2 s a UP
"""

# A list of few bytes is a quicklist in Redis 7.0, a listpack in 7.2.
ENCODINGS = "\n".join(
    [
        "RPUSH l a",
        "- OBJECT ENCODING l",
        "RPUSH l " + "x" * 8180,
        "- OBJECT ENCODING l",
        "RPUSH l " + "x" * 20,
        "- OBJECT ENCODING l",
        "RPOP l",
        "- OBJECT ENCODING l",
        "RPOP l",
        "- OBJECT ENCODING l",
        "DEL l",
        "RPUSH l " + " ".join(map(str, range(2000))),
        "- OBJECT ENCODING l",
        "RPUSH l " + "y" * 5000,
        "- OBJECT ENCODING l",
        "LRANGE l 0 -1",
        "LINDEX l 1000",
        "LPOP l 1500",
        "RPOP l 10",
        "LRANGE l 0 -1",
    ]
)

SCRIPTS = {
    "push": PUSH,
    "pop": POP,
    "range": RANGE,
    "change": CHANGE,
    "positions": POSITIONS,
    "move": MOVE,
    "mpop": MPOP,
    "encodings": ENCODINGS,
}


@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("name", SCRIPTS)
def test_replies_are_those_of_redis_server(run_script, name, protocol):
    run_script(SCRIPTS[name], protocol)


NAMES = [b"a", b"b", b"c"]
# Few of them, so that they meet again; the long ones make quicklists of several nodes.
ITEMS = [b"", b"0", b"1", b"-5", b"x", b"y", b"z", b"\xff\xfe\xfd\x00", b"long" * 20, b"longer" * 500]
INDICES = [b"0", b"1", b"2", b"-1", b"-2", b"3", b"10", b"-10", b"200", b"x"]
COUNTS = [b"0", b"1", b"2", b"3", b"-1", b"-2", b"150", b"x"]


def _sequence(seed: int, length: int = 150) -> list[tuple[str, list[bytes]]]:
    """Requests that a seed stands for, and at the end all that the keys hold."""
    rng = random.Random(seed)
    items = ITEMS if rng.random() < 0.7 else [b"%d" % number for number in range(50)]

    def some(most: int) -> list[bytes]:
        return rng.choices(items, k=rng.randint(1, most))

    def request() -> list[bytes]:
        name, other, item = rng.choice(NAMES), rng.choice(NAMES), rng.choice(items)
        index, last, count = rng.choice(INDICES), rng.choice(INDICES), rng.choice(COUNTS)
        ends = rng.choices([b"LEFT", b"right"], k=2)
        options = rng.choice([[], [b"COUNT", count], [b"RANK", index], [b"MAXLEN", count, b"COUNT", b"0"]])
        return rng.choice(
            [
                [rng.choice([b"LPUSH", b"RPUSH"]), name, *some(5)],
                [rng.choice([b"LPUSH", b"RPUSH"]), name, *some(200 if rng.random() < 0.2 else 3)],
                [rng.choice([b"LPUSHX", b"RPUSHX"]), name, *some(2)],
                [rng.choice([b"LPOP", b"RPOP"]), name],
                [rng.choice([b"LPOP", b"RPOP"]), name, count],
                [b"LRANGE", name, index, last],
                [b"LINDEX", name, index],
                [b"LLEN", name],
                [b"LSET", name, index, item],
                [b"LINSERT", name, rng.choice([b"BEFORE", b"AFTER"]), item, *some(1)],
                [b"LREM", name, count, item],
                [b"LTRIM", name, index, last] if rng.random() < 0.3 else [b"LTRIM", name, b"0", b"-2"],
                [b"LPOS", name, item, *options],
                [b"LMOVE", name, other, *ends],
                [b"RPOPLPUSH", name, other],
                [b"LMPOP", b"2", name, other, ends[0], *rng.choice([[], [b"COUNT", count]])],
                [b"BLPOP", name, other, b"0.001"] if rng.random() < 0.2 else [b"LLEN", name],
                rng.choice([[b"DEL", name], [b"SET", name, b"x"], [b"COPY", name, other, b"REPLACE"]])
                if rng.random() < 0.3
                else [b"RENAME", name, other],
            ]
        )

    requests = [("", request()) for _ in range(length)]
    return requests + [("", [b"LRANGE", name, b"0", b"-1"]) for name in NAMES]


def test_random_sequences(pair):
    pair.check_sequences(_sequence, range(100))


@pytest.mark.slow
def test_random_sequences_for_long(pair):
    pair.check_sequences(_sequence, range(100, 3000))
