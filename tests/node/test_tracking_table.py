"""The table of keys that clients hold, beside a plain model of it."""

from __future__ import annotations

import random

from node.tracking_table import Readers, TrackedKeys


def test_against_a_model() -> None:
    """Every operation in any order: who holds what, counts, and a random key that is one of them."""
    for seed in range(20):
        rng = random.Random(seed)
        table, model = TrackedKeys(), {}
        for _ in range(1500):
            key, id = b"%d" % rng.randrange(20), rng.choice((1, 2, 3, rng.randrange(1, 40)))
            choice = rng.random()
            if choice < 0.9:
                table.add(key, id)
                model.setdefault(key, set()).add(id)
            elif choice < 0.95 or not model:
                assert _as_set(table.pop(key)) == model.pop(key, set()), seed
            else:
                key = table.random(rng)
                assert _as_set(table.pop(key)) == model.pop(key), seed
            table.check()
            assert len(table) == len(model)
            assert table.item_count == sum(map(len, model.values()))


def _as_set(readers: Readers | None) -> set[int]:
    if readers is None:
        return set()
    return {readers} if isinstance(readers, int) else set(readers)


def test_any_key_may_be_the_random_one() -> None:
    rng = random.Random(7)
    chosen = set()
    for _ in range(200):
        table = TrackedKeys()
        for nth in range(10):
            table.add(b"%d" % nth, 1)
        chosen.add(table.random(rng))
    assert len(chosen) == 10
