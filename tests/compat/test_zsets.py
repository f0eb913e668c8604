"""The group sorted-set beside redis-server 7.0: every option, and every error.

Redis 7.0 prints scores with all of their 17 digits, 7.2 as briefly as they can be told apart, and so do we.
So the scores here are those that both print alike (but where said), and ZRANK's WITHSCORE, which came with
7.2, is tested in tests/node/commands/test_zsets.py.
"""

from __future__ import annotations

import random

import pytest

ADD = """
ZADD z 1 a
ZADD z 2 b 3 c
ZADD z 1 a
ZADD z 5 a 6 d
ZRANGE z 0 -1 WITHSCORES
ZADD z NX 9 a 9 e
ZADD z XX 8 a 8 f
ZADD z XX CH 7 a 8 b
ZADD z GT CH 6 a 9 b 1 g
ZADD z LT CH 6 a 10 b 1 h
ZADD z XX GT 9 a 9 new
ZADD z GT XX CH 8 a 10 b
ZADD z LT XX CH 8 a 8 b
ZADD z INCR 2.5 a
ZADD z NX INCR 2.5 a
ZADD z XX INCR 2.5 new
ZADD z NX INCR 2.5 new
ZADD z GT INCR -1 a
ZADD z LT INCR -1 a
ZADD z GT INCR 1 a
ZADD z incr ch 0 a
ZADD z CH 0 new2 0 new2
ZADD z 1 x 2 x 3 x
ZADD z CH 1 y 2 y 2 y
ZRANGE z 0 -1 WITHSCORES
ZADD z NX XX 1 a
ZADD z NX GT 1 a
ZADD z NX LT 1 a
ZADD z GT LT 1 a
ZADD z XX GT LT 1 a
ZADD z NX XX GT 1 a
ZADD z INCR 1 a 2 b
ZADD z NX XX INCR 1 a 2 b
ZADD z INCR NX XX x a
ZADD z NX
ZADD z NX 1
ZADD z NX XX
ZADD z 1 a 2
ZADD z x a
ZADD z 1 a x b
EXISTS b
ZADD z nx a
ZADD z '' a
ZADD z ' 1' a
ZADD z '1 ' a
ZADD z nan a
ZADD z 1_0 a
ZADD z 0x10 hex
ZADD z 0x1.8p1 hex2
ZADD z 1e400 a
ZADD z 1e-400 a
ZADD z 1e5 e
ZADD z .5 f 5. g
ZADD z inf i -inf j +Infinity k
ZADD z INF i
ZRANGE z 0 -1 WITHSCORES
ZADD z INCR -inf i
ZADD z INCR inf j
ZADD z INCR nan j
ZINCRBY z -inf i
ZINCRBY z inf k
ZINCRBY z 1 i
ZINCRBY z 2 new3
ZINCRBY z 0.5 new3
ZINCRBY z x a
ZINCRBY z nx a
ZINCRBY z ch incr
ZINCRBY z 1
ZINCRBY missing 1 a
ZADD missing2 XX 1 a
ZADD missing2 XX INCR 1 a
EXISTS missing2
ZADD missing2
ZADD missing2 1
SET s x
ZADD s 1 a
ZADD s XX 1 a
ZADD s x a
ZINCRBY s 1 a
ZCARD z
ZCARD s
ZCARD missing3
ZADD order 1 b 1 a 1 c 0 z 2 '' 1 '\\x00' 1 '\\xff' 1 '\\xfe\\xfd'
ZRANGE order 0 -1 WITHSCORES
TYPE order
OBJECT ENCODING order
"""

ZERO = """
ZADD z -0 a 0 b
ZSCORE z a
ZSCORE z b
ZRANGE z 0 -1 WITHSCORES
ZADD z CH 0 a
ZADD z INCR 0 a
ZADD z INCR -0 new
ZSCORE z new
ZINCRBY z -0 other
ZADD z 1e-400 x
ZADD z 5e-324 tiny
"""

LONG_NUMBERS = """
ZADD z 3.25 a 1048576.5 b 123456789 c 99999999999999 d -0.015625 e 1e20 f 1e22 g
ZRANGE z 0 -1 WITHSCORES
ZSCORE z e
ZINCRBY z 1e20 f
ZADD z 0.000001 h 4.5e15 i
ZSCORE z i
"""

