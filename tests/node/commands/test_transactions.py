"""MULTI, EXEC, DISCARD, WATCH, UNWATCH and RESET: replies, what replicas are told, what touches a watch."""

from __future__ import annotations

import pytest

from gossip.slots import key_slot
from node.config.table import CLIENT_QUERY_BUFFER_LIMIT
from node.guards import Guard
from node.server import gates

QUEUED = b"+QUEUED\r\n"
NULL = b"*-1\r\n"


@pytest.fixture
def other(new_client):
    return new_client()


def queue(client, *requests):
    assert client.raw("MULTI") == b"+OK\r\n"
    for request in requests:
        assert client.raw(*request.split()) == QUEUED, request


def run(client, *requests):
    """A transaction of these requests; its reply."""
    queue(client, *requests)
    return client.raw("EXEC")


# What a transaction does


def test_nothing_runs_before_exec_and_all_runs_with_it(client, other):
    queue(client, "SET k v", "GET k", "INCR n", "LPUSH k x")
    assert other.raw("GET", "k") == b"$-1\r\n"
    wrong = b"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"
    assert client.raw("EXEC") == b"*4\r\n+OK\r\n$1\r\nv\r\n:1\r\n" + wrong
    assert other.raw("GET", "k") == b"$1\r\nv\r\n"
    assert client.raw("EXEC") == b"-ERR EXEC without MULTI\r\n"


def test_discard_forgets_the_commands_and_the_watch(client, other):
    client.raw("WATCH", "k")
    queue(client, "SET k v")
    assert client.raw("DISCARD") == b"+OK\r\n"
    assert client.raw("DISCARD") == b"-ERR DISCARD without MULTI\r\n"
    other.raw("SET", "k", "w")
    assert run(client, "GET k") == b"*1\r\n$1\r\nw\r\n"


@pytest.mark.parametrize(
    ("request_", "reply"),
    [
        ("NOSUCH", b"-ERR unknown command 'NOSUCH', with args beginning with: \r\n"),
        ("GET", b"-ERR wrong number of arguments for 'get' command\r\n"),
        ("CLIENT NOSUCH", b"-ERR unknown subcommand 'NOSUCH'. Try CLIENT HELP.\r\n"),
        ("PSYNC ? -1", b"-ERR Command not allowed inside a transaction\r\n"),
    ],
)
def test_a_request_that_is_refused_breaks_the_transaction(client, request_, reply):
    queue(client, "SET k v")
    assert client.raw(*request_.split()) == reply
    assert client.raw("SET", "k", "v") == QUEUED
    assert client.raw("EXEC") == b"-EXECABORT Transaction discarded because of previous errors.\r\n"
    assert client.raw("EXISTS", "k") == b":0\r\n"


@pytest.mark.parametrize(
    ("request_", "reply"),
    [
        ("MULTI", b"-ERR MULTI calls can not be nested\r\n"),
        ("WATCH k", b"-ERR WATCH inside MULTI is not allowed\r\n"),
    ],
)
def test_some_errors_do_not_break_it(client, request_, reply):
    queue(client, "SET k v")
    assert client.raw(*request_.split()) == reply
    assert client.raw("EXEC") == b"*1\r\n+OK\r\n"


def test_exec_with_arguments_ends_the_transaction(client):
    reply = b"-EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' command\r\n"
    queue(client, "SET k v")
    assert client.raw("EXEC", "now") == reply
    assert client.raw("EXEC") == b"-ERR EXEC without MULTI\r\n"


def test_reset_ends_the_transaction_and_the_watch(client, other):
    client.raw("WATCH", "k")
    queue(client, "SET k v")
    assert client.raw("RESET") == b"+RESET\r\n"
    assert client.raw("EXEC") == b"-ERR EXEC without MULTI\r\n"
    other.raw("SET", "k", "w")
    assert run(client, "PING") == b"*1\r\n+PONG\r\n"


def test_blocking_commands_do_not_block(client):
    replies = run(client, "BLPOP l 0", "BLMOVE l m LEFT LEFT 0", "XREAD BLOCK 0 STREAMS s $", "WAIT 1 0")
    assert replies == b"*4\r\n*-1\r\n$-1\r\n*-1\r\n:0\r\n"
    assert client.session.blocked is None
    assert client.raw("BLPOP", "l", "0") is None, "outside of a transaction it waits again"


