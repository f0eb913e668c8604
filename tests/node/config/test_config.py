"""CONFIG GET and CONFIG SET: texts as redis-server has them, all or nothing, hooks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis

from node.config.config import Config
from node.config.directive import ConfigError
from node.config.special import NOTIFY_ALL, NOTIFY_KEYSPACE, NOTIFY_NEW
from node.config.table import (
    BIND,
    DIR,
    HZ,
    MAXCLIENTS,
    MAXMEMORY,
    MAXMEMORY_CLIENTS,
    NOTIFY_KEYSPACE_EVENTS,
    PORT,
    SAVE,
    TIMEOUT,
    TLS_CERT_FILE,
    TLS_CIPHERS,
)
from node.errors import CommandError


def refused(config: Config, *pairs: tuple[bytes, bytes]) -> bytes:
    with pytest.raises(CommandError) as caught:
        config.set_many(pairs)
    return caught.value.text


# Each is sent to redis-server too. _ stands for a space within a value; a value left out is empty.
SETTINGS = """
maxclients 0 | maxclients -1 | maxclients abc | maxclients 01 | maxclients +5 | maxclients 4294967296
maxclients 100 | foo 1 | FOO 1 | databases 3 | DATABASES 3 | maxclients 5 MAXCLIENTS 6 | maxclients 5 foo 1
databases 3 foo 1 | foo 1 databases 3 | timeout 5 maxmemory abc | timeout 6 maxmemory 1mb
slave-priority 3 replica-priority 4 | slave-priority 7 | maxmemory -1 | maxmemory 1k | maxmemory 2KB
maxmemory 3m | maxmemory 1b | maxmemory 1 mb | maxmemory 1t | maxmemory-clients 101%
maxmemory-clients 5% | maxmemory-clients x | maxmemory-clients 10mb | maxmemory-clients -1%
appendonly maybe | maxmemory-policy foo | maxmemory-policy ALLKEYS-LRU | dbfilename a/b | dbfilename x.rdb
dir /nonexistent | dir /etc/passwd | save xx | save | save 900_1 | save 900_1_300 | save 0_1 | save 900_-1
save 1_1__2_2 | notify-keyspace-events Q | notify-keyspace-events AKEm | notify-keyspace-events Kg$lshzxetd
notify-keyspace-events gnE | notify-keyspace-events | client-output-buffer-limit x
client-output-buffer-limit master_1_1_1 | client-output-buffer-limit normal_1_1_x
client-output-buffer-limit replica_1mb_1kb_7 | client-output-buffer-limit SLAVE_3_2_1_pubsub_1_1_1
client-output-buffer-limit pubsub_9_9_9_x_1_1_1 | client-output-buffer-limit normal_1_1_-1
client-output-buffer-limit | shutdown-on-sigint save_nosave | shutdown-on-sigint force_now
shutdown-on-sigint zz | shutdown-on-sigint default_save | shutdown-on-sigint | oom-score-adj-values 1_2
oom-score-adj-values 1_2_5000 | oom-score-adj-values 1_2_3 | oom-score-adj x | proto-max-bulk-len 5
cluster-announce-hostname a_b | cluster-announce-hostname a.b-c | slave-priority -5 | hz 1000 | hz 0 | hz -1
latency-tracking-info-percentiles 50_200 | latency-tracking-info-percentiles 50_x | slave-read-only x
hz 20 | latency-tracking-info-percentiles 50.50_99.999_0 | latency-tracking-info-percentiles
hash-max-ziplist-entries -1 | hash-max-ziplist-value 1kb | timeout 99999999999
timeout 99999999999999999999 | repl-backlog-size 0 | repl-backlog-size 2mb | list-max-listpack-size -99
list-max-listpack-size -2147483649 | unixsocketperm 99 | port 99999 | replicaof 1_2 | masterauth abc
syslog-enabled yes | slowlog-log-slower-than -2 | slowlog-log-slower-than -1 | tracking-table-max-keys -1
appendfilename x | cluster-node-timeout 1 | cluster-node-timeout x | lua-time-limit 7
busy-reply-threshold 8 | requirepass | masteruser a | set-proc-title no | sanitize-dump-payload Clients
enable-debug-command yes | repl-diskless-load x | acl-pubsub-default allchannels | aclfile x
"""


def test_settings_are_answered_as_by_redis_server(start_redis: Callable[..., Any]) -> None:
    config = Config()
    server = start_redis("--enable-protected-configs", "yes")
    config.store(SAVE, ())  # as start_redis has them
    config.store(PORT, server.port)
    with redis.Redis(port=server.port, decode_responses=True) as client:
        for setting in SETTINGS.strip().replace("\n", " | ").split(" | "):
            words = setting.split(" ")
            words += [""] * (len(words) % 2)
            words[1::2] = [value.replace("_", " ") for value in words[1::2]]
            try:
                client.execute_command("CONFIG SET", *words)
                theirs = "OK"
            except redis.ResponseError as error:
                theirs = str(error)
            encoded = [word.encode() for word in words]
            try:
                config.set_many(list(zip(encoded[::2], encoded[1::2], strict=True)), allow_protected=True)
                ours = "OK"
            except CommandError as error:
                ours = error.text.decode().removeprefix("ERR ")
            assert ours == theirs, setting
            for name in words[::2]:
                shown = {key.decode(): value.decode() for key, value in config.get([name.encode()])}
                assert name == "dir" or not shown or shown == client.config_get(name), setting


def test_get_matches_names_and_aliases() -> None:
    config = Config()
    assert config.get([b"*slave-pr*"]) == [(b"slave-priority", b"100")]
    assert config.get([b"MaxClients", b"maxcl*", b"maxclients"]) == [(b"MaxClients", b"10000")]
    assert config.get([b"nothing-like-this"]) == []
    assert len(config.get([b"*"])) > 210


def test_hidden_directives_are_shown_only_by_name() -> None:
    config = Config()
    assert b"watchdog-period" not in dict(config.get([b"*"]))
    assert config.get([b"watchdog-perio?"]) == []
    assert config.get([b"watchdog-period"]) == [(b"watchdog-period", b"0")]


def test_nothing_changes_when_one_value_is_refused() -> None:
    config = Config()
    called: list[int] = []
    config.on_change(TIMEOUT, called.append)
    assert b"argument must be a memory value" in refused(config, (b"timeout", b"5"), (b"maxmemory", b"x"))
    assert config[TIMEOUT] == 0
    assert called == []


def test_a_hook_that_refuses_rolls_back_the_values_and_the_hooks_before_it() -> None:
    config = Config()
    timeouts: list[int] = []
    config.on_change(TIMEOUT, timeouts.append)

    def refuse(_value: int) -> None:
        raise ConfigError("no memory")

    config.on_change(MAXMEMORY, refuse)
    text = refused(config, (b"timeout", b"5"), (b"maxmemory", b"1mb"))
    assert text == b"ERR CONFIG SET failed (possibly related to argument 'maxmemory') - no memory"
    assert timeouts == [5, 0]
    assert (config[TIMEOUT], config[MAXMEMORY]) == (0, 0)


def test_a_failure_to_roll_back_is_reported() -> None:
    warnings: list[str] = []
    config = Config(warn=warnings.append)

    def only_forward(value: int) -> None:
        if value == 0:
            raise ConfigError("stuck")

    def refuse(_value: int) -> None:
        raise ConfigError("no")

    config.on_change(TIMEOUT, only_forward)
    config.on_change(MAXMEMORY, refuse)
    refused(config, (b"timeout", b"5"), (b"maxmemory", b"1mb"))
    assert warnings == ["Failed applying restored failed CONFIG SET command: stuck"]


def test_hooks_hear_of_changes_only_and_see_all_new_values() -> None:
    config = Config()
    heard: list[tuple[int, tuple[str, ...]]] = []
    config.on_change_of((PORT, BIND), lambda: heard.append((config[PORT], config[BIND])))
    config.set_many([(b"port", b"6379")])
    assert heard == []
    config.set_many([(b"port", b"7000"), (b"bind", b"127.0.0.1 ::1")])
    assert heard == [(7000, ("127.0.0.1", "::1"))]


def test_protected_and_loading_rules() -> None:
    config = Config()
    assert refused(config, (b"dir", b"/")).endswith(b"'dir') - can't set protected config")
    config.is_loading = lambda: True
    assert refused(config, (b"appendonly", b"yes")).startswith(b"LOADING ")


def test_a_relative_dir_is_taken_from_the_directory_before(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    config = Config()
    config.set_many([(b"dir", bytes(tmp_path))], allow_protected=True)
    config.set_many([(b"dir", b"a")], allow_protected=True)
    assert config[DIR] == str(tmp_path / "a")
    assert config.resolve("nodes.conf") == str(tmp_path / "a" / "nodes.conf")
    assert config.resolve("/etc/x") == "/etc/x"


def test_a_file_given_again_is_read_again() -> None:
    """A certificate is renewed where it is; other directives that stay as they are change nothing."""
    config = Config()
    told: list[str] = []
    config.on_change(TLS_CERT_FILE, told.append)
    config.on_change(TLS_CIPHERS, told.append)
    for _ in range(2):
        config.set_many([(b"tls-cert-file", b"node.crt")])
        config.set_many([(b"tls-ciphers", b"")])
    assert told == ["node.crt", "node.crt"]


def test_typed_values() -> None:
    config = Config()
    config.set_many([(b"maxmemory-clients", b"5%"), (b"hz", b"1000"), (b"notify-keyspace-events", b"AKn")])
    assert config[MAXMEMORY_CLIENTS] == -5
    assert config[HZ] == 500
    assert config[NOTIFY_KEYSPACE_EVENTS] == NOTIFY_ALL | NOTIFY_KEYSPACE | NOTIFY_NEW
    assert config.get([b"notify-keyspace-events"]) == [(b"notify-keyspace-events", b"AnK")]
    assert config[SAVE][0].seconds == 3600
    assert config[MAXCLIENTS] == 10000
