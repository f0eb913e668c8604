"""Libraries of functions: loaded, listed, dumped, and replaced all or none.

A library is its text; running the text registers its functions. Names of functions are unique among all
libraries, and their case does not count. Each loaded text has a number of its own in the interpreter, so
that a replacement can be tried beside what it replaces.

Source: https://redis.io/docs/interact/programmability/functions-intro/
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import count

from node.errors import CommandError
from node.scripting.interpreter import Interpreter
from node.scripting.script_flags import ScriptFlag, library_header, parse_flags


class Function:
    __slots__ = ("description", "flags", "library", "name")

    def __init__(self, library: Library, name: bytes, flags: ScriptFlag, description: bytes | None) -> None:
        self.library = library
        self.name = name
        self.flags = flags
        self.description = description


class Library:
    """`number` is what the interpreter knows it by."""

    __slots__ = ("functions", "name", "number", "text")

    def __init__(self, name: bytes, text: bytes, number: int) -> None:
        self.name = name
        self.text = text
        self.number = number
        self.functions: dict[bytes, Function] = {}


class FunctionLibraries:
    """Those of a node, in `interpreter`."""

    def __init__(self, interpreter: Interpreter) -> None:
        self._interpreter = interpreter
        self._numbers = count(1)
        self.by_name: dict[bytes, Library] = {}
        self.functions: dict[bytes, Function] = {}  # by name in lower case

    def load(self, text: bytes, replace: bool) -> bytes:
        """The name of the library. Raises CommandError, ScriptMemoryError."""
        self.join([text], replace)
        return library_header(text)[0]

    def join(self, texts: Iterable[bytes], replace: bool, alone: bool = False) -> None:
        """Loads all of these or none; `alone`: in place of all that are there.

        Raises CommandError, ScriptMemoryError.
        """
        libraries = {} if alone else dict(self.by_name)
        fresh: list[Library] = []
        try:
            for text in texts:
                name = library_header(text)[0]
                if name in libraries and not replace:
                    raise CommandError(b"ERR Library '%b' already exists" % name)
                library = self._run(text)
                fresh.append(library)
                libraries[name] = library
            functions = _by_function(libraries.values())
        except BaseException:
            for library in fresh:
                self._interpreter.drop_library(library.number)
            raise
        kept = set(map(id, libraries.values()))
        for library in [*self.by_name.values(), *fresh]:
            if id(library) not in kept:
                self._interpreter.drop_library(library.number)
        self.by_name, self.functions = libraries, functions

    def _run(self, text: bytes) -> Library:
        name, body = library_header(text)
        library = Library(name, text, next(self._numbers))
        loaded = self._interpreter.load_library(library.number, body)
        if type(loaded) is bytes:
            raise CommandError(b"ERR " + loaded)
        for at in range(0, len(loaded), 3):
            function_name, flag_names, told = loaded[at : at + 3]
            flags = parse_flags(flag_names)  # type: ignore[arg-type]
            assert flags is not None, "register_function has looked"
            description = told[1:] if told[:1] == b"+" else None  # type: ignore[index]
            library.functions[function_name] = Function(library, function_name, flags, description)  # type: ignore[index, arg-type]
        if not library.functions:
            self._interpreter.drop_library(library.number)
            raise CommandError(b"ERR No functions registered")
        return library

    def delete(self, name: bytes) -> None:
        """Raises CommandError."""
        library = self.by_name.pop(name, None)
        if library is None:
            raise CommandError(b"ERR Library not found")
        self.functions = _by_function(self.by_name.values())
        self._interpreter.drop_library(library.number)

    def texts(self) -> list[bytes]:
        return [library.text for library in self.by_name.values()]

    def move_to(self, interpreter: Interpreter) -> None:
        """Loads everything again, where the old interpreter cannot be used any more."""
        texts = self.texts()
        self._interpreter = interpreter
        self.by_name, self.functions = {}, {}
        self.join(texts, replace=True)


def _by_function(libraries: Iterable[Library]) -> dict[bytes, Function]:
    functions: dict[bytes, Function] = {}
    for library in libraries:
        for name, function in library.functions.items():
            if functions.setdefault(name.lower(), function) is not function:
                raise CommandError(b"ERR Function %b already exists" % name)
    return functions
