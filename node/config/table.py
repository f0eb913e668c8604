"""Every directive, declared once: defaults and bounds as in Redis 7.2, the later ones as in Valkey 8.0.

`python -m node.config` prints this table as documentation. A directive that means nothing to this server says
why in `ignored`, and one whose service is still to come says in `later` what does not happen yet; every other
one has to be heeded by some service.
"""

from __future__ import annotations

from typing import Any

from node.config import checks
from node.config.declare import (
    choice,
    integer,
    memory,
    memory_or_percent,
    octal,
    optional,
    secret,
    special,
    text,
    yes_no,
)
from node.config.directive import Directive
from node.config.kinds import INT_MAX, LONG_MAX, UINT_MAX, ULONG_MAX
from node.config.special import (
    Addresses,
    BufferLimit,
    Directory,
    KeyspaceEvents,
    Networks,
    OomScores,
    OutputBufferLimits,
    OutputBufferLimitsKind,
    Percentiles,
    PrimaryAddress,
    SavePoint,
    SavePoints,
    ShutdownFlags,
)

MB = 1 << 20
BUS_PORT_OFFSET = 10_000

# Why a directive means nothing here.
_ALLOCATOR = "memory is Python's to allocate"
_CRASHES = "a failing node logs a Python traceback"
_FREED_AT_ONCE = "values are freed when the last reference goes, in the same thread"
_ONE_THREAD = "one thread serves all clients"
_SERVICE_MANAGER = "left to the service manager (systemd, container)"
_TESTING = "a testing aid of redis-server"

# What does not happen yet.
_PERSISTENCE = "nothing is saved to disk"
_NOT_IN_PYTHON = "Python's ssl module leaves it to OpenSSL"

# --- Network ------------------------------------------------------------------------------------------------

PORT = integer("port", 6379, "TCP port for clients; 0 is none.", high=65535)
BIND = special("bind", Addresses(), ("*", "-::*"), "Addresses to listen on; with a leading - optional ones.")
BIND_SOURCE_ADDR = optional("bind-source-addr", "Address that outgoing connections come from.")
UNIXSOCKET = optional("unixsocket", "Path of a unix socket to listen on.", mutable=False)
UNIXSOCKETPERM = octal(
    "unixsocketperm", 0, "Mode of the unix socket; 0 leaves it alone.", 0o777, mutable=False
)
UNIXSOCKETGROUP = optional("unixsocketgroup", "Group that owns the unix socket.", mutable=False)
PROTECTED_MODE = yes_no("protected-mode", True, "Without a password, serve only clients of this machine.")
TCP_BACKLOG = integer("tcp-backlog", 511, "Connections the kernel queues before accept.", mutable=False)
TCP_KEEPALIVE = integer("tcp-keepalive", 300, "Seconds between keep-alive probes; 0 is none.")
TIMEOUT = integer("timeout", 0, "Seconds after which an idle client is closed; 0 is never.")
SOCKET_MARK_ID = integer(
    "socket-mark-id", 0, "Mark on sockets.", high=UINT_MAX, mutable=False, ignored="sockets are not marked"
)
MAXCLIENTS = integer("maxclients", 10000, "Clients served at once.", low=1, high=UINT_MAX)
MAX_NEW_CONNECTIONS_PER_CYCLE = integer(
    "max-new-connections-per-cycle", 10, "Connections accepted in one turn of the loop.", low=1, high=1000
)
MAX_NEW_TLS_CONNECTIONS_PER_CYCLE = integer(
    "max-new-tls-connections-per-cycle", 1, "The same for TLS.", low=1, high=1000
)
CLIENT_QUERY_BUFFER_LIMIT = memory(
    "client-query-buffer-limit", 1024 * MB, "Bytes of a request that a client may have pending.", low=MB
)
CLIENT_OUTPUT_BUFFER_LIMIT = special(
    "client-output-buffer-limit",
    OutputBufferLimitsKind(),
    OutputBufferLimits(
        normal=BufferLimit(0, 0, 0),
        replica=BufferLimit(256 * MB, 64 * MB, 60),
        pubsub=BufferLimit(32 * MB, 8 * MB, 60),
    ),
    "Bytes of replies a client may leave unread.",
)
PROTO_MAX_BULK_LEN = memory("proto-max-bulk-len", 512 * MB, "Longest argument of a command.", low=MB)
MAXMEMORY_CLIENTS = memory_or_percent(
    "maxmemory-clients",
    0,
    "Memory of all clients' buffers together; 0 is no limit.",
)

# --- Process and log ----------------------------------------------------------------------------------------

