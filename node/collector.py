"""Python's cyclic garbage collector, kept from stopping the world.

Reference counts free almost everything here; the collector is for cycles only. But its full collections visit
every container there is: with a million small objects in the keyspace (strings are none: they hold nothing)
one takes 470 to 680 ms, measured, and by default there is one whenever a quarter of the objects is new.

So what has survived two young collections is frozen: moved out of the collector's sight, to be freed by its
reference count alone. A collection then looks at 25,000 objects at most, some 5 ms. The price is that a
cycle is never found once it is that old; so whatever lives long and is part of one must be taken apart when
it ends (a closed connection lets go of its session), and the keyspace must hold none.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

YOUNG_OBJECTS = 5000
"""New containers, less those that are gone, after which the new ones are looked at."""

YOUNG_ROUNDS = 5
_NEVER = 2**31 - 1


@contextmanager
def short_pauses() -> Iterator[None]:
    """While this is entered no collection takes more than some milliseconds."""
    before = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, YOUNG_ROUNDS, _NEVER)
    gc.callbacks.append(_freeze_survivors)
    try:
        yield
    finally:
        gc.callbacks.remove(_freeze_survivors)
        gc.set_threshold(*before)
        gc.unfreeze()


def _freeze_survivors(phase: str, info: dict[str, int]) -> None:
    if phase == "stop" and info["generation"] >= 1:
        gc.freeze()