MEMBERS = """
ZADD z 1 a 2 b 3 c
ZSCORE z a
ZSCORE z nothing
ZSCORE missing a
ZSCORE z
ZMSCORE z a nothing c a
ZMSCORE missing a b
ZMSCORE z
ZRANK z a
ZRANK z c
ZRANK z nothing
ZRANK missing a
ZREVRANK z a
ZREVRANK z c
ZREVRANK z nothing
ZREVRANK missing a
ZRANK z
ZREVRANK z
ZREM z a nothing
ZREM z nothing
ZREM missing a
ZREM z
ZREM z b c a b
EXISTS z
SET s x
ZSCORE s a
ZMSCORE s a
ZRANK s a
ZREVRANK s a
ZREM s a
ZCARD
ZCARD z a
"""

RANGE = """
ZADD z 1 a 2 b 3 c 4 d 5 e
ZRANGE z 0 -1
ZRANGE z 1 2
ZRANGE z -2 -1
ZRANGE z -100 1
ZRANGE z 3 100
ZRANGE z 5 10
ZRANGE z 3 1
ZRANGE z 0 -1 WITHSCORES
ZRANGE z 0 1 REV
ZRANGE z -2 -1 rev withscores
ZRANGE z 9223372036854775807 -9223372036854775808
ZRANGE z -9223372036854775808 9223372036854775807
ZRANGE z 0 9223372036854775808
ZRANGE z x 1
ZRANGE z 1 x
ZRANGE z (1 2
ZRANGE missing 0 -1
ZRANGE missing 0 -1 WITHSCORES
ZRANGE missing x -1
ZRANGE z 2 4 BYSCORE
ZRANGE z (2 (4 BYSCORE
ZRANGE z (2 4 BYSCORE WITHSCORES
ZRANGE z 4 2 BYSCORE
ZRANGE z 4 2 BYSCORE REV
ZRANGE z (4 (2 BYSCORE REV WITHSCORES
ZRANGE z -inf +inf BYSCORE
ZRANGE z -inf (3 BYSCORE
ZRANGE z +inf -inf BYSCORE REV LIMIT 1 2
ZRANGE z -inf inf BYSCORE LIMIT 1 2
ZRANGE z -inf inf BYSCORE LIMIT 1 -1
ZRANGE z -inf inf BYSCORE LIMIT 0 0
ZRANGE z -inf inf BYSCORE LIMIT -1 2
ZRANGE z -inf inf BYSCORE LIMIT 4 2
ZRANGE z -inf inf BYSCORE LIMIT 5 2
ZRANGE z -inf inf BYSCORE LIMIT 9223372036854775807 9223372036854775807
ZRANGE z -inf inf BYSCORE LIMIT 9223372036854775808 1
ZRANGE z -inf inf BYSCORE LIMIT 1 -5
ZRANGE z -inf inf BYSCORE LIMIT x 1
ZRANGE z -inf inf BYSCORE LIMIT 1 x
ZRANGE z -inf inf BYSCORE LIMIT 1
ZRANGE z -inf inf BYSCORE LIMIT
ZRANGE z -inf inf BYSCORE LIMIT 1 1 LIMIT 2 2
ZRANGE z 0 -1 LIMIT 1 1
ZRANGE z 0 -1 LIMIT 1 -1
ZRANGE z 0 -1 LIMIT 1 -2
ZRANGE z x y LIMIT 1 1
ZRANGE z x y BYSCORE
ZRANGE z x y BYLEX
ZRANGE z 0 -1 BYLEX
ZRANGE z [a [c BYLEX WITHSCORES
ZRANGE z [a [c BYLEX BYSCORE
ZRANGE z 0 -1 BYSCORE BYLEX
ZRANGE z 0 -1 BYSCORE BYSCORE
ZRANGE z 0 -1 BYLEX BYLEX
ZRANGE z 0 -1 REV REV
ZRANGE z 0 -1 nonsense
ZRANGE z 0 -1 WITHSCORES WITHSCORES
ZRANGE z '' '' BYSCORE
ZRANGE z '' 3 BYSCORE
ZRANGE z '(' 3 BYSCORE
ZRANGE z ' 1' 3 BYSCORE
ZRANGE z '1 ' 3 BYSCORE
ZRANGE z ' ' 3 BYSCORE
ZRANGE z 0x1 0x3 BYSCORE
ZRANGE z 1e400 inf BYSCORE
ZRANGE z -1e400 1e400 BYSCORE
ZRANGE z '1\\x00junk' 3 BYSCORE
ZRANGE z nan 3 BYSCORE
ZRANGE z ((1 3 BYSCORE
ZRANGE z [1 3 BYSCORE
ZRANGE z
ZRANGE z 0
SET s x
ZRANGE s 0 -1
ZRANGE s x -1
ZRANGE s 0 -1 LIMIT 1 1
"""

