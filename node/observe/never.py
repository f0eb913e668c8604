"""Fields of INFO about what this server has never done, since it cannot: their values are a fact, and tools
that expect the fields find them. Who builds one of these things takes its fields away from here.

Missing are fields that would have to be invented: those of an allocator, of event loops and threads that are
not here, and times that are not measured.
"""

from __future__ import annotations

from functools import partial

from node.observe.info import Fields, Info

_NOTHING = "0"
_FIELDS = {
    "memory": "mem_overhead_db_hashtable_rehashing",
    "persistence": "module_fork_last_cow_size",
    "stats": (
        "slave_expires_tracked_keys active_defrag_hits active_defrag_misses active_defrag_key_hits "
        "active_defrag_key_misses total_active_defrag_time current_active_defrag_time "
        "dump_payload_sanitizations "
        "io_threaded_reads_processed io_threaded_writes_processed reply_buffer_shrinks "
        "reply_buffer_expands"
    ),
}


def add_never(info: Info) -> None:
    """Adds them to their sections, behind what is told there."""
    for section in _FIELDS:
        info.add(section, partial(_told, section))


def _told(section: str) -> Fields:
    yield from ((name, _NOTHING) for name in _FIELDS[section].split())
