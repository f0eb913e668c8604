"""FUNCTION and FCALL on a node."""

from __future__ import annotations

from typing import Any

import pytest

LIBRARY = """#!lua name=mine
local function add(keys, args) return redis.call('INCRBY', keys[1], args[1]) end
redis.register_function('add', add)
redis.register_function{
    function_name = 'peek', callback = function(keys) return redis.call('GET', keys[1]) end,
    description = 'one two', flags = {'no-writes'},
}
"""


def test_load_and_call(client: Any) -> None:
    assert client.call("FUNCTION", "LOAD", LIBRARY) == b"mine"
    assert client.call("FCALL", "add", 1, "k", 5) == 5
    assert client.call("FCALL_RO", "PEEK", 1, "k") == b"5"
    assert client.error("FCALL_RO", "add", 1, "k", 5) == (
        "ERR Can not execute a script with write flag using *_ro command."
    )
    assert client.error("FCALL", "none", 0) == "ERR Function not found"
    assert client.error("FCALL", "add", "x") == "ERR Bad number of keys provided"


def test_list(client: Any) -> None:
    client.call("FUNCTION", "LOAD", LIBRARY)
    client.raw("HELLO", 3)
    (library,) = client.call("FUNCTION", "LIST", "LIBRARYNAME", "M*", "WITHCODE")
    assert library[b"library_code"] == LIBRARY.encode()
    functions = {each[b"name"]: each for each in library[b"functions"]}
    assert functions[b"peek"][b"description"] == b"one two"
    assert list(functions[b"peek"][b"flags"]) == [b"no-writes"]
    assert functions[b"add"][b"description"] is None
    assert client.call("FUNCTION", "LIST", "LIBRARYNAME", "x*") == []
    assert client.error("FUNCTION", "LIST", "ODD") == "ERR Unknown argument ODD"
    stats = client.call("FUNCTION", "STATS")
    assert stats[b"engines"] == {b"LUA": {b"libraries_count": 1, b"functions_count": 2}}


def test_replace_and_delete(client: Any) -> None:
    client.call("FUNCTION", "LOAD", LIBRARY)
    assert client.error("FUNCTION", "LOAD", LIBRARY) == "ERR Library 'mine' already exists"
    other = "#!lua name=mine\nredis.register_function('only', function() return 'new' end)"
    assert client.call("FUNCTION", "LOAD", "REPLACE", other) == b"mine"
    assert client.call("FCALL", "only", 0) == b"new"
    assert client.error("FCALL", "add", 1, "k", 1) == "ERR Function not found"
    assert client.error("FUNCTION", "LOAD", other.replace("mine", "yours")) == (
        "ERR Function only already exists"
    )
    assert client.call("FUNCTION", "DELETE", "mine") == b"OK"
    assert client.error("FUNCTION", "DELETE", "mine") == "ERR Library not found"
    assert client.error("FCALL", "only", 0) == "ERR Function not found"


def test_a_bad_replacement_leaves_what_was_there(client: Any) -> None:
    client.call("FUNCTION", "LOAD", LIBRARY)
    assert "Error compiling function" in client.error("FUNCTION", "LOAD", "REPLACE", "#!lua name=mine\nx x")
    assert client.call("FCALL", "add", 1, "k", 1) == 1


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("return 1", "ERR Missing library metadata"),
        ("#!lua name=x", "ERR Invalid library metadata"),
        ("#!lua\nreturn 1", "ERR Library name was not given"),
        ("#!lua name=x name=y\n", "ERR Invalid metadata value, name argument was given multiple times"),
        ("#!lua odd=1\n", "ERR Invalid metadata value given: odd=1"),
        ("#!perl name=x\n", "ERR Engine 'perl' not found"),
        ("#!lua name=a-b\n", "ERR Library names can only contain letters, numbers, or underscores(_) and "
         "must be at least one character long"),
        ("#!lua name=x\nreturn 1", "ERR No functions registered"),
        ("#!lua name=x\nredis.register_function('f')", "ERR Error registering functions: ERR calling "
         "redis.register_function with a single argument is only applicable to Lua table (representing named "
         "arguments)."),
        ("#!lua name=x\nredis.register_function('f', 1)", "ERR Error registering functions: ERR second "
         "argument to redis.register_function must be a function"),
        ("#!lua name=x\nredis.register_function{function_name='f', callback=function() end, flags={'odd'}}",
         "ERR Error registering functions: ERR unknown flag given"),
        ("#!lua name=x\nredis.call('PING')", "ERR Error registering functions: ERR user_function:2: Script "
         "attempted to access nonexistent global variable 'call'"),
    ],
)  # fmt: skip
def test_texts_that_are_refused(client: Any, text: str, error: str) -> None:
    assert client.error("FUNCTION", "LOAD", text) == error


