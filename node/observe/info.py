"""INFO: sections by name, each told by those who know.

A service contributes to a section with `add`; what several add to one section follows each other. Sections
appear in Redis's order, others behind them.

Source: https://redis.io/commands/info/
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

Fields = Iterable[tuple[str, object]]
Provider = Callable[[], Fields]
"""Makes the fields of a section, each a name and a value to be printed."""

_ORDER = (
    "server",
    "clients",
    "memory",
    "persistence",
    "stats",
    "replication",
    "cpu",
    "modules",
    "commandstats",
    "errorstats",
    "latencystats",
    "cluster",
    "keyspace",
    "keysizes",
)
_TITLES = {"cpu": "CPU"}
_ONLY_WHEN_ASKED = frozenset(("commandstats", "latencystats"))
_ONLY_WHEN_NAMED = frozenset(("keysizes",))
"""Not even with everything: they take time."""
_EVERYTHING = frozenset((b"all", b"everything"))


class Info:
    """The sections of one node."""

    def __init__(self) -> None:
        self._providers: dict[str, list[Provider]] = {}

    def add(self, section: str, provider: Provider) -> None:
        """`provider` is asked whenever the section (named in lower case) is shown."""
        self._providers.setdefault(section, []).append(provider)

    def fields(self, section: str) -> Fields:
        """The fields of one section, none for one that is not known."""
        for provider in self._providers.get(section, ()):
            yield from provider()

    def text(self, wanted: Sequence[bytes]) -> bytes:
        """The sections of those names, and of `default`, `all` or `everything`; none means `default`.

        A name that is not known adds nothing.
        """
        chosen = self._chosen({name.lower() for name in wanted} or {b"default"})
        return "\r\n".join(self._section(section) for section in chosen).encode("utf-8", "surrogateescape")

    def _chosen(self, wanted: set[bytes]) -> list[str]:
        others = [section for section in self._providers if section not in _ORDER]
        known = [section for section in (*_ORDER, *others) if section in self._providers]
        return [section for section in known if _is_wanted(section, wanted)]

    def _section(self, section: str) -> str:
        lines = [f"# {_TITLES.get(section, section.capitalize())}\r\n"]
        for provider in self._providers[section]:
            lines += [f"{name}:{value}\r\n" for name, value in provider()]
        return "".join(lines)


def _is_wanted(section: str, wanted: set[bytes]) -> bool:
    if section.encode() in wanted:
        return True
    if section in _ONLY_WHEN_NAMED:
        return False
    if wanted & _EVERYTHING:
        return True
    return b"default" in wanted and section not in _ONLY_WHEN_ASKED
