"""The commands, one file per group. Importing a file declares its commands."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules


def load_all() -> None:
    """Imports every file of this package."""
    for module in iter_modules(__path__):
        import_module(f"{__name__}.{module.name}")
