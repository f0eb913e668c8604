"""What a session has asked for with CLIENT TRACKING: see node.tracking."""

from __future__ import annotations


class Tracked:
    """How the cache of one client is kept true.

    `redirect_id` is the session that hears for this one, 0 when it hears itself; `is_broken` once that one
    was not there when it should have heard. With `opts_in` only reads behind CLIENT CACHING YES count, with
    `opts_out` all but those behind CLIENT CACHING NO; `caching` is set between that command and the next.
    `prefixes` are those of a client that `broadcasts`, in order.
    """

    __slots__ = (
        "broadcasts",
        "caching",
        "is_broken",
        "no_loop",
        "opts_in",
        "opts_out",
        "prefixes",
        "redirect_id",
    )

    def __init__(self) -> None:
        self.redirect_id = 0
        self.broadcasts = False
        self.opts_in = False
        self.opts_out = False
        self.no_loop = False
        self.caching = False
        self.is_broken = False
        self.prefixes: list[bytes] = []

    @property
    def follows_commands(self) -> bool:
        """Whether its commands must be looked at one by one."""
        return not self.broadcasts and (self.caching or not self.opts_in)

    @property
    def notes_reads(self) -> bool:
        """Whether the keys it reads now are remembered."""
        return not self.broadcasts and (
            self.caching if self.opts_in else not (self.opts_out and self.caching)
        )