DAEMONIZE = yes_no("daemonize", False, "Run in the background.", mutable=False)
SUPERVISED = choice(
    "supervised",
    ("upstart", "systemd", "auto", "no"),
    "no",
    "Tell the service manager when the node is ready.",
    mutable=False,
)
PIDFILE = optional("pidfile", "File that holds the process id while the node runs.", mutable=False)
DIR = special(
    "dir", Directory(), "", "Working directory: where files are.", protected=True, deny_loading=True
)
LOGLEVEL = choice(
    "loglevel", ("debug", "verbose", "notice", "warning", "nothing"), "notice", "Least level that is logged."
)
LOGFILE = text("logfile", "", "Log file; empty is standard output.", mutable=False)
LOG_FORMAT = choice("log-format", ("legacy", "logfmt"), "legacy", "Form of log lines.")
LOG_TIMESTAMP_FORMAT = choice(
    "log-timestamp-format", ("legacy", "iso8601", "milliseconds"), "legacy", "Form of times in log lines."
)
SYSLOG_ENABLED = yes_no("syslog-enabled", False, "Log to syslog too.", mutable=False)
SYSLOG_IDENT = text("syslog-ident", "redis", "Name in syslog.", mutable=False)
SYSLOG_FACILITY = choice(
    "syslog-facility",
    ("user", *(f"local{number}" for number in range(8))),
    "local0",
    "Facility in syslog.",
    mutable=False,
)
ALWAYS_SHOW_LOGO = yes_no("always-show-logo", False, "Show the banner in log files too.", mutable=False)
HIDE_USER_DATA_FROM_LOG = yes_no(
    "hide-user-data-from-log", True, "Keep users' data out of the log.", ignored="it is never logged"
)
SET_PROC_TITLE = yes_no(
    "set-proc-title", True, "Show the address in ps.", mutable=False, ignored="ps shows the command line"
)
PROC_TITLE_TEMPLATE = text(
    "proc-title-template",
    "{title} {listen-addr} {server-mode}",
    "Form of the process title.",
    ignored="ps shows the command line",
)
CRASH_LOG_ENABLED = yes_no("crash-log-enabled", True, "Report crashes.", ignored=_CRASHES)
CRASH_MEMCHECK_ENABLED = yes_no(
    "crash-memcheck-enabled", True, "Test memory after crashes.", ignored=_CRASHES
)
USE_EXIT_ON_PANIC = yes_no(
    "use-exit-on-panic", False, "Exit rather than abort.", hidden=True, ignored=_CRASHES
)
IGNORE_WARNINGS = text(
    "ignore-warnings", "", "Warnings not to stop at.", ignored="no warning about the system stops a start"
)
DISABLE_THP = yes_no(
    "disable-thp", True, "Turn off huge pages.", mutable=False, ignored="left to the operating system"
)
OOM_SCORE_ADJ = choice(
    "oom-score-adj",
    ("no", "yes", "relative", "absolute"),
    "no",
    "Adjust the score of the out-of-memory killer.",
    synonyms={"relative": "yes"},
    ignored=_SERVICE_MANAGER,
)
OOM_SCORE_ADJ_VALUES = special(
    "oom-score-adj-values",
    OomScores(),
    (0, 200, 800),
    "Scores of primary, replica and children.",
    ignored=_SERVICE_MANAGER,
)
SERVER_CPULIST = optional(
    "server_cpulist", "CPUs of the server.", alias="server-cpulist", mutable=False, ignored=_SERVICE_MANAGER
)
BIO_CPULIST = optional(
    "bio_cpulist", "CPUs of threads.", alias="bio-cpulist", mutable=False, ignored=_SERVICE_MANAGER
)
AOF_REWRITE_CPULIST = optional(
    "aof_rewrite_cpulist",
    "CPUs of AOF rewrites.",
    alias="aof-rewrite-cpulist",
    mutable=False,
    ignored=_SERVICE_MANAGER,
)
BGSAVE_CPULIST = optional(
    "bgsave_cpulist", "CPUs of saves.", alias="bgsave-cpulist", mutable=False, ignored=_SERVICE_MANAGER
)
SHUTDOWN_TIMEOUT = integer("shutdown-timeout", 10, "Seconds a shutdown waits for lagging replicas.")
SHUTDOWN_ON_SIGINT = special("shutdown-on-sigint", ShutdownFlags(), frozenset(), "How SIGINT ends the node.")
SHUTDOWN_ON_SIGTERM = special(
    "shutdown-on-sigterm", ShutdownFlags(), frozenset(), "How SIGTERM ends the node."
)
HZ = integer(
    "hz",
    10,
    "Rounds of background work a second.",
    cap=(1, 500),
    ignored="background work waits for deadlines, and looks round ten times a second",
)
DYNAMIC_HZ = yes_no(
    "dynamic-hz", True, "More rounds with more clients.", ignored="clients are not polled by background work"
)
IO_THREADS = integer(
    "io-threads", 1, "Threads for client sockets.", low=1, high=128, mutable=False, ignored=_ONE_THREAD
)
IO_THREADS_DO_READS = yes_no(
    "io-threads-do-reads", False, "Read in threads.", mutable=False, ignored=_ONE_THREAD
)
EVENTS_PER_IO_THREAD = integer("events-per-io-thread", 2, "Events that wake a thread.", ignored=_ONE_THREAD)
PREFETCH_BATCH_MAX_SIZE = integer(
    "prefetch-batch-max-size", 16, "Keys prefetched together.", high=128, ignored=_ONE_THREAD
)
AVAILABILITY_ZONE = text("availability-zone", "", "Zone that INFO tells.")
EXTENDED_REDIS_COMPATIBILITY = yes_no(
    "extended-redis-compatibility",
    False,
    "Answer as Redis would.",
    ignored="HELLO and INFO always say Redis 7.4.0",
)
LOCALE_COLLATE = text(
    "locale-collate",
    "",
    "Locale for SORT ALPHA; empty is the environment's.",
    ignored="SORT ALPHA compares bytes, as in the locale C",
)

