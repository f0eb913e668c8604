"""DEBUG LOADAOF: the data set is again what the files of the AOF say."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hiredis
import pytest
import trio

from node.app import Node
from node.config import table as directives
from node.persistence.aof.errors import AofError
from node.startup import load_data

FILL = (
    "SET s v|SET e v PXAT 99999999999999|RPUSH l a b|HSET h f v|SADD t a b|ZADD z 1 a|XADD x 1-1 f v"
    "|PFADD p a|SETBIT b 7 1|GEOADD g 13 52 here|SELECT 3|SET other 1|SELECT 0"
)


@pytest.fixture
def client(client: Any) -> Any:
    client.call("CONFIG", "SET", "appendfsync", "no")
    for line in FILL.split("|"):
        client.call(*line.split())
    return client


def digest(client: Any) -> str:
    return str(client.call("DEBUG", "DIGEST"))


@pytest.fixture(autouse=True)
def allowed(node: Node) -> None:
    node.config.store(directives.ENABLE_DEBUG_COMMAND, "yes")


def test_everything_is_there_again(client: Any) -> None:
    """Also what the turn has not written yet; a second time too."""
    before = digest(client)
    for _ in range(2):
        assert client.call("DEBUG", "LOADAOF") == b"OK"
        assert digest(client) == before
    assert client.call("PEXPIRETIME", "e") == 99999999999999


def test_what_no_file_has_is_gone(client: Any) -> None:
    database = client.node.databases[0]
    database.put(b"stray", 0, b"v")
    assert client.call("DEBUG", "LOADAOF") == b"OK"
    assert client.call("EXISTS", "stray") == 0


def test_nobody_is_told(client: Any, written: Callable[[], list[list[bytes]]]) -> None:
    """Neither the files nor replicas: for them nothing has changed."""
    told: list[list[bytes]] = []
    before, total = written(), client.node.changes.total
    client.node.after.tellers.append(lambda _db, argv: told.append(argv))
    client.call("DEBUG", "LOADAOF")
    assert written() == before
    assert told == []
    assert client.node.changes.total == total
    client.call("SET", "s", "new")
    assert told == [[b"SET", b"s", b"new"]]
    assert written()[-1] == [b"SET", b"s", b"new"]


def test_keys_still_expire(client: Any) -> None:
    client.call("DEBUG", "LOADAOF")
    client.call("SET", "gone", "v", "PXAT", 1)
    assert client.call("EXISTS", "gone") == 0


def test_who_watches_a_key_hears_of_it(client: Any, new_client: Callable[[], Any]) -> None:
    other = new_client()
    client.call("WATCH", "s")
    other.call("DEBUG", "LOADAOF")
    client.call("MULTI")
    client.call("SET", "s", "mine")
    assert client.raw("EXEC") == b"*-1\r\n"


def test_a_transaction_is_not_undone_halfway(client: Any) -> None:
    client.call("MULTI")
    client.call("SET", "s", "new")
    client.call("DEBUG", "LOADAOF")
    replies = client.call("EXEC")
    assert "in no file yet" in str(replies[1])
    assert client.call("GET", "s") == b"new"


def test_without_files_there_is_nothing_to_load(make_node: Callable[..., Node]) -> None:
    plain = make_node()
    plain.config.store(directives.ENABLE_DEBUG_COMMAND, "yes")
    trio.run(load_data, plain)
    plain.loading.end()
    with pytest.raises(AofError, match="There is no append-only file"):
        plain.aof.reload()


def test_files_that_cannot_be_loaded_end_the_process(
    client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is in memory by then is nobody's data."""

    class EndError(Exception):
        pass

    def end(status: int) -> None:
        raise EndError(status)

    client.node.reactor.settle()
    monkeypatch.setattr(os, "_exit", end)
    with (tmp_path / "appendonlydir" / "appendonly.aof.1.incr.aof").open("ab") as file:
        file.write(b"nonsense\r\n")
    with pytest.raises(EndError, match="1"):
        client.call("DEBUG", "LOADAOF")


def test_it_takes_no_arguments(client: Any) -> None:
    with pytest.raises(hiredis.ReplyError, match="unknown subcommand or wrong number"):
        client.call("DEBUG", "LOADAOF", "x")