OLD_RANGE = """
ZADD z 1 a 2 b 3 c 4 d 5 e
ZREVRANGE z 0 -1
ZREVRANGE z 0 1 WITHSCORES
ZREVRANGE z -2 -1
ZREVRANGE z 0 -1 REV
ZREVRANGE z 0 -1 BYSCORE
ZREVRANGE z 0 -1 LIMIT 1 1
ZREVRANGE z 0 -1 LIMIT 1 -1
ZREVRANGE z x 1
ZREVRANGE missing 0 -1
ZRANGEBYSCORE z 2 4
ZRANGEBYSCORE z (2 4 WITHSCORES
ZRANGEBYSCORE z -inf inf LIMIT 1 2
ZRANGEBYSCORE z -inf inf WITHSCORES LIMIT 1 2
ZRANGEBYSCORE z -inf inf LIMIT 1 2 WITHSCORES
ZRANGEBYSCORE z -inf inf LIMIT 1
ZRANGEBYSCORE z 4 2
ZRANGEBYSCORE z x 2
ZRANGEBYSCORE z 2 4 REV
ZRANGEBYSCORE z 2 4 BYLEX
ZRANGEBYSCORE missing 2 4
ZREVRANGEBYSCORE z 4 2
ZREVRANGEBYSCORE z 4 (2 WITHSCORES
ZREVRANGEBYSCORE z inf -inf LIMIT 1 2
ZREVRANGEBYSCORE z 2 4
ZREVRANGEBYSCORE z 2 x
ZREVRANGEBYSCORE missing 4 2
ZRANGEBYSCORE
ZREVRANGEBYSCORE z 1
ZREVRANGE z
SET s x
ZREVRANGE s 0 -1
ZRANGEBYSCORE s 1 2
ZREVRANGEBYSCORE s 1 2
ZCOUNT z 2 4
ZCOUNT z (2 (4
ZCOUNT z -inf +inf
ZCOUNT z 4 2
ZCOUNT z 10 20
ZCOUNT z 3 3
ZCOUNT z (3 3
ZCOUNT z x 1
ZCOUNT z 1 x
ZCOUNT missing 1 2
ZCOUNT missing x 2
ZCOUNT s 1 2
ZCOUNT z 1
"""

LEX = """
ZADD z 0 a 0 b 0 c 0 d 0 e 0 '' 0 aa
ZRANGE z - + BYLEX
ZRANGE z [b [d BYLEX
ZRANGE z (b (d BYLEX
ZRANGE z [a (c BYLEX
ZRANGE z - [b BYLEX
ZRANGE z (b + BYLEX
ZRANGE z + - BYLEX
ZRANGE z + - BYLEX REV
ZRANGE z - + BYLEX REV
ZRANGE z [d [b BYLEX REV
ZRANGE z + - BYLEX REV LIMIT 1 2
ZRANGE z - + BYLEX LIMIT 1 2
ZRANGE z - + BYLEX LIMIT 2 -1
ZRANGE z - + BYLEX LIMIT -1 1
ZRANGE z - + BYLEX LIMIT 10 1
ZRANGE z + + BYLEX
ZRANGE z - - BYLEX
ZRANGE z [ [b BYLEX
ZRANGE z ( [b BYLEX
ZRANGE z [c [c BYLEX
ZRANGE z (c [c BYLEX
ZRANGE z [d [b BYLEX
ZRANGE z b d BYLEX
ZRANGE z '' + BYLEX
ZRANGE z +a + BYLEX
ZRANGE z - -a BYLEX
ZRANGEBYLEX z [b [d
ZRANGEBYLEX z - + LIMIT 0 2
ZRANGEBYLEX z - + WITHSCORES
ZRANGEBYLEX z b d
ZRANGEBYLEX missing - +
ZRANGEBYLEX missing b +
ZREVRANGEBYLEX z [d [b
ZREVRANGEBYLEX z + - LIMIT 1 3
ZREVRANGEBYLEX z - +
ZREVRANGEBYLEX z [b d
ZLEXCOUNT z - +
ZLEXCOUNT z [b [d
ZLEXCOUNT z (b (d
ZLEXCOUNT z + -
ZLEXCOUNT z b d
ZLEXCOUNT missing - +
ZLEXCOUNT z -
SET s x
ZRANGEBYLEX s - +
ZLEXCOUNT s - +
ZREMRANGEBYLEX s - +
ZREMRANGEBYLEX z b d
ZREMRANGEBYLEX missing - +
ZREMRANGEBYLEX z [b (d
ZRANGE z 0 -1
ZREMRANGEBYLEX z + -
ZREMRANGEBYLEX z - +
EXISTS z
"""