def test_who_waits_is_served_behind_the_transaction(client, other):
    """Not in its midst, though the list was there for a moment; first comes what the client itself took."""
    assert other.raw("BLPOP", "l", "0") is None
    assert run(client, "RPUSH l a b", "LPOP l", "LLEN l") == b"*3\r\n:2\r\n$1\r\na\r\n:1\r\n"
    assert other.transport.sent == b"*2\r\n$1\r\nl\r\n$1\r\nb\r\n"


def test_select_inside_moves_the_client(client):
    assert run(client, "SELECT 3", "SET k v") == b"*2\r\n+OK\r\n+OK\r\n"
    assert client.session.call.db.index == 3


def test_a_reply_held_back_is_that_of_the_whole_transaction(client):
    client.raw("CLIENT", "REPLY", "OFF")
    assert client.raw("MULTI") is None
    assert client.raw("SET", "k", "v") is None
    assert client.raw("EXEC") is None
    assert client.raw("CLIENT", "REPLY", "ON") == b"+OK\r\n"
    assert client.raw("GET", "k") == b"$1\r\nv\r\n"


def test_a_pipelined_transaction_leaves_the_fast_path_and_comes_back(client):
    requests = [[b"SET", b"k", b"1"], [b"MULTI"], [b"INCR", b"k"], [b"EXEC"], [b"GET", b"k"]]
    out: list[bytes] = []
    assert client.node.dispatcher.serve(client.session, requests, out) == 5
    assert out == [b"+OK\r\n", b"+OK\r\n", QUEUED, b"*1\r\n:2\r\n", b"$1\r\n2\r\n"]
    assert not client.session.guarded


def test_more_than_the_query_buffer_may_hold_ends_the_connection(client):
    client.node.config.store(CLIENT_QUERY_BUFFER_LIMIT, 1 << 20)
    client.raw("MULTI")
    for _ in range(3):
        client.raw("SET", "k", b"x" * 400_000)
    assert client.transport.closed


# The node's condition


@pytest.mark.parametrize(
    ("guard", "refusal"),
    [
        (Guard.REPLICA, b"READONLY You can't write against a read only replica."),
        (Guard.FEW_REPLICAS, b"NOREPLICAS Not enough good replicas to write."),
        (Guard.LOADING, b"LOADING Shoal is loading the dataset in memory"),
        (Guard.STALE, b"MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'."),
    ],
)
def test_a_condition_that_came_while_queueing_refuses_exec(client, guard, refusal):
    queue(client, "GET k", "SET k v")
    client.node.guards.set(guard, True)
    assert client.raw("EXEC") == b"-EXECABORT Transaction discarded because of: " + refusal + b"\r\n"
    assert client.raw("EXEC") == b"-ERR EXEC without MULTI\r\n"


def test_a_transaction_that_only_reads_runs_on_a_replica(client):
    queue(client, "GET k")
    client.node.guards.set(Guard.REPLICA, True)
    assert client.raw("EXEC") == b"*1\r\n$-1\r\n"
    client.raw("MULTI")
    assert client.raw("SET", "k", "v")[:9] == b"-READONLY"
    assert client.raw("EXEC")[:10] == b"-EXECABORT"


def test_a_transaction_of_commands_for_a_loading_node_runs_while_loading(client):
    queue(client, "ECHO a")
    client.node.guards.set(Guard.LOADING, True)
    assert client.raw("EXEC") == b"*1\r\n$1\r\na\r\n"


def test_a_pause_for_writes_holds_exec_back_when_something_writes(client):
    queue(client, "GET k")
    client.node.clients.pause("test", client.node.clock.now_ms + 1000, all_commands=False)
    assert client.raw("EXEC") == b"*1\r\n$-1\r\n"
    client.node.clients.unpause("test")
    queue(client, "SET k v")
    client.node.clients.pause("test", client.node.clock.now_ms + 1000, all_commands=False)
    assert client.raw("EXEC") is None
    assert client.session.blocked is not None
    client.node.clients.unpause("test")
    assert client.session.queue is not None
    assert client.raw("EXEC") == b"*1\r\n+OK\r\n"


def test_multi_asks_for_a_login(client):
    client.node.config.set_many([(b"requirepass", b"secret")])
    client.session.authenticated = False
    client.session.update_guard()
    assert client.raw("MULTI") == b"-NOAUTH Authentication required.\r\n"


# What replicas are told


