"""EVAL and its kin on a node: what scripts may do, what they are told, and what others see."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import hiredis
import pytest

from node.config.table import BUSY_REPLY_THRESHOLD
from node.guards import Guard

SHA_OF_ONE = "e0e1f9fabfc9d4800c877a703b823ac0578ff8db"


def test_values_become_replies(client: Any) -> None:
    assert client.call("EVAL", "return {1, 'a', true, false, {ok='fine'}, 3.9, nil, 4}", 0) == [
        1, b"a", 1, None, b"fine", 3,
    ]  # fmt: skip


def test_keys_and_arguments(client: Any) -> None:
    script = "return {KEYS[1], KEYS[2], ARGV[1], #KEYS, #ARGV}"
    assert client.call("EVAL", script, 2, "a", "b", "c") == [b"a", b"b", b"c", 2, 1]


def test_many_arguments(client: Any) -> None:
    words = [str(n) for n in range(10_000)]
    assert client.call("EVAL", "return {#KEYS, #ARGV, ARGV[9000]}", 1000, *words) == [1000, 9000, b"9999"]


def test_replies_become_values(client: Any) -> None:
    client.call("RPUSH", "list", "x", "y")
    script = """
        local got = {}
        got[1] = redis.call('SET', 'k', 5).ok
        got[2] = redis.call('INCR', 'k') + 1
        got[3] = redis.call('LRANGE', 'list', 0, -1)[2]
        got[4] = tostring(redis.call('GET', 'missing'))
        got[5] = redis.pcall('INCR', 'list').err
        return got
    """
    assert client.call("EVAL", script, 0) == [
        b"OK", 7, b"y", b"false", b"WRONGTYPE Operation against a key holding the wrong kind of value",
    ]  # fmt: skip


def test_many_words_of_a_command(client: Any) -> None:
    script = "local t = {} for i = 1, 5000 do t[i] = i end return redis.call('RPUSH', 'k', unpack(t))"
    assert client.call("EVAL", script, 0) == 5000
    assert client.call("LINDEX", "k", 4999) == b"5000"


def test_resp3_both_ways(client: Any) -> None:
    client.call("HSET", "h", "f", "v")
    assert client.call("EVAL", "redis.setresp(3) return redis.call('HGETALL', 'h').map.f", 0) == b"v"
    client.raw("HELLO", 3)
    client.call("ZADD", "z", 1.5, "m")
    got = client.raw("EVAL", "redis.setresp(3) return {redis.call('ZSCORE', 'z', 'm'), true}", 0)
    assert got == b"*2\r\n,1.5\r\n#t\r\n"
    assert client.raw("EVAL", "return {map={a=1}}", 0) == b"%1\r\n$1\r\na\r\n:1\r\n"


@pytest.mark.parametrize(
    ("script", "text"),
    [
        ("return nothing", "ERR user_script:1: Script attempted to access nonexistent global variable "
         "'nothing' script: {sha}, on @user_script:1."),
        ("x = 1", "ERR user_script:1: Attempt to modify a readonly table script: {sha}, on "
         "@user_script:1."),
        ("local x = redis.call('INCR', 'list') return x", "WRONGTYPE Operation against a key holding "
         "the wrong kind of value script: {sha}, on @user_script:1."),
        ("\nreturn redis.call('NOSUCH')", "ERR Unknown Redis command called from script script: {sha}, "
         "on @user_script:2."),
        ("return redis.call('SET', 'a')", "ERR Wrong number of args calling Redis command from script "
         "script: {sha}, on @user_script:1."),
        ("redis.call('EVAL', 'return 1', 0)", "ERR This Redis command is not allowed from script script: "
         "{sha}, on @user_script:1."),
        ("return redis.error_reply('MY word')", "MY word"),
        ("error('boo')", "ERR user_script:1: boo script: {sha}, on @user_script:1."),
    ],
)  # fmt: skip
def test_texts_of_errors(client: Any, script: str, text: str) -> None:
    client.call("RPUSH", "list", "x")
    sha = client.call("SCRIPT", "LOAD", script).decode()
    assert client.error("EVAL", script, 0) == text.format(sha=sha)


def test_a_text_that_does_not_compile(client: Any) -> None:
    assert client.error("EVAL", "return +", 0).startswith("ERR Error compiling script (new function): ")
    assert client.error("SCRIPT", "LOAD", "x x").startswith("ERR Error compiling script (new function): ")


def test_evalsha(client: Any) -> None:
    assert client.error("EVALSHA", SHA_OF_ONE, 0) == "NOSCRIPT No matching script. Please use EVAL."
    client.call("EVAL", "return 1", 0)
    assert client.call("EVALSHA", SHA_OF_ONE.upper(), 0) == 1
    assert client.call("SCRIPT", "EXISTS", SHA_OF_ONE, "x") == [1, 0]
    assert client.call("SCRIPT", "SHOW", SHA_OF_ONE) == b"return 1"
    assert client.call("SCRIPT", "FLUSH") == b"OK"
    assert client.call("SCRIPT", "EXISTS", SHA_OF_ONE) == [0]


def test_scripts_of_eval_are_forgotten_when_there_are_many(client: Any) -> None:
    kept = client.call("SCRIPT", "LOAD", "return 'kept'")
    first = client.call("EVAL", "return redis.sha1hex('return 0')", 0)
    for n in range(600):
        client.call("EVAL", f"return {n}", 0)
    assert client.call("SCRIPT", "EXISTS", kept, first) == [1, 0]
    assert client.call("EVALSHA", kept, 0) == b"kept"


def test_flags(client: Any) -> None:
    writes = "#!lua flags=no-writes\nreturn redis.call('SET', 'a', 1)"
    assert "Write commands are not allowed from read-only scripts." in client.error("EVAL", writes, 0)
    assert "Write commands are not allowed" in client.error("EVAL_RO", "return redis.call('SET', 'a', 1)", 0)
    assert client.error("EVAL_RO", "#!lua\nreturn 1", 0) == (
        "ERR Can not execute a script with write flag using *_ro command."
    )
    assert client.error("EVAL", "#!lua flags=odd\nreturn 1", 0) == (
        "ERR Unexpected flag in script shebang: odd"
    )
    assert client.error("EVAL", "#!perl\nreturn 1", 0) == "ERR Unexpected engine in script shebang: #!perl"
    assert client.call("EVAL", "#!lua flags=allow-oom,no-cluster\nreturn 1", 0) == 1


def test_what_a_script_writes_is_told_as_one(node: Any, client: Any) -> None:
    told: list[list[bytes]] = []
    node.after.tellers.append(lambda _index, argv: told.append(argv))
    client.call("EVAL", "redis.call('SET', 'a', 1) redis.call('GET', 'a') return redis.call('INCR', 'a')", 0)
    assert told == [[b"MULTI"], [b"SET", b"a", b"1"], [b"INCR", b"a"], [b"EXEC"]]
    told.clear()
    client.call("EVAL", "redis.set_repl(redis.REPL_NONE) redis.call('SET', 'a', 1)", 0)
    assert told == []
    client.call("EVAL", "redis.call('SET', 'a', 1)", 0)
    assert told == [[b"SET", b"a", b"1"]]


def test_database_and_protocol_are_put_back(client: Any) -> None:
    client.call("EVAL", "redis.setresp(3) redis.call('SELECT', 3) redis.call('SET', 'there', 1)", 0)
    assert client.call("EXISTS", "there") == 0
    assert client.raw("GET", "there") == b"$-1\r\n"
    client.call("SELECT", 3)
    assert client.call("EXISTS", "there") == 1


def test_in_a_transaction(client: Any) -> None:
    client.call("MULTI")
    client.call("EVAL", "return redis.call('INCR', 'a')", 0)
    client.call("EVAL", "return redis.call('INCR', 'a')", 0)
    assert client.call("EXEC") == [1, 2]


def test_who_waits_for_a_key_is_served_behind_the_script(client: Any, new_client: Callable[[], Any]) -> None:
    waiting = new_client()
    assert waiting.raw("BLPOP", "k", 0) is None
    script = "redis.call('RPUSH', 'k', 'x') return redis.call('LLEN', 'k')"
    assert client.call("EVAL", script, 0) == 1
    assert waiting.transport.sent == b"*2\r\n$1\r\nk\r\n$1\r\nx\r\n"


def test_blocking_commands_do_not_wait_in_scripts(client: Any) -> None:
    assert client.call("EVAL", "return redis.call('BLPOP', 'none', 0)", 0) is None


def test_errors_are_counted_once(node: Any, client: Any) -> None:
    before = node.stats.error_replies
    client.error("EVAL", "return redis.call('INCR')", 0)
    assert node.stats.error_replies == before + 1
    client.error("EVAL", "error('x')", 0)
    assert node.stats.error_replies == before + 2


def test_bad_key_counts(client: Any) -> None:
    assert client.error("EVAL", "return 1", 2, "a") == (
        "ERR Number of keys can't be greater than number of args"
    )
    assert client.error("EVAL", "return 1", -1) == "ERR Number of keys can't be negative"
    assert client.error("EVAL", "return 1", "x") == "ERR value is not an integer or out of range"


def test_kill_without_a_script(client: Any) -> None:
    assert client.error("SCRIPT", "KILL") == "NOTBUSY No scripts in execution right now."
    assert client.error("FUNCTION", "KILL") == "NOTBUSY No scripts in execution right now."


class Meddler:
    """Stands for the reactor while a script is slow: other clients' requests, one at each look."""

    def __init__(self, node: Any, requests: list[tuple[Any, tuple[str, ...]]]) -> None:
        node.config.store(BUSY_REPLY_THRESHOLD, 1)
        node.scripting.runs.serve_others = self
        self.requests = requests
        self.replies: list[bytes] = []

    def __call__(self, _session: Any) -> None:
        if self.requests:
            client, request = self.requests.pop(0)
            self.replies.append(client.raw(*request))


