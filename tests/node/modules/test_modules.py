"""MODULE LOAD and what follows: commands come whole or not at all, serve like any other, and go."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from node.acl.service import Acl
from node.app import Node
from node.command.spec import DECLARED
from node.config.config import Config
from node.config.file import ConfigFileError, Line
from node.config.table import ENABLE_MODULE_COMMAND, MAXMEMORY_POLICY, SAVE

HEAD = "from node.modules.api import *\nfrom node.modules.api import Commands, number\n"
ECHO = (
    HEAD
    + """
NAME = "echoes"
VERSION = 3
@command(b"ECHOES.ONE", arity=2, group="module", since="1.0.0", flags=READONLY | FAST, keys=[key(1, RO)])
def one(call, argv):
    '''Says it again.'''
    return bulk(argv[1])
"""
)


def spec(name: str, body: str = "return OK", **options: str) -> str:
    """The text of a command."""
    options = {"arity": "-1", "group": "'module'", "since": "'1.0.0'"} | options
    given = ", ".join(f"{word}={value}" for word, value in options.items())
    lines = "\n    ".join(body.splitlines())
    parameters = "commands, call, argv" if "needs" in options else "call, argv"
    return f"@command({name}, {given})\ndef f({parameters}):\n    {lines}\n"


@pytest.fixture
def node() -> Node:
    config = Config()
    config.store(SAVE, ())
    config.store(ENABLE_MODULE_COMMAND, "local")
    node = Node(config)
    node.clock.update = lambda: node.clock.now_ms  # type: ignore[method-assign]
    return node


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., str]:
    """Writes a module; its path."""

    def write(text: str, name: str = "some.py") -> str:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return str(path)

    return write


def test_a_module_comes_and_goes(client: Any, write: Callable[..., str]) -> None:
    path = write(ECHO)
    before = client.call("COMMAND", "COUNT")
    assert client.call("MODULE", "LOAD", path, "a", "b") == b"OK"
    assert client.call("ECHOES.ONE", "x") == client.call("echoes.one", "x") == b"x"
    assert client.call("MODULE", "LIST") == [
        [b"name", b"echoes", b"ver", 3, b"path", path.encode(), b"args", [b"a", b"b"]]
    ]
    assert client.call("MODULE", "UNLOAD", "echoes") == b"OK"
    assert client.error("ECHOES.ONE", "x").startswith("ERR unknown command")
    assert client.call("MODULE", "LIST") == []
    assert client.call("COMMAND", "COUNT") == before
    assert client.error("MODULE", "UNLOAD", "echoes") == (
        "ERR Error unloading module: no such module with that name"
    )


def test_its_commands_are_told_everywhere(client: Any, write: Callable[..., str]) -> None:
    client.call("MODULE", "LOAD", write(ECHO))
    (info,) = client.call("COMMAND", "INFO", "echoes.one")
    assert info[:6] == [b"echoes.one", 2, [b"readonly", b"module", b"fast"], 1, 1, 1]
    docs = client.call("COMMAND", "DOCS", "echoes.one")[1]
    assert docs[:10] == [
        b"summary", b"Says it again.", b"since", b"1.0.0", b"group", b"module", b"module", b"echoes",
    ] + docs[8:10]  # fmt: skip
    assert client.call("COMMAND", "LIST", "FILTERBY", "MODULE", "echoes") == [b"echoes.one"]
    assert client.call("COMMAND", "LIST", "FILTERBY", "MODULE", "other") == []
    assert client.call("COMMAND", "GETKEYS", "ECHOES.ONE", "k") == [b"k"]
    assert b"module:name=echoes,ver=3,api=1," in client.call("INFO", "modules")
    hello = client.call("HELLO")
    assert hello[hello.index(b"modules") + 1][0][:2] == [b"name", b"echoes"]
    client.call("ECHOES.ONE", "x")
    assert b"cmdstat_echoes.one:calls=1," in client.call("INFO", "commandstats")


def test_rules_of_users_hold_for_them(client: Any, write: Callable[..., str]) -> None:
    path = write(ECHO + spec("b'ECHOES.TWO'", flags="WRITE", categories="['dangerous']"))
    client.call("ACL", "SETUSER", "u", "on", "nopass", "~k*", "+@all", "-@dangerous")
    client.call("MODULE", "LOAD", path)
    client.call("ACL", "SETUSER", "v", "on", "nopass", "+echoes.one")
    assert b"echoes.two" in client.call("ACL", "CAT", "dangerous")
    assert client.call("ACL", "DRYRUN", "u", "ECHOES.ONE", "k") == b"OK"
    assert b"no permissions" in client.call("ACL", "DRYRUN", "u", "ECHOES.ONE", "other")
    assert b"no permissions to run" in client.call("ACL", "DRYRUN", "u", "ECHOES.TWO")
    client.call("MODULE", "UNLOAD", "echoes")
    assert b"+echoes.one" in client.call("ACL", "LIST")[2]
    assert b"echoes.two" not in client.call("ACL", "CAT", "dangerous")
    client.call("MODULE", "LOAD", path)
    assert b"access the 'k' key" in client.call("ACL", "DRYRUN", "v", "ECHOES.ONE", "k")


def test_rules_for_renamed_commands_survive_a_module(tmp_path: Path, write: Callable[..., str]) -> None:
    config = Config()
    lines = {
        "rename-command": [Line("f", 1, b"", (b"rename-command", b"FLUSHALL", b""))],
        "user": [Line("f", 2, b"", (b"user", b"u", b"on", b"nopass", b"+@all", b"-flushall"))],
        "loadmodule": [Line("f", 3, b"", (b"loadmodule", write(ECHO).encode()))],
    }
    acl: Acl = Node(config, lines).acl
    assert acl.catalog.find(b"FLUSHALL") is not None
    assert b"-flushall" in acl.users[b"u"].selectors[0].command_rules


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("1 / 0", "it raised ZeroDivisionError: division by zero (line 1)"),
        ("raise SystemExit(3)", "it raised SystemExit: 3"),
        ("def f(:", "it raised SyntaxError"),
        ("import no_such_thing", "it raised ModuleNotFoundError"),
        ("x = 1", "it declares no command"),
        ("NAME = 7\n" + HEAD + spec("b'A'"), "NAME must be"),
        ("NAME = 'a b'\n" + HEAD + spec("b'A'"), "NAME must be"),
        ("VERSION = '1'\n" + HEAD + spec("b'A'"), "VERSION must be"),
        ("SETTINGS = {'a': 1}\n" + HEAD + spec("b'A'"), "SETTINGS must be"),
        ("on_load = 1\n" + HEAD + spec("b'A'"), "on_load is no function"),
        (HEAD + spec("b'GET'"), "GET: there is such a command already"),
        (HEAD + spec("b'A'") + spec("b'A'"), "A: it is declared twice"),
        (HEAD + spec("b'CLIENT|NEW'", arity="3"), "no container CLIENT is declared above it"),
        (HEAD + spec("'A'"), "'A': the name of a command must be bytes"),
        (HEAD + spec("b'a'"), "must be printable ASCII in upper case"),
        (HEAD + spec("b'A B'"), "must be printable ASCII in upper case"),
        (HEAD + spec("b'A'", arity="0"), "A: the arity counts the name"),
        (HEAD + spec("b'A'", arity="'2'"), "A: the arity counts the name"),
        (HEAD + spec("b'A'", flags="'write'"), "A: flags are those of node.modules.api"),
        (HEAD + spec("b'A'", flags="WRITE | READONLY"), "A: a command either writes or only reads"),
        (HEAD + spec("b'A'", categories="['nice']"), "A: there is no category nice"),
        (HEAD + spec("b'A'", arity="2", keys="[key(2, RO)]"), "A: by its arity a request may have no word 2"),
        (HEAD + spec("b'A'", keys="[1]"), "A: keys are made by"),
        (HEAD + spec("b'A'", needs="int"), "A needs int, which there is not"),
        (HEAD + spec("b'A'").replace("call, argv", "call"), "A: its handler must take 2 arguments"),
        (HEAD + spec("b'A'").replace("def f", "async def f"), "A: its handler must not be async"),
        (HEAD + spec("b'A'") + "def on_load(args): raise ValueError('no')", "on_load raised ValueError: no"),
    ],
)  # fmt: skip
def test_what_cannot_be_loaded_changes_nothing(
    client: Any, write: Callable[..., str], capfd: pytest.CaptureFixture[str], text: str, why: str
) -> None:
    declared, known = len(DECLARED), set(sys.modules)
    before = client.call("COMMAND", "LIST")
    error = client.error("MODULE", "LOAD", write(text))
    assert error.startswith("ERR Error loading the extension. Please check the server logs. It says: ")
    assert why in error
    assert client.call("COMMAND", "LIST") == before
    assert client.call("MODULE", "LIST") == []
    assert len(DECLARED) == declared
    assert not {name for name in set(sys.modules) - known if name.startswith("shoal_module")}
    assert "failed to load: " in capfd.readouterr().out


def test_a_file_that_is_not_there(client: Any, tmp_path: Path) -> None:
    assert "No such file or directory" in client.error("MODULE", "LOAD", tmp_path / "no.py")
    assert "Is a directory" in client.error("MODULE", "LOAD", tmp_path)


def test_one_name_is_loaded_once(client: Any, write: Callable[..., str]) -> None:
    client.call("MODULE", "LOAD", write(ECHO))
    assert "there is a module echoes already" in client.error("MODULE", "LOAD", write(ECHO, "other.py"))
    assert client.call("ECHOES.ONE", "x") == b"x"


def test_files_of_one_name_do_not_meet(client: Any, write: Callable[..., str]) -> None:
    text = (
        "NAME = '%s'\n" + HEAD + "STATE = []\n" + spec("b'%s'", "STATE.append(1)\nreturn number(len(STATE))")
    )
    client.call("MODULE", "LOAD", write(text % ("one", "ONE"), "a/same.py"))
    client.call("MODULE", "LOAD", write(text % ("two", "TWO"), "b/same.py"))
    assert [client.call("ONE"), client.call("ONE"), client.call("TWO")] == [1, 2, 1]
    assert "same" not in sys.modules


def test_a_changed_file_is_read_again(client: Any, write: Callable[..., str]) -> None:
    path = write(HEAD + spec("b'A'", "return number(1)"))
    client.call("MODULE", "LOAD", path)
    client.call("MODULE", "UNLOAD", "some")
    write(HEAD + spec("b'A'", "return number(2)"))
    client.call("MODULE", "LOAD", path)
    assert client.call("A") == 2


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("return 1 / 0", "ZeroDivisionError: division by zero (line 5)"),
        ("return None", "it returned NoneType in place of a reply"),
        ("return b''", "it returned bytes in place of a reply"),
        ("return 'OK'", "it returned str in place of a reply"),
        ("raise AssertionError('x\\ny')", "AssertionError: x y (line 5)"),
        ("return Block(b'a', None, lambda: OK, lambda: None)", "it must not wait here"),
    ],
)
def test_a_handler_that_fails_ends_its_command_alone(
    client: Any, write: Callable[..., str], body: str, why: str
) -> None:
    client.call("MODULE", "LOAD", write(HEAD + spec("b'A'", body)))
    assert client.error("A") == f"ERR module 'some' failed in A: {why}"
    assert client.call("PING") == b"PONG"


def test_errors_of_the_client_are_its_own(client: Any, write: Callable[..., str]) -> None:
    client.call("MODULE", "LOAD", write(HEAD + spec("b'A'", "raise CommandError(b'OOPS no')", arity="1")))
    assert client.error("A") == "OOPS no"
    assert client.error("A", "b") == "ERR wrong number of arguments for 'a' command"


def test_subcommands(client: Any, write: Callable[..., str]) -> None:
    text = (
        HEAD
        + "container(b'BOX', group='module', since='1.0.0', summary='Holds.')\n"
        + spec("b'BOX|PUT'", "return bulk(argv[2])", arity="3")
    )
    client.call("MODULE", "LOAD", write(text))
    assert client.call("box", "put", "x") == b"x"
    assert client.error("BOX", "GET") == "ERR unknown subcommand 'GET'. Try BOX HELP."
    client.call("MODULE", "UNLOAD", "some")
    assert client.error("BOX", "PUT", "x").startswith("ERR unknown command")


# What is replicated


WRITER = HEAD + spec(
    "b'PAIR.SET'",
    "commands.call(call, b'SET', argv[1], argv[3])\n"
    "commands.call(call, b'SET', argv[2], argv[3])\n"
    "return number(commands.call(call, b'EXISTS', argv[1], argv[2]))",
    arity="4", flags="WRITE | DENYOOM", keys="[keys(1, RW, 1)]", needs="Commands",
)  # fmt: skip


def told_by(client: Any) -> list[list[bytes]]:
    commands: list[list[bytes]] = []
    client.node.after.tellers.append(lambda _db, words: commands.append(list(words)))
    return commands


def test_called_commands_are_told_as_one(client: Any, write: Callable[..., str]) -> None:
    client.call("MODULE", "LOAD", write(WRITER))
    told = told_by(client)
    client.call("SELECT", 3)
    assert client.call("PAIR.SET", "a", "b", "x") == 2
    assert told == [[b"MULTI"], [b"SET", b"a", b"x"], [b"SET", b"b", b"x"], [b"EXEC"]]
    assert client.call("GET", "b") == b"x"
    told.clear()
    assert client.call("EVAL", "return redis.call('PAIR.SET', KEYS[1], KEYS[2], 1)", 2, "c", "d") == 2
    assert [words[0] for words in told] == [b"MULTI", b"SET", b"SET", b"EXEC"]
    client.call("MULTI")
    client.call("PAIR.SET", "e", "f", "x")
    assert client.call("EXEC") == [2]


def test_its_own_changes_are_told_as_the_command_came(client: Any, write: Callable[..., str]) -> None:
    body = (
        "call.db.put(argv[1], call.slot, argv[2])\n"
        "call.changed(EventClass.STRING, b'set', argv[1])\n"
        "if len(argv) > 3: call.rewrite([b'SET', argv[1], argv[2]])\n"
        "return OK"
    )
    text = HEAD + "from node.keyspace.changes import EventClass\n"
    text += spec("b'PUT'", body, arity="-3", flags="WRITE", keys="[key(1, RW)]")
    client.call("MODULE", "LOAD", write(text))
    told = told_by(client)
    client.call("PUT", "k", "v")
    client.call("PUT", "k", "w", "told-otherwise")
    assert told == [[b"PUT", b"k", b"v"], [b"SET", b"k", b"w"]]
    assert client.call("GET", "k") == b"w"


@pytest.mark.parametrize(
    ("body", "flags", "why"),
    [
        ("return commands.call(call, b'SET', b'k', b'v')", "READONLY", "does not declare WRITE"),
        ("return commands.call(call, b'NO')", "WRITE", "no such command"),
        ("return commands.call(call, b'GET')", "WRITE", "not with so many words"),
        ("return commands.call(call, b'GET', 'k')", "WRITE", "words that are not bytes"),
        ("return commands.call(call, b'SHUTDOWN')", "WRITE", "which no command may call"),
        ("call.changed(1, b'', b'k')\nreturn commands.call(call, b'GET', b'k')", "WRITE", "changed a key"),
        ("commands.call(call, b'GET', b'k')\ncall.changed(1, b'', b'k')\nreturn OK", "WRITE", "not told"),
    ],
)
def test_commands_that_must_not_be_called(
    client: Any, write: Callable[..., str], body: str, flags: str, why: str
) -> None:
    client.call("MODULE", "LOAD", write(HEAD + spec("b'A'", body, flags=flags, needs="Commands")))
    told = told_by(client)
    assert why in client.error("A")
    assert told == []


def test_an_error_of_a_called_command(client: Any, write: Callable[..., str]) -> None:
    text = HEAD + spec(
        "b'A'", "return number(commands.call(call, b'INCR', b'k'))", needs="Commands", flags="WRITE"
    )
    client.call(
        "MODULE",
        "LOAD",
        write(
            text + spec("b'B'", "return commands.reply(call, b'INCR', b'k')", needs="Commands", flags="WRITE")
        ),
    )
    client.call("SET", "k", "text")
    assert client.error("A") == client.error("B") == "ERR value is not an integer or out of range"


# What else may happen


def test_it_does_not_go_while_somebody_waits(
    client: Any, new_client: Callable[[], Any], write: Callable[..., str]
) -> None:
    body = "return Block(b'a', None, lambda: OK, lambda: None)"
    client.call("MODULE", "LOAD", write(HEAD + spec("b'A'", body, flags="BLOCKING")))
    waiting = new_client()
    assert waiting.raw("A") is None
    assert client.error("MODULE", "UNLOAD", "some") == (
        "ERR Error unloading module: the module has blocked clients. Please wait for them to be unblocked "
        "and try again"
    )
    client.call("CLIENT", "UNBLOCK", waiting.session.id)
    assert client.call("MODULE", "UNLOAD", "some") == b"OK"


def test_it_may_refuse_to_go(client: Any, write: Callable[..., str]) -> None:
    text = HEAD + spec("b'A'") + "def on_unload(): raise RuntimeError('busy')"
    client.call("MODULE", "LOAD", write(text))
    assert "on_unload raised RuntimeError: busy" in client.error("MODULE", "UNLOAD", "some")
    assert client.call("A") == b"OK"


def test_an_open_transaction_does_not_outlive_it(
    client: Any, new_client: Callable[[], Any], write: Callable[..., str]
) -> None:
    client.call("MODULE", "LOAD", write(ECHO))
    other = new_client()
    other.call("MULTI")
    other.call("ECHOES.ONE", "x")
    client.call("MODULE", "UNLOAD", "echoes")
    assert other.error("EXEC").startswith("EXECABORT")


def test_uses_of_its_keys_are_noted(client: Any, node: Node, write: Callable[..., str]) -> None:
    """LRU and LFU wrap handlers: those of a module too, and for as long as it is there."""
    client.call("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    client.call("SET", "k", "v")
    client.call("MODULE", "LOAD", write(ECHO))
    node.clock.now_ms += 5000
    assert client.call("OBJECT", "IDLETIME", "k") == 5
    client.call("ECHOES.ONE", "k")
    assert client.call("OBJECT", "IDLETIME", "k") == 0
    client.call("MODULE", "UNLOAD", "echoes")
    client.call("CONFIG", "SET", "maxmemory-policy", "noeviction")
    assert client.call("GET", "k") == b"v"
    assert node.config[MAXMEMORY_POLICY] == "noeviction"


# Who may, and the configuration


@pytest.mark.parametrize(
    ("setting", "local", "other"), [("no", False, False), ("local", True, False), ("yes", True, True)]
)
def test_who_may_load(
    node: Node, client: Any, write: Callable[..., str], setting: str, local: bool, other: bool
) -> None:
    node.config.store(ENABLE_MODULE_COMMAND, setting)
    for address, may in ((b"127.0.0.1:5", local), (b"10.0.0.1:5", other)):
        client.session.address = address
        reply = client.raw("MODULE", "LOAD", "/no/such")
        assert (b"No such file" in reply) is may
        assert reply.startswith(b"-ERR MODULE command not allowed. If the enable-module") is not may
        assert client.call("MODULE", "LIST") == []


def test_settings_by_loadex(client: Any, write: Callable[..., str]) -> None:
    text = HEAD + "SETTINGS = {'word': 'none'}\nARGS = []\ndef on_load(args): ARGS.extend(args)\n"
    path = write(text + spec("b'A'", "return bulks([SETTINGS['word'].encode(), *ARGS])"))
    assert client.call("MODULE", "LOADEX", path, "CONFIG", "some.word", "hi", "ARGS", "a", "b") == b"OK"
    assert client.call("A") == [b"hi", b"a", b"b"]
    client.call("MODULE", "UNLOAD", "some")
    assert client.call("MODULE", "LOADEX", path) == b"OK"
    assert client.call("A") == [b"none"]
    client.call("MODULE", "UNLOAD", "some")
    for wrong in (["CONFIG", "some.other", "x"], ["CONFIG", "word", "x"], ["CONFIG", "some.word"], ["WHAT"]):
        assert client.error("MODULE", "LOADEX", path, *wrong).startswith("ERR Error loading the extension.")
    assert client.call("MODULE", "LIST") == []


def loading(*lines: bytes) -> Node:
    others: dict[str, list[Line]] = {}
    for at, text in enumerate(lines, 1):
        words = tuple(text.split(b" "))
        others.setdefault(words[0].decode(), []).append(Line("a file", at, text, words))
    return Node(Config(), others)


def test_loadmodule(write: Callable[..., str]) -> None:
    """Users' rules may name its commands, and CONFIG REWRITE writes it."""
    text = HEAD + "SETTINGS = {'word': 'none'}\n" + spec("b'A'", "return bulk(SETTINGS['word'].encode())")
    path = write(text).encode()
    node = loading(b"user u on nopass +a", b"loadmodule %b 1 2" % path, b"some.word hi there")
    assert list(node.modules.by_name) == [b"some"]
    assert node.modules.by_name[b"some"].source.settings == {"word": "hi there"}
    assert node.config.rewritten(b"").count(b"loadmodule " + path + b" 1 2\n") == 1
    assert node.config.rewritten(b"loadmodule x\n").count(b"loadmodule /") == 1


def test_a_module_of_the_configuration_that_cannot_be_loaded_ends_the_start(
    write: Callable[..., str],
) -> None:
    with pytest.raises(ConfigFileError, match="Can't load module: it raised ZeroDivisionError"):
        loading(b"loadmodule " + write("1/0").encode())
    with pytest.raises(ConfigFileError, match="No loadmodule line"):
        loading(b"other.word hi")
    with pytest.raises(ConfigFileError, match=r"it has no setting some\.word"):
        loading(b"loadmodule " + write(HEAD + spec("b'A'")).encode(), b"some.word hi")