def test_changes_stand_between_multi_and_exec(client, told):
    run(client, "SET a 1", "GET a", "SADD s x", "SREM s y")
    assert told == [[b"MULTI"], [b"SET", b"a", b"1"], [b"SADD", b"s", b"x"], [b"EXEC"]]


def test_a_single_change_stands_alone_and_none_leaves_no_trace(client, told):
    run(client, "GET a", "SET a 1", "DEL none")
    assert told == [[b"SET", b"a", b"1"]]
    told.clear()
    run(client, "GET a")
    assert told == []


def test_a_key_found_expired_is_told_inside(client, told, advance):
    client.raw("SET", "k", "v", "PX", 100)
    advance(200)
    told.clear()
    run(client, "GET k", "SET other v", "INCR k")
    assert told == [
        [b"MULTI"], [b"DEL", b"k"], [b"SET", b"other", b"v"], [b"INCR", b"k"], [b"EXEC"]
    ]  # fmt: skip


def test_what_is_told_differently_is_so_inside(client, told, node):
    run(client, "SET k v EX 100", "SADD s a", "SPOP s")
    deadline = b"%d" % (node.clock.now_ms + 100_000)
    assert told == [
        [b"MULTI"],
        [b"SET", b"k", b"v", b"PXAT", deadline],
        [b"SADD", b"s", b"a"],
        [b"SREM", b"s", b"a"],
        [b"EXEC"],
    ]


def test_the_databases_of_changes_are_told(client):
    told = []
    client.node.after.tellers.append(lambda index, words: told.append((index, *words)))
    run(client, "SELECT 1", "SET k v", "SELECT 2", "SET k v")
    assert told == [(1, b"MULTI"), (1, b"SET", b"k", b"v"), (2, b"SET", b"k", b"v"), (2, b"EXEC")]


def test_what_those_who_waited_got_is_told_behind(client, other, told):
    other.raw("BLPOP", "l", "0")
    run(client, "RPUSH l a", "RPUSH l b")
    assert told == [
        [b"MULTI"], [b"RPUSH", b"l", b"a"], [b"RPUSH", b"l", b"b"], [b"EXEC"], [b"LPOP", b"l"]
    ]  # fmt: skip


def test_a_unit_inside_of_a_unit_is_part_of_it(client, told):
    node, session = client.node, client.session
    dispatcher = node.dispatcher

    def run_one(*words):
        command, _ = dispatcher.resolve(list(words))
        return dispatcher.run_within(session, command, list(words), 0)

    with dispatcher.unit(session):
        run_one(b"SET", b"a", b"1")
        with dispatcher.unit(session):
            assert run_one(b"INCR", b"a") == b":2\r\n"
        assert told == []
        assert run_one(b"LPUSH", b"a", b"1")[:10] == b"-WRONGTYPE"
    assert told == [[b"MULTI"], [b"SET", b"a", b"1"], [b"INCR", b"a"], [b"EXEC"]]
    assert not session.deny_blocking


def test_what_only_replicas_are_told_is_in_no_file(client, told):
    after, session = client.node.after, client.session
    filed: list[list[bytes]] = []

    def write(_db, words):
        filed.append(words)

    after.tellers.append(write)
    after.files.append(write)
    after.tell_replicas(0, [b"PUBLISH", b"c", b"m"])
    with client.node.dispatcher.unit(session):
        after.tell(0, [b"SET", b"k", b"v"])
        after.tell_replicas(0, [b"PUBLISH", b"c", b"m"])
    publish, change = [b"PUBLISH", b"c", b"m"], [b"SET", b"k", b"v"]
    assert told == [publish, [b"MULTI"], change, publish, [b"EXEC"]]
    assert filed == [change]


# WATCH


def aborted(client, *requests):
    reply = run(client, *(requests or ("PING",)))
    assert reply == NULL or reply.startswith(b"*"), reply
    return reply == NULL


@pytest.mark.parametrize(
    "request_",
    [
        "SET k w", "DEL k", "APPEND k x", "EXPIRE k 100", "PEXPIREAT k 1", "RENAME k l", "RENAME o k",
        "COPY o k REPLACE", "MOVE k 1", "FLUSHDB", "FLUSHALL", "SWAPDB 0 1", "SETRANGE k 0 x", "GETDEL k",
        "GETEX k PERSIST", "SUNIONSTORE k none", "BITOP NOT k o", "SORT none STORE k", "UNLINK k",
    ],
)  # fmt: skip
def test_whatever_changes_a_watched_key_touches_the_watch(client, other, request_):
    other.raw("SET", "o", "x")
    other.raw("SET", "k", "v", "PX", 100_000)
    client.raw("WATCH", "other", "k")
    other.raw(*request_.split())
    assert aborted(client)
    assert not aborted(client), "the watch is over with EXEC"