LOOP = "while true do pcall(function() while true do end end) end"
BUSY = b"-BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.\r\n"


def test_a_script_that_loops_is_killed(node: Any, client: Any, new_client: Callable[[], Any]) -> None:
    other = new_client()
    meddler = Meddler(node, [(other, ("PING",)), (other, ("FUNCTION", "KILL")), (other, ("SCRIPT", "KILL"))])
    text = client.error("EVAL", LOOP, 0)
    assert text.startswith("ERR Script killed by user with SCRIPT KILL...")
    assert meddler.replies == [BUSY, BUSY, b"+OK\r\n"]
    assert other.call("PING") == b"PONG"
    assert client.call("EVAL", "return 1", 0) == 1


def test_coroutines_are_killed_with_their_script(
    node: Any, client: Any, new_client: Callable[[], Any]
) -> None:
    Meddler(node, [(new_client(), ("SCRIPT", "KILL"))])
    loop = "while true do coroutine.resume(coroutine.create(function() while true do end end)) end"
    assert client.error("EVAL", loop, 0).startswith("ERR Script killed")
    Meddler(node, [(new_client(), ("SCRIPT", "KILL"))])
    loop = "while true do coroutine.wrap(function() for i = 1, 10000 do end end)() end"
    assert client.error("EVAL", loop, 0).startswith("ERR Script killed")