# --- Access -------------------------------------------------------------------------------------------------

REQUIREPASS = secret("requirepass", "Password of the default user.")
ACLFILE = text("aclfile", "", "File of users.", mutable=False)
ACLLOG_MAX_LEN = integer("acllog-max-len", 128, "Entries ACL LOG keeps.", high=LONG_MAX)
ACL_PUBSUB_DEFAULT = choice(
    "acl-pubsub-default",
    ("allchannels", "resetchannels"),
    "resetchannels",
    "Channels a new user may use.",
)
ENABLE_PROTECTED_CONFIGS = choice(
    "enable-protected-configs",
    ("no", "yes", "local"),
    "no",
    "Who may change dir and dbfilename.",
    mutable=False,
)
ENABLE_DEBUG_COMMAND = choice(
    "enable-debug-command", ("no", "yes", "local"), "no", "Who may use DEBUG.", mutable=False
)
ENABLE_MODULE_COMMAND = choice(
    "enable-module-command",
    ("no", "yes", "local"),
    "no",
    "Who may use MODULE.",
    mutable=False,
)

# --- Keyspace, memory and values ----------------------------------------------------------------------------

DATABASES = integer("databases", 16, "Numbered databases; one in cluster mode.", low=1, mutable=False)
MAXMEMORY = memory("maxmemory", 0, "Memory for data; 0 is no limit.", high=ULONG_MAX)
MAXMEMORY_POLICY = choice(
    "maxmemory-policy",
    (
        "volatile-lru",
        "volatile-lfu",
        "volatile-random",
        "volatile-ttl",
        "allkeys-lru",
        "allkeys-lfu",
        "allkeys-random",
        "noeviction",
    ),
    "noeviction",
    "Which keys go when memory is full.",
)
MAXMEMORY_SAMPLES = integer("maxmemory-samples", 5, "Keys compared for an eviction.", low=1)
MAXMEMORY_EVICTION_TENACITY = integer(
    "maxmemory-eviction-tenacity", 10, "How long an eviction may keep clients waiting.", high=100
)
LFU_LOG_FACTOR = integer("lfu-log-factor", 10, "How slowly frequency counters grow.")
LFU_DECAY_TIME = integer("lfu-decay-time", 1, "Minutes for a frequency counter to lose one.")
ACTIVE_EXPIRE_EFFORT = integer("active-expire-effort", 1, "Time spent on expired keys.", low=1, high=10)
NOTIFY_KEYSPACE_EVENTS = special("notify-keyspace-events", KeyspaceEvents(), 0, "Events that are published.")
HASH_MAX_LISTPACK_ENTRIES = integer(
    "hash-max-listpack-entries",
    512,
    "Fields of a compact hash.",
    high=LONG_MAX,
    alias="hash-max-ziplist-entries",
)
HASH_MAX_LISTPACK_VALUE = memory(
    "hash-max-listpack-value", 64, "Longest item of a compact hash.", alias="hash-max-ziplist-value"
)
LIST_MAX_LISTPACK_SIZE = integer(
    "list-max-listpack-size",
    -2,
    "Items of a list node, or -1 to -5 for 4 to 64 kb.",
    low=-INT_MAX - 1,
    alias="list-max-ziplist-size",
)
LIST_COMPRESS_DEPTH = integer(
    "list-compress-depth",
    0,
    "List nodes at each end left uncompressed; 0 is all.",
    ignored="list nodes are not compressed",
)
SET_MAX_INTSET_ENTRIES = integer(
    "set-max-intset-entries", 512, "Members of a set of integers.", high=LONG_MAX
)
SET_MAX_LISTPACK_ENTRIES = integer(
    "set-max-listpack-entries", 128, "Members of a compact set.", high=LONG_MAX
)
SET_MAX_LISTPACK_VALUE = integer(
    "set-max-listpack-value", 64, "Longest member of a compact set.", high=LONG_MAX
)
ZSET_MAX_LISTPACK_ENTRIES = integer(
    "zset-max-listpack-entries",
    128,
    "Members of a compact sorted set.",
    high=LONG_MAX,
    alias="zset-max-ziplist-entries",
)
ZSET_MAX_LISTPACK_VALUE = memory(
    "zset-max-listpack-value", 64, "Longest member of a compact sorted set.", alias="zset-max-ziplist-value"
)
HLL_SPARSE_MAX_BYTES = memory("hll-sparse-max-bytes", 3000, "Longest sparse HyperLogLog.")
STREAM_NODE_MAX_BYTES = memory("stream-node-max-bytes", 4096, "Bytes of a stream node; 0 is no limit.")
STREAM_NODE_MAX_ENTRIES = integer(
    "stream-node-max-entries", 100, "Entries of a stream node; 0 is no limit.", high=LONG_MAX
)
SANITIZE_DUMP_PAYLOAD = choice(
    "sanitize-dump-payload",
    ("no", "yes", "clients"),
    "no",
    "Check values that are loaded.",
    ignored="they are always checked in full",
)
ACTIVEREHASHING = yes_no("activerehashing", True, "Rehash in the background.", ignored=_ALLOCATOR)
ACTIVEDEFRAG = yes_no("activedefrag", False, "Defragment memory.", ignored=_ALLOCATOR)
ACTIVE_DEFRAG_CYCLE_MIN = integer(
    "active-defrag-cycle-min", 1, "Least CPU for it, per cent.", low=1, high=99, ignored=_ALLOCATOR
)
ACTIVE_DEFRAG_CYCLE_MAX = integer(
    "active-defrag-cycle-max", 25, "Most CPU for it, per cent.", low=1, high=99, ignored=_ALLOCATOR
)
ACTIVE_DEFRAG_THRESHOLD_LOWER = integer(
    "active-defrag-threshold-lower", 10, "Fragmentation to begin at.", high=1000, ignored=_ALLOCATOR
)
ACTIVE_DEFRAG_THRESHOLD_UPPER = integer(
    "active-defrag-threshold-upper", 100, "Fragmentation for most CPU.", high=1000, ignored=_ALLOCATOR
)
ACTIVE_DEFRAG_IGNORE_BYTES = memory(
    "active-defrag-ignore-bytes", 100 * MB, "Waste to begin at.", low=1, ignored=_ALLOCATOR
)
ACTIVE_DEFRAG_MAX_SCAN_FIELDS = integer(
    "active-defrag-max-scan-fields", 1000, "Items moved at once.", low=1, high=LONG_MAX, ignored=_ALLOCATOR
)
JEMALLOC_BG_THREAD = yes_no("jemalloc-bg-thread", True, "Let jemalloc purge.", ignored=_ALLOCATOR)
LAZYFREE_LAZY_EVICTION = yes_no("lazyfree-lazy-eviction", False, "Free evicted values later.")
LAZYFREE_LAZY_EXPIRE = yes_no("lazyfree-lazy-expire", False, "Free later.", ignored=_FREED_AT_ONCE)
LAZYFREE_LAZY_SERVER_DEL = yes_no("lazyfree-lazy-server-del", False, "Free later.", ignored=_FREED_AT_ONCE)
LAZYFREE_LAZY_USER_DEL = yes_no("lazyfree-lazy-user-del", False, "DEL is UNLINK.", ignored=_FREED_AT_ONCE)
LAZYFREE_LAZY_USER_FLUSH = yes_no("lazyfree-lazy-user-flush", False, "Free later.", ignored=_FREED_AT_ONCE)

