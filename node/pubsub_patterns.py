"""Which of very many patterns match a channel.

Testing each costs a millisecond a few thousand patterns, for every message. Most patterns begin or end with
plain text, though (`news.*`, `*:expired`), and a channel that such a pattern matches begins or ends with the
same. So patterns are filed by the text before their first special character or, where there is none, by that
behind their last; a channel is looked up once for each length of such a text that occurs, and only patterns
found that way are tested. What remains (`*a*`) is tested always. For channels that come again the answer is
remembered until the patterns change.
"""

from __future__ import annotations

import re
from collections import Counter

from node.values.glob import Matcher, compile_glob

REMEMBERED_CHANNELS = 1024

_SPECIAL = re.compile(rb"[*?\[\\]")


class _Texts:
    """Patterns filed by a text."""

    def __init__(self) -> None:
        self._patterns: dict[bytes, dict[bytes, Matcher]] = {}
        self.lengths: Counter[int] = Counter()  # of the texts

    def add(self, text: bytes, pattern: bytes) -> None:
        filed = self._patterns.setdefault(text, {})
        if not filed:
            self.lengths[len(text)] += 1
        filed[pattern] = compile_glob(pattern)

    def remove(self, text: bytes, pattern: bytes) -> None:
        filed = self._patterns[text]
        del filed[pattern]
        if not filed:
            del self._patterns[text]
            self.lengths[len(text)] -= 1
            self.lengths += Counter()  # without those that have become 0

    def find(self, text: bytes, channel: bytes, found: list[bytes]) -> None:
        """Adds to `found` the patterns filed by `text` that match."""
        filed = self._patterns.get(text)
        if filed is not None:
            found += [pattern for pattern, matches in filed.items() if matches(channel)]


class Patterns:
    """A set of patterns. `match` gives those that match a channel, in no order of meaning."""

    def __init__(self) -> None:
        self._count = 0
        self._heads = _Texts()
        self._tails = _Texts()
        self._remembered: dict[bytes, list[bytes]] = {}

    def add(self, pattern: bytes) -> None:
        """It must not be there."""
        texts, text = self._place(pattern)
        texts.add(text, pattern)
        self._remembered.clear()
        self._count += 1

    def remove(self, pattern: bytes) -> None:
        """It must be there."""
        texts, text = self._place(pattern)
        texts.remove(text, pattern)
        self._remembered.clear()
        self._count -= 1

    def _place(self, pattern: bytes) -> tuple[_Texts, bytes]:
        special = _SPECIAL.search(pattern)
        head = pattern if special is None else pattern[: special.start()]
        if head or b"[" in pattern or b"\\" in pattern:
            return self._heads, head
        return self._tails, pattern[max(pattern.rfind(b"*"), pattern.rfind(b"?")) + 1 :]

    def match(self, channel: bytes) -> list[bytes]:
        if not self._count:
            return []
        found = self._remembered.get(channel)
        if found is None:
            found = []
            size = len(channel)
            for length in self._heads.lengths:
                if length <= size:
                    self._heads.find(channel[:length], channel, found)
            for length in self._tails.lengths:
                if length <= size:
                    self._tails.find(channel[size - length :], channel, found)
            if len(self._remembered) >= REMEMBERED_CHANNELS:
                self._remembered.clear()
            self._remembered[channel] = found
        return found
