"""SORT and SORT_RO beside redis-server 7.0: every option, every error, and random sequences."""

from __future__ import annotations

import random

import pytest

LISTS = """
RPUSH l 3 1 2 10 -5 1.5 1e2
SORT l
SORT l ASC
SORT l DESC
sort l asc desc
SORT l ALPHA
SORT l ALPHA DESC
SORT l LIMIT 0 3
SORT l LIMIT 2 3
SORT l LIMIT 5 99
SORT l LIMIT 99 5
SORT l LIMIT 0 0
SORT l LIMIT 3 0
SORT l LIMIT -5 2
SORT l LIMIT 2 -1
SORT l LIMIT 2 -7
SORT l LIMIT 0 9223372036854775807
SORT l LIMIT 9223372036854775807 1
SORT l DESC LIMIT 1 2
SORT l BY nosort
SORT l BY nosort DESC
SORT l BY nosort LIMIT 1 3
SORT l BY nosort DESC LIMIT 1 3
SORT l BY nosort LIMIT 99 3
SORT l BY nosort LIMIT 0 0
SORT l BY nosort DESC LIMIT 0 0
SORT l BY nosort LIMIT 5 99
SORT l BY nosort DESC LIMIT 5 99
SORT l BY nosort GET "#" LIMIT 0 2
SORT_RO l
SORT_RO l DESC LIMIT 0 2 ALPHA
SORT missing
SORT missing LIMIT 0 10
SORT missing STORE d
SORT missing BY w_* GET "#"
SORT l STORE d
LRANGE d 0 -1
TYPE d
SORT l LIMIT 0 2 STORE d
LRANGE d 0 -1
SORT l LIMIT 0 0 STORE d
EXISTS d
SORT l STORE l
LRANGE l 0 -1
SET s v EX 100
SORT l STORE s
TTL s
TYPE s
SORT missing STORE s
EXISTS s
RPUSH same 2 1 2 1 02 01 2.0
SORT same
SORT same DESC
SORT same ALPHA
"""

SETS = """
SADD s 5 3 1 4
SORT s
SORT s DESC LIMIT 1 2
SORT s BY nosort
SORT s BY nosort STORE d
LRANGE d 0 -1
SORT s BY nosort DESC STORE d
LRANGE d 0 -1
SORT s BY nosort DESC LIMIT 1 2 STORE d
LRANGE d 0 -1
SADD t b a ab '' B '\\xff'
SORT t ALPHA
SORT t ALPHA DESC
SORT t ALPHA LIMIT 1 3
SORT t
SORT t STORE d2
EXISTS d2
SORT t BY nosort STORE d
LRANGE d 0 -1
ZADD z 3 a 1 b 2 c 2 d
SORT z ALPHA
SORT z ALPHA DESC
SORT z BY nosort
SORT z BY nosort DESC
SORT z BY nosort LIMIT 1 2
SORT z BY nosort DESC LIMIT 1 2
SORT z BY nosort DESC LIMIT 3 9
SORT z BY nosort LIMIT 4 9
SORT z BY nosort LIMIT 0 0
SORT z
SORT z BY nosort STORE d
LRANGE d 0 -1
ZADD n 9 1 8 2 7 3
SORT n
SORT n DESC
"""

PATTERNS = """
RPUSH l 1 2 3 4
MSET w_1 10 w_2 5 w_3 7 n_1 one n_2 two n_3 three
HSET h_1 weight 3 name eins empty ''
HSET h_2 weight 1 name zwei
HSET h_3 weight 2
SORT l BY w_*
SORT l BY w_* DESC
SORT l BY w_* LIMIT 1 2
SORT l BY w_* DESC LIMIT 0 1
SORT l BY w_* GET n_*
SORT l BY w_* GET n_* GET "#" GET w_*
SORT l GET "#" GET missing_*
SORT l GET fixed
SORT l GET ''
SORT l GET "##"
SORT l GET *
SORT l BY h_*->weight
SORT l BY h_*->weight DESC GET "#"
SORT l BY h_*->name ALPHA
SORT l BY h_*->name ALPHA DESC
SORT l BY n_* ALPHA
SORT l BY n_* ALPHA DESC GET n_*
SORT l BY n_*
SORT l BY h_*
SORT l GET h_*->name
SORT l GET h_*->missing GET h_*->empty
SORT l GET n_*->name
SORT l GET h_*
SORT l GET h_*->
SORT l BY h_*-> ALPHA
SORT l BY h_*->weight GET h_*->name GET h_*->weight STORE d
LRANGE d 0 -1
SORT l GET missing_* STORE d
LRANGE d 0 -1
SORT l BY w_* GET n_* LIMIT 0 2 STORE d
LRANGE d 0 -1
SORT l BY x_* GET "#"
SORT l BY x_* DESC
SORT l BY x_* ALPHA
SORT l BY w_* BY nosort
SORT l BY nosort BY w_*
SORT_RO l BY w_* GET n_* DESC
SADD s a b c
MSET p_a 3 p_b 1 p_c 2 a 30 b 20 c 10
SORT s BY p_*
SORT s BY *
SORT s BY * DESC GET * GET p_*
SORT s BY x_* STORE d
LLEN d
ZADD z 1 a 2 b 3 c
SORT z BY p_* GET "#"
* SORT z BY p_*_x ALPHA GET "#"  # none has a weight, so any order is right
SET p_a ''
SORT s BY p_*
SET p_a x
SORT s BY p_*
SORT s BY p_* STORE d3
EXISTS d3
HSET deep_a->x y 5
HSET 'deep_a' 'x->y' 1 y 2
SORT s GET deep_*->x->y
SORT s GET *->x
HSET a_1_b f 1
RPUSH one 1
SORT one GET a_*_b->f
SORT one GET a_*_b
SORT one GET ->*
SORT one GET a->*b
"""