@pytest.mark.parametrize(
    "request_",
    ["GET k", "SET l w", "SET k w NX", "EXPIRE none 10", "TYPE k", "SWAPDB 1 2", "FLUSHDB", "TOUCH k"],
)
def test_what_changes_nothing_about_it_does_not(client, other, request_):
    other.raw("SET", "k", "v")
    client.raw("WATCH", "k", "missing")
    if request_ == "FLUSHDB":
        other.raw("SELECT", 1)
    other.raw(*request_.split())
    assert not aborted(client)


def test_the_own_changes_before_multi_touch_the_watch(client):
    client.raw("WATCH", "k")
    client.raw("SET", "k", "v")
    assert aborted(client)


def test_a_watch_is_of_a_database(client, other):
    client.raw("WATCH", "k")
    other.raw("SELECT", 1)
    other.raw("SET", "k", "v")
    assert not aborted(client)
    client.raw("WATCH", "k")
    client.raw("SELECT", 1)
    other.raw("SELECT", 0)
    other.raw("SET", "k", "v")
    assert aborted(client)


def test_unwatch_forgets_a_touch_too(client, other):
    client.raw("WATCH", "k")
    other.raw("SET", "k", "v")
    assert client.raw("UNWATCH") == b"+OK\r\n"
    assert not aborted(client)


def test_the_error_of_a_broken_transaction_comes_before_the_touch(client, other):
    client.raw("WATCH", "k")
    other.raw("SET", "k", "v")
    client.raw("MULTI")
    client.raw("NOSUCH")
    assert client.raw("EXEC")[:10] == b"-EXECABORT"


def test_flushall_touches_only_keys_that_were_there(client, other):
    client.raw("WATCH", "missing")
    other.raw("FLUSHALL")
    assert not aborted(client)


def test_swapdb_touches_keys_that_are_there_on_either_side(client, other):
    other.raw("SELECT", 1)
    other.raw("SET", "k", "v")
    client.raw("WATCH", "k", "missing")
    other.raw("SWAPDB", 0, 1)
    assert aborted(client)


def test_a_key_whose_time_passes_is_touched_though_nobody_removed_it(client, other, advance):
    client.node.policy.active_expiry = False
    client.raw("SET", "k", "v", "PX", 100)
    client.raw("WATCH", "k")
    advance(200)
    assert aborted(client)
    client.raw("SET", "k", "v", "PX", 100)
    client.raw("WATCH", "k")
    advance(200)
    other.raw("GET", "k")
    assert aborted(client)


def test_a_key_that_was_over_at_watch_may_be_removed(client, other, advance):
    client.raw("SET", "k", "v", "PX", 100)
    advance(200)
    client.raw("WATCH", "k")
    other.raw("GET", "k")
    assert not aborted(client)


def test_a_key_that_was_over_at_watch_may_not_be_made_anew(client, other, advance):
    client.raw("SET", "k", "v", "PX", 100)
    advance(200)
    client.raw("WATCH", "k")
    other.raw("SET", "k", "w")
    assert aborted(client)


def test_a_replica_takes_a_hidden_key_for_gone(client, advance):
    client.raw("SET", "k", "v", "PX", 100)
    client.node.policy.expires = False
    advance(200)
    client.raw("WATCH", "k")
    assert not aborted(client)


def test_another_data_set_touches_what_was_and_what_is_there(client, new_client, node):
    watchers = {name: new_client() for name in ("was", "is", "never")}
    client.raw("SET", "was", "v")
    for name, watcher in watchers.items():
        watcher.raw("WATCH", name)
    node.databases[0].clear()
    node.databases[0].put(b"is", key_slot(b"is"), b"v")
    for callback in node.replication.on_data_replaced:
        callback()
    assert {name: aborted(watcher) for name, watcher in watchers.items()} == {
        "was": True, "is": True, "never": False,
    }  # fmt: skip