def test_a_library_that_loops_is_given_up(node: Any, client: Any) -> None:
    text = client.error("FUNCTION", "LOAD", "#!lua name=x\nwhile true do end")
    assert text == "ERR Error registering functions: ERR FUNCTION LOAD timeout"
    assert client.call("FUNCTION", "LOAD", LIBRARY) == b"mine"


def test_register_function_outside_of_load(client: Any) -> None:
    text = "#!lua name=x\nlocal r = redis.register_function\nr('f', function() r('g', function() end) end)"
    client.call("FUNCTION", "LOAD", text)
    assert "can only be called on FUNCTION LOAD command" in client.error("FCALL", "f", 0)


def test_state_of_a_library_is_its_own(client: Any) -> None:
    text = "#!lua name=x\nlocal n = 0\nredis.register_function('next', function() n = n + 1 return n end)"
    client.call("FUNCTION", "LOAD", text)
    assert [client.call("FCALL", "next", 0) for _ in range(3)] == [1, 2, 3]


def test_dump_and_restore(client: Any) -> None:
    client.call("FUNCTION", "LOAD", LIBRARY)
    payload = client.call("FUNCTION", "DUMP")
    assert client.error("FUNCTION", "RESTORE", payload) == "ERR Library 'mine' already exists"
    assert client.call("FUNCTION", "RESTORE", payload, "REPLACE") == b"OK"
    assert client.call("FUNCTION", "FLUSH") == b"OK"
    assert client.call("FUNCTION", "LIST") == []
    assert client.call("FUNCTION", "RESTORE", payload, "FLUSH") == b"OK"
    assert client.call("FCALL", "add", 1, "k", 2) == 2
    assert client.error("FUNCTION", "RESTORE", payload[:-1] + b"x") == (
        "ERR DUMP payload version or checksum are wrong"
    )
    assert client.error("FUNCTION", "RESTORE", payload, "ODD").startswith("ERR Wrong restore policy given")


def test_replicas_are_told_libraries_and_effects(node: Any, client: Any) -> None:
    told: list[list[bytes]] = []
    node.after.tellers.append(lambda _index, argv: told.append(argv))
    client.call("FUNCTION", "LOAD", LIBRARY)
    client.call("FCALL", "add", 1, "k", 5)
    client.call("FUNCTION", "DELETE", "mine")
    assert told == [
        [b"FUNCTION", b"LOAD", LIBRARY.encode()],
        [b"INCRBY", b"k", b"5"],
        [b"FUNCTION", b"DELETE", b"mine"],
    ]


def test_a_data_set_comes_with_its_libraries(node: Any, client: Any) -> None:
    client.call("FUNCTION", "LOAD", LIBRARY)
    texts = node.libraries.give()
    assert texts == [LIBRARY.encode()]
    node.libraries.take([])
    assert client.call("FUNCTION", "LIST") == []
    node.libraries.take([*texts, b"#!lua name=bad\nx x"])
    assert client.call("FCALL", "add", 1, "k", 5) == 5


def test_memory_is_limited(client: Any) -> None:
    client.call("FUNCTION", "LOAD", LIBRARY)
    text = (
        "#!lua name=x\nlocal t = {}\nredis.register_function('grow', "
        "function() for i = 1, 1e9 do t[i] = string.rep('x', 100000) .. i end end)"
    )
    client.call("FUNCTION", "LOAD", text)
    assert "not enough memory" in client.error("FCALL", "grow", 0)
    client.call("FUNCTION", "DELETE", "x")
    assert client.call("FCALL", "add", 1, "k", 5) == 5
