"""Libraries of functions as snapshots hold them: their source, kept as it is.

Who runs functions takes this over: `give` is asked for the sources whenever a snapshot is written, `take` is
told them when one was loaded. Until then nothing looks into them, and nothing is lost.
"""

from __future__ import annotations

from collections.abc import Callable


class Libraries:
    """One per node."""

    def __init__(self) -> None:
        self._sources: list[bytes] = []
        self.give: Callable[[], list[bytes]] = lambda: self._sources
        self.take: Callable[[list[bytes]], None] = self._keep

    def _keep(self, sources: list[bytes]) -> None:
        """These are all there are: a data set comes with its functions."""
        self._sources = sources