def test_a_dropped_slot_touches_its_keys(client, other, node):
    client.raw("SET", "{a}k", "v")
    client.raw("SET", "{b}k", "v")
    client.raw("WATCH", "{a}k")
    other.raw("WATCH", "{b}k")
    node.databases[0].clear_slot(key_slot(b"a"))
    node.transactions.recheck()
    assert (aborted(client), aborted(other)) == (True, False)


def test_what_concerns_only_groups_of_a_stream_touches_no_watch(client, other):
    """As in Redis."""
    other.raw("XADD", "s", "1-1", "f", "v")
    other.raw("XGROUP", "CREATE", "s", "g", "0")
    client.raw("WATCH", "s")
    other.raw("XREADGROUP", "GROUP", "g", "c", "STREAMS", "s", ">")
    assert client.raw("XACK", "s", "g", "1-1") == b":1\r\n"
    assert not aborted(client)


def test_a_watch_costs_nothing_when_nobody_watches(client, other, node):
    """No hook is left behind: not by EXEC, not by a touch, not by the end of a connection."""
    assert node.after.watchers == []
    client.raw("WATCH", "a", "b", "a")
    other.raw("WATCH", "b")
    assert len(node.after.watchers) == 1
    other.raw("SET", "b", "v")
    assert node.after.watchers == []
    assert not node.transactions._watched
    assert aborted(client)
    client.raw("WATCH", "a")
    node.clients.remove(client.session)
    assert node.after.watchers == []


def test_client_list_and_info_tell_of_it(client, other, node):
    client.raw("WATCH", "a", "b")
    other.raw("WATCH", "b")
    queue(client, "SET k vv", "GET k")
    line = other.call("CLIENT", "LIST", "ID", client.session.id)
    fields = dict(field.split(b"=", 1) for field in line.split())
    assert (fields[b"multi"], fields[b"watch"], fields[b"flags"]) == (b"2", b"2", b"x")
    assert fields[b"multi-mem"] == b"10"
    info = node.info.text([b"clients"]).decode()
    assert "watching_clients:2\r\ntotal_watched_keys:2\r\n" in info
    other.raw("SET", "a", "v")
    assert b" flags=xd " in other.call("CLIENT", "LIST", "ID", client.session.id)


# In a cluster


@pytest.fixture
def route(node):
    """A cluster's routing gate that serves everything, but what `moved` names."""
    moved: set[int] = set()

    def decide(session, command, slot, keys, asking):
        return b"-MOVED %d 127.0.0.1:7001\r\n" % slot if slot in moved and not asking else None

    at = next(i for i, gate in enumerate(node.dispatcher.gates) if "routing" in gate.__qualname__)
    node.dispatcher.gates[at] = gates.routing(decide)
    node.served[:] = bytes(len(node.served))
    return moved


def test_keys_of_one_transaction_are_in_one_slot(client, route):
    queue(client, "SET {a}1 v", "SET {a}2 v")
    assert client.raw("EXEC") == b"*2\r\n+OK\r\n+OK\r\n"
    queue(client, "SET a v", "SET b v")
    assert client.raw("EXEC") == b"-CROSSSLOT Keys in request don't hash to the same slot\r\n"
    assert client.raw("EXISTS", "a") == b":0\r\n"
    queue(client, "SET a v")
    assert client.raw("MGET", "a", "b")[:10] == b"-CROSSSLOT"
    assert client.raw("EXEC")[:10] == b"-EXECABORT"


def test_a_redirect_while_queueing_breaks_and_at_exec_ends_it(client, route):
    slot = key_slot(b"a")
    client.raw("MULTI")
    route.add(slot)
    assert client.raw("SET", "a", "v")[:6] == b"-MOVED"
    assert client.raw("EXEC")[:10] == b"-EXECABORT"
    route.clear()
    queue(client, "SET a v")
    route.add(slot)
    assert client.raw("EXEC") == b"-MOVED %d 127.0.0.1:7001\r\n" % slot
    assert client.raw("EXEC") == b"-ERR EXEC without MULTI\r\n"
    assert run(client, "PING") == b"*1\r\n+PONG\r\n"


def test_asking_holds_for_the_whole_transaction(client, route):
    route.update(range(16384))
    client.session.asking = True
    client.session.update_guard()
    assert run(client, "SET a v", "GET a") == b"*2\r\n+OK\r\n$1\r\nv\r\n"
    assert client.raw("GET", "a")[:6] == b"-MOVED"
