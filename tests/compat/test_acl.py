"""ACL beside redis-server 7.0: DRYRUN of every command of the reference for many users, the errors of rules,
and what users see. Redis 7.2 has other words for what is denied than 7.0, and tells of `sanitize-payload`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

REFERENCE = Path(__file__).parents[1] / "fixtures" / "reference" / "commands.json"
BATCH = 500

USERS = (
    "",
    "+@all",
    "+@all ~*",
    "+@all allkeys allchannels",
    "+@all ~1",
    "+@all %R~1 &1",
    "+@all %W~1",
    "+@all %R~1 %W~[0-9] &?",
    "+@all %R~1 %W~x &x",
    "+@all %RW~1 &2 &1*",
    "+@all -@dangerous ~1 allchannels",
    "+@all -@write allkeys allchannels",
    "+@read ~1",
    "+@write +@read -@slow allkeys",
    "+@fast -@connection allkeys allchannels",
    "+@keyspace +@string -set +set ~1",
    "+@all -config -client|kill +config|get -@admin +acl|whoami allkeys allchannels",
    "+config|get +client|list +select|1 +xinfo +command|docs",
    "+@pubsub &1 resetchannels &x",
    "-@all (+@read ~1) (+@write %W~1) (+publish &1)",
    "+get ~x (+get %R~1) (+set %W~1 allchannels) (+@list allkeys -lpush)",
    "+@blocking +@transaction +@scripting +@geo +@stream ~*",
    "+@hash +@set +@sortedset +@list +@bitmap +@hyperloglog ~1",
)
CAREFUL = """
    SET 1 v GET | SET 1 v EX 10 | SET 1 GET | BITFIELD 1 GET u8 0 | BITFIELD 1 GET u8 0 SET u8 0 1
    BITFIELD 1 OVERFLOW FAIL GET u8 0 | BITFIELD 1 OVERFLOW FAIL INCRBY u8 0 1 | BITFIELD 1 GET u8
    SORT 1 | SORT 1 STORE x | SORT x STORE 1 | SORT 1 BY x* GET y* | SORT_RO 1 GET x*
    XREAD STREAMS 1 0 | XREAD COUNT 1 STREAMS 1 x 0 0 | XREADGROUP GROUP 1 1 STREAMS 1 x 0 0
    MIGRATE h 1 x 0 1 | MIGRATE h 1 '' 0 1 KEYS 1 | GEORADIUS 1 0 0 1 m STORE x | GEORADIUS x 0 0 1 m STORE 1
    COPY 1 x | RENAME x 1 | RENAME 1 x | LMOVE x 1 LEFT LEFT | ZUNIONSTORE x 1 1 | ZUNIONSTORE 1 1 x
    ZUNION 2 1 x | MSET 1 a x b | MGET 1 x | DEL 1 x | BITOP AND 1 x | BITOP AND x 1 | LMPOP 1 1 LEFT
    EXISTS 1 | TYPE x | TTL x | TOUCH 1 x | OBJECT ENCODING 1 | OBJECT ENCODING x | DUMP 1 | RESTORE 1 0 x
    PUBLISH 1 m | PUBLISH 11 m | PUBLISH x m | SPUBLISH x m | SUBSCRIBE 1 x | PSUBSCRIBE 1 | PSUBSCRIBE 1*
    SSUBSCRIBE 1 | SSUBSCRIBE x | UNSUBSCRIBE x | SELECT 0 | SELECT 1 | CONFIG GET x | MEMORY USAGE 1
    XADD 1 * a b | XGROUP CREATE 1 a b | WATCH 1 x | AUTH x | HELLO 3 | QUIT | RESET | PING