REMOVE = """
ZADD z 1 a 2 b 3 c 4 d 5 e
ZREMRANGEBYRANK z 1 2
ZRANGE z 0 -1
ZREMRANGEBYRANK z 5 10
ZREMRANGEBYRANK z 2 1
ZREMRANGEBYRANK z x 1
ZREMRANGEBYRANK z 1 x
ZREMRANGEBYRANK missing 0 -1
ZREMRANGEBYRANK missing x -1
ZREMRANGEBYRANK z -1 -1
ZREMRANGEBYRANK z 0 -1
EXISTS z
ZADD z 1 a 2 b 3 c 4 d 5 e
ZREMRANGEBYSCORE z (1 3
ZREMRANGEBYSCORE z 10 20
ZREMRANGEBYSCORE z 3 1
ZREMRANGEBYSCORE z x 1
ZREMRANGEBYSCORE missing 1 2
ZREMRANGEBYSCORE z -inf +inf
EXISTS z
SET s x
ZREMRANGEBYRANK s 0 -1
ZREMRANGEBYSCORE s 0 -1
ZREMRANGEBYSCORE s x -1
ZREMRANGEBYRANK z 0
ZREMRANGEBYSCORE z 0
"""

RANGESTORE = """
ZADD z 1 a 2 b 3 c 4 d 5 e
ZRANGESTORE out z 0 1
ZRANGE out 0 -1 WITHSCORES
ZRANGESTORE out z 1 2 REV
ZRANGE out 0 -1 WITHSCORES
ZRANGESTORE out z 2 4 BYSCORE
ZRANGESTORE out z (2 inf BYSCORE LIMIT 1 1
ZRANGESTORE out z +inf -inf BYSCORE REV LIMIT 1 2
ZRANGE out 0 -1 WITHSCORES
ZRANGESTORE out z [a [c BYLEX
ZRANGESTORE z z 0 2
ZRANGE z 0 -1 WITHSCORES
EXPIRE out 100
ZRANGESTORE out z 0 0
TTL out
ZRANGESTORE out z 5 10
EXISTS out
ZRANGESTORE out missing 0 -1
SET out x
ZRANGESTORE out missing 0 -1
EXISTS out
SET out x
ZRANGESTORE out z 0 -1
TYPE out
ZRANGESTORE out z 0 -1 WITHSCORES
ZRANGESTORE out z 0 -1 LIMIT 1 2
ZRANGESTORE out z x -1
ZRANGESTORE out z 0 -1 nonsense
ZRANGESTORE out z 0
SET s x
ZRANGESTORE out s 0 -1
ZRANGESTORE s z 0 -1
TYPE s
"""

POP = """
ZADD z 1 a 2 b 3 c 4 d 5 e
ZPOPMIN z
ZPOPMAX z
ZPOPMIN z 0
ZPOPMAX z 0
ZPOPMIN z 2
ZPOPMIN z 100
EXISTS z
ZADD z 1 a 2 b 3 c
ZPOPMAX z 2
ZPOPMAX z 1
ZPOPMIN z
ZPOPMAX z 1
ZPOPMIN z 0
ZPOPMIN z -1
ZPOPMIN z x
ZPOPMIN z 1 2
ZPOPMIN z x 2
ZPOPMIN
SET s x
ZPOPMIN s
ZPOPMAX s 0
ZPOPMAX s -1
ZADD a 1 a 2 b 3 c
ZADD b 1 d 2 e 3 f
ZMPOP 1 a MIN
ZMPOP 2 missing b MAX COUNT 2
ZMPOP 2 a b min count 100
ZMPOP 2 a b MAX COUNT 1
ZMPOP 2 a b MAX COUNT 1
ZMPOP 1 a MIN COUNT 0
ZMPOP 1 a MIN COUNT x
ZMPOP 1 a MIN COUNT
ZMPOP 1 a MIN COUNT 1 COUNT 2
ZMPOP 1 a MIN nonsense 1
ZMPOP 1 a LEFT
ZMPOP 0 a MIN
ZMPOP -1 a MIN
ZMPOP x a MIN
ZMPOP 2 a MIN
ZMPOP 9223372036854775807 a MIN
ZMPOP 1 a
ZMPOP 1 s MIN
ZMPOP 2 a s MIN
ZADD a 1 x
ZMPOP 2 s a MIN
ZMPOP 2 a s MIN
"""