# --- Observation, scripts, tracking -------------------------------------------------------------------------

SLOWLOG_LOG_SLOWER_THAN = integer(
    "slowlog-log-slower-than",
    10000,
    "Microseconds that make a command slow; -1 is none.",
    low=-1,
    high=LONG_MAX,
)
SLOWLOG_MAX_LEN = integer("slowlog-max-len", 128, "Entries SLOWLOG keeps.", high=LONG_MAX)
LATENCY_MONITOR_THRESHOLD = integer(
    "latency-monitor-threshold",
    0,
    "Milliseconds that LATENCY records; 0 is off.",
    high=LONG_MAX,
)
LATENCY_TRACKING = yes_no("latency-tracking", True, "Keep a histogram of each command's times.")
LATENCY_TRACKING_INFO_PERCENTILES = special(
    "latency-tracking-info-percentiles",
    Percentiles(),
    (50.0, 99.0, 99.9),
    "Percentiles that INFO latencystats tells.",
)
METRICS_PORT = integer(
    "metrics-port", 0, "HTTP port of metrics for Prometheus; 0 is none.", high=65535, mutable=False
)
METRICS_BIND = special(
    "metrics-bind", Addresses(), ("127.0.0.1",), "Addresses that metrics are served on.", mutable=False
)
BUSY_REPLY_THRESHOLD = integer(
    "busy-reply-threshold",
    5000,
    "Milliseconds after which others hear that a script is running.",
    high=LONG_MAX,
    alias="lua-time-limit",
)
TRACKING_TABLE_MAX_KEYS = integer(
    "tracking-table-max-keys",
    1000000,
    "Keys remembered for client caches.",
    high=LONG_MAX,
)

