"""The group generic beside redis-server 7.0: every option, and every error."""

from __future__ import annotations

import pytest

KEYS = """
MSET a 1 b 2 c 3
DEL a missing b b
DEL
EXISTS c c missing
EXISTS
UNLINK c missing
UNLINK
TOUCH c
MSET a 1 b 2
TOUCH a b b missing
TOUCH
TYPE a
TYPE missing
TYPE
TYPE a b
RANDOMKEY extra
DEL a
RANDOMKEY
DEL b
RANDOMKEY
SET gone v PXAT 1
TYPE gone
SET gone v PXAT 1
EXISTS gone
SET gone v PXAT 1
DEL gone
"""

RENAME = """
SET a v EX 100
RENAME a b
~ PTTL b
EXISTS a
SET c w
RENAME b c
GET c
~ PTTL c
SET d x
RENAME d c
TTL c
RENAME missing x
RENAME missing missing
RENAME c c
RENAMENX c c
RENAMENX missing c
RENAMENX c e
RENAMENX c e
SET f y
RENAMENX e f
GET e
RENAME e
RENAMENX e
SET gone v PXAT 1
RENAME gone e
SET gone v PXAT 1
RENAMENX e gone
GET gone
"""

MOVE = """
SET a v EX 100
MOVE a 1
EXISTS a
SELECT 1
GET a
~ PTTL a
SELECT 0
MOVE a 1
SET a w
MOVE a 1
GET a
MOVE a 0
MOVE missing 0
MOVE a 16
MOVE a -1
MOVE a x
MOVE a 99999999999
MOVE a 9223372036854775808
MOVE a
SELECT 1
DEL a
SET gone v PXAT 1
SELECT 0
SET gone w
MOVE gone 1
SELECT 1
GET gone
SELECT 0
"""

COPY = """
SET a v EX 100
COPY a b
GET b
~ PTTL b
COPY a b
COPY a b REPLACE
COPY missing b
COPY missing b REPLACE
GET b
COPY a a
COPY a a REPLACE
COPY a a DB 0
COPY a a DB 1
COPY a a DB 1
COPY a a db 1 replace
COPY a z REPLACE DB 2
SELECT 2
GET z
~ PTTL z
SELECT 0
COPY a b DB 16
COPY a b DB -1
COPY a b DB x
COPY a b DB 99999999999
COPY a b DB
COPY a b DB 1 DB 2
COPY a b nonsense
COPY a
SET b w
COPY b a REPLACE
TTL a
"""

EXPIRE = """
SET a v
EXPIRE a 100
~ TTL a
~ PTTL a
~ EXPIRETIME a
~ PEXPIRETIME a
PEXPIRE a 100000
~ PTTL a
EXPIREAT a 33177117420
EXPIRETIME a
PEXPIRETIME a
PEXPIREAT a 33177117420499
EXPIRETIME a
PEXPIREAT a 33177117420500
EXPIRETIME a
PEXPIRETIME a
PERSIST a
PERSIST a
TTL a
PTTL a
EXPIRETIME a
PEXPIRETIME a
TTL missing
PTTL missing
EXPIRETIME missing
PEXPIRETIME missing
PERSIST missing
EXPIRE missing 100
EXPIRE a 100 XX
EXPIRE a 100 GT
EXPIREAT a 33177117420 LT
EXPIRETIME a
EXPIREAT a 33177117421 LT
EXPIREAT a 33177117420 LT
EXPIREAT a 33177117419 LT
EXPIREAT a 33177117419 GT
EXPIREAT a 33177117420 gt
EXPIREAT a 33177117421 GT XX
EXPIREAT a 33177117422 NX
EXPIREAT a 33177117423 XX
EXPIREAT a 33177117422 XX LT
EXPIRETIME a
PERSIST a
EXPIREAT a 33177117422 NX
EXPIREAT a 33177117422 LT XX
PERSIST a
EXPIREAT a 33177117422 LT XX
EXPIREAT a 33177117422 GT XX
EXPIREAT a 33177117422 NX NX
EXPIRETIME a
EXPIRE a 100 NX XX
EXPIRE a 100 NX GT
EXPIRE a 100 NX LT
EXPIRE a 100 GT LT
EXPIRE a 100 XX GT LT
EXPIRE a 100 NX GT LT
EXPIRE a 100 nonsense
EXPIRE a 100 NX nonsense
EXPIRE a x nonsense
EXPIRE a x NX XX
EXPIRE a x
EXPIRE a 1.5
EXPIRE a ''
EXPIRE missing x
EXPIRE a 9223372036854775807
EXPIRE a 9223372036854775808
EXPIRE a 9223372036854775
EXPIRE a -9223372036854775808
EXPIRE a -9223372036854775
PEXPIRE a 9223372036854775807
SET a v
EXPIREAT a 9223372036854775807
EXPIREAT a 9223372036854775
PEXPIRETIME a
PEXPIREAT a 9223372036854775807
PEXPIRETIME a
PEXPIREAT a 9223372036854775808
PEXPIREAT a -9223372036854775808
EXISTS a
PEXPIRE a -9223372036854775808
SET a v
EXPIRE a 0
EXISTS a
SET a v
EXPIRE a -1
EXISTS a
SET a v
EXPIREAT a 0
EXISTS a
SET a v
PEXPIREAT a 1
EXISTS a
SET a v
PEXPIRE a 0 XX
EXISTS a
EXPIRE a 0 GT
EXISTS a
EXPIRE a 0 LT
EXISTS a
EXPIRE
EXPIRE a
PEXPIRE a
EXPIREAT a
PEXPIREAT a
TTL
PTTL a b
EXPIRETIME
PERSIST
"""