def test_a_script_that_wrote_is_not_killed(node: Any, client: Any, new_client: Callable[[], Any]) -> None:
    other = new_client()
    meddler = Meddler(node, [(other, ("SCRIPT", "KILL"))])
    script = "redis.call('SET', 'a', 1) for i = 1, 3e7 do end return 'done'"
    assert client.call("EVAL", script, 0) == b"done"
    assert meddler.replies[0].startswith(b"-UNKILLABLE Sorry the script already executed write commands")


def test_shutdown_ends_a_script_that_wrote_and_nobody_is_told(
    node: Any, client: Any, new_client: Callable[[], Any]
) -> None:
    told: list[list[bytes]] = []
    node.after.tellers.append(lambda _index, argv: told.append(argv))
    meddler = Meddler(node, [(new_client(), ("SHUTDOWN",)), (new_client(), ("SHUTDOWN", "NOSAVE"))])
    assert client.error("EVAL", "redis.call('SET', 'a', 1) " + LOOP, 0).startswith("ERR The script ended")
    assert told == []
    assert node.lifecycle.is_ending
    assert meddler.replies[0] == BUSY


def test_an_exception_of_ours_goes_through(node: Any, client: Any) -> None:
    def broken(_call: object, _argv: object) -> bytes:
        raise AssertionError("a bug")

    node.table.lookup(b"GET").run = broken
    with pytest.raises(AssertionError, match="a bug"):
        client.call("EVAL", "while true do pcall(redis.call, 'GET', 'a') end", 0)
    assert client.call("EVAL", "return 1", 0) == 1