"""
OTHERWISE = {
    "pfmerge 1": "Redis finds no key where the second group of keys is empty, and looks at none",
    "wait 1 1": "it is among the blocking commands since 7.2",
}
"""Requests that are judged otherwise here, and why."""


def names() -> Iterator[tuple[list[bytes], int]]:
    """Each command of the reference and its arity."""
    for command in json.loads(REFERENCE.read_text()):
        for entry in (command, *command.get("subcommands", ())):
            yield entry["name"].encode().split(b"|"), entry["arity"]


def requests() -> list[list[bytes]]:
    """With `1` for every argument, which is a number, a key and a channel; and those of CAREFUL."""
    made: list[list[bytes]] = []
    for name, arity in names():
        least = abs(arity) - len(name)
        made += [[*name, *[b"1"] * (least + more)] for more in ((0, 1) if arity < 0 else (0,))]
    careful = [text.split() for line in CAREFUL.splitlines() for text in line.split("|") if text.strip()]
    return made + [[word.strip("'").encode() for word in words] for words in careful]


def ask(wire: Any, user: bytes, asked: list[list[bytes]]) -> list[bytes]:
    replies = []
    for start in range(0, len(asked), BATCH):
        batch = asked[start : start + BATCH]
        wire.send([[b"ACL", b"DRYRUN", user, *words] for words in batch])
        replies += [wire.receive() for _ in batch]
    return replies


def meaning(reply: bytes) -> bytes:
    """In the words of 7.2, without lengths."""
    text = reply.split(b"\r\n")[1] if reply.startswith(b"$") else reply
    return text.replace(b"This user has", b"User u has")


@pytest.mark.parametrize("rules", USERS)
def test_every_command_is_allowed_and_denied_as_by_redis(pair: Any, rules: str) -> None:
    asked = requests()
    words = rules.replace("(", " ( ").replace(")", " ) ").split()
    for wire in (pair.ours, pair.theirs):
        wire.call(b"ACL", b"DELUSER", b"u")
        assert wire.call(b"ACL", b"SETUSER", b"u", *(word.encode() for word in words)) == b"+OK\r\n"
    ours, theirs = (ask(wire, b"u", asked) for wire in (pair.ours, pair.theirs))
    compared = 0
    wrong = []
    for words_, a, b in zip(asked, ours, theirs, strict=True):
        if a.startswith(b"-ERR Command '") or b.startswith(b"-ERR"):
            continue  # one of them has no such command, or not with that arity
        compared += 1
        request = b" ".join(words_).decode()
        if meaning(a) != meaning(b) and request not in OTHERWISE:
            wrong.append(f"{request}: {meaning(a)!r}, redis-server {meaning(b)!r}")
    assert compared > 400
    assert not wrong, "\n".join(wrong)


RULES = {
    "errors of rules": """
        - ACL DELUSER u
        ACL SETUSER
        ACL SETUSER 'a b'
        ACL SETUSER u +nosuch
        ACL SETUSER u +@nosuch
        ACL SETUSER u -@nosuch
        ACL SETUSER u +config|nosuch
        ACL SETUSER u -get|x
        ACL SETUSER u -select|0
        ACL SETUSER u +get|
        ACL SETUSER u +config|get|x
        ACL SETUSER u ~* ~x
        ACL SETUSER u allkeys %R~x
        ACL SETUSER u '&*' '&x'
        ACL SETUSER u '~a b'
        ACL SETUSER u '&a b'
        ACL SETUSER u %X~a
        ACL SETUSER u what
        ACL SETUSER u '#abc'
        ACL SETUSER u '!abc'
        ACL SETUSER u '<nosuch'
        ACL SETUSER u '(+get' ~x
        ACL SETUSER u '(+nosuch)'
        ACL SETUSER u '(on)'
        ACL GETUSER u
        ACL GETUSER
        ACL DELUSER default
        ACL DELUSER nobody default
        ACL DELUSER nobody
        ACL SETUSER u on +get +nosuch
        ACL DRYRUN u get k
        ACL SETUSER u
        ACL DRYRUN u
        ACL DRYRUN nobody get k
        ACL DRYRUN u nosuch
        ACL DRYRUN u get
        ACL DRYRUN u get a b
        ACL DRYRUN default get k
        ACL CAT
        * ACL CAT bitmap
        ACL CAT nosuch
        ACL CAT a b
        ACL GENPASS 0
        ACL GENPASS -1
        ACL GENPASS 4097
        ACL GENPASS x
        ACL GENPASS 1 2
        ACL LOG x
        ACL LOG RESET
        ACL LOG
        ACL LOG 1 2
        ACL NOSUCH
        ACL WHOAMI x
        ACL LIST x
        ACL DELUSER u
        ACL USERS
        """,
    "logging in": """
        ACL SETUSER u on >one >two +@all ~* &*
        AUTH u
        AUTH u three
        AUTH nobody one
        AUTH u one two
        AUTH x
        HELLO 2 AUTH u three
        AUTH u two
        ACL WHOAMI
        ACL SETUSER u '<two'
        ACL WHOAMI
        AUTH u two
        AUTH u one
        ACL SETUSER u off
        PING
        AUTH u one
        AUTH default anything
        ACL SETUSER u on resetpass
        AUTH u one
        ACL SETUSER u nopass
        AUTH u anything
        HELLO 2 AUTH default x
        CLIENT KILL USER nobody
        CLIENT KILL USER u
        ACL DELUSER u
        """,
    "sorting needs all keys": """
        RPUSH l 1 2
        SET w_1 9
        SET w_2 8
        ACL SETUSER u on nopass ~l +sort +auth
        AUTH u x
        SORT l
        SORT l BY nosort
        SORT l BY w_*
        SORT l GET w_*
        SORT l GET '#'
        AUTH default x
        ACL SETUSER u %R~*
        AUTH u x
        SORT l BY w_* GET w_*
        AUTH default x
        ACL SETUSER u resetkeys '(%R~* +sort)'
        AUTH u x
        SORT l BY w_*
        AUTH default x
        ACL DELUSER u
        """,
}


@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("name", RULES)
def test_as_redis(run_script: Any, name: str, protocol: int) -> None:
    text = RULES[name]
    if protocol == 3:
        text = text.replace("HELLO 2", "HELLO 3").replace("        HELLO 3", "        - HELLO 3")
    else:
        text = text.replace("        HELLO 2 AUTH default", "        - HELLO 2 AUTH default")
    run_script(text, protocol)
