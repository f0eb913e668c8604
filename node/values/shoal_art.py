"""The picture of LOLWUT: a shoal of fish, the nearer the more of each."""

from __future__ import annotations

import random

WIDTH, HEIGHT = 66, 14
_LARGEST = 200
_FISH = ("><>", "><(>", "><(('>", "><(((('>", "·")
_MIRRORED = str.maketrans("><()", "<>)(")


def draw(seed: int, width: int = WIDTH, height: int = HEIGHT) -> str:
    """Lines of at most `width` columns; the same seed draws the same shoal."""
    rng = random.Random(seed)
    width, height = min(max(width, 1), _LARGEST), min(max(height, 1), _LARGEST)
    swims_left = rng.random() < 0.5
    lines = [[" "] * width for _ in range(height)]
    for _ in range(width * height // 24):
        # Two uniform numbers added: dense in the middle, loose at the edges.
        column = int((rng.random() + rng.random()) / 2 * width)
        row = int((rng.random() + rng.random()) / 2 * height)
        fish = rng.choice(_FISH)
        if swims_left:
            fish = fish[::-1].translate(_MIRRORED)
        room = lines[row][column - 1 if column else 0 : column + len(fish) + 1]
        if column + len(fish) <= width and not "".join(room).strip():
            lines[row][column : column + len(fish)] = fish
    return "\n".join("".join(line).rstrip() for line in lines)