ALGEBRA = """
ZADD a 1 a 2 b 3 c
ZADD b 10 b 20 c 30 d
SADD s b c x
ZUNION 2 a b
ZUNION 2 a b WITHSCORES
ZUNION 3 a b s WITHSCORES
ZUNION 2 a missing WITHSCORES
ZUNION 1 missing
ZUNION 2 a b WEIGHTS 2 3 WITHSCORES
ZUNION 2 a b AGGREGATE MIN WITHSCORES
ZUNION 2 a b aggregate max withscores
ZUNION 2 a b WEIGHTS -1 0.5 AGGREGATE SUM WITHSCORES
ZUNION 2 a a WITHSCORES
ZINTER 2 a b
ZINTER 2 a b WITHSCORES
ZINTER 3 a b s WITHSCORES
ZINTER 3 a b s WEIGHTS 1 2 3 AGGREGATE MAX WITHSCORES
ZINTER 2 a a WITHSCORES
ZINTER 2 a missing WITHSCORES
ZINTER 2 s a WEIGHTS 5 1 AGGREGATE MIN WITHSCORES
ZDIFF 2 a b
ZDIFF 2 a b WITHSCORES
ZDIFF 2 b a WITHSCORES
ZDIFF 3 a b s WITHSCORES
ZDIFF 2 a s WITHSCORES
ZDIFF 2 s a WITHSCORES
ZDIFF 1 a
ZDIFF 2 missing a
ZDIFF 2 a missing WITHSCORES
ZDIFF 2 a a
ZINTERCARD 2 a b
ZINTERCARD 2 a b LIMIT 1
ZINTERCARD 2 a b LIMIT 0
ZINTERCARD 2 a b LIMIT 10
ZINTERCARD 3 a b s
ZINTERCARD 1 a
ZINTERCARD 2 a missing
ZINTERCARD 2 a b LIMIT -1
ZINTERCARD 2 a b LIMIT x
ZINTERCARD 2 a b LIMIT
ZINTERCARD 2 a b WITHSCORES
ZINTERCARD 2 a b LIMIT 1 LIMIT 2
ZUNIONSTORE out 2 a b WEIGHTS 2 3
ZRANGE out 0 -1 WITHSCORES
ZINTERSTORE out 2 a b AGGREGATE MIN
ZRANGE out 0 -1 WITHSCORES
ZDIFFSTORE out 2 a b
ZRANGE out 0 -1 WITHSCORES
ZUNIONSTORE a 2 a b
ZRANGE a 0 -1 WITHSCORES
EXPIRE out 100
ZUNIONSTORE out 1 a
TTL out
ZINTERSTORE out 2 a missing
EXISTS out
SET out x
ZDIFFSTORE out 1 missing
EXISTS out
SET out x
ZUNIONSTORE out 1 b
TYPE out
ZUNIONSTORE out 1 s
ZRANGE out 0 -1 WITHSCORES
"""

