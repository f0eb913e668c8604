"""Scripts and functions of a node: finds what is to run, runs it in Lua, and answers.

Scripts and functions have an interpreter each, made when the first is needed. One that is broken, because
Lua's memory ran out at a bad moment, is replaced: scripts are compiled again when they are called,
libraries at once.
"""

from __future__ import annotations

from node.command.args import NOT_INTEGER, integer
from node.command.registry import Command
from node.command.session import Session
from node.command.spec import Flag
from node.config.config import Config
from node.errors import CommandError
from node.guards import Guards
from node.log import Log
from node.observe.info import Fields
from node.observe.memory import human
from node.observe.stats import Stats
from node.rdb.crc64 import crc64
from node.rdb.errors import RdbError
from node.rdb.file import OP_FUNCTION, OP_FUNCTION_PRE_RELEASE
from node.rdb.primitives import Reader, Writer
from node.rdb.value import DUMP_VERSION_MAX, FOOTER_BYTES, WRITTEN_VERSION
from node.resp.encode import RESP2, RESP3
from node.scripting.interpreter import Interpreter, Reply, ScriptMemoryError
from node.scripting.libraries import Function, FunctionLibraries
from node.scripting.runs import Run, Runs
from node.scripting.script_flags import ScriptFlag, parse_flags, shebang
from node.scripting.scripts import Script, Scripts, sha1hex

_ERROR = ord("-")
NO_MEMORY = b"ERR Lua has not enough memory for this script"
_FEW_KEYS = {b"%d" % count: count for count in range(10)}
COLLECT_BYTES = 32 * 1024 * 1024
"""An interpreter that holds more than this after a script is asked to collect what is garbage."""


