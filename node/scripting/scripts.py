"""Scripts by the SHA-1 of their text: EVAL remembers them, EVALSHA runs them again.

Those that came with EVAL are forgotten when there are many, the ones unused for longest first; those that
came with SCRIPT LOAD stay until SCRIPT FLUSH.
"""

from __future__ import annotations

from hashlib import sha1

from node.errors import CommandError
from node.scripting.interpreter import Interpreter
from node.scripting.script_flags import ScriptFlag, shebang

EVAL_SCRIPTS_MAX = 500
NOSCRIPT = b"NOSCRIPT No matching script. Please use EVAL."


def sha1hex(text: bytes) -> bytes:
    return sha1(text, usedforsecurity=False).hexdigest().encode()


class Script:
    __slots__ = ("flags", "interpreter", "is_kept", "name", "text")

    def __init__(self, name: bytes, text: bytes, flags: ScriptFlag | None) -> None:
        self.name = name
        self.text = text
        self.flags = flags
        self.is_kept = False
        self.interpreter: Interpreter | None = None  # in which it is compiled


class Scripts:
    """One per node."""

    def __init__(self) -> None:
        self.by_name: dict[bytes, Script] = {}
        self._by_text: dict[bytes, Script] = {}  # which spares EVAL the sum
        self._last: Script | None = None  # that ran
        self._passing: dict[bytes, None] = {}  # names of those that may be forgotten, the oldest first
        self.evicted = 0
        self.text_bytes = 0

    def __len__(self) -> int:
        return len(self.by_name)

    def of_text(self, text: bytes, interpreter: Interpreter, keep: bool = False) -> Script:
        """The script, compiled in `interpreter`. Raises CommandError, ScriptMemoryError."""
        script = self._by_text.get(text)
        if script is None:
            flags, body = shebang(text)
            script = Script(sha1hex(text), text, flags)
            self._compile(script, body, interpreter)
            self._add(script)
        elif script.interpreter is not interpreter:
            self._compile(script, shebang(text)[1], interpreter)
        if keep and not script.is_kept:
            script.is_kept = True
            self._passing.pop(script.name, None)
        return script

    def of_name(self, name: bytes, interpreter: Interpreter) -> Script:
        """Raises CommandError, ScriptMemoryError."""
        script = self.by_name.get(name) or self.by_name.get(name.lower())
        if script is None:
            raise CommandError(NOSCRIPT)
        if script.interpreter is not interpreter:
            self._compile(script, shebang(script.text)[1], interpreter)
        return script

    def _compile(self, script: Script, body: bytes, interpreter: Interpreter) -> None:
        wrong = interpreter.compile(script.name, body)
        if wrong is not None:
            raise CommandError(b"ERR Error compiling script (new function): " + wrong)
        script.interpreter = interpreter

    def _add(self, script: Script) -> None:
        while len(self._passing) >= EVAL_SCRIPTS_MAX:
            oldest = next(iter(self._passing))
            self._remove(self.by_name[oldest])
            self.evicted += 1
        self.by_name[script.name] = script
        self._by_text[script.text] = script
        self._passing[script.name] = None
        self.text_bytes += len(script.text)

    def _remove(self, script: Script) -> None:
        del self.by_name[script.name]
        del self._by_text[script.text]
        self._passing.pop(script.name, None)
        self.text_bytes -= len(script.text)
        if script.interpreter is not None:
            script.interpreter.forget(script.name)

    def used(self, script: Script) -> None:
        """It has run: of those that may be forgotten it is the last."""
        if script is self._last:
            return
        self._last = script
        if not script.is_kept and script.name in self._passing:
            del self._passing[script.name]
            self._passing[script.name] = None

    def clear(self) -> None:
        self.by_name.clear()
        self._by_text.clear()
        self._last = None
        self._passing.clear()
        self.text_bytes = 0
