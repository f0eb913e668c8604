"""The ends of log files, and what is added to them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from pathlib import Path

import trio

TAIL_BLOCK_BYTES = 64 * 1024
LOOK_EVERY_S = 0.1


def tail(path: Path, line_count: int) -> tuple[list[str], int]:
    """The last lines, and the size of the file up to them. A file that is not there is empty."""
    try:
        with path.open("rb") as file:
            size = start = file.seek(0, 2)
            data = b""
            while start > 0 and data.count(b"\n") <= line_count:
                step = min(TAIL_BLOCK_BYTES, start)
                start -= step
                file.seek(start)
                data = file.read(step) + data
    except FileNotFoundError:
        return [], 0
    lines = data.decode(errors="replace").splitlines()
    return lines[-line_count:] if line_count else [], size


async def follow(paths: Mapping[str, Path], sizes: dict[str, int]) -> AsyncGenerator[tuple[str, str], None]:
    """(name, line) for every line written after `sizes`, for ever. One that shrank is read anew."""
    rest = dict.fromkeys(paths, b"")
    while True:
        for name, path in paths.items():
            data, sizes[name] = _read_from(path, sizes[name])
            *lines, rest[name] = (rest[name] + data).split(b"\n")
            for line in lines:
                yield name, line.decode(errors="replace")
        await trio.sleep(LOOK_EVERY_S)


def _read_from(path: Path, offset: int) -> tuple[bytes, int]:
    try:
        with path.open("rb") as file:
            if file.seek(0, 2) < offset:
                offset = 0
            file.seek(offset)
            data = file.read()
    except FileNotFoundError:
        return b"", 0
    return data, offset + len(data)
