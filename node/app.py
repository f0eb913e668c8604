"""The composition root: a node of a configuration, its parts made (node.parts) and wired, ready to run.

What one service needs of another is handed over here, and in the modules whose names end in `_wiring`, as a
callable: services do not import each other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from node.config.config import Config
from node.config.file import Line
from node.eviction_wiring import wire_eviction
from node.observe_wiring import observe
from node.parts import Parts
from node.routes_wiring import wire_routes
from node.script_wiring import wire_scripts
from node.server.process import PidFile
from node.serving_wiring import wire_serving
from node.startup import Life, wire_saving


class Node(Parts):
    """All parts of one node, wired."""

    def __init__(self, config: Config, lines: Mapping[str, Sequence[Line]] | None = None) -> None:
        """`lines` are those of the configuration that are no directives, by their first word.

        Raises ConfigFileError and CannotStartError for what they, or the file of users, say.
        """
        super().__init__(config, lines or {})
        wire_serving(self)
        wire_saving(self)
        wire_scripts(self)
        wire_eviction(self)
        wire_routes(self)
        self.metrics = observe(self)

    async def run(self, pid_file: PidFile) -> int:
        """Serves until a shutdown is requested; returns the exit status.

        Raises ListenError, CannotStartError.
        """
        return await Life(self, self.metrics).run(pid_file)
