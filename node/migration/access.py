"""The door commands have to migrations, which are there in cluster mode only."""

from __future__ import annotations

from dataclasses import dataclass

from node.errors import CommandError
from node.migration.service import Migrations

DISABLED = b"ERR This instance has cluster support disabled"


@dataclass
class MigrationAccess:
    """`installed` is None when cluster-enabled is no."""

    installed: Migrations | None

    def refuse_if_moving(self, slot: int) -> None:
        """Raises CommandError for a slot that an atomic migration moves."""
        if self.installed is not None:
            self.installed.refuse_if_moving(slot)

    @property
    def migrations(self) -> Migrations:
        """Raises CommandError without cluster mode."""
        if self.installed is None:
            raise CommandError(DISABLED)
        return self.installed