ALGEBRA_ERRORS = """
ZADD a 1 a 2 b 3 c
ZADD b 10 b 20 c 30 d
SET str x
ZUNION 0 a
ZUNION -1 a
ZUNION x a
ZUNION 3 a b
ZUNION 9223372036854775807 a b
ZUNION 1 str
ZUNION 2 a str WEIGHTS x
ZUNION 2 a b WEIGHTS 1
ZUNION 2 a b WEIGHTS 1 x
ZUNION 2 a b WEIGHTS 1 nan
ZUNION 2 a b WEIGHTS 1 2 3
ZUNION 2 a b AGGREGATE
ZUNION 2 a b AGGREGATE avg
ZUNION 2 a b nonsense
ZUNION 2 a b LIMIT 1
ZUNION 2 a b WITHSCORES WITHSCORES WEIGHTS 1 2 WEIGHTS 3 4 WITHSCORES
ZINTER 0 a
ZINTERCARD 0 a
ZINTERCARD x a
ZINTERCARD 2 a
ZDIFF 0 a
ZDIFF 2 a b WEIGHTS 1 2
ZDIFF 2 a b AGGREGATE SUM
ZDIFF 2 a
ZUNIONSTORE out 0 a
ZINTERSTORE out 0 a
ZDIFFSTORE out 0 a
ZUNIONSTORE out x a
ZUNIONSTORE out 2 a
ZUNIONSTORE out 2 a b WITHSCORES
ZDIFFSTORE out 2 a b WEIGHTS 1 2
ZDIFFSTORE out 2 a b WITHSCORES
ZINTERSTORE out 2 a str
ZINTERSTORE str 2 a b
ZUNION
ZUNION 1
ZDIFFSTORE out 1
ZADD i inf a -inf b inf c
ZADD j -inf a -inf b 1 c
ZUNION 2 i j WITHSCORES
ZUNION 2 i j WEIGHTS 0 1 WITHSCORES
ZUNION 2 i j WEIGHTS inf -inf WITHSCORES
ZUNION 2 i j AGGREGATE MIN WITHSCORES
ZINTER 2 i j WITHSCORES
ZINTER 2 i j WEIGHTS 0 0 WITHSCORES
ZINTER 2 i j WEIGHTS 1 0 AGGREGATE MAX WITHSCORES
ZINTER 2 i j WEIGHTS 1 0 AGGREGATE MIN WITHSCORES
ZINTER 2 i i WEIGHTS 1 -1 WITHSCORES
"""

ANY = """
ZADD one 1 a
ZRANDMEMBER one
ZRANDMEMBER one 5
ZRANDMEMBER one 5 WITHSCORES
ZRANDMEMBER one -3
ZRANDMEMBER one -3 withscores
ZRANDMEMBER one 0
ZRANDMEMBER one 0 WITHSCORES
ZRANDMEMBER missing
ZRANDMEMBER missing 1
ZRANDMEMBER missing -1 WITHSCORES
ZRANDMEMBER one x
ZRANDMEMBER one 1 nonsense
ZRANDMEMBER one x nonsense
ZRANDMEMBER one 1 WITHSCORES x
ZRANDMEMBER one -9223372036854775808
ZRANDMEMBER one -9223372036854775807 WITHSCORES
ZRANDMEMBER one 9223372036854775807 WITHSCORES
ZRANDMEMBER one 9223372036854775807
ZADD z 1 a 2 b 3 c
* ZRANDMEMBER z 3
* ZRANDMEMBER z 10
SET s x
ZRANDMEMBER s
ZRANDMEMBER s 1
ZRANDMEMBER s x
ZSCAN z 0
ZSCAN z 0 MATCH a
ZSCAN z 0 MATCH [ab] COUNT 1
ZSCAN z 0 MATCH nothing
ZSCAN z 5
ZSCAN z 0 COUNT 0
ZSCAN z 0 COUNT x
ZSCAN z 0 COUNT
ZSCAN z 0 TYPE zset
ZSCAN z 0 NOVALUES
ZSCAN z x
ZSCAN missing 0
ZSCAN missing 0 nonsense
ZSCAN missing x
ZSCAN s 0
ZSCAN s x
ZSCAN z
"""

ENCODINGS = "\n".join(
    [
        *(f"ZADD z {n} m{n}" for n in range(128)),
        "OBJECT ENCODING z",
        "ZADD z 5 m5",
        "ZADD z 128 m128",
        "OBJECT ENCODING z",
        "ZREMRANGEBYRANK z 1 -1",
        "OBJECT ENCODING z",
        "ZRANGE z 0 -1 WITHSCORES",
        f"ZADD y 1 {'x' * 64}",
        "OBJECT ENCODING y",
        f"ZADD y 1 {'x' * 65}",
        "OBJECT ENCODING y",
        f"ZADD w 1 {'x' * 65}",
        "OBJECT ENCODING w",
        "ZADD w -0 zero",
        "ZSCORE w zero",
        "ZUNIONSTORE u 2 z z",
        "OBJECT ENCODING u",
        "* ZSCAN w 0 COUNT 100",
        *(f"ZADD big {n % 7} m{n}" for n in range(300)),
        "ZRANGE big 0 -1 WITHSCORES",
        "ZRANGE big (2 5 BYSCORE LIMIT 10 20 WITHSCORES",
        "ZRANGE big 5 (2 BYSCORE REV LIMIT 10 20",
        "ZCOUNT big 3 5",
        "ZRANK big m200",
        "ZREVRANK big m200",
        "ZPOPMIN big 3",
        "ZPOPMAX big 3",
        "ZREMRANGEBYSCORE big 1 5",
        "ZRANGE big 0 -1",
    ]
)