# --- Persistence --------------------------------------------------------------------------------------------

SAVE = special(
    "save",
    SavePoints(),
    (SavePoint(3600, 1), SavePoint(300, 100), SavePoint(60, 10000)),
    "When to save by itself.",
)
DBFILENAME = text(
    "dbfilename",
    "dump.rdb",
    "Name of the snapshot.",
    checks.file_name("dbfilename"),
    protected=True,
)
RDBCOMPRESSION = yes_no("rdbcompression", True, "Compress strings in snapshots.")
RDBCHECKSUM = yes_no("rdbchecksum", True, "Write and check the checksum of snapshots.", mutable=False)
RDB_DEL_SYNC_FILES = yes_no(
    "rdb-del-sync-files",
    False,
    "Delete snapshots that served a synchronisation.",
    ignored="a synchronisation leaves no file",
)
RDB_SAVE_INCREMENTAL_FSYNC = yes_no("rdb-save-incremental-fsync", True, "Sync a snapshot as it is written.")
RDB_KEY_SAVE_DELAY = integer(
    "rdb-key-save-delay", 0, "Slow saves down.", low=-INT_MAX - 1, hidden=True, ignored=_TESTING
)
KEY_LOAD_DELAY = integer(
    "key-load-delay", 0, "Slow loads down.", low=-INT_MAX - 1, hidden=True, ignored=_TESTING
)
LOADING_PROCESS_EVENTS_INTERVAL_BYTES = integer(
    "loading-process-events-interval-bytes",
    2 * MB,
    "Bytes loaded between looks at clients.",
    low=1024,
    hidden=True,
    ignored=_TESTING,
)
WATCHDOG_PERIOD = integer("watchdog-period", 0, "Report slow turns.", hidden=True, ignored=_TESTING)
STOP_WRITES_ON_BGSAVE_ERROR = yes_no("stop-writes-on-bgsave-error", True, "Refuse writes when a save failed.")
APPENDONLY = yes_no("appendonly", False, "Keep an append-only file.", deny_loading=True)
APPENDFILENAME = text(
    "appendfilename",
    "appendonly.aof",
    "Base name of its files.",
    checks.file_name("appendfilename"),
    mutable=False,
)
APPENDDIRNAME = text(
    "appenddirname",
    "appendonlydir",
    "Directory of its files.",
    checks.file_name("appenddirname", "dirname"),
    mutable=False,
)
APPENDFSYNC = choice("appendfsync", ("everysec", "always", "no"), "everysec", "When it is synced to disk.")
NO_APPENDFSYNC_ON_REWRITE = yes_no("no-appendfsync-on-rewrite", False, "Do not sync during a rewrite.")
AUTO_AOF_REWRITE_PERCENTAGE = integer(
    "auto-aof-rewrite-percentage",
    100,
    "Growth that starts a rewrite; 0 is never.",
)
AUTO_AOF_REWRITE_MIN_SIZE = memory("auto-aof-rewrite-min-size", 64 * MB, "Size that starts a rewrite.")
AOF_LOAD_TRUNCATED = yes_no("aof-load-truncated", True, "Load a file that was cut off.")
AOF_USE_RDB_PREAMBLE = yes_no("aof-use-rdb-preamble", True, "Begin with a snapshot after a rewrite.")
AOF_TIMESTAMP_ENABLED = yes_no("aof-timestamp-enabled", False, "Write times, for a recovery up to one.")
AOF_REWRITE_INCREMENTAL_FSYNC = yes_no(
    "aof-rewrite-incremental-fsync",
    True,
    "Sync a rewrite as it is written.",
)
AOF_DISABLE_AUTO_GC = yes_no("aof-disable-auto-gc", False, "Keep the files a rewrite replaced.", hidden=True)

