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
    "clients": "tracking_clients pubsub_clients watching_clients total_watched_keys",
    "memory": (
        "used_memory_lua used_memory_vm_eval used_memory_scripts_eval number_of_cached_scripts "
        "number_of_functions number_of_libraries used_memory_vm_functions used_memory_vm_total "
        "used_memory_functions used_memory_scripts mem_not_counted_for_evict mem_aof_buffer "
        "mem_overhead_db_hashtable_rehashing"
    ),
    "persistence": (
        "current_cow_peak current_cow_size current_cow_size_age current_save_keys_processed "
        "current_save_keys_total rdb_last_cow_size aof_rewrites_consecutive_failures aof_last_cow_size "
        "module_fork_last_cow_size"
    ),
    "stats": (
        "evicted_clients evicted_scripts total_eviction_exceeded_time current_eviction_exceeded_time "
        "pubsub_channels pubsub_patterns pubsubshard_channels latest_fork_usec migrate_cached_sockets "
        "slave_expires_tracked_keys active_defrag_hits active_defrag_misses active_defrag_key_hits "
        "active_defrag_key_misses total_active_defrag_time current_active_defrag_time "
        "tracking_total_keys tracking_total_items tracking_total_prefixes dump_payload_sanitizations "
        "io_threaded_reads_processed io_threaded_writes_processed reply_buffer_shrinks "
        "reply_buffer_expands acl_access_denied_auth acl_access_denied_cmd acl_access_denied_key "
        "acl_access_denied_channel"
    ),
}
_OTHERWISE = {
    "memory": (
        ("used_memory_lua_human", "0B"),
        ("used_memory_vm_total_human", "0B"),
        ("used_memory_scripts_human", "0B"),
    ),
    "persistence": (("current_fork_perc", "0.00"),),
}


def add_never(info: Info) -> None:
    """Adds them to their sections, behind what is told there."""
    for section in _FIELDS:
        info.add(section, partial(_told, section))


def _told(section: str) -> Fields:
    yield from ((name, _NOTHING) for name in _FIELDS[section].split())
    yield from _OTHERWISE.get(section, ())