class Scripting:
    """One per node."""

    def __init__(self, config: Config, log: Log, guards: Guards, stats: Stats) -> None:
        self._log = log
        self._stats = stats
        self.runs = Runs(config, log, guards, stats)
        self.scripts = Scripts()
        self._for_scripts: Interpreter | None = None
        self._for_functions: Interpreter | None = None
        self._libraries: FunctionLibraries | None = None
        self._seen: dict[tuple[Command, ScriptFlag | None], Command] = {}

    def _new_interpreter(self) -> Interpreter:
        return Interpreter(self.runs, sha1hex, _write_double, lambda flags: parse_flags(flags) is not None)

    @property
    def _interpreter(self) -> Interpreter:
        interpreter = self._for_scripts
        if interpreter is None or interpreter.broken:
            if interpreter is not None:
                interpreter.close()
            interpreter = self._for_scripts = self._new_interpreter()
        return interpreter

    @property
    def libraries(self) -> FunctionLibraries:
        interpreter = self._for_functions
        if self._libraries is None or interpreter is None:
            interpreter = self._for_functions = self._new_interpreter()
            self._libraries = FunctionLibraries(interpreter)
        elif interpreter.broken:
            interpreter.close()
            interpreter = self._for_functions = self._new_interpreter()
            self._libraries.move_to(interpreter)
        return self._libraries

    # Scripts

    def eval(self, session: Session, argv: list[bytes], read_only: bool) -> bytes:
        """EVAL: the reply. Raises CommandError."""
        key_count = _FEW_KEYS.get(argv[2])
        if key_count is None or key_count > len(argv) - 3:
            key_count = _key_count(argv)
        try:
            script = self.scripts.of_text(argv[1], self._interpreter)
        except ScriptMemoryError:
            raise CommandError(NO_MEMORY) from None
        return self._run_script(session, argv, script, key_count, read_only)

    def evalsha(self, session: Session, argv: list[bytes], read_only: bool) -> bytes:
        """EVALSHA: the reply. Raises CommandError."""
        key_count = _FEW_KEYS.get(argv[2])
        if key_count is None or key_count > len(argv) - 3:
            key_count = _key_count(argv)
        try:
            script = self.scripts.of_name(argv[1], self._interpreter)
        except ScriptMemoryError:
            raise CommandError(NO_MEMORY) from None
        return self._run_script(session, argv, script, key_count, read_only)

    def _run_script(
        self, session: Session, argv: list[bytes], script: Script, key_count: int, read_only: bool
    ) -> bytes:
        interpreter = script.interpreter
        assert interpreter is not None, "it is compiled"
        runs = self.runs
        run = Run(session, argv, script.name, script.flags, is_function=False)
        runs.check(run, read_only)
        for_resp3 = session.call.reply is RESP3
        put = runs.begin(run, key_count)
        try:
            reply = interpreter.run_script(script.name, for_resp3, key_count, argv[3:])
        except ScriptMemoryError:
            raise CommandError(NO_MEMORY) from None
        finally:
            runs.end(run, put)
        self.scripts.used(script)
        return self._answer(interpreter, reply)

    def _answer(self, interpreter: Interpreter, result: Reply) -> bytes:
        if interpreter.memory_bytes > COLLECT_BYTES:
            interpreter.collect()
        reply, is_counted = result
        if reply[0] == _ERROR and not is_counted:
            self._stats.count_error(reply[1:-2])
        return reply

    def load_script(self, text: bytes) -> bytes:
        """SCRIPT LOAD: its name. Raises CommandError."""
        try:
            return self.scripts.of_text(text, self._interpreter, keep=True).name
        except ScriptMemoryError:
            raise CommandError(NO_MEMORY) from None

    def flush_scripts(self) -> None:
        self.scripts.clear()
        if self._for_scripts is not None:
            self._for_scripts.close()
            self._for_scripts = None

    # What gates are told

    def as_seen(self, command: Command, argv: list[bytes]) -> Command:
        """The command of a request to run a script, with the flags that the script declares.

        They replace those on writing, memory and stale data of the command. A script without them may write,
        and may as well not: where only reads are served it is let in, and its writes are refused one by one.
        """
        flags = self._declared_flags(command, argv)
        seen = self._seen.get((command, flags))
        if seen is None:
            seen = self._seen[command, flags] = Command(command.spec, command.run)
            seen.flags = _flags_seen(command.flags, flags)
            seen.is_write = bool(seen.flags & Flag.WRITE)
        return seen

    def _declared_flags(self, command: Command, argv: list[bytes]) -> ScriptFlag | None:
        """None when there are none, or no such script: the command has the words for that."""
        name = command.name
        if name.startswith(b"FCALL"):
            function = self.libraries.functions.get(argv[1].lower()) if self._libraries is not None else None
            return None if function is None else function.flags
        if name.startswith(b"EVALSHA"):
            script = self.scripts.by_name.get(argv[1].lower())
            return None if script is None else script.flags
        try:
            return shebang(argv[1])[0]
        except CommandError:
            return None

    # Functions

    def fcall(self, session: Session, argv: list[bytes], read_only: bool) -> bytes:
        """FCALL: the reply. Raises CommandError."""
        function = self.libraries.functions.get(argv[1].lower())
        if function is None:
            raise CommandError(b"ERR Function not found")
        key_count = _key_count(argv, b"ERR Bad number of keys provided")
        return self._run_function(session, argv, function, key_count, read_only)

    def _run_function(
        self, session: Session, argv: list[bytes], function: Function, key_count: int, read_only: bool
    ) -> bytes:
        interpreter = self._for_functions
        assert interpreter is not None, "the function is in it"
        run = Run(session, argv, function.name, function.flags, is_function=True)
        self.runs.check(run, read_only)
        for_resp3 = session.call.reply is RESP3
        put = self.runs.begin(run, key_count)
        try:
            reply = interpreter.run_function(
                function.library.number, function.name, for_resp3, key_count, argv[3:]
            )
        except ScriptMemoryError:
            raise CommandError(NO_MEMORY) from None
        finally:
            self.runs.end(run, put)
        return self._answer(interpreter, reply)

    def load_library(self, text: bytes, replace: bool, obeys: bool) -> bytes:
        """FUNCTION LOAD: the library's name. `obeys`: for a primary, however long it takes.

        Raises CommandError.
        """
        try:
            with self.runs.loading(obeys):
                return self.libraries.load(text, replace)
        except ScriptMemoryError:
            raise CommandError(NO_MEMORY) from None

    def flush_libraries(self) -> None:
        self._libraries = None
        if self._for_functions is not None:
            self._for_functions.close()
            self._for_functions = None

    def texts(self) -> list[bytes]:
        """The libraries, as snapshots hold them."""
        return self._libraries.texts() if self._libraries is not None else []

    def take(self, texts: list[bytes]) -> None:
        """A data set came with these libraries: they replace all others. One that cannot be loaded is said
        in the log and left out, rather than the whole data set.
        """
        self.flush_libraries()
        for text in texts:
            try:
                self.load_library(text, replace=True, obeys=True)
            except CommandError as refused:
                self._log.warning(f"A library of functions was not loaded: {refused}")

    def dump(self) -> bytes:
        """FUNCTION DUMP."""
        writer = Writer(compress=True)
        for text in self.texts():
            writer.out.append(OP_FUNCTION)
            writer.write_string(text)
        out = writer.out
        out += WRITTEN_VERSION.to_bytes(2, "little")
        out += crc64(out).to_bytes(8, "little")
        return bytes(out)

    def restore(self, payload: bytes, policy: bytes, obeys: bool) -> None:
        """FUNCTION RESTORE with a policy: APPEND, REPLACE or FLUSH. Raises CommandError."""
        texts = _texts_of(payload)
        try:
            with self.runs.loading(obeys):
                self.libraries.join(texts, replace=policy == b"REPLACE", alone=policy == b"FLUSH")
        except ScriptMemoryError:
            raise CommandError(NO_MEMORY) from None

    def function_counts(self) -> tuple[int, int]:
        """Libraries, and functions in them."""
        libraries = self._libraries
        return (len(libraries.by_name), len(libraries.functions)) if libraries is not None else (0, 0)

    # INFO

    def info_memory(self) -> Fields:
        eval_bytes = self._for_scripts.memory_bytes if self._for_scripts is not None else 0
        function_bytes = self._for_functions.memory_bytes if self._for_functions is not None else 0
        texts_bytes = sum(map(len, self.texts()))
        libraries, functions = self.function_counts()
        yield "used_memory_lua", eval_bytes
        yield "used_memory_vm_eval", eval_bytes
        yield "used_memory_lua_human", human(eval_bytes)
        yield "used_memory_scripts_eval", self.scripts.text_bytes
        yield "number_of_cached_scripts", len(self.scripts)
        yield "number_of_functions", functions
        yield "number_of_libraries", libraries
        yield "used_memory_vm_functions", function_bytes
        yield "used_memory_vm_total", eval_bytes + function_bytes
        yield "used_memory_vm_total_human", human(eval_bytes + function_bytes)
        yield "used_memory_functions", texts_bytes
        yield "used_memory_scripts", self.scripts.text_bytes + texts_bytes
        yield "used_memory_scripts_human", human(self.scripts.text_bytes + texts_bytes)

    def info_stats(self) -> Fields:
        yield "evicted_scripts", self.scripts.evicted


