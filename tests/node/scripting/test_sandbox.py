"""What a hostile script tries: to reach the host, to leave something behind, to take the node down."""

from __future__ import annotations

from typing import Any

import hiredis
import pytest

READONLY = "Attempt to modify a readonly table"


def run(client: Any, script: str, *args: str) -> Any:
    return client.call("EVAL", script, 0, *args)


@pytest.mark.parametrize(
    "name",
    ["io", "debug", "package", "require", "module", "dofile", "loadfile", "print", "python", "newproxy"],
)
def test_nothing_reaches_outside(client: Any, name: str) -> None:
    with pytest.raises(hiredis.ReplyError, match="nonexistent global variable"):
        run(client, f"return {name}")
    assert run(client, f"return rawget(_G, '{name}')") is None


def test_os_has_a_clock_and_nothing_else(client: Any) -> None:
    assert run(client, "local t = {} for k in pairs(os) do t[#t + 1] = k end return t") == [b"clock"]


@pytest.mark.parametrize(
    "attempt",
    [
        "_G.x = 1",
        "x = 1",
        "redis.call = nil",
        "rawset(_G, 'x', 1)",
        "rawset(redis, 'call', 1)",
        "rawset(string, 'x', 1)",
        "table.insert(_G, 1)",
        "table.insert(string, 1)",
        "table.remove(redis)",
        "table.sort(cjson)",
        "setmetatable(_G, {})",
        "setmetatable(redis, nil)",
        "getmetatable('').__index = 1",
        "rawset(getmetatable(''), '__index', 1)",
        "getmetatable('').__index.upper = 1",
        "cjson.encode = 1",
        "rawset(cjson, 'encode', 1)",
        "math.random = 1",
        "KEYS = 1",
        "bit.band = 1",
        "getfenv(0).x = 1",
        "getfenv(1).x = 1",
        "getfenv(redis.call).x = 1",
        "getfenv(string.rep).x = 1",
        "getfenv(pcall).x = 1",
        "loadstring('x = 1')()",
        "coroutine.wrap(function() x = 1 end)()",
        "coroutine.wrap(function() getfenv(0).x = 1 end)()",
        "load(function() return nil end) getfenv(0).x = 1",
    ],
)
def test_nothing_is_left_for_the_next_script(client: Any, attempt: str) -> None:
    assert READONLY in client.error("EVAL", attempt, 0)
    kinds = run(client, "return {type(redis.call), type(string.upper), type(cjson.encode)}")
    assert kinds == [b"function"] * 3


@pytest.mark.parametrize(
    "attempt",
    ["setfenv(redis.call, {})", "setfenv(0, {})", "setfenv(string.rep, {})", "setfenv(getfenv, {})"],
)
def test_environments_of_the_host_stay(client: Any, attempt: str) -> None:
    assert "cannot change environment" in client.error("EVAL", attempt, 0)


def test_a_script_that_changes_its_own_environment_runs_with_the_right_one_again(client: Any) -> None:
    script = "if ARGV[1] == 'spoil' then setfenv(1, {}) return 1 end return redis.call('PING')"
    assert run(client, script, "spoil") == 1
    assert run(client, script, "use") == b"PONG"


def test_metatables_of_libraries_are_not_seen(client: Any) -> None:
    for name in ("_G", "redis", "string"):
        assert run(client, f"return tostring(getmetatable({name}))") == b"nil"


@pytest.mark.parametrize(
    "load", ["loadstring(code)", "load(function() local c = code code = nil return c end)"]
)
def test_bytecode_is_not_loaded(client: Any, load: str) -> None:
    script = f"local code = string.dump(function() return 1 end) local f = {load} return tostring(f)"
    assert run(client, script) == b"nil"
    assert b"precompiled" in run(client, "return select(2, loadstring('\\27Lua'))")
    assert "Error compiling" in client.error("EVAL", b"\x1bLua", 0)


def test_no_object_of_the_host_is_in_an_error(client: Any) -> None:
    script = """
        local kinds = {}
        for _, f in ipairs{redis.call, redis.log, redis.sha1hex, redis.setresp, redis.acl_check_cmd,
                           cjson.decode, cmsgpack.unpack, struct.unpack, bit.band, loadstring, setfenv,
                           getfenv} do
            for _, argument in ipairs{{}, f, coroutine.create(f), 1/0, 'x', {err = {}}} do
                local results = {pcall(f, argument, argument, argument)}
                for i = 1, #results do kinds[type(results[i])] = true end
            end
        end
        return {tostring(kinds.userdata), tostring(kinds.string)}
    """
    assert run(client, script) == [b"nil", b"true"]


