"""The backlog: the last bytes of the replication stream, for replicas that come back after a short absence.

A ring of at most `size_bytes`. It takes memory as it fills, and then overwrites its oldest bytes. Offsets
count the bytes of the stream from 1, so the byte after offset n is at n + 1.

Source: https://redis.io/docs/management/replication/, "How Redis replication works".
"""

from __future__ import annotations


class Backlog:
    """Holds the bytes from offset `first` to offset `last` (`last` is `first - 1` when it holds none)."""

    __slots__ = ("_at", "_ring", "last", "size_bytes")

    def __init__(self, size_bytes: int, offset: int) -> None:
        """`offset` is the stream's: the first byte to come has the next one."""
        self.size_bytes = size_bytes
        self.last = offset
        self._ring = bytearray()
        self._at = 0  # where the next byte goes once the ring is full

    def __len__(self) -> int:
        return len(self._ring)

    @property
    def first(self) -> int:
        return self.last - len(self._ring) + 1

    def append(self, data: bytes) -> None:
        self.last += len(data)
        ring, size = self._ring, self.size_bytes
        if len(data) >= size:
            ring[:] = data[len(data) - size :]
            self._at = 0
            return
        if len(ring) < size:
            room = size - len(ring)
            ring += data[:room]
            data = data[room:]
        if data:
            at = self._at
            end = at + len(data)
            if end <= size:
                ring[at:end] = data
            else:
                ring[at:] = data[: size - at]
                ring[: end - size] = data[size - at :]
            self._at = end % size

    def since(self, offset: int) -> bytes | None:
        """The bytes from `offset` on (none when it is the next one to come); None when they are not held."""
        if not self.first <= offset <= self.last + 1:
            return None
        start = offset - self.first
        at = self._at
        whole = len(self._ring)
        if start < whole - at:
            return bytes(self._ring[at + start :]) + bytes(self._ring[:at])
        return bytes(self._ring[start - (whole - at) : at])

    def resize(self, size_bytes: int) -> None:
        """Keeps as many of the latest bytes as the new size allows."""
        held = self.since(self.first) or b""
        self.size_bytes = size_bytes
        self._ring = bytearray(held[-size_bytes:])
        self._at = 0