def _flags_seen(flags: Flag, declared: ScriptFlag | None) -> Flag:
    if declared is None:
        return flags | Flag.READONLY
    flags &= ~(Flag.WRITE | Flag.MAY_REPLICATE | Flag.DENYOOM | Flag.STALE)
    if not declared & (ScriptFlag.ALLOW_OOM | ScriptFlag.NO_WRITES):
        flags |= Flag.DENYOOM
    if declared & ScriptFlag.ALLOW_STALE:
        flags |= Flag.STALE
    return flags | (Flag.READONLY if declared & ScriptFlag.NO_WRITES else Flag.WRITE)


def _key_count(argv: list[bytes], not_a_number: bytes = b"") -> int:
    """Raises CommandError."""
    key_count = integer(argv[2], not_a_number or NOT_INTEGER)
    if key_count > len(argv) - 3:
        raise CommandError(b"ERR Number of keys can't be greater than number of args")
    if key_count < 0:
        raise CommandError(b"ERR Number of keys can't be negative")
    return key_count


def _texts_of(payload: bytes) -> list[bytes]:
    """The libraries in what FUNCTION DUMP gave. Raises CommandError."""
    end = len(payload) - FOOTER_BYTES
    if (
        end < 0
        or int.from_bytes(payload[end : end + 2], "little") > DUMP_VERSION_MAX
        or crc64(memoryview(payload)[:-8]) != int.from_bytes(payload[-8:], "little")
    ):
        raise CommandError(b"ERR DUMP payload version or checksum are wrong")
    reader, texts = Reader(payload[:end]), []
    while reader.pos < end:
        code = reader.read_byte()
        if code == OP_FUNCTION_PRE_RELEASE:
            raise CommandError(b"ERR Pre-GA function format not supported")
        if code != OP_FUNCTION:
            raise CommandError(b"ERR given type is not a function")
        try:
            texts.append(reader.read_string())
        except RdbError:
            raise CommandError(b"ERR failed loading the given functions payload") from None
    return texts


def _write_double(value: float, for_resp3: bool) -> bytes:
    return (RESP3 if for_resp3 else RESP2).double(float(value))