def test_info(client: Any) -> None:
    client.call("EVAL", "return 1", 0)
    info = client.call("INFO", "memory")
    assert b"number_of_cached_scripts:1\r\n" in info
    assert b"used_memory_lua:0\r\n" not in info


def test_log(client: Any, capfd: pytest.CaptureFixture[str]) -> None:
    client.call("EVAL", "redis.log(redis.LOG_WARNING, 'hello', 'there')", 0)
    assert "hello there" in capfd.readouterr().out
    with pytest.raises(hiredis.ReplyError, match="Invalid log level"):
        client.call("EVAL", "redis.log(10, 'x')", 0)


# The node's condition


OOM = "OOM command not allowed when used memory > 'maxmemory'."
SET = "return redis.call('SET', KEYS[1], 'v')"


@pytest.fixture
def full(node: Any) -> Any:
    """Memory is used up, and nothing can be evicted; `False` makes room again."""
    looks: list[bool] = [True]
    node.scripting.runs.is_full = lambda: looks[-1]
    node.eviction.is_full = lambda: looks[-1]
    node.guards.set(Guard.MEMORY, True)
    return looks.append


def test_without_memory_the_first_write_that_may_need_some_is_refused(client: Any, full: Any) -> None:
    """Redis's rules: for a script without flags at its first write, and never behind another."""
    assert client.error("EVAL", SET, 1, "k").startswith(OOM)
    assert client.call("EVAL", "redis.call('DEL', 'x') " + SET, 1, "k") == b"OK"
    assert client.call("EVAL", "return redis.call('GET', KEYS[1])", 1, "k") == b"v"
    assert client.call("EVAL_RO", "return 1", 0) == 1
    full(False)
    assert client.call("EVAL", SET, 1, "k") == b"OK"


@pytest.mark.parametrize(
    ("flags", "refused"),
    [("", True), (" flags=allow-oom", False), (" flags=no-writes", False), (" flags=allow-stale", True)],
)
def test_without_memory_a_script_with_flags(client: Any, full: Any, flags: str, refused: bool) -> None:
    """It is refused unless its flags say that it needs none, as a command is; also one EVALSHA names."""
    script = f"#!lua{flags}\nreturn 1"
    full(False)
    sha = client.call("SCRIPT", "LOAD", script)
    full(True)
    for request in (("EVAL", script, 0), ("EVALSHA", sha, 0)):
        if refused:
            assert client.error(*request) == OOM
        else:
            assert client.call(*request) == 1


def test_without_memory_functions(client: Any, full: Any) -> None:
    full(False)
    client.call("FUNCTION", "LOAD", FUNCTIONS)
    full(True)
    assert client.error("FCALL", "writes", 1, "k") == OOM
    assert client.call("FCALL", "reads", 1, "k") is None
    assert client.call("FCALL", "may", 1, "k") == b"OK"


FUNCTIONS = """#!lua name=lib
local function set(keys) return redis.call('SET', keys[1], 'v') end
redis.register_function('writes', set)
redis.register_function{function_name='may', callback=set, flags={'allow-oom'}}
redis.register_function{
  function_name='reads', callback=function(keys) return redis.call('GET', keys[1]) end, flags={'no-writes'}
}
"""


