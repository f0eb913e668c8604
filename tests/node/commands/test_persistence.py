"""SAVE, BGSAVE, LASTSAVE; what a node refuses while it loads or cannot save; DEBUG DIGEST."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.config import table as directives
from node.guards import Guard
from node.persistence.saving import SaveError


@pytest.fixture
def saving(node, tmp_path):
    node.config.store(directives.DIR, str(tmp_path))
    yield node.saving
    node.saving.close()


class TestSave:
    def test_it_writes_the_file(self, client, saving, tmp_path: Path):
        client.call("SET", "k", "v")
        assert client.call("SAVE") == b"OK"
        assert (tmp_path / "dump.rdb").read_bytes().startswith(b"REDIS0010")
        assert client.call("LASTSAVE") == saving.last_save_s

    def test_it_is_refused_while_a_child_saves(self, client, node, saving):
        node.forks.claim("rdb")
        assert client.error("SAVE") == "ERR Background save already in progress"
        assert client.error("BGSAVE") == "ERR Background save already in progress"
        assert client.error("BGSAVE", "SCHEDULE") == "ERR Background save already in progress"

    def test_a_failure_is_told(self, client, saving, tmp_path: Path):
        (tmp_path / "dump.rdb").mkdir()
        assert client.error("SAVE") == "ERR Is a directory"


class TestBgsave:
    @pytest.fixture
    def started(self, saving, monkeypatch):
        """How often a save in the background was begun."""
        started = []
        monkeypatch.setattr(saving, "save_in_background", lambda: started.append(1))
        return started

    def test_it_begins(self, client, started):
        assert client.call("BGSAVE") == b"Background saving started"
        assert client.call("bgsave", "schedule") == b"Background saving started"
        assert len(started) == 2

    def test_it_waits_for_another_child_only_when_it_may(self, client, node, saving, started):
        node.forks.claim("aof")
        assert client.error("BGSAVE").startswith("ERR Another child process is active (AOF?)")
        assert not saving.scheduled
        assert client.call("BGSAVE", "SCHEDULE") == b"Background saving scheduled"
        assert saving.scheduled
        assert not started

    def test_half_a_transaction_is_not_saved(self, client, saving, started):
        client.call("MULTI")
        client.call("SET", "k", "v")
        client.call("BGSAVE")
        assert client.call("EXEC") == [b"OK", b"Background saving scheduled"]
        assert saving.scheduled
        assert not started

    def test_no_process_to_be_had(self, client, saving, monkeypatch):
        def fail():
            raise SaveError("Cannot allocate memory")

        monkeypatch.setattr(saving, "save_in_background", fail)
        assert client.error("BGSAVE") == "ERR Cannot allocate memory"

    def test_syntax(self, client):
        assert client.error("BGSAVE", "NONSENSE") == "ERR syntax error"
        assert client.error("BGSAVE", "SCHEDULE", "x") == "ERR syntax error"


class TestLoading:
    def test_clients_wait_until_the_data_are_there(self, client, node):
        node.loading.expect()
        for request in (["GET", "k"], ["SET", "k", "v"], ["PING"], ["SAVE"], ["MULTI"]):
            if request != ["MULTI"]:
                assert client.error(*request).startswith("LOADING ")
        assert b"\r\nloading:1\r\n" in client.call("INFO", "persistence")
        assert client.call("LASTSAVE")
        assert client.call("CONFIG", "GET", "port")
        node.loading.ready()
        assert client.call("PING") == b"PONG"


class TestDisk:
    def test_writes_and_ping_are_refused_and_reads_are_not(self, client, node):
        client.call("SET", "k", "v")
        node.guards.set(Guard.DISK, True)
        for request in (["SET", "k", "w"], ["PING"], ["DEL", "k"], ["EXPIRE", "k", "1"], ["FLUSHALL"]):
            assert client.error(*request).startswith("MISCONF ")
        assert client.call("GET", "k") == b"v"
        client.call("MULTI")
        assert client.error("SET", "k", "w").startswith("MISCONF ")
        node.guards.set(Guard.DISK, False)
        assert client.error("EXEC").startswith("EXECABORT")
        assert client.call("SET", "k", "w") == b"OK"


class TestDigest:
    @pytest.fixture(autouse=True)
    def debug(self, node):
        node.config.store(directives.ENABLE_DEBUG_COMMAND, "yes")

    def test_nothing_is_zeros(self, client):
        assert client.call("DEBUG", "DIGEST") == b"0" * 40
        assert client.call("DEBUG", "DIGEST-VALUE", "none") == [b"0" * 40]

    def test_recorded_from_redis_server(self, client):
        """Told by redis-server 7.0.15 of the same commands."""
        client.call("SET", "k", "v")
        client.call("RPUSH", "l", "a", "b")
        assert client.call("DEBUG", "DIGEST") == b"622ad7071dfa679b4ffef295dfea5f457c7452a5"
        client.call("ZADD", "z", "0.1", "m")
        client.call("PEXPIREAT", "k", 4_000_000_000_000)
        client.call("SELECT", 3)
        client.call("HSET", "h", "f", "v")
        assert client.call("DEBUG", "DIGEST") == b"204107f432160d55395ddb170aaf81013f6103c2"

    def test_it_does_not_depend_on_the_order_of_keys(self, client):
        client.call("MSET", "a", 1, "b", 2)
        first = client.call("DEBUG", "DIGEST")
        client.call("FLUSHALL")
        client.call("MSET", "b", 2, "a", 1)
        assert client.call("DEBUG", "DIGEST") == first