def test_too_much_memory(client: Any) -> None:
    grow = "local t = {} for i = 1, 1e9 do t[i] = string.rep('x', 100000) .. i end"
    assert "not enough memory" in client.error("EVAL", grow, 0)
    assert "not enough memory" in client.error("EVAL", "return string.rep('x', 1e10)", 0)
    assert "not enough memory" in client.error("EVAL", "local s = 'x' while true do s = s .. s end", 0)
    assert run(client, "return 1") == 1


def test_commands_at_the_end_of_memory(client: Any) -> None:
    client.call("SET", "big", "x" * 1_000_000)
    script = """
        local kept = {}
        local ok, wrong = pcall(function()
            for i = 1, 1e6 do kept[i] = redis.call('GET', 'big') .. i end
        end)
        kept = nil
        return wrong
    """
    assert b"not enough memory" in run(client, script)
    assert run(client, "return #redis.call('GET', 'big')") == 1_000_000


def test_cyclic_and_deep_replies(client: Any) -> None:
    assert client.error("EVAL", "local t = {} t[1] = t return t", 0) == "ERR reached lua stack limit"
    deep = "local t = {} for i = 1, 100000 do t = {t} end return t"
    assert client.error("EVAL", deep, 0) == "ERR reached lua stack limit"
    wide = "local t = {} t[1] = t t[2] = t return t"
    assert client.error("EVAL", wide, 0) == "ERR reached lua stack limit"
    assert run(client, "return 1") == 1


def test_deep_recursion(client: Any) -> None:
    assert "stack overflow" in client.error("EVAL", "local function f() return 1 + f() end return f()", 0)
    nested = "local function f() return pcall(f) end return {f()}"
    assert run(client, nested)[0] == 1
    assert run(client, "return 1") == 1


@pytest.mark.parametrize(
    "attempt",
    [
        "return unpack({}, 1, 1e9)",
        "return unpack({}, -2147483648, 2147483647)",
        "return struct.pack('>I2147483648', 10)",
        "return struct.pack('i33', 10)",
        "return struct.unpack('c4294967295', 'x')",
        "return struct.unpack('I1c0', '\\255x')",
        "return struct.unpack('>!2147483647', 'x')",
        "return cmsgpack.unpack('\\221\\255\\255\\255\\255')",
        "return cmsgpack.unpack(string.rep('\\145', 100000))",
        "return cmsgpack.unpack('\\193')",
        "return cmsgpack.unpack_limit('\\1', 1, -1)",
        "return cjson.decode(string.rep('[', 100000))",
        "local t = {} for i = 1, 2000 do t = {t} end return cjson.encode(t)",
        "return cjson.encode({[1e9] = 1})",
        "return cjson.encode(0/0)",
        "return cjson.decode('[1,]')",
        "return xpcall(error, nil)()",
    ],
)
def test_what_libraries_must_refuse(client: Any, attempt: str) -> None:
    assert client.error("EVAL", attempt, 0).startswith("ERR ")
    assert run(client, "return 1") == 1


def test_the_collector_cannot_be_stopped(client: Any) -> None:
    assert run(client, "collectgarbage('stop') return collectgarbage('count') > 0") == 1


def test_a_loop_over_nothing_in_c_ends(client: Any) -> None:
    assert run(client, "return #string.rep('', 2147483647)") == 0


def test_vararg_functions_with_many_parameters(client: Any) -> None:
    """CVE-2014-5461: their stack was not checked."""
    script = """
        local p = {}
        for i = 1, 190 do p[i] = 'p' .. i end
        local f = loadstring('return function(' .. table.concat(p, ',') .. ', ...) end')()
        local function deep(n) if n > 0 then deep(n - 1) end f() end
        for n = 1, 200 do coroutine.wrap(deep)(n) end
        return 'alive'
    """
    assert run(client, script) == b"alive"


def test_names_of_chunks_survive_the_collector(client: Any) -> None:
    """CVE-2025-49844: the parser's name of a chunk was not held while it collected."""
    script = """
        for i = 1, 300 do
            local body = 'local t = {} ' .. string.rep('t[1] = "' .. i .. '" ', 100)
            load(function() local b = body body = nil collectgarbage() return b end, '=' .. i)()
        end
        return 'alive'
    """
    assert run(client, script) == b"alive"