WALK = """
* KEYS *
MSET one 1 two 2 three 3 four 4
* KEYS *
* KEYS *o*
* KEYS t??
* KEYS t[hw]*
* KEYS [^t]*
* KEYS '\\\\*'
KEYS nothing
KEYS ''
KEYS
SET '' empty
SET '*' star
* KEYS *
KEYS '\\\\*'
KEYS ''
SET gone v PXAT 1
* KEYS *
* SCAN 0 COUNT 1000
* SCAN 0 COUNT 1000 MATCH t*
* SCAN 0 count 1000 match * type STRING
* SCAN 0 COUNT 1000 TYPE string MATCH *
SCAN 0 COUNT 1000 TYPE list
SCAN 0 COUNT 1000 TYPE nonsense
SCAN 0 COUNT 1000 MATCH nothing
SCAN 0 COUNT 1000 MATCH ''
SCAN 0 COUNT 1000 MATCH a MATCH '\\\\*'
SCAN 0 COUNT 0
SCAN 0 COUNT -1
SCAN 0 COUNT x
SCAN 0 COUNT
SCAN 0 MATCH
SCAN 0 TYPE
SCAN 0 nonsense
SCAN 0 nonsense x
SCAN 0 COUNT 10 nonsense
SCAN 0 COUNT 0 nonsense x
SCAN x
SCAN ''  COUNT 1000 MATCH o*
SCAN ' 0'
SCAN '0 '
SCAN -
SCAN 1.0
SCAN 18446744073709551616
SCAN -18446744073709551616
SCAN -0 COUNT 1000 MATCH o*
SCAN +0 COUNT 1000 MATCH o*
SCAN 00 COUNT 1000 MATCH o*
SCAN
"""

OBJECT = """
MSET int 123 shared 9999 big 10000 neg -1 huge 9223372036854775807 over 9223372036854775808 zero 007
MSET short 12345678901234567890123456789012345678901234 long 123456789012345678901234567890123456789012345
SET e ''
OBJECT ENCODING int
OBJECT ENCODING neg
OBJECT ENCODING huge
OBJECT ENCODING over
OBJECT ENCODING zero
OBJECT ENCODING short
OBJECT ENCODING long
OBJECT ENCODING e
OBJECT ENCODING missing
object encoding int
OBJECT REFCOUNT int
OBJECT REFCOUNT shared
OBJECT REFCOUNT big
OBJECT REFCOUNT neg
OBJECT REFCOUNT short
OBJECT REFCOUNT missing
INCR int
OBJECT REFCOUNT int
~ OBJECT IDLETIME int
OBJECT IDLETIME missing
OBJECT FREQ int
OBJECT FREQ missing
# What APPEND, SETRANGE and INCRBYFLOAT make is stored as a number here when it is one, never so in Redis.
APPEND int 5
- OBJECT ENCODING int
OBJECT
OBJECT ENCODING
OBJECT ENCODING a b
OBJECT nonsense a
OBJECT REFCOUNT
# The text of HELP is our own.
- OBJECT HELP
OBJECT HELP x
"""

