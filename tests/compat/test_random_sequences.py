"""Random sequences of commands on a few keys, sent to both servers. Hypothesis shrinks a difference to the
shortest sequence that shows it, and prints how to run it again.
"""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

_KEY_NAMES = [b"a", b""]
_KEYS = st.sampled_from(_KEY_NAMES)
_VALUES = st.sampled_from(
    [
        b"",
        b"0",
        b"1",
        b"-7",
        b"9223372036854775807",
        b"-9223372036854775808",
        b"abc",
        b"3.25",
        b"007",
        b"\x00\xff\r\n",
    ]
    + [b"v" * 44, b"v" * 45]
) | st.binary(max_size=6)
_INTEGERS = st.sampled_from(
    [b"0", b"1", b"-1", b"5", b"-3", b"100", b"9223372036854775807", b"x", b"1.5", b""]
)
_OFFSETS = st.sampled_from([b"0", b"1", b"-1", b"2", b"-2", b"5", b"-100", b"100", b"z"])
_FLOATS = st.sampled_from([b"0.1", b"-2.5", b"1e3", b"1e-5", b"3", b"inf", b"q"])
# Lives end long after the test or long before it: neither server's clock decides.
_LONG = st.sampled_from([b"10000", b"20000"])
_AT_S = st.sampled_from([b"1", b"33177117420", b"33177117421", b"-5"])
_AT_MS = st.sampled_from([b"1", b"33177117420123", b"33177117420124", b"-5"])
_LIFE = st.one_of(
    st.tuples(st.sampled_from([b"EX", b"px"]), _LONG),
    st.tuples(st.just(b"EXAT"), _AT_S),
    st.tuples(st.just(b"PXAT"), _AT_MS),
)
_WRONG_LIFE = st.sampled_from([(b"EX",), (b"EX", b"0"), (b"nonsense",)])
_SET_OPTION = st.one_of(_LIFE, st.sampled_from([(b"NX",), (b"XX",), (b"GET",), (b"KEEPTTL",)]))
_SET_OPTIONS = st.lists(st.one_of(_SET_OPTION, _SET_OPTION, _SET_OPTION, _WRONG_LIFE), max_size=2)
_GETEX_OPTIONS = st.lists(st.one_of(_LIFE, st.just((b"PERSIST",)), _WRONG_LIFE), max_size=1)
_CONDITIONS = st.sampled_from(
    [[], [b"NX"], [b"XX"], [b"GT"], [b"lt"], [b"XX", b"GT"], [b"LT", b"XX"], [b"GT", b"LT"]]
)


def _request(name: bytes, *arguments: st.SearchStrategy[bytes]) -> st.SearchStrategy[list[bytes]]:
    return st.tuples(st.just(name), *arguments).map(list)


def _with_options(
    base: st.SearchStrategy[list[bytes]], options: st.SearchStrategy[list[tuple[bytes, ...]]]
) -> st.SearchStrategy[list[bytes]]:
    return st.builds(
        lambda words, groups: words + [word for group in groups for word in group], base, options
    )


_PAIRS = st.lists(st.tuples(_KEYS, _VALUES), min_size=1, max_size=3).map(lambda pairs: sum(pairs, ()))
_SOME_KEYS = st.lists(_KEYS, min_size=1, max_size=3)

_STRINGS = st.one_of(
    _request(b"GET", _KEYS),
    _request(b"SET", _KEYS, _VALUES),
    _request(b"SETNX", _KEYS, _VALUES),
    _request(b"GETSET", _KEYS, _VALUES),
    _request(b"GETDEL", _KEYS),
    _request(b"APPEND", _KEYS, _VALUES),
    _request(b"STRLEN", _KEYS),
    _request(b"SETRANGE", _KEYS, _OFFSETS, _VALUES),
    _request(b"GETRANGE", _KEYS, _OFFSETS, _OFFSETS),
    _request(b"INCR", _KEYS),
    _request(b"DECR", _KEYS),
    _request(b"INCRBY", _KEYS, _INTEGERS),
    _request(b"DECRBY", _KEYS, _INTEGERS),
    _request(b"INCRBYFLOAT", _KEYS, _FLOATS),
    _request(b"LCS", _KEYS, _KEYS),
    _request(b"LCS", _KEYS, _KEYS, st.sampled_from([b"LEN", b"IDX"])),
    st.builds(lambda keys: [b"MGET", *keys], _SOME_KEYS),
    st.builds(lambda pairs: [b"MSET", *pairs], _PAIRS),
    st.builds(lambda pairs: [b"MSETNX", *pairs], _PAIRS),
)
_GENERIC = st.one_of(
    st.builds(lambda keys: [b"DEL", *keys], _SOME_KEYS),
    st.builds(lambda keys: [b"EXISTS", *keys], _SOME_KEYS),
    _request(b"TYPE", _KEYS),
    _request(b"RENAME", _KEYS, _KEYS),
    _request(b"RENAMENX", _KEYS, _KEYS),
    _request(b"COPY", _KEYS, _KEYS),
    _request(b"COPY", _KEYS, _KEYS, st.just(b"REPLACE")),
    _request(b"SCAN", st.just(b"0"), st.just(b"COUNT"), st.just(b"1000"), st.just(b"MATCH"), st.just(b"a")),
)
_LIVES = st.one_of(
    _with_options(_request(b"SET", _KEYS, _VALUES), _SET_OPTIONS),
    _with_options(_request(b"GETEX", _KEYS), _GETEX_OPTIONS),
    st.builds(lambda key, at, words: [b"PEXPIREAT", key, at, *words], _KEYS, _AT_MS, _CONDITIONS),
    st.builds(lambda key, at, words: [b"EXPIREAT", key, at, *words], _KEYS, _AT_S, _CONDITIONS),
    _request(b"EXPIRE", _KEYS, _LONG),
    _request(b"EXPIRE", _KEYS, st.sampled_from([b"0", b"-1", b"x"])),
    _request(b"SETEX", _KEYS, _LONG, _VALUES),
    _request(b"PSETEX", _KEYS, _LONG, _VALUES),
    _request(b"PERSIST", _KEYS),
)
_EXACT = st.one_of(_STRINGS, _GENERIC, _LIVES, _LIVES).map(lambda words: ("", list(words)))
_BY_THE_CLOCK = st.one_of(
    *(_request(name, _KEYS) for name in (b"TTL", b"PTTL", b"EXPIRETIME", b"PEXPIRETIME"))
).map(lambda words: ("~", words))
_IN_ANY_ORDER = st.sampled_from([[b"KEYS", b"*"], [b"KEYS", b"*a*"], [b"SCAN", b"0", b"COUNT", b"1000"]]).map(
    lambda words: ("*", words)
)
_REQUEST = st.one_of(_EXACT, _EXACT, _EXACT, _BY_THE_CLOCK, _IN_ANY_ORDER)
# A size drawn first makes long sequences as likely as short ones; lists by themselves are short.
_SEQUENCES = st.integers(1, 60).flatmap(lambda size: st.lists(_REQUEST, min_size=size, max_size=size))
_STATE = [
    (mark, [name, key])
    for key in _KEY_NAMES
    for mark, name in (("", b"GET"), ("~", b"PEXPIRETIME"), ("", b"STRLEN"))
]


@settings(
    max_examples=600,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(requests=_SEQUENCES, protocol=st.sampled_from([2, 3]))
def test_both_servers_reply_alike_and_hold_the_same(run_at_once, requests, protocol):
    run_at_once(requests + _STATE, protocol)
