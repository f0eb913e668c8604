"""Hash slots: which slot a key belongs to, and sets of slots.

A key's slot is CRC16 (XMODEM) of the key modulo 16384, or of its hash tag: what stands between the first `{`
and the first `}` after it, when that is not empty. Keys that share a tag share a slot, and so may be used
together in one command. `binascii.crc_hqx` of the standard library is that CRC.

Source: the Redis cluster specification, "Key distribution model" and "Hash tags".
"""

from __future__ import annotations

from binascii import crc_hqx
from collections.abc import Iterable, Iterator

SLOT_COUNT = 16384
TAG_START = ord("{")
"""As an integer, which `in` finds in bytes in a seventh of the time that it takes with bytes of one."""


def key_slot(key: bytes) -> int:
    """The slot of `key`, 0 to 16383."""
    if TAG_START in key:
        start = key.index(b"{") + 1
        end = key.find(b"}", start)
        if end > start:
            key = key[start:end]
    return crc_hqx(key, 0) & 16383


class SlotSet:
    """An immutable set of slots, held as one integer of 16384 bits.

    Sets compare, hash and combine (`|`, `&`, `-`) at the speed of integers. `bitmap()` is the form of the
    cluster bus: 2048 bytes, slot n in bit n % 8 of byte n // 8.
    """

    __slots__ = ("_bits",)

    def __init__(self, slots: Iterable[int] = ()) -> None:
        """Raises ValueError for a slot outside 0..16383."""
        bitmap = bytearray(SLOT_COUNT // 8)
        for slot in slots:
            if not 0 <= slot < SLOT_COUNT:
                raise ValueError(f"slot {slot} is outside 0..{SLOT_COUNT - 1}")
            bitmap[slot >> 3] |= 1 << (slot & 7)
        self._bits = int.from_bytes(bitmap, "little")

    @classmethod
    def _of(cls, bits: int) -> SlotSet:
        made = cls.__new__(cls)
        made._bits = bits
        return made

    @classmethod
    def from_bitmap(cls, bitmap: bytes) -> SlotSet:
        """The set of a 2048-byte bitmap. Raises ValueError for another length."""
        if len(bitmap) != SLOT_COUNT // 8:
            raise ValueError(f"a slot bitmap has {SLOT_COUNT // 8} bytes, not {len(bitmap)}")
        return cls._of(int.from_bytes(bitmap, "little"))

    @classmethod
    def from_ranges(cls, ranges: Iterable[tuple[int, int]]) -> SlotSet:
        """The union of inclusive ranges. Raises ValueError for one that is reversed or out of bounds."""
        bits = 0
        for first, last in ranges:
            if not 0 <= first <= last < SLOT_COUNT:
                raise ValueError(f"slot range {first}-{last} is outside 0-{SLOT_COUNT - 1} or reversed")
            bits |= ((1 << (last - first + 1)) - 1) << first
        return cls._of(bits)

    @classmethod
    def all(cls) -> SlotSet:
        return cls._of((1 << SLOT_COUNT) - 1)

    def bitmap(self) -> bytes:
        return self._bits.to_bytes(SLOT_COUNT // 8, "little")

    def ranges(self) -> list[tuple[int, int]]:
        """Inclusive ranges in ascending order."""
        ranges = []
        bits, base = self._bits, 0
        while bits:
            skip = (bits & -bits).bit_length() - 1
            bits >>= skip
            length = (~bits & (bits + 1)).bit_length() - 1
            ranges.append((base + skip, base + skip + length - 1))
            bits >>= length
            base += skip + length
        return ranges

    def __iter__(self) -> Iterator[int]:
        for first, last in self.ranges():
            yield from range(first, last + 1)

    def __contains__(self, slot: int) -> bool:
        return bool(self._bits >> slot & 1)

    def __len__(self) -> int:
        return self._bits.bit_count()

    def __bool__(self) -> bool:
        return self._bits != 0

    def __or__(self, other: SlotSet) -> SlotSet:
        return SlotSet._of(self._bits | other._bits)

    def __and__(self, other: SlotSet) -> SlotSet:
        return SlotSet._of(self._bits & other._bits)

    def __sub__(self, other: SlotSet) -> SlotSet:
        return SlotSet._of(self._bits & ~other._bits)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SlotSet) and self._bits == other._bits

    def __hash__(self) -> int:
        return hash(self._bits)

    def __repr__(self) -> str:
        return f"SlotSet({self})"

    def __str__(self) -> str:
        """Ranges as operators write them: `0-5460 5462`."""
        return " ".join(str(a) if a == b else f"{a}-{b}" for a, b in self.ranges())