# --- Replication --------------------------------------------------------------------------------------------

REPLICAOF = special("replicaof", PrimaryAddress(), None, "Primary to follow.", alias="slaveof", mutable=False)
MASTERAUTH = secret("masterauth", "Password for the primary.", alias="primaryauth")
MASTERUSER = secret("masteruser", "User for the primary.", alias="primaryuser")
REPLICA_SERVE_STALE_DATA = yes_no(
    "replica-serve-stale-data",
    True,
    "Answer while the primary is away.",
    alias="slave-serve-stale-data",
)
REPLICA_READ_ONLY = yes_no("replica-read-only", True, "Refuse writes.", alias="slave-read-only")
REPLICA_IGNORE_MAXMEMORY = yes_no(
    "replica-ignore-maxmemory",
    True,
    "Leave eviction to the primary.",
    alias="slave-ignore-maxmemory",
)
REPLICA_LAZY_FLUSH = yes_no(
    "replica-lazy-flush", False, "Free later.", alias="slave-lazy-flush", ignored=_FREED_AT_ONCE
)
REPLICA_PRIORITY = integer(
    "replica-priority", 100, "Sentinel promotes the lowest; 0 is never.", alias="slave-priority"
)
REPLICA_ANNOUNCED = yes_no("replica-announced", True, "Show this replica to Sentinel.")
REPLICA_ANNOUNCE_IP = optional(
    "replica-announce-ip", "Address told to the primary.", alias="slave-announce-ip"
)
REPLICA_ANNOUNCE_PORT = integer(
    "replica-announce-port", 0, "Port told to the primary.", high=65535, alias="slave-announce-port"
)
REPLICA_IGNORE_DISK_WRITE_ERRORS = yes_no(
    "replica-ignore-disk-write-errors",
    False,
    "Go on replicating when the disk fails.",
)
REPLICA_REFUSE_EMPTY_PRIMARY = choice(
    "replica-refuse-empty-primary",
    ("yes", "no", "auto"),
    "auto",
    "Keep the data when the primary was restarted without its own, and in a cluster take its place, while"
    " that primary serves nobody; auto is yes in a cluster (Shoal's own).",
)
REPL_TIMEOUT = integer("repl-timeout", 60, "Seconds of silence that end a link.", low=1)
REPL_PING_REPLICA_PERIOD = integer(
    "repl-ping-replica-period",
    10,
    "Seconds between PINGs to replicas.",
    low=1,
    alias="repl-ping-slave-period",
)
REPL_DISABLE_TCP_NODELAY = yes_no(
    "repl-disable-tcp-nodelay",
    False,
    "Fewer packets, more delay.",
    ignored="all that a turn changed leaves in one piece",
)
REPL_BACKLOG_SIZE = memory("repl-backlog-size", MB, "Bytes kept for partial synchronisation.", low=1)
REPL_BACKLOG_TTL = integer(
    "repl-backlog-ttl", 3600, "Seconds they are kept without replicas; 0 is for ever.", high=LONG_MAX
)
REPL_DISKLESS_SYNC = yes_no("repl-diskless-sync", True, "Send snapshots without writing a file.")
REPL_DISKLESS_SYNC_DELAY = integer("repl-diskless-sync-delay", 5, "Seconds to wait for more replicas.")
REPL_DISKLESS_SYNC_MAX_REPLICAS = integer(
    "repl-diskless-sync-max-replicas", 0, "Replicas that end the wait; 0 is none."
)
REPL_DISKLESS_LOAD = choice(
    "repl-diskless-load",
    ("disabled", "on-empty-db", "swapdb"),
    "disabled",
    "Load a primary's snapshot as it arrives; swapdb beside the old data.",
    deny_loading=True,
)
DUAL_CHANNEL_REPLICATION_ENABLED = yes_no(
    "dual-channel-replication-enabled",
    False,
    "Snapshot and stream on two connections.",
    ignored="one connection carries both",
)
MIN_REPLICAS_TO_WRITE = integer(
    "min-replicas-to-write", 0, "Replicas without which writes are refused.", alias="min-slaves-to-write"
)
MIN_REPLICAS_MAX_LAG = integer(
    "min-replicas-max-lag", 10, "Seconds of silence of a replica that counts.", alias="min-slaves-max-lag"
)
PROPAGATION_ERROR_BEHAVIOR = choice(
    "propagation-error-behavior",
    ("ignore", "panic", "panic-on-replicas"),
    "ignore",
    "When a replicated command fails.",
    ignored="it is logged",
)