# After a number out of range redis-server finds fault with others, too: it forgets to reset errno.
NUMBERS = """
RPUSH zeros '2\\x00x' '1\\x00y' '\\x00'
SORT zeros
RPUSH l ' 1' '' 5
SORT l
RPUSH l '1 '
SORT l
DEL l
RPUSH l ' '
SORT l
DEL l
RPUSH l inf -inf 0x10 0x1p3 +5 .5 5. 1E3 -0 INFINITY 9223372036854775807 18446744073709551616
SORT l
SORT l DESC
DEL l
RPUSH l nan
SORT l
DEL l
RPUSH l 1e999
SORT l
SORT l ALPHA
DEL l
RPUSH l 1_0
SORT l
DEL l
RPUSH l 1 a
SORT l
SORT l STORE d
EXISTS d
SORT l LIMIT 0 0
SORT l BY nosort
DEL l
RPUSH l 0x 1
SORT l
DEL l
RPUSH l 1e 1
SORT l
"""

ERRORS = """
SORT
SORT l x
SORT l LIMIT
SORT l LIMIT 1
SORT l LIMIT x 1
SORT l LIMIT 1 x
SORT l LIMIT 1.5 2
SORT l LIMIT 9223372036854775808 1
SORT l BY
SORT l GET
SORT l STORE
SORT l ASC x
SORT_RO
SORT_RO l STORE d
SORT_RO l x
SET s v
SORT s
SORT s x
SORT s STORE d
SORT s LIMIT x 1
HSET h a 1
SORT h
SORT_RO h BY nosort
RPUSH l 1
SORT l STORE d STORE e
EXISTS d
EXISTS e
"""


@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("script", [LISTS, SETS, PATTERNS, NUMBERS, ERRORS])
def test_replies_are_those_of_redis_server(run_script, script, protocol):
    run_script(script, protocol)


def test_keys_of_sort(run_script):
    run_script(
        """
        COMMAND GETKEYS SORT l
        COMMAND GETKEYS SORT l STORE d
        COMMAND GETKEYS SORT l BY store GET store LIMIT 0 1 STORE d
        COMMAND GETKEYS SORT l STORE d STORE e
        COMMAND GETKEYS SORT l BY STORE STORE STORE
        COMMAND GETKEYS SORT_RO l BY x
        """,
        2,
    )


NUMERIC = [b"1", b"2", b"3", b"10", b"-1", b"2.5", b"02"]


def _sequence(seed: int, length: int = 60) -> list[tuple[str, list[bytes]]]:
    rng = random.Random(seed)
    one = rng.choice
    requests: list[tuple[str, list[bytes]]] = [
        ("", [b"RPUSH", b"list", *rng.choices(NUMERIC, k=8)]),
        ("", [b"SADD", b"set", *rng.choices(NUMERIC, k=8)]),
        ("", [b"ZADD", b"zset", *(word for member in NUMERIC for word in (one([b"1", b"2"]), member))]),
    ]
    # Weights are all different: those that are equal leave the order open.
    for weight, member in enumerate(rng.sample(NUMERIC, len(NUMERIC))):
        requests.append(("", [b"SET", b"w_" + member, b"%d" % weight]))
        requests.append(("", [b"HSET", b"h_" + member, b"f", b"%d" % (weight * 7 % 11)]))
    for _ in range(length):
        words = [one([b"SORT", b"SORT", b"SORT_RO"]), one([b"list", b"set", b"zset"])]
        by = rng.random() < 0.5
        if by:
            words += [b"BY", one([b"w_*", b"h_*->f", b"w_*", b"nosort"])]
        mark = "*" if words[1] == b"set" and b"nosort" in words else ""
        if rng.random() < 0.4:
            words += one([[b"ALPHA"], [b"DESC"], [b"ASC"], [b"ALPHA", b"DESC"]])
        if rng.random() < 0.4 and not mark:
            words += [b"LIMIT", b"%d" % rng.randint(-1, 5), b"%d" % rng.randint(-1, 5)]
        for _ in range(one([0, 0, 1, 2])):
            words += [b"GET", one([b"#", b"w_*", b"h_*->f", b"h_*->g", b"nothing"])]
        requests.append((mark, words))
        if words[0] == b"SORT" and rng.random() < 0.3:
            requests[-1] = ("", [*words, b"STORE", b"stored"])
            requests.append(("", [b"LRANGE", b"stored", b"0", b"-1"]))
    return requests


def test_random_sequences(pair):
    pair.check_sequences(_sequence, range(60))


@pytest.mark.slow
def test_random_sequences_for_long(pair):
    pair.check_sequences(_sequence, range(60, 2000))
