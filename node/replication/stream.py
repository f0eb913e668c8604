"""The replication stream of a node: its history's name, its length, and what is on its way out.

A *replication id* names a history of changes, an *offset* a point in it: two nodes at one id and one offset
hold the same data. A primary makes the stream (`feed`); a replica passes on its primary's, byte for byte
(`relay`), so its own replicas count the same offsets. When a replica is promoted, its history branches off:
the new one gets a new id, and the old id stays valid as the second one, up to the offset where the branch
begins, so that siblings may continue without a full synchronisation.

What one turn of the loop fed is gathered and taken together (`take`), into the backlog and to the replicas.
Without a backlog nothing is counted: nobody can ask for it.

Source: https://redis.io/docs/management/replication/, "Replication ID explained".
"""

from __future__ import annotations

import secrets
from collections.abc import Callable

from hiredis import pack_command

from node.replication.backlog import Backlog
from node.resp.encode import command

# Twice as fast as node.resp.encode.command, and asked for every write; five times slower with a word of many
# megabytes. (Its stub knows one argument only.)
_encode: Callable[[tuple[bytes, ...]], bytes] = pack_command  # type: ignore[assignment]

NO_REPLID = b"0" * 40
LONG_BYTES = 256 * 1024


def new_replid() -> bytes:
    """40 random hexadecimal digits."""
    return secrets.token_hex(20).encode()


class Stream:
    """`offset` is that of the last byte fed, `data_offset` that of the last change this node made (PINGs and
    the like may follow it); `second_offset` is the first that `replid2` does not hold for.
    """

    def __init__(self) -> None:
        self.replid = new_replid()
        self.replid2 = NO_REPLID
        self.offset = 0
        self.data_offset = 0
        self.second_offset = -1
        self.backlog: Backlog | None = None
        self._selected = -1  # the database of the last command; -1: the next one is preceded by SELECT
        self._pending: list[bytes] = []

    def feed(self, db_index: int, argv: list[bytes]) -> None:
        """A primary's command, with the database it is for."""
        if db_index != self._selected:
            self._selected = db_index
            self.feed_bare([b"SELECT", b"%d" % db_index])
        long = len(argv) > 3 and len(argv[3]) > LONG_BYTES  # RESTORE of a big value
        data = command(argv) if long else _encode(tuple(argv))
        self._pending.append(data)
        self.offset += len(data)
        self.data_offset = self.offset

    def feed_bare(self, argv: list[bytes]) -> None:
        """A command that is for no database."""
        self.relay(_encode(tuple(argv)))

    def relay(self, data: bytes) -> None:
        """Bytes of the stream as they are."""
        self._pending.append(data)
        self.offset += len(data)

    @property
    def selected_db(self) -> int:
        """The database of what is fed next without SELECT."""
        return max(self._selected, 0)

    def take(self) -> bytes:
        """What was fed since the last call; it is in the backlog now."""
        if not self._pending:
            return b""
        data = b"".join(self._pending)
        self._pending.clear()
        if self.backlog is not None:
            self.backlog.append(data)
        return data

    def select_again(self) -> None:
        """The next command is preceded by SELECT: whoever starts to listen here knows no database."""
        self._selected = -1

    def open_backlog(self, size_bytes: int) -> None:
        """From here on the stream is counted and held."""
        assert not self._pending, "to be taken first"
        self.backlog = Backlog(size_bytes, self.offset)
        self.select_again()

    def close_backlog(self) -> None:
        """Ends the history: what changes now is counted nowhere, so no replica may continue from here."""
        self.backlog = None
        self._pending.clear()
        self.begin_history()

    def begin_history(self) -> None:
        """A new id, and no second one."""
        self.replid = new_replid()
        self.replid2 = NO_REPLID
        self.second_offset = -1

    def branch(self) -> None:
        """A promotion: what follows is a history of its own, that so far the old id names too."""
        self.rename(new_replid())
        self.select_again()
        self.data_offset = self.offset

    def rename(self, replid: bytes) -> None:
        """The history goes on under a new id; the old one holds up to here."""
        self.replid2 = self.replid
        self.second_offset = self.offset + 1
        self.replid = replid

    def adopt(self, replid: bytes, offset: int, backlog_bytes: int) -> None:
        """After a full synchronisation: the primary's history, from `offset` on."""
        self._pending.clear()
        self.replid = replid
        self.replid2 = NO_REPLID
        self.second_offset = -1
        self.offset = self.data_offset = offset
        self.open_backlog(backlog_bytes)

    def names(self, replid: bytes, offset: int) -> bool:
        """Whether `replid` means our history as far as the byte before `offset`."""
        return replid == self.replid or (replid == self.replid2 and offset <= self.second_offset)
