"""Lua 5.1 in a box: compiles and runs scripts that nobody trusts.

What a script can see is made in Lua (`lua/sandbox.lua`). Between Lua and Python cross strings, numbers,
booleans and None, and nothing else: a reply is bytes of RESP on both sides, so no table is ever
converted, no Python object has a name in Lua, and no exception passes through it. What Lua calls here is
made by `_Host.safe`, which keeps what is raised for `Interpreter` to raise when Lua has returned.

lupa has no protection around its own use of Lua's stack: an allocation that fails there ends the process.
So Lua's memory is limited while a script runs only because every value that goes in is measured first
(`_Host.fits`): one that does not fit is refused with None, which takes no memory, and the sandbox raises.

An error that leaves the sandbox nevertheless (memory ran out between two protected calls) makes the
interpreter `broken`; whoever owns it takes a new one.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from lupa import lua51

from node.scripting.tail_calls import with_plain_calls
from node.version import REDIS_VERSION

MEMORY_LIMIT_BYTES = 256 * 1024 * 1024
_ROOM_BYTES = MEMORY_LIMIT_BYTES - 1024 * 1024  # for values that go in; the rest is Lua's own
_PACKED_WORDS = 200  # from so many words on they cross as one string; Lua's stack is limited
_LUA = Path(__file__).with_name("lua")
_OURS = b"@shoal"


class Surroundings(Protocol):
    """What scripts reach of the node. Replies are bytes of RESP."""

    def call(self, argv: list[bytes]) -> bytes:
        """redis.call: the reply."""

    def tick(self) -> bytes | None:
        """Asked again and again while a script runs: the error with which it shall end, None to go on."""

    def log(self, level: int, text: bytes) -> None:
        """redis.log: levels 0 (debug) to 3 (warning)."""

    def may_call(self, argv: list[bytes]) -> bool | None:
        """redis.acl_check_cmd: whether the user may; None when there is no such command."""

    def set_repl(self, flags: int) -> None:
        """redis.set_repl: 1 for the AOF, 2 for replicas."""

    def set_resp(self, version: int) -> None:
        """redis.setresp: how replies of commands are written from now on."""


class ScriptMemoryError(Exception):
    """A script and its words take more memory than there is for Lua."""


class _Host:
    """The functions that Lua calls."""

    def __init__(self, runtime: Any, surroundings: Surroundings) -> None:
        self._runtime = runtime
        self.memory_used: Callable[[], int] = runtime.get_memory_used
        self.surroundings = surroundings
        self.failure: BaseException | None = None

    def close(self) -> None:
        del self._runtime, self.memory_used, self.surroundings

    def fits(self, size: int) -> bool:
        """Whether Lua can take a value of so many bytes."""
        if self.memory_used() + size <= _ROOM_BYTES:
            return True
        self._runtime.set_max_memory(0)  # collecting may take memory first
        self._runtime.gccollect()
        self._runtime.set_max_memory(MEMORY_LIMIT_BYTES)
        return self.memory_used() + size <= _ROOM_BYTES

    def safe(self, work: Callable[..., Any]) -> Callable[..., Any]:
        """`work`, whose exceptions are kept and become False, and whose too big results become None."""

        def run(*args: Any) -> Any:
            try:
                result = work(*args)
            except BaseException as failed:  # noqa: BLE001  raised again by Interpreter._checked
                self.failure = self.failure or failed
                return False
            if type(result) is bytes and not self.fits(len(result)):
                return None
            return result

        return run

    def call(self, *argv: bytes) -> bytes | bool | None:
        """redis.call. What `safe` does, written out: this is called more than all else."""
        try:
            reply = self.surroundings.call(list(argv))
        except BaseException as failed:  # noqa: BLE001  raised again by Interpreter._checked
            self.failure = self.failure or failed
            return False
        size = len(reply)
        if self.memory_used() + size > _ROOM_BYTES and not self.fits(size):
            return None
        return reply

    def call_packed(self, packed: bytes) -> bytes:
        return self.surroundings.call(unpacked(packed))

    def tick(self) -> bool | bytes:
        if self.failure is not None:
            return b"ERR internal error"
        return self.surroundings.tick() or True

    def log(self, level: int, text: bytes) -> bool:
        self.surroundings.log(level, text)
        return True

    def may_call(self, packed: bytes) -> int:
        allowed = self.surroundings.may_call(unpacked(packed))
        return 2 if allowed is None else int(allowed)

    def set_repl(self, flags: int) -> bool:
        self.surroundings.set_repl(flags)
        return True

    def set_resp(self, version: int) -> bool:
        self.surroundings.set_resp(version)
        return True


class Interpreter:
    """One state of Lua. `sha1hex`, `write_double` and `knows_flags` are pure functions that scripts need."""

    def __init__(
        self,
        surroundings: Surroundings,
        sha1hex: Callable[[bytes], bytes],
        write_double: Callable[[float, bool], bytes],
        knows_flags: Callable[[bytes], bool],
    ) -> None:
        self.broken = False
        runtime = lua51.LuaRuntime(
            encoding=None,
            register_eval=False,
            register_builtins=False,
            attribute_filter=_no_attributes,
            max_memory=0,
        )
        self._runtime = runtime
        host = self._host = _Host(runtime, surroundings)
        load = runtime.execute(
            b"local load = loadstring; return function(text, ...) return assert(load(text, ...)) end"
        )

        def part(name: str, *args: Any) -> Any:
            return load((_LUA / f"{name}.lua").read_bytes(), _OURS)(*args)

        fail = runtime.execute(b"local error = error; return function(text) error({ fail = text }, 0) end")
        null = runtime.execute(b"return newproxy()")
        numbers = part("numbers")
        cjson, forget_options = part("cjson", null, fail)
        packed_words, keys_and_args = part("words")
        libraries = {
            b"bit": part("bit"),
            b"struct": part("struct", numbers, fail),
            b"cmsgpack": part("cmsgpack", numbers, fail),
            b"cjson": cjson,
            b"null": null,
            b"maths": part("maths"),
            b"packed_words": packed_words,
            b"keys_and_args": keys_and_args,
            b"named_arguments": part("named_arguments"),
            b"set_resp": host.safe(host.set_resp),
            b"known_flags": host.safe(knows_flags),
            b"with_plain_calls": host.safe(with_plain_calls),
        }
        decode, encode, too_deep = part("convert", host.safe(write_double))
        (
            self._run_script,
            self._run_function,
            self._compile,
            self._forget,
            self._load_library,
            self._drop_library,
        ) = part(
            "sandbox",
            host.call,
            host.safe(host.call_packed),
            host.safe(host.tick),
            host.safe(host.log),
            host.safe(sha1hex),
            host.safe(host.may_call),
            host.safe(host.set_repl),
            decode,
            encode,
            too_deep,
            forget_options,
            runtime.table_from(libraries),
            REDIS_VERSION.encode(),
            _version_number(REDIS_VERSION),
        )
        runtime.set_max_memory(MEMORY_LIMIT_BYTES)

    @property
    def memory_bytes(self) -> int:
        return int(self._runtime.get_memory_used())

    def collect(self) -> None:
        """Frees what no script can reach any more."""
        self._runtime.set_max_memory(0)
        self._runtime.gccollect()
        self._runtime.set_max_memory(MEMORY_LIMIT_BYTES)

    def close(self) -> None:
        """Lets go of Lua; the interpreter is not used any more. Breaks the circle through its host."""
        del self._run_script, self._run_function, self._compile, self._forget
        del self._load_library, self._drop_library, self._runtime
        self._host.close()

    def compile(self, name: bytes, text: bytes) -> bytes | None:
        """Keeps a script under `name`; else what is wrong with it. Raises ScriptMemoryError."""
        wrong: bytes | None = self._checked(self._compile, len(text), name, text)
        return wrong

    def forget(self, name: bytes) -> None:
        self._unlimited(self._forget, name)

    def run_script(self, name: bytes, for_resp3: bool, key_count: int, words: list[bytes]) -> Reply:
        """Runs what `compile` kept; `words` are the keys and then the arguments. Raises ScriptMemoryError."""
        if len(words) >= _PACKED_WORDS:
            return self._run_packed(self._run_script, (name, for_resp3), key_count, words)
        size = sum(map(len, words)) if words else 0
        reply: Reply = self._checked(self._run_script, size, name, for_resp3, None, key_count, *words)
        return reply

    def load_library(self, number: int, text: bytes) -> list[bytes] | bytes:
        """Runs a library's text: its functions as name, flags, description (behind a `+`, or `-` for none)
        and so on; else what is wrong. Raises ScriptMemoryError.
        """
        result = self._checked(self._load_library, len(text), number, text)
        if type(result) is tuple:
            wrong: bytes = result[1]
            return wrong
        return unpacked(result)

    def drop_library(self, number: int) -> None:
        self._unlimited(self._drop_library, number)

    def run_function(
        self, number: int, name: bytes, for_resp3: bool, key_count: int, words: list[bytes]
    ) -> Reply:
        """Runs a function of a library. Raises ScriptMemoryError."""
        if len(words) >= _PACKED_WORDS:
            return self._run_packed(self._run_function, (number, name, for_resp3), key_count, words)
        size = sum(map(len, words))
        run = self._run_function
        reply: Reply = self._checked(run, size, number, name, for_resp3, None, key_count, *words)
        return reply

    def _run_packed(
        self, run: Any, what: tuple[int | bytes, ...], key_count: int, words: list[bytes]
    ) -> Reply:
        text = packed(words)
        reply: Reply = self._checked(run, len(text), *what, text, key_count)
        return reply

    def _checked(self, function: Any, size: int, *args: Any) -> Any:
        """Calls Lua with values of `size` bytes in all, and raises what the host kept."""
        host = self._host
        if host.memory_used() + 3 * size > _ROOM_BYTES and not host.fits(3 * size):
            raise ScriptMemoryError
        try:
            result = function(*args)
        except lua51.LuaError as error:
            self.broken = True
            self._raise_kept()
            raise ScriptMemoryError from error
        if host.failure is not None:
            self._raise_kept()
        return result

    def _unlimited(self, function: Any, *args: Any) -> None:
        """Calls Lua to make room, which must not fail because there is none."""
        self._runtime.set_max_memory(0)
        function(*args)
        self._runtime.set_max_memory(MEMORY_LIMIT_BYTES)

    def _raise_kept(self) -> None:
        failure, self._host.failure = self._host.failure, None
        if failure is not None:
            raise failure


Reply = tuple[bytes, bool]
"""A reply, and whether its error has been counted already."""


def packed(words: list[bytes]) -> bytes:
    """Words as one: their lengths, a line break, and the words."""
    return b"%b\n%b" % (b" ".join([b"%d" % len(word) for word in words]), b"".join(words))


def unpacked(text: bytes) -> list[bytes]:
    stop = text.index(b"\n")
    words, at = [], stop + 1
    for size in map(int, text[:stop].split()):
        words.append(text[at : at + size])
        at += size
    return words


def _no_attributes(_object: object, _name: object, _is_setting: bool) -> object:
    raise AttributeError("nothing of the host is to be seen")


def _version_number(version: str) -> int:
    major, minor, patch = map(int, version.split("."))
    return major << 16 | minor << 8 | patch