# --- Cluster ------------------------------------------------------------------------------------------------

CLUSTER_ENABLED = yes_no("cluster-enabled", False, "Be a node of a cluster.", mutable=False)
CLUSTER_CONFIG_FILE = text(
    "cluster-config-file",
    "nodes.conf",
    "File the node keeps its view of the cluster in.",
    checks.not_empty("cluster-config-file"),
    mutable=False,
)
CLUSTER_NODE_TIMEOUT = integer(
    "cluster-node-timeout", 15000, "Milliseconds of silence of a failing node.", high=LONG_MAX
)
CLUSTER_PORT = integer("cluster-port", 0, "Port of the bus; 0 is port + 10000.", high=65535, mutable=False)
CLUSTER_REQUIRE_FULL_COVERAGE = yes_no(
    "cluster-require-full-coverage", True, "Serve only when all slots are."
)
CLUSTER_ALLOW_READS_WHEN_DOWN = yes_no(
    "cluster-allow-reads-when-down", False, "Read when the cluster is down."
)
CLUSTER_ALLOW_PUBSUBSHARD_WHEN_DOWN = yes_no(
    "cluster-allow-pubsubshard-when-down",
    True,
    "Publish to shards when the cluster is down.",
)
CLUSTER_REPLICA_VALIDITY_FACTOR = integer(
    "cluster-replica-validity-factor",
    10,
    "Node time-outs a replica may lag and still stand for election; 0 is any.",
    alias="cluster-slave-validity-factor",
)
CLUSTER_REPLICA_NO_FAILOVER = yes_no(
    "cluster-replica-no-failover", False, "Never stand for election.", alias="cluster-slave-no-failover"
)
CLUSTER_MIGRATION_BARRIER = integer(
    "cluster-migration-barrier", 1, "Replicas a primary keeps when others have none."
)
CLUSTER_ALLOW_REPLICA_MIGRATION = yes_no(
    "cluster-allow-replica-migration", True, "Replicas move to primaries without one."
)
CLUSTER_LINK_SENDBUF_LIMIT = memory(
    "cluster-link-sendbuf-limit", 0, "Bytes queued on a bus link; 0 is no limit.", high=ULONG_MAX
)
CLUSTER_ANNOUNCE_IP = optional("cluster-announce-ip", "Address told to the cluster.")
CLUSTER_ANNOUNCE_CLIENT_IPV4 = optional(
    "cluster-announce-client-ipv4", "IPv4 address told to clients.", checks.ipv4
)
CLUSTER_ANNOUNCE_CLIENT_IPV6 = optional(
    "cluster-announce-client-ipv6", "IPv6 address told to clients.", checks.ipv6
)
CLUSTER_ANNOUNCE_PORT = integer("cluster-announce-port", 0, "Client port told to the cluster.", high=65535)
CLUSTER_ANNOUNCE_BUS_PORT = integer(
    "cluster-announce-bus-port", 0, "Bus port told to the cluster.", high=65535
)
CLUSTER_ANNOUNCE_TLS_PORT = integer(
    "cluster-announce-tls-port", 0, "TLS port told to the cluster.", high=65535
)
CLUSTER_ANNOUNCE_HOSTNAME = optional(
    "cluster-announce-hostname", "Host name told to the cluster.", checks.hostname
)
CLUSTER_ANNOUNCE_HUMAN_NODENAME = optional(
    "cluster-announce-human-nodename", "Name for people, in logs.", checks.node_name
)
CLUSTER_PREFERRED_ENDPOINT_TYPE = choice(
    "cluster-preferred-endpoint-type",
    ("ip", "hostname", "unknown-endpoint"),
    "ip",
    "What MOVED and CLUSTER SLOTS name nodes by.",
)
CLUSTER_INSIDE_NETWORKS = special(
    "cluster-inside-networks",
    Networks(),
    (),
    "Networks whose clients are told IP addresses, whatever the preferred endpoint type (Shoal's own).",
)
CLUSTER_BLACKLIST_TTL = integer(
    "cluster-blacklist-ttl", 60, "Seconds a forgotten node is not met again.", high=LONG_MAX
)
CLUSTER_SLOT_STATS_ENABLED = yes_no(
    "cluster-slot-stats-enabled",
    False,
    "Count commands, CPU and network by slot, which slows all commands down.",
)
CLUSTER_SLOT_MIGRATION_LOG_MAX_LEN = integer(
    "cluster-slot-migration-log-max-len",
    1000,
    "Slot migrations that are over and still told of.",
    high=LONG_MAX,
)
SLOT_MIGRATION_MAX_FAILOVER_REPL_BYTES = integer(
    "slot-migration-max-failover-repl-bytes",
    0,
    "Bytes of a slot migration that may be unsent when its writers are paused; -1 is any number.",
    low=-1,
    high=LONG_MAX,
)
SLOT_MIGRATION_MAX_PAUSE = integer(
    "slot-migration-max-pause",
    100,
    "Milliseconds a slot migration may hold writers back to hand over, before it lets them go on and tries"
    " again (Shoal's own).",
    low=1,
)
CLUSTER_PING_INTERVAL = integer("cluster-ping-interval", 0, "Pace of PINGs.", high=LONG_MAX, hidden=True)

