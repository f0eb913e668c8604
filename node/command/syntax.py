"""How a command is called, in a notation of one line, read into what COMMAND DOCS tells of its arguments.

    SET key:k value [condition=<NX | XX>] [GET] [expiration=<EX seconds:i | PX milliseconds:i | KEEPTTL>]

A lower-case word is a value: its name, after a colon the letter of its type (`_KINDS`; none: a string), after
a slash how it is shown where that is not its name. `:k2` is a key found by the command's key specification 2;
without a number keys are counted. An upper-case word, or one in quotes, is a token: one of its own, or with
what follows it the token before a value. `name=<a | b>` is a choice, `name=(a b)` a block, `name=TOKEN` a
token of another name. Brackets mean optional, `...` may be repeated, `,...` may be repeated with its token.

Source: https://redis.io/docs/latest/develop/reference/command-arguments/
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

_KINDS = {
    "": "string",
    "i": "integer",
    "d": "double",
    "t": "unix-time",
    "p": "pattern",
    "k": "key",
}
_WORDS = re.compile(r"(?:'[^']*'|[^\s\[\]()<>|',.])+|,?\.\.\.|[\[\]()<>|]")
_VALUE = re.compile(r"(?P<name>[^:/]+)(?::(?P<kind>[a-z])(?P<spec>\d*))?(?:/(?P<shown>.+))?")
_CLOSING = {"<": ">", "(": ")", "[": "]"}


@dataclass(frozen=True, slots=True)
class Argument:
    """`kind` is the type in COMMAND DOCS's words; `parts` are those of a block or the branches of a choice
    (oneof). `key_spec` is an index into the command's key specifications, -1 for what is no key.
    """

    name: str
    kind: str
    token: str | None = None
    shown: str = ""
    key_spec: int = -1
    optional: bool = False
    multiple: bool = False
    repeats_token: bool = False
    parts: tuple[Argument, ...] = ()

    def least_words(self) -> int:
        """How many words of a request it takes at least."""
        if self.optional:
            return 0
        words = [part.least_words() for part in self.parts]
        own = min(words) if self.kind == "oneof" else sum(words)
        return own + (self.kind not in ("oneof", "block", "pure-token")) + (self.token is not None)

    def is_variable(self) -> bool:
        """Whether it may take more words, or fewer."""
        sizes = {part.least_words() for part in self.parts} if self.kind == "oneof" else set()
        within = any(part.is_variable() for part in self.parts)
        return self.optional or self.multiple or len(sizes) > 1 or within


def parse(text: str) -> tuple[Argument, ...]:
    """Raises ValueError for what is not in the notation."""
    reader = _Reader(_WORDS.findall(text))
    return tuple(reader.items(""))


def _is_token(word: str) -> bool:
    return word[0] == "'" or ("=" not in word and word not in _CLOSING and word == word.upper())


class _Reader:
    def __init__(self, words: list[str]) -> None:
        self._words = words
        self._at = 0
        self._keys = 0

    def _peek(self) -> str:
        return self._words[self._at] if self._at < len(self._words) else ""

    def _next(self) -> str:
        word = self._peek()
        self._at += 1
        return word

    def items(self, end: str) -> Iterator[Argument]:
        """Items up to the closing `end`, which is taken too."""
        while (word := self._peek()) != end:
            if not word:
                raise ValueError(f"{end} is missing")
            if word == "|":
                self._at += 1
            yield self._item()
        self._at += 1

    def _item(self) -> Argument:
        if self._peek() == "[":
            self._at += 1
            (inner,) = self.items("]")
            return replace(inner, optional=True)
        word, token = self._next(), None
        if _is_token(word):
            after = self._peek()
            if not after or after in "[]()<>|" or after.endswith("...") or _is_token(after):
                return self._repeated(_pure(word.strip("'").lower(), word))
            word, token = self._next(), word.strip("'")
        name, equals, rest = word.partition("=")
        if not equals:
            return self._repeated(self._value(word, token))
        if rest:
            return self._repeated(_pure(name, rest))
        opening = self._next()
        parts = tuple(self.items(_CLOSING[opening]))
        return self._repeated(Argument(name, "oneof" if opening == "<" else "block", token, parts=parts))

    def _value(self, word: str, token: str | None) -> Argument:
        found = _VALUE.fullmatch(word)
        if found is None:
            raise ValueError(f"{word!r} is no argument")
        kind = _KINDS[found["kind"] or ""]
        key_spec = -1
        if kind == "key":
            key_spec = int(found["spec"] or self._keys)
            self._keys = key_spec + 1
        return Argument(found["name"], kind, token, (found["shown"] or "").replace("_", " "), key_spec)

    def _repeated(self, argument: Argument) -> Argument:
        if not self._peek().endswith("..."):
            return argument
        return replace(argument, multiple=True, repeats_token=self._next() == ",...")


def _pure(name: str, token: str) -> Argument:
    return Argument(name, "pure-token", token.strip("'"))