DUMP = """
MSET a hello n 123 neg -129 i16 -30000 i32 2000000000 i64 2000000000000 e '' bin '\\x00\\xff\\r\\n'
DUMP a
DUMP n
DUMP neg
DUMP i16
DUMP i32
DUMP i64
DUMP e
DUMP bin
DUMP missing
DUMP
RESTORE b 0 '\\x00\\x05hello\\n\\x00\\x8f<T\\x1e\\xd4\\xcf\\xd2\\xf7'
RESTORE x 0 '\\x00\\xc0{\\n\\x00\\x8f<T\\x1e\\xd4\\xcf\\xd2\\xf7'
RESTORE x 0 short
RESTORE x 0 ''
RESTORE a 0 ''
RESTORE a x ''
RESTORE x x ''
RESTORE x -1 ''
RESTORE x 0 '' nonsense
RESTORE x 0 '' IDLETIME
RESTORE x 0 '' IDLETIME -1
RESTORE x 0 '' IDLETIME x
RESTORE x 0 '' FREQ
RESTORE x 0 '' FREQ -1
RESTORE x 0 '' FREQ 256
RESTORE x 0 '' FREQ x
RESTORE x 0 '' FREQ 1 IDLETIME 1
RESTORE x 0 '' IDLETIME 1 FREQ 1
RESTORE x 0 '' REPLACE ABSTTL IDLETIME 1
RESTORE x 0
"""

SCRIPTS = {
    "keys": KEYS,
    "rename": RENAME,
    "move": MOVE,
    "copy": COPY,
    "expire": EXPIRE,
    "walk": WALK,
    "object": OBJECT,
    "dump": DUMP,
}


@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("name", SCRIPTS)
def test_replies_are_those_of_redis_server(run_script, name, protocol):
    run_script(SCRIPTS[name], protocol)


def _bulk(reply: bytes) -> bytes:
    return reply.split(b"\r\n", 1)[1][:-2]


@pytest.mark.parametrize("value", [b"", b"0", b"-5", b"hello", b"x" * 30_000, bytes(range(256)) * 4])
def test_payloads_of_one_server_are_restored_by_the_other(pair, value):
    pair.start(2)
    for source, target in ((pair.ours, pair.theirs), (pair.theirs, pair.ours)):
        assert source.call(b"SET", b"k", value) == b"+OK\r\n"
        payload = _bulk(source.call(b"DUMP", b"k"))
        target.call(b"DEL", b"k")
        assert target.call(b"RESTORE", b"k", b"0", payload) == b"+OK\r\n"
        assert _bulk(target.call(b"GET", b"k")) == value
        busy = b"-BUSYKEY Target key name already exists.\r\n"
        assert target.call(b"RESTORE", b"k", b"0", payload) == busy


def test_restore_sets_times_to_live_alike(pair):
    pair.start(2)
    pair.theirs.call(b"SET", b"k", b"v")
    payload = _bulk(pair.theirs.call(b"DUMP", b"k"))
    requests = [
        ("", [b"RESTORE", b"r", b"100000", payload]),
        ("~", [b"PTTL", b"r"]),
        ("", [b"RESTORE", b"r", b"33177117420123", payload, b"ABSTTL", b"REPLACE"]),
        ("", [b"PEXPIRETIME", b"r"]),
        ("", [b"RESTORE", b"r", b"0", payload, b"replace", b"idletime", b"100"]),
        ("", [b"TTL", b"r"]),
        ("", [b"RESTORE", b"r", b"1", payload, b"ABSTTL", b"REPLACE", b"FREQ", b"100"]),
        ("", [b"EXISTS", b"r"]),
        ("", [b"RESTORE", b"r", b"1", payload, b"ABSTTL"]),
        ("", [b"EXISTS", b"r"]),
    ]
    pair.run(requests)
