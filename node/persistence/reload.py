"""The snapshot on disk, loaded: at the start, and again when DEBUG RELOAD says so."""

from __future__ import annotations

from collections.abc import Callable

from node.clock import Clock
from node.config import table as directives
from node.config.config import Config
from node.keyspace.database import Database
from node.log import Log
from node.observe.access import Accesses
from node.observe.info import Fields
from node.persistence.libraries import Libraries
from node.persistence.loading import Loading
from node.persistence.rdb import LoadError, NoteUse, RdbFile, RdbLoader
from node.persistence.saving import Saving


class Reload:
    """Loads the snapshot. `is_replica` tells whether keys whose time is over are to be kept."""

    def __init__(
        self,
        config: Config,
        log: Log,
        clock: Clock,
        databases: list[Database],
        accesses: Accesses,
        saving: Saving,
        libraries: Libraries,
        is_replica: Callable[[], bool],
    ) -> None:
        self._config = config
        self._log = log
        self._clock = clock
        self._databases = databases
        self._note_use: NoteUse = accesses.loaded
        self._saving = saving
        self._is_replica = is_replica
        self._libraries = libraries
        self.keys_loaded = 0
        self.keys_expired = 0

    async def at_start(self, loading: Loading) -> RdbLoader | None:
        """Loads the file, if there is one. Raises LoadError."""
        try:
            file = RdbFile(self._saving.path, self._log)
        except FileNotFoundError:
            return None
        loader = self._loader(merge=False)
        await file.load(loader, loading)
        self._loaded(loader)
        return loader

    def now(self, *, merge: bool) -> None:
        """DEBUG RELOAD's second half. Raises LoadError."""
        try:
            file = RdbFile(self._saving.path, self._log)
        except FileNotFoundError:
            raise LoadError(f"There is no RDB file {self._saving.path}") from None
        loader = self._loader(merge=merge)
        file.load_now(loader)
        self._loaded(loader)

    def _loader(self, *, merge: bool) -> RdbLoader:
        return RdbLoader(
            self._databases,
            now_ms=None if self._is_replica() else self._clock.update(),
            merge=merge,
            check=self._config[directives.RDBCHECKSUM],
            note_use=self._note_use,
        )

    def _loaded(self, loader: RdbLoader) -> None:
        self._libraries.take(loader.functions)
        self.keys_loaded = loader.keys_loaded
        self.keys_expired = len(loader.expired)
        self._saving.loaded()

    def info(self) -> Fields:
        """Of INFO persistence."""
        yield "rdb_last_load_keys_expired", self.keys_expired
        yield "rdb_last_load_keys_loaded", self.keys_loaded