SCRIPTS = {
    "add": ADD,
    "zero": ZERO,
    "long numbers": LONG_NUMBERS,
    "members": MEMBERS,
    "range": RANGE,
    "old range": OLD_RANGE,
    "lex": LEX,
    "remove": REMOVE,
    "rangestore": RANGESTORE,
    "pop": POP,
    "algebra": ALGEBRA,
    "algebra errors": ALGEBRA_ERRORS,
    "any": ANY,
    "encodings": ENCODINGS,
}


@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("name", SCRIPTS)
def test_replies_are_those_of_redis_server(run_script, name, protocol):
    run_script(SCRIPTS[name], protocol)


NAMES = [b"a", b"b", b"c"]
MEMBERS = [b"", b"0", b"1", b"-5", b"x", b"y", b"z", b"xy", b"\xff\xfe\xfd\x00", b"long" * 15, b"longer" * 20]
# Printed alike by 7.0 and 7.2, and so are their sums.
SCORES = [b"0", b"1", b"1", b"2", b"3", b"-1", b"0.5", b"-2.25", b"1e3", b"inf", b"-inf", b"x", b"nan"]
BOUNDS = [*SCORES[:-1], b"(1", b"(2", b"(0.5", b"(inf", b"+inf", b"(-inf"]
LEX_BOUNDS = [b"-", b"+", b"[x", b"(x", b"[", b"(", b"[0", b"(y", b"[long", b"x"]
INDICES = [b"0", b"1", b"2", b"-1", b"-2", b"3", b"10", b"-10", b"x"]
COUNTS = [b"0", b"1", b"2", b"3", b"-1", b"150", b"x"]


