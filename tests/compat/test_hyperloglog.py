"""The group hyperloglog beside redis-server 7.0: replies, estimates, and the strings byte for byte."""

from __future__ import annotations

import random

import pytest

BASICS = """
PFADD h
GET h
PFCOUNT h
GET h
PFADD h
PFADD h a b c d e f g
GET h
PFCOUNT h
GET h
PFADD h a b c
GET h
PFADD h x '' '\\x00\\xff' 12345678 123456789 1234567890123456
PFADD h x
PFDEBUG ENCODING h
PFDEBUG DECODE h
PFDEBUG TODENSE h
GET h
PFDEBUG TODENSE h
PFDEBUG ENCODING h
PFDEBUG DECODE h
PFCOUNT h
PFADD h a y z
PFCOUNT h
GET h
PFADD g 1 2 3
PFDEBUG GETREG g
PFDEBUG encoding g
GET g
PFCOUNT missing
PFCOUNT missing g h
PFCOUNT missing other
PFCOUNT g g
EXPIREAT g 33177117420
PFADD g 4
PFCOUNT g
PFMERGE g h
EXPIRETIME g
TYPE g
STRLEN g
"""

MERGES = """
PFADD a 1 2 3 4 5
PFADD b 4 5 6 7
PFCOUNT a b
PFMERGE c a b
GET c
PFCOUNT c
PFMERGE c
GET c
PFMERGE empty
GET empty
PFCOUNT empty
PFMERGE empty missing
PFMERGE a b
GET a
PFMERGE b b b
GET b
PFDEBUG TODENSE b
PFMERGE d b
PFDEBUG ENCODING d
GET d
PFMERGE e a b c
GET e
PFADD f x
PFMERGE f b
GET f
PFCOUNT f
PFMERGE a b
PFADD a 100
GET a
"""

ERRORS = """
SET s foo
PFADD s a
PFADD s
PFCOUNT s
PFCOUNT s missing
PFMERGE s
PFMERGE x s
EXISTS x
PFMERGE x missing s
SET n 123
PFADD n a
PFCOUNT n
LPUSH l x
PFADD l a
PFCOUNT l
PFCOUNT missing l
PFMERGE l
PFMERGE x l
PFMERGE l missing
PFDEBUG ENCODING l
PFDEBUG ENCODING s
PFDEBUG ENCODING missing
PFDEBUG nonsense missing
PFADD h a
PFDEBUG nonsense h
PFDEBUG DECODE
PFDEBUG DECODE h x
SET bad HYLL
PFCOUNT bad
SET bad 'HYLL\\x02\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x7f\\xff'
PFCOUNT bad
SET bad 'HYLL\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x7f\\xff'
PFCOUNT bad
SET bad 'HYLL\\x01\\x00\\x00\\x00\\x05\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x3f\\xff'
PFCOUNT bad
PFCOUNT bad missing
PFMERGE x bad
EXISTS x
SET bad 'HYLL\\x01\\x00\\x00\\x00\\x05\\x00\\x00\\x00\\x00\\x00\\x00\\x80\\x3f'
PFCOUNT bad
PFADD bad a b c d e
PFDEBUG TODENSE bad
PFDEBUG GETREG bad
SET bad 'HYLL\\x01\\x01\\x02\\x03\\x05\\x00\\x00\\x00\\x00\\x00\\x00\\x80\\x7f\\xff'
PFADD bad a
GET bad
PFCOUNT bad
GET bad
SET bad 'HYLL\\x01\\x01\\x02\\x03\\x05\\x00\\x00\\x00\\x00\\x00\\x00\\x80\\x80\\x84\\x7f\\xfd'
PFADD bad a
GET bad
PFDEBUG DECODE bad
PFCOUNT bad
SET cased 'hyll\\x01\\x00\\x00\\x00\\x05\\x00\\x00\\x00\\x00\\x00\\x00\\x80\\x7f\\xff'
PFCOUNT cased
PFADD
PFCOUNT
PFMERGE
PFDEBUG
PFSELFTEST x
"""

SCRIPTS = {"basics": BASICS, "merges": MERGES, "errors": ERRORS}


@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("name", SCRIPTS)
def test_replies_are_those_of_redis_server(run_script, name, protocol):
    run_script(SCRIPTS[name], protocol)


def test_our_self_test_passes(pair):
    assert pair.ours.call(b"PFSELFTEST") == b"+OK\r\n"


@pytest.mark.parametrize("step", [1, 7, 500])
def test_from_empty_to_dense_the_strings_are_the_same_at_every_look(pair, step):
    requests = []
    for start in range(0, 4000, step):
        elements = [b"element:%d" % number for number in range(start, start + step)]
        requests.append(("", [b"PFADD", b"h", *elements]))
        if step > 1 or start % 20 == 0:
            requests.append(("", [b"GET", b"h"]))
        if start % 3 == 0:
            requests.append(("", [b"PFCOUNT", b"h"]))
    requests.append(("", [b"GET", b"h"]))
    difference = pair.run_at_once(requests, 2)
    assert difference is None, difference


def test_estimates_of_many_elements_are_the_same(pair):
    requests = []
    for start in range(0, 200_000, 10_000):
        requests.append(("", [b"PFADD", b"h", *(b"%d" % number for number in range(start, start + 10_000))]))
        requests.append(("", [b"PFCOUNT", b"h"]))
    requests.append(("", [b"GET", b"h"]))
    difference = pair.run_at_once(requests, 2)
    assert difference is None, difference


# Random sequences

KEYS = [b"a", b"b", b"c"]


@pytest.fixture
def sparse_limit_restored(pair):
    yield
    for wire in (pair.ours, pair.theirs):
        assert wire.call(b"CONFIG", b"SET", b"hll-sparse-max-bytes", b"3000") == b"+OK\r\n"


def _elements(rng: random.Random) -> list[bytes]:
    count = rng.choice([0, 1, 1, 2, 5, 30, 200])
    return [rng.choice([b"%d" % rng.randrange(3000), rng.randbytes(rng.randrange(20))]) for _ in range(count)]


def _sequence(seed: int) -> list[tuple[str, list[bytes]]]:
    """Sparse strings are promoted at various lengths, some of them very soon."""
    rng = random.Random(seed)
    limit = b"%d" % rng.choice([0, 20, 50, 100, 1000, 3000, 3000, 8000, 16000])
    requests = [[b"CONFIG", b"SET", b"hll-sparse-max-bytes", limit]]
    for _ in range(60):
        key, other = rng.choice(KEYS), rng.choice(KEYS)
        requests.append(
            rng.choice(
                [
                    [b"PFADD", key, *_elements(rng)],
                    [b"PFADD", key, *_elements(rng)],
                    [b"PFADD", key, *_elements(rng)],
                    [b"PFCOUNT", key],
                    [b"PFCOUNT", key, other],
                    [b"PFMERGE", key, *rng.choices(KEYS, k=rng.randrange(3))],
                    [b"GET", key],
                    [b"COPY", key, other],
                    [b"PFDEBUG", rng.choice([b"DECODE", b"ENCODING"]), key],
                    [b"DEL", key],
                ]
            )
        )
    return [("", words) for words in [*requests, *([b"GET", key] for key in KEYS)]]


def test_random_sequences_reply_alike_and_leave_the_same(pair, sparse_limit_restored):
    pair.check_sequences(_sequence, range(60))


@pytest.mark.slow
def test_random_sequences_reply_alike_for_long(pair, sparse_limit_restored):
    pair.check_sequences(_sequence, range(60, 1500))