# --- TLS ----------------------------------------------------------------------------------------------------

TLS_PORT = integer("tls-port", 0, "TLS port for clients; 0 is none.", high=65535)
TLS_CLUSTER = yes_no(
    "tls-cluster", False, "The bus and MIGRATE speak TLS, and the cluster is told TLS ports first."
)
TLS_REPLICATION = yes_no(
    "tls-replication", False, "Connections to the primary, and atomic slot migration, are over TLS."
)
TLS_AUTH_CLIENTS = choice(
    "tls-auth-clients", ("no", "yes", "optional"), "yes", "Whether clients must show a certificate."
)
TLS_CERT_FILE = optional("tls-cert-file", "Certificate, with the chain behind it (PEM).", volatile=True)
TLS_KEY_FILE = optional("tls-key-file", "Its private key (PEM).", volatile=True)
TLS_KEY_FILE_PASS = optional("tls-key-file-pass", "Pass phrase of the key.", sensitive=True)
TLS_CLIENT_CERT_FILE = optional(
    "tls-client-cert-file", "Certificate for outgoing connections, instead of tls-cert-file.", volatile=True
)
TLS_CLIENT_KEY_FILE = optional("tls-client-key-file", "Its private key.", volatile=True)
TLS_CLIENT_KEY_FILE_PASS = optional("tls-client-key-file-pass", "Pass phrase of that key.", sensitive=True)
TLS_DH_PARAMS_FILE = optional("tls-dh-params-file", "Diffie-Hellman parameters (PEM).", volatile=True)
TLS_CA_CERT_FILE = optional(
    "tls-ca-cert-file", "Authorities that peers' certificates are from.", volatile=True
)
TLS_CA_CERT_DIR = optional("tls-ca-cert-dir", "Directory of such, by hash.", volatile=True)
TLS_PROTOCOLS = optional("tls-protocols", "Versions, as in TLSv1.2 TLSv1.3, the default.")
TLS_CIPHERS = optional("tls-ciphers", "Ciphers up to TLS 1.2, in OpenSSL's notation.")
TLS_CIPHERSUITES = optional("tls-ciphersuites", "Ciphers of TLS 1.3.", later=_NOT_IN_PYTHON)
TLS_PREFER_SERVER_CIPHERS = yes_no(
    "tls-prefer-server-ciphers", False, "The server's order of ciphers counts, not the client's."
)
TLS_SESSION_CACHING = yes_no(
    "tls-session-caching",
    True,
    "Clients may take up earlier sessions, which saves half of a handshake; with no, TLS 1.2's by id alone.",
)
TLS_SESSION_CACHE_SIZE = integer(
    "tls-session-cache-size", 20480, "Sessions kept; 0 is any number.", later=_NOT_IN_PYTHON
)
TLS_SESSION_CACHE_TIMEOUT = integer(
    "tls-session-cache-timeout", 300, "Seconds a session is kept.", later=_NOT_IN_PYTHON
)

TABLE: tuple[Directive[Any], ...] = tuple(
    value for value in globals().values() if isinstance(value, Directive)
)

BY_NAME: dict[bytes, Directive[Any]] = {directive.name.encode(): directive for directive in TABLE}
BY_NAME |= {directive.alias.encode(): directive for directive in TABLE if directive.alias}