class Sequence:
    """Makes requests from a seed. In every third all scores are the same, and only then ranges of members
    are asked for: they mean something there.
    """

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)
        self._is_lex = seed % 3 == 0
        self._scores = [b"0"] if self._is_lex else SCORES
        self._members = MEMBERS
        if self._rng.random() < 0.3:
            self._members = [b"m%d" % number for number in range(300)]

    def _one(self, choices: list[bytes]) -> bytes:
        return self._rng.choice(choices)

    def _limit(self) -> list[bytes]:
        return self._rng.choice([[], [], [b"LIMIT", self._one(INDICES), self._one(COUNTS)]])

    def _range(self) -> list[bytes]:
        """Bounds and options of ZRANGE."""
        rng, one = self._rng, self._one
        if self._is_lex:
            words = [one(LEX_BOUNDS), one(LEX_BOUNDS), b"BYLEX", *self._limit()]
        elif rng.random() < 0.5:
            words = [one(BOUNDS), one(BOUNDS), b"BYSCORE", *self._limit()]
        else:
            words = [one(INDICES), one(INDICES)]
        return words + rng.choice([[], [b"REV"]])

    def _old_range(self) -> list[bytes]:
        one, name = self._one, self._one(NAMES)
        back = one([b"", b"REV"])
        scores = self._rng.choice([[], [b"WITHSCORES"]])
        if self._is_lex:
            return [b"Z" + back + b"RANGEBYLEX", name, one(LEX_BOUNDS), one(LEX_BOUNDS), *self._limit()]
        if self._rng.random() < 0.5:
            return [b"Z%bRANGEBYSCORE" % back, name, one(BOUNDS), one(BOUNDS), *scores, *self._limit()]
        return [b"Z%bRANGE" % back, name, one(INDICES), one(INDICES), *scores]

    def _add(self) -> list[bytes]:
        rng = self._rng
        options = rng.choice([[], [], [], [b"NX"], [b"XX"], [b"GT"], [b"LT"], [b"XX", b"GT"], [b"INCR"]])
        count = 1 if b"INCR" in options else rng.choice([1, 1, 2, 5, 100])
        scores = self._scores if count < 5 else [b"0"] if self._is_lex else [b"1", b"2", b"3", b"0.25"]
        pairs = [word for _ in range(count) for word in (self._one(scores), self._one(self._members))]
        return [b"ZADD", self._one(NAMES), *options, *rng.choice([[], [b"CH"]]), *pairs]

    def _remove(self) -> list[bytes]:
        rng, one, name = self._rng, self._one, self._one(NAMES)
        by_score = [b"ZREMRANGEBYSCORE", name, one(BOUNDS), one(BOUNDS)]
        by_lex = [b"ZREMRANGEBYLEX", name, one(LEX_BOUNDS), one(LEX_BOUNDS)]
        ends = one([b"MIN", b"MAX"])
        return rng.choice(
            [
                [b"ZREM", name, *rng.choices(self._members, k=rng.randint(1, 4))],
                [b"ZREMRANGEBYRANK", name, b"1", one(INDICES)],
                by_lex if self._is_lex else by_score,
                [b"ZPOP" + ends, name, *rng.choice([[], [one(COUNTS)]])],
                [b"ZMPOP", b"2", name, one(NAMES), ends, *rng.choice([[], [b"COUNT", one(COUNTS)]])],
                [b"BZPOP" + ends, name, one(NAMES), b"0.001"] if rng.random() < 0.2 else [b"ZCARD", name],
                rng.choice([[b"DEL", name], [b"SET", name, b"x"], [b"SADD", name, one(self._members)]])
                if rng.random() < 0.3
                else [b"ZSCAN", name, b"0", b"COUNT", b"1000", b"MATCH", b"nothing"],
            ]
        )

    def _read(self) -> list[bytes]:
        one, name, member = self._one, self._one(NAMES), self._one(self._members)
        by_lex = [b"ZLEXCOUNT", name, one(LEX_BOUNDS), one(LEX_BOUNDS)]
        return self._rng.choice(
            [
                [b"ZSCORE", name, member],
                [b"ZMSCORE", name, member, one(self._members)],
                [b"ZRANK", name, member],
                [b"ZREVRANK", name, member],
                [b"ZCARD", name],
                by_lex if self._is_lex else [b"ZCOUNT", name, one(BOUNDS), one(BOUNDS)],
                [b"ZRANDMEMBER", name, b"0"],
                self._old_range(),
                [b"ZRANGE", name, *self._range(), *self._rng.choice([[], [b"WITHSCORES"]])],
            ]
        )

    def _algebra(self) -> list[bytes]:
        rng, one = self._rng, self._one
        names = [one(NAMES), one(NAMES)]
        options: list[bytes] = []
        if rng.random() < 0.5:
            options += [b"WEIGHTS", *rng.choices([b"1", b"2", b"-1", b"0.5", b"0", b"inf"], k=2)]
        if rng.random() < 0.5:
            options += [b"AGGREGATE", one([b"SUM", b"MIN", b"MAX", b"AVG"])]
        kind = one([b"ZUNION", b"ZINTER", b"ZDIFF"])
        if kind == b"ZDIFF" and rng.random() < 0.9:
            options = []
        if rng.random() < 0.5:
            return [kind, b"2", *names, *options, *rng.choice([[], [b"WITHSCORES"]])]
        return rng.choice(
            [
                [kind + b"STORE", one(NAMES), b"2", *names, *options],
                [b"ZINTERCARD", b"2", *names, b"LIMIT", one(COUNTS)],
                [b"ZRANGESTORE", one(NAMES), names[0], *self._range()],
            ]
        )

    def requests(self, length: int = 150) -> list[tuple[str, list[bytes]]]:
        """The requests, and at the end all that the keys hold."""
        makers = self._rng.choices(
            [self._add, self._remove, self._read, self._algebra], [5, 3, 4, 2], k=length
        )
        made = [("", make()) for make in makers]
        if self._is_lex:  # sums and weights would make different scores, infinities among them
            made = [(mark, words) for mark, words in made if b"STORE" not in words[0] or b"RANGE" in words[0]]
            made = [(mark, words) for mark, words in made if b"INCR" not in words]
        return made + [("", [b"ZRANGE", name, b"0", b"-1", b"WITHSCORES"]) for name in NAMES]


def _sequence(seed: int) -> list[tuple[str, list[bytes]]]:
    return Sequence(seed).requests()


def test_random_sequences(pair):
    pair.check_sequences(_sequence, range(100))


@pytest.mark.slow
def test_random_sequences_for_long(pair):
    pair.check_sequences(_sequence, range(100, 3000))