@pytest.mark.parametrize(
    ("request_", "waits"),
    [
        (("EVAL", "return 1", "0"), True),
        (("EVAL", "#!lua\nreturn 1", "0"), True),
        (("EVAL", "#!lua flags=no-writes\nreturn 1", "0"), False),
        (("EVAL", "#!lua flags=wrong\nreturn 1", "0"), True),
        (("EVAL_RO", "return 1", "0"), False),
        (("EVALSHA", "0" * 40, "0"), True),
        (("EVALSHA_RO", "0" * 40, "0"), False),
        (("FCALL", "writes", "1", "k"), True),
        (("FCALL", "reads", "1", "k"), False),
        (("FCALL_RO", "reads", "1", "k"), False),
        (("FCALL", "missing", "0"), True),
    ],
)
def test_a_pause_for_writes_lets_pass_what_says_it_does_not_write(
    client: Any, new_client: Callable[[], Any], request_: tuple[str, ...], waits: bool
) -> None:
    client.call("FUNCTION", "LOAD", FUNCTIONS)
    client.call("CLIENT", "PAUSE", 100_000, "WRITE")
    other = new_client()
    assert (other.raw(*request_) is None) is waits
    assert (other.session.blocked is not None) is waits


def test_a_pause_and_what_is_queued(client: Any, new_client: Callable[[], Any]) -> None:
    client.call("CLIENT", "PAUSE", 100_000, "WRITE")
    other = new_client()
    other.call("MULTI")
    other.call("EVAL", "#!lua flags=no-writes\nreturn 1", 0)
    assert other.call("EXEC") == [1]


def test_a_signal_ends_a_slow_script_that_has_not_written(node: Any, client: Any) -> None:
    Meddler(node, [])
    node.lifecycle.is_signalled = True
    assert client.error("EVAL", LOOP, 0).startswith("ERR The script ended, having written nothing")
    script = "redis.call('SET', 'a', 1) for i = 1, 3e6 do end return 'done'"
    assert client.call("EVAL", script, 0) == b"done"


def test_peers_are_heard_whether_it_is_slow_or_not(node: Any, client: Any) -> None:
    node.config.store(BUSY_REPLY_THRESHOLD, 0)
    heard: list[None] = []
    node.scripting.runs.hear_peers = lambda: heard.append(None)
    client.call("EVAL", "local t = os.clock() while os.clock() - t < 0.2 do end", 0)
    assert heard


# The short way of ordinary scripts


def test_the_short_way_counts_and_times_like_the_long_one(client: Any) -> None:
    script = "return redis.call('INCR', KEYS[1])"
    for _ in range(3):
        client.call("EVAL", script, 1, "k")
    client.call("EVAL", script, 2, "k", "other")
    stats = client.call("INFO", "commandstats")
    assert b"cmdstat_eval:calls=4," in stats
    assert b"cmdstat_incr:calls=4," in stats


def test_who_is_restricted_is_asked_for_each_command(client: Any, new_client: Callable[[], Any]) -> None:
    client.call("ACL", "SETUSER", "u", "on", "nopass", "~k", "+@all", "-incr")
    other = new_client()
    other.call("AUTH", "u", "")
    assert other.error("EVAL", "return redis.call('INCR', KEYS[1])", 1, "k").startswith("NOPERM ACL failure")
    assert other.error("EVAL", "return 1", 1, "other").startswith("NOPERM No permissions to access a key")


def test_commands_by_any_spelling(client: Any) -> None:
    assert client.call("eval", "return redis.call('Set', KEYS[1], 1)", 1, "k") == b"OK"
    assert client.call("Eval", "return redis.call('get', KEYS[1])", 1, "k") == b"1"
    assert "Wrong number of args" in client.error("EVAL", "return redis.call('GET')", 0)
    assert "Unknown Redis command" in client.error("EVAL", "return redis.call('NO', 'k')", 0)
    assert "not allowed from script" in client.error("EVAL", "return redis.call('SUBSCRIBE', 'k')", 0)
