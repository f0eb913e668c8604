"""What INFO, SLOWLOG and LATENCY tell, as metrics for Prometheus.

Names and labels are those of the exporter that most dashboards are made for (redis_exporter), so they work
here; a figure that INFO does not have is no metric. All is collected when it is asked for: nobody pays for
metrics that nobody fetches.

Source: https://github.com/oliver006/redis_exporter (names), https://prometheus.io/docs/practices/naming/
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from node.command.registry import Table
from node.observe.commandstats import total_us
from node.observe.info import Info
from node.observe.latency import Latency
from node.observe.slowlog import SlowLog

PREFIX = "redis_"
_SECTIONS = ("server", "clients", "memory", "persistence", "stats", "replication", "cpu", "cluster")

_GAUGES = {
    "uptime_in_seconds": "uptime_in_seconds",
    "process_id": "process_id",
    "connected_clients": "connected_clients",
    "blocked_clients": "blocked_clients",
    "tracking_clients": "tracking_clients",
    "maxclients": "max_clients",
    "client_recent_max_output_buffer": "client_recent_max_output_buffer_bytes",
    "client_recent_max_input_buffer": "client_recent_max_input_buffer_bytes",
    "used_memory": "memory_used_bytes",
    "used_memory_rss": "memory_used_rss_bytes",
    "used_memory_peak": "memory_used_peak_bytes",
    "used_memory_overhead": "memory_used_overhead_bytes",
    "used_memory_startup": "memory_used_startup_bytes",
    "used_memory_dataset": "memory_used_dataset_bytes",
    "maxmemory": "memory_max_bytes",
    "total_system_memory": "total_system_memory_bytes",
    "mem_fragmentation_ratio": "mem_fragmentation_ratio",
    "mem_fragmentation_bytes": "mem_fragmentation_bytes",
    "mem_clients_slaves": "mem_clients_slaves",
    "mem_clients_normal": "mem_clients_normal",
    "lazyfree_pending_objects": "lazyfree_pending_objects",
    "expired_time_cap_reached_count": "expired_time_cap_reached_total",
    "loading": "loading_dump_file",
    "rdb_changes_since_last_save": "rdb_changes_since_last_save",
    "rdb_bgsave_in_progress": "rdb_bgsave_in_progress",
    "rdb_last_save_time": "rdb_last_save_timestamp_seconds",
    "rdb_last_bgsave_status": "rdb_last_bgsave_status",
    "rdb_last_bgsave_time_sec": "rdb_last_bgsave_duration_sec",
    "rdb_current_bgsave_time_sec": "rdb_current_bgsave_duration_sec",
    "rdb_last_cow_size": "rdb_last_cow_size_bytes",
    "aof_enabled": "aof_enabled",
    "aof_rewrite_in_progress": "aof_rewrite_in_progress",
    "aof_rewrite_scheduled": "aof_rewrite_scheduled",
    "aof_last_rewrite_time_sec": "aof_last_rewrite_duration_sec",
    "aof_current_size": "aof_current_size_bytes",
    "aof_base_size": "aof_base_size_bytes",
    "aof_delayed_fsync": "aof_delayed_fsync",
    "aof_last_bgrewrite_status": "aof_last_bgrewrite_status",
    "aof_last_write_status": "aof_last_write_status",
    "pubsub_channels": "pubsub_channels",
    "pubsub_patterns": "pubsub_patterns",
    "latest_fork_usec": "latest_fork_usec",
    "instantaneous_ops_per_sec": "instantaneous_ops_per_sec",
    "connected_slaves": "connected_slaves",
    "repl_backlog_size": "replication_backlog_bytes",
    "repl_backlog_active": "repl_backlog_is_active",
    "repl_backlog_first_byte_offset": "repl_backlog_first_byte_offset",
    "repl_backlog_histlen": "repl_backlog_history_bytes",
    "master_repl_offset": "master_repl_offset",
    "second_repl_offset": "second_repl_offset",
    "slave_repl_offset": "slave_repl_offset",
    "slave_priority": "slave_priority",
    "sync_full": "replica_resyncs_full",
    "sync_partial_ok": "replica_partial_resync_accepted",
    "sync_partial_err": "replica_partial_resync_denied",
    "cluster_enabled": "cluster_enabled",
}
_COUNTERS = {
    "total_connections_received": "connections_received",
    "total_commands_processed": "commands_processed",
    "rejected_connections": "rejected_connections",
    "total_net_input_bytes": "net_input_bytes",
    "total_net_output_bytes": "net_output_bytes",
    "expired_keys": "expired_keys",
    "evicted_keys": "evicted_keys",
    "keyspace_hits": "keyspace_hits",
    "keyspace_misses": "keyspace_misses",
    "used_cpu_sys": "cpu_sys_seconds",
    "used_cpu_user": "cpu_user_seconds",
    "used_cpu_sys_children": "cpu_sys_children_seconds",
    "used_cpu_user_children": "cpu_user_children_seconds",
}
"""`_total` is added to their names."""

_WORDS = {"ok": "1", "up": "1", "err": "0", "down": "0"}
_INSTANCE = ("role", "redis_version", "redis_mode", "os", "maxmemory_policy", "tcp_port", "run_id")


class NodeMetrics(Collector):
    """Collects the metrics of one node."""

    def __init__(self, info: Info, table: Table, slow_log: SlowLog, latency: Latency) -> None:
        self._info = info
        self._table = table
        self._slow_log = slow_log
        self._latency = latency

    def collect(self) -> Iterator[Metric]:
        fields = {name: value for section in _SECTIONS for name, value in self._info.fields(section)}
        yield GaugeMetricFamily(PREFIX + "up", "The node answers.", value=1)
        for name, metric in _GAUGES.items():
            if name in fields:
                yield GaugeMetricFamily(PREFIX + metric, _telling(name), value=_number(fields[name]))
        for name, metric in _COUNTERS.items():
            if name in fields:
                yield CounterMetricFamily(PREFIX + metric, _telling(name), value=_number(fields[name]))
        yield _labelled("instance_info", "About the node.", _INSTANCE, [([fields[n] for n in _INSTANCE], 1)])
        yield from self._commands()
        yield from self._databases()
        yield from _replication(fields)
        yield from self._slow()

    def _commands(self) -> Iterator[Metric]:
        called = [each for each in self._table.walk() if each.calls or each.rejected_calls]
        figures: dict[str, Callable[..., float]] = {
            "commands": lambda each: each.calls,
            "commands_duration_seconds": lambda each: total_us(each.times) / 1e6,
            "commands_rejected_calls": lambda each: each.rejected_calls,
            "commands_failed_calls": lambda each: each.failed_calls,
        }
        for name, figure in figures.items():
            family = CounterMetricFamily(PREFIX + name, "INFO commandstats.", labels=["cmd"])
            for each in called:
                family.add_metric([each.title.decode()], figure(each))
            yield family
        errors = CounterMetricFamily(PREFIX + "errors", "INFO errorstats.", labels=["err"])
        for name, count in self._info.fields("errorstats"):
            errors.add_metric([name.removeprefix("errorstat_")], _number(_part(count, "count")))
        yield errors

    def _databases(self) -> Iterator[Metric]:
        rows = list(self._info.fields("keyspace"))
        for metric, part, scale in (
            ("db_keys", "keys", 1),
            ("db_keys_expiring", "expires", 1),
            ("db_avg_ttl_seconds", "avg_ttl", 1000),
        ):
            values = [([db], _number(_part(told, part)) / scale) for db, told in rows]
            yield _labelled(metric, "INFO keyspace.", ("db",), values)

    def _slow(self) -> Iterator[Metric]:
        log = self._slow_log
        yield GaugeMetricFamily(PREFIX + "slowlog_length", "Entries of SLOWLOG.", value=len(log))
        last = log.latest(1)
        last_id, took_us = (last[0].id, last[0].took_us) if last else (0, 0)
        yield GaugeMetricFamily(PREFIX + "slowlog_last_id", "Its newest entry.", value=last_id)
        yield GaugeMetricFamily(
            PREFIX + "last_slow_execution_duration_seconds", "How long that took.", value=took_us / 1e6
        )
        latest = [(name.decode(), event.spikes[-1]) for name, event in self._latency.events.items()]
        label = ("event_name",)
        when: list[tuple[list[object], float]] = [([name], spike.at_s) for name, spike in latest]
        took: list[tuple[list[object], float]] = [([name], spike.took_ms / 1000) for name, spike in latest]
        yield _labelled("latency_spike_last", "LATENCY LATEST.", label, when)
        yield _labelled("latency_spike_duration_seconds", "LATENCY LATEST.", label, took)


def _replication(fields: Mapping[str, object]) -> Iterator[Metric]:
    labels = ("slave_ip", "slave_port", "slave_state")
    replicas = [str(told) for name, told in fields.items() if name.startswith("slave") and name[5:].isdigit()]
    named = [([_part(told, part) for part in ("ip", "port", "state")], told) for told in replicas]
    for metric, part in (("connected_slave_lag_seconds", "lag"), ("connected_slave_offset_bytes", "offset")):
        yield _labelled(
            metric, "INFO replication.", labels, [(who, _number(_part(told, part))) for who, told in named]
        )
    if "master_host" not in fields:
        return
    primary = [fields["master_host"], fields["master_port"]]
    for name, metric in (
        ("master_link_status", "master_link_up"),
        ("master_last_io_seconds_ago", "master_last_io_seconds_ago"),
        ("master_sync_in_progress", "master_sync_in_progress"),
    ):
        values = [(primary, _number(fields[name]))]
        yield _labelled(metric, "INFO replication.", ("master_host", "master_port"), values)


def _labelled(
    name: str, doc: str, labels: Iterable[str], values: Iterable[tuple[Iterable[object], float]]
) -> GaugeMetricFamily:
    family = GaugeMetricFamily(PREFIX + name, doc, labels=list(labels))
    for words, value in values:
        family.add_metric([str(word) for word in words], value)
    return family


def _telling(field: str) -> str:
    return f"INFO's {field}."


def _number(value: object) -> float:
    text = str(value)
    return float(_WORDS.get(text, text))


def _part(told: object, name: str) -> str:
    """The value of `name` in `a=1,b=2`."""
    return dict(pair.split("=", 1) for pair in str(told).split(","))[name]


def exposition(metrics: NodeMetrics) -> Callable[[], bytes]:
    """Makes Prometheus's text of what is collected then."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(metrics)
    return lambda: generate_latest(registry)
