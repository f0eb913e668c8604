"""INFO: sections, their choice, and that what it tells is true."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.command.session import Block

_HEAD = ["Server", "Clients", "Memory", "Persistence", "Stats", "Replication", "CPU", "Modules"]
_DEFAULT = [*_HEAD, "Errorstats", "Cluster", "Keyspace"]
_ALL = [*_HEAD, "Commandstats", "Errorstats", "Latencystats", "Cluster", "Keyspace"]
_REFERENCE = Path(__file__).parents[2] / "fixtures" / "reference"


@pytest.fixture
def info(client):
    """Title → fields of the sections that INFO with these arguments tells."""

    def ask(*args: str) -> dict[str, dict[str, str]]:
        text = client.call("INFO", *args).decode()
        sections: dict[str, dict[str, str]] = {}
        for line in text.split("\r\n"):
            if line.startswith("# "):
                fields = sections[line[2:]] = {}
            elif line:
                name, _, value = line.partition(":")
                assert name not in fields, f"{name} is told twice"
                fields[name] = value
        return sections

    return ask


@pytest.mark.parametrize(
    ("arguments", "titles"),
    [
        ([], _DEFAULT),
        (["default"], _DEFAULT),
        (["all"], _ALL),
        (["EVERYTHING"], _ALL),
        (["keyspace", "Server"], ["Server", "Keyspace"]),
        (["default", "commandstats"], [title for title in _ALL if title != "Latencystats"]),
        (["nosuch"], []),
        (["nosuch", "cpu"], ["CPU"]),
    ],
)
def test_sections(info, arguments, titles):
    assert list(info(*arguments)) == titles


def test_sections_are_parted_by_an_empty_line(client):
    text = client.call("INFO", "cluster", "keyspace")
    assert text == b"# Cluster\r\ncluster_enabled:0\r\n\r\n# Keyspace\r\n"


def test_it_is_verbatim_text_in_resp3(client):
    client.call("HELLO", 3)
    assert client.raw("INFO", "cluster").endswith(b"\r\ntxt:# Cluster\r\ncluster_enabled:0\r\n\r\n")


def _recorded(engine: str) -> dict[str, str]:
    """Field → title of its section."""
    recorded: dict[str, str] = {}
    for line in (_REFERENCE / f"info-fields-{engine}.txt").read_text().splitlines():
        if line.startswith("# "):
            title = line[2:]
        else:
            recorded[line] = title
    return recorded


_INVENTED = {
    *("atomicvar_api", "redis_build_id", "cluster_connections", "mem_cluster_links"),
    *("mem_replication_backlog", "mem_total_replication_buffers", "lazyfreed_objects"),
    *("expired_stale_perc", "expire_cycle_cpu_milliseconds", "rss_overhead_ratio", "rss_overhead_bytes"),
    *("instantaneous_input_repl_kbps", "instantaneous_output_repl_kbps"),
}
"""Not told here: they are not measured, or about something that is not here."""


def test_every_field_of_redis_is_told_unless_it_would_be_invented(info):
    told = {name for fields in info("all").values() for name in fields}
    missing = {
        name
        for name, title in _recorded("redis-7.0.15").items()
        if title not in ("Commandstats", "Latencystats", "Errorstats", "Keyspace")
        and not name.startswith("allocator_")
        and name not in told
    }
    assert missing == _INVENTED


def test_fields_that_redis_has_stand_in_its_sections(info):
    """A field that a real server has may be missing here, but not be told elsewhere."""
    recorded = _recorded("redis-7.0.15") | _recorded("valkey")
    told = {name: title for title, fields in info("all").items() for name in fields}
    assert {n: t for n, t in told.items() if recorded.get(n, t) != t} == {}


def test_keyspace(info, client):
    client.call("MSET", "a", 1, "b", 2)
    client.call("PEXPIRE", "a", 100_000)
    client.call("SELECT", 3)
    client.call("SET", "c", 3)
    told = info("keyspace")["Keyspace"]
    assert list(told) == ["db0", "db3"]
    assert told["db3"] == "keys=1,expires=0,avg_ttl=0"
    keys, expires, ttl = told["db0"].split(",")
    assert (keys, expires) == ("keys=2", "expires=1")
    assert 90_000 < int(ttl.removeprefix("avg_ttl=")) <= 100_000


def test_commands_and_errors_are_counted_until_resetstat(info, client):
    client.call("GET", "k")
    client.call("get", "k")
    client.call("CLIENT", "ID")
    client.error("NOSUCH")
    client.error("HELLO", 9)
    told = info("commandstats", "errorstats", "stats")
    assert told["Commandstats"]["cmdstat_get"].startswith("calls=2,usec=")
    assert told["Commandstats"]["cmdstat_client|id"].startswith("calls=1,usec=")
    assert told["Errorstats"] == {"errorstat_ERR": "count=1", "errorstat_NOPROTO": "count=1"}
    assert told["Stats"]["keyspace_misses"] == "2"
    assert told["Stats"]["total_error_replies"] == "2"
    client.call("CONFIG", "RESETSTAT")
    told = info("commandstats", "errorstats", "stats")
    assert "cmdstat_get" not in told["Commandstats"]
    assert told["Errorstats"] == {}
    assert told["Stats"]["keyspace_misses"] == "0"


def test_clients(info, node, new_client):
    replica, waiting = new_client(), new_client()
    replica.session.is_replica = True
    node.clients.block(waiting.session, Block(b"list", 2**60, lambda: b"", lambda: None))
    told = info("clients")["Clients"]
    assert told["connected_clients"] == "2"
    assert told["blocked_clients"] == "1"
    assert told["clients_in_timeout_table"] == "1"
    assert told["maxclients"] == "10000"


def test_who_waits_for_the_end_of_a_pause_is_not_counted_as_blocked(info, client, new_client):
    client.call("CLIENT", "PAUSE", 1000, "WRITE")
    new_client().raw("SET", "k", "v")
    assert info("clients")["Clients"]["blocked_clients"] == "0"


def test_memory(info):
    told = info("memory")["Memory"]
    used, rss = int(told["used_memory"]), int(told["used_memory_rss"])
    assert 1 << 20 < used <= rss < 1 << 32
    assert int(told["used_memory_peak"]) >= used
    assert told["used_memory_human"].endswith("M")
    assert int(told["used_memory_overhead"]) + int(told["used_memory_dataset"]) == used


def test_server(info, node):
    told = info("server")["Server"]
    assert told["redis_version"] == "7.4.0"
    assert told["redis_mode"] == "standalone"
    assert told["run_id"] == node.identity.run_id
    assert len(told["run_id"]) == 40
    assert told["listener0"] == "name=tcp,bind=*,bind=-::*,port=6379"


def test_services_add_sections_and_fields(info, node):
    node.info.add("weather", lambda: [("sky", "blue")])
    node.info.add("server", lambda: [("mood", "good")])
    assert info()["Weather"] == {"sky": "blue"}
    assert list(info("server")["Server"])[-1] == "mood"
