"""All that a module imports of Shoal: see deploy/modules/README.md for how one is written.

What stands here stays; other parts of the node may change with any version.
"""

from __future__ import annotations

from node.command.args import NOT_INTEGER, SYNTAX, WRONG_TYPE, integer
from node.command.call import Call
from node.command.keyspec import counted_keys, key, keys
from node.command.session import Block
from node.command.spec import (
    ACCESS,
    ADMIN,
    BLOCKING,
    DELETE,
    DENYOOM,
    FAST,
    INSERT,
    LOADING,
    NOSCRIPT,
    OW,
    READONLY,
    RM,
    RO,
    RW,
    STALE,
    UPDATE,
    WRITE,
    command,
    container,
)
from node.errors import CommandError
from node.modules.native import Commands, MisuseError
from node.resp.encode import EMPTY_ARRAY, OK, ONE, ZERO, array, bulk, bulks, simple
from node.resp.encode import integer as number

__all__ = [
    "ACCESS",
    "ADMIN",
    "BLOCKING",
    "DELETE",
    "DENYOOM",
    "EMPTY_ARRAY",
    "FAST",
    "INSERT",
    "LOADING",
    "NOSCRIPT",
    "NOT_INTEGER",
    "OK",
    "ONE",
    "OW",
    "READONLY",
    "RM",
    "RO",
    "RW",
    "STALE",
    "SYNTAX",
    "UPDATE",
    "WRITE",
    "WRONG_TYPE",
    "ZERO",
    "Block",
    "Call",
    "CommandError",
    "Commands",
    "MisuseError",
    "array",
    "bulk",
    "bulks",
    "command",
    "container",
    "counted_keys",
    "integer",
    "key",
    "keys",
    "number",
    "simple",
]
