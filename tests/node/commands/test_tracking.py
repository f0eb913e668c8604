"""CLIENT TRACKING and its neighbours: what tests/compat/test_tracking.py does not compare with Redis 7.0."""

from __future__ import annotations

import pytest

from gossip.slots import key_slot
from node.config.table import TRACKING_TABLE_MAX_KEYS

OK = b"+OK\r\n"


def invalidate(*keys: str) -> bytes:
    told = b"".join(b"$%d\r\n%b\r\n" % (len(key), key.encode()) for key in keys)
    return b">2\r\n$10\r\ninvalidate\r\n*%d\r\n%b" % (len(keys), told)


ALL = b">2\r\n$10\r\ninvalidate\r\n_\r\n"


def told(client) -> bytes:
    """What was pushed since it was last asked for, a turn's broadcasts too."""
    client.node.reactor.settle()
    sent, client.transport.sent = client.transport.sent, b""
    return sent


def work_on(node) -> None:
    """Lets the node do what it has put off."""
    node.clock.now_ms += 1
    while node.timers.run_due(node.clock.now_ms):
        node.clock.now_ms += 1


@pytest.fixture
def tracker(new_client):
    """A client of RESP3 that tracks as the words say."""

    def make(*words: str | int):
        client = new_client()
        client.raw("HELLO", 3)
        assert client.raw("CLIENT", "TRACKING", "ON", *words) == OK
        return client

    return make


class TestOrder:
    def test_behind_the_reply_of_ones_own_command(self, tracker):
        client = tracker()
        client.raw("GET", "k")
        assert client.raw("SET", "k", 1) == OK + invalidate("k")

    def test_behind_the_reply_of_a_whole_transaction(self, tracker):
        client = tracker()
        client.raw("MGET", "a", "b")
        client.raw("MULTI")
        for request in (("SET", "a", 1), ("GET", "a"), ("DEL", "a"), ("SET", "b", 1)):
            assert client.raw(*request) == b"+QUEUED\r\n"
        replies = b"*4\r\n+OK\r\n$1\r\n1\r\n:1\r\n+OK\r\n"
        assert client.raw("EXEC") == replies + invalidate("a") + invalidate("a") + invalidate("b")

    def test_behind_the_reply_of_a_script_whose_commands_speak_resp2(self, tracker):
        client = tracker()
        script = "redis.call('GET', 'k') redis.setresp(2) redis.call('SET', 'k', 1) return 1"
        assert client.raw("EVAL", script, 1, "k") == b":1\r\n" + invalidate("k")

    def test_a_broadcast_to_the_writer_comes_with_the_end_of_the_turn(self, tracker):
        client = tracker("BCAST")
        assert client.raw("SET", "k", 1) == OK
        assert told(client) == invalidate("k")


class TestWhatIsRead:
    def test_keys_of_a_transaction_and_of_scripts(self, tracker, client):
        reader = tracker()
        for request in (("MULTI",), ("GET", "a"), ("EXEC",)):
            reader.raw(*request)
        reader.raw("EVAL_RO", "return redis.call('GET', 'b')", 0)
        reader.raw("EVAL", "return redis.call('MGET', 'c', 'd')", 1, "unread")
        client.raw("MSET", *(word for key in ("a", "b", "c", "d", "unread") for word in (key, 1)))
        assert told(reader) == b"".join(map(invalidate, "abcd"))

    def test_once_until_it_is_read_again(self, tracker, client):
        reader = tracker()
        reader.raw("GET", "k")
        client.raw("SET", "k", 1)
        client.raw("SET", "k", 2)
        assert told(reader) == invalidate("k")

    def test_not_what_is_written_or_refused(self, tracker, client):
        reader = tracker()
        reader.raw("SET", "k", 1)
        reader.raw("GETSET", "k", 1)
        reader.raw("GET", "k", "x")
        reader.raw("ZRANGE", "k")
        client.raw("SET", "k", 2)
        assert told(reader) == b""

    def test_in_any_database(self, tracker, client):
        reader = tracker()
        reader.raw("GET", "k")
        client.raw("SELECT", 1)
        client.raw("SET", "k", 1)
        assert told(reader) == invalidate("k")

    def test_groups_of_a_stream_are_not_the_stream(self, tracker, client):
        client.raw("XADD", "x", "1-1", "f", "v")
        client.raw("XGROUP", "CREATE", "x", "g", 0)
        reader = tracker()
        reader.raw("XLEN", "x")
        client.raw("XREADGROUP", "GROUP", "g", "c", "STREAMS", "x", ">")
        client.raw("XACK", "x", "g", "1-1")
        client.raw("XGROUP", "DESTROY", "x", "g")
        assert told(reader) == b""
        client.raw("XADD", "x", "2-1", "f", "v")
        assert told(reader) == invalidate("x")

    def test_served_waiters_are_told_of(self, tracker, client, new_client):
        reader, waiter = tracker(), new_client()
        reader.raw("LLEN", "l")
        waiter.raw("BLPOP", "l", 0)
        client.raw("RPUSH", "l", "a")
        assert told(reader) == invalidate("l")


class TestEverything:
    @pytest.mark.parametrize("request_", [("FLUSHALL",), ("FLUSHDB", "ASYNC"), ("SWAPDB", 0, 1)])
    @pytest.mark.parametrize("words", [(), ("BCAST", "PREFIX", "p"), ("OPTIN",)])
    def test_a_database_emptied_or_swapped(self, tracker, client, request_, words):
        reader = tracker(*words)
        reader.raw("GET", "k")
        client.raw(*request_)
        client.raw("SET", "k", 1)
        assert told(reader) == ALL

    def test_another_data_set(self, tracker, node):
        """From a primary, say."""
        reader = tracker()
        assert node.tracking.all_changed in node.replication.on_data_replaced
        node.tracking.all_changed()
        assert told(reader) == ALL

    def test_null_is_that_of_who_hears(self, new_client, client):
        reader, hearer = new_client(), new_client()
        hearer.raw("SUBSCRIBE", "__redis__:invalidate")
        reader.raw("HELLO", 3)
        reader.raw("CLIENT", "TRACKING", "ON", "REDIRECT", hearer.session.id)
        client.raw("FLUSHALL")
        assert told(hearer) == b"*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n$-1\r\n"
        assert told(reader) == b""


class TestNoLoop:
    """What the client's own commands did not do, it is told."""

    def test_expiry(self, tracker, advance):
        client = tracker("NOLOOP")
        client.raw("SET", "k", 1, "PX", 10)
        client.raw("GET", "k")
        advance(10)
        assert client.raw("GET", "k") == b"_\r\n" + invalidate("k")

    def test_keys_that_are_remembered_no_more(self, tracker, node):
        client = tracker("NOLOOP")
        node.config.set_many([(b"tracking-table-max-keys", b"1")])
        assert client.raw("MGET", "a", "b") in [b"*2\r\n_\r\n_\r\n" + invalidate(key) for key in "ab"]

    def test_broadcasts_of_others_changes(self, tracker, client):
        own = tracker("BCAST", "NOLOOP")
        own.raw("MSET", "a", 1, "b", 1)
        client.raw("SET", "c", 1)
        client.raw("SET", "b", 1)
        assert told(own) == invalidate("b", "c")


class TestBound:
    def test_a_smaller_one_is_reached_by_and_by(self, tracker, node):
        client = tracker()
        client.raw("MGET", *range(1000))
        node.config.set_many([(b"tracking-table-max-keys", b"10")])
        work_on(node)
        assert told(client).count(b"invalidate") == 990
        assert dict(node.tracking.info_stats())["tracking_total_keys"] == 10

    def test_none(self, tracker, node):
        node.config.set_many([(b"tracking-table-max-keys", b"0")])
        client = tracker()
        client.raw("MGET", *range(1000))
        assert dict(node.tracking.info_stats())["tracking_total_keys"] == 1000

    def test_the_directive_is_served(self):
        assert not TRACKING_TABLE_MAX_KEYS.later


def test_slots_that_are_not_ours_any_more(tracker, client, node):
    """Their changes are told by another node from here on, also of keys that are not there yet."""
    reader = tracker()
    keys = [f"key:{nth}" for nth in range(500)]
    reader.raw("MGET", *keys)
    node.tracking.leave_slots(lambda slot: slot % 2 == 0)
    work_on(node)
    lost = {key for key in keys if key_slot(key.encode()) % 2}
    gone = told(reader)
    assert gone.count(b"invalidate") == len(lost)
    assert all(invalidate(key) in gone for key in lost)
    client.raw("MSET", *(word for key in keys for word in (key, 1)))
    assert told(reader).count(b"invalidate") == len(keys) - len(lost)


class TestLeaving:
    def test_who_has_left_is_not_told(self, tracker, client, node):
        gone, stays = tracker(), tracker("BCAST", "PREFIX", "a", "PREFIX", "b")
        gone.raw("GET", "a")
        for each in (gone, stays):
            assert dict(node.tracking.info_clients()) == {"tracking_clients": 2 if each is gone else 1}
            node.clients.remove(each.session)
        client.raw("SET", "a", 1)
        assert told(gone) == told(stays) == b""
        assert set(dict(node.tracking.info_stats()).values()) == {0}

    def test_nobody_looks_at_changes_while_nobody_tracks(self, tracker, node):
        before = list(node.after.watchers)
        one, other = tracker(), tracker("BCAST")
        assert node.after.watchers != before
        one.raw("CLIENT", "TRACKING", "OFF")
        other.raw("RESET")
        assert node.after.watchers == before

    def test_reset_ends_it(self, tracker, client):
        reader = tracker()
        reader.raw("GET", "k")
        reader.raw("RESET")
        client.raw("SET", "k", 1)
        assert told(reader) == b""
        assert reader.call("CLIENT", "GETREDIR") == -1

    def test_between_off_and_on_nothing_is_remembered(self, tracker, client):
        reader = tracker()
        reader.raw("GET", "k")
        reader.raw("CLIENT", "TRACKING", "OFF")
        reader.raw("CLIENT", "TRACKING", "ON")
        client.raw("SET", "k", 1)
        assert told(reader) == b""


class TestFastPath:
    """Only reads that must be remembered take the full path."""

    def test_who_broadcasts_or_opts_in_keeps_it(self, tracker):
        assert tracker().session.guarded
        assert tracker("OPTOUT").session.guarded
        assert not tracker("BCAST").session.guarded
        client = tracker("OPTIN")
        assert not client.session.guarded
        client.raw("CLIENT", "CACHING", "YES")
        assert client.session.guarded
        client.raw("GET", "k")
        assert not client.session.guarded

    def test_caching_in_one_batch_of_requests(self, tracker, client, node):
        """The path is chosen anew behind each request."""
        reader = tracker("OPTIN")
        batch = [[b"GET", b"a"], [b"CLIENT", b"CACHING", b"YES"], [b"GET", b"b"], [b"GET", b"c"]]
        node.dispatcher.serve(reader.session, batch, [])
        client.raw("MSET", "a", 1, "b", 1, "c", 1)
        assert told(reader) == invalidate("b")

    def test_caching_outlasts_a_pause(self, tracker, client, node, advance):
        """The request that waits is run again, and counts then."""
        reader = tracker("OPTIN")
        reader.raw("CLIENT", "CACHING", "YES")
        client.raw("CLIENT", "PAUSE", 50)
        assert reader.raw("GET", "k") is None
        advance(50)
        node.timers.run_due(node.clock.now_ms)
        assert reader.raw("GET", "k") == b"_\r\n"
        client.raw("SET", "k", 1)
        assert told(reader) == invalidate("k")


class TestPrefixes:
    def test_very_many(self, tracker, client):
        """Neither naming them nor a change takes a time that grows with their square or number."""
        prefixes = [f"user:{nth:05}:" for nth in range(20_000)]
        reader = tracker("BCAST", *(word for prefix in prefixes for word in ("PREFIX", prefix)))
        client.raw("MSET", "user:00001:a", 1, "user:19999:b", 1, "user:20000:c", 1)
        assert told(reader) == invalidate("user:00001:a") + invalidate("user:19999:b")

    @pytest.mark.parametrize(
        ("there", "new", "said"),
        [
            ((), ("a", "b", "ab"), "'a' overlaps with another provided prefix 'ab'"),
            ((), ("a", "a"), "'a' overlaps with another provided prefix 'a'"),
            (("b", "abc"), ("c", "ab"), "'ab' overlaps with an existing prefix 'abc'"),
            (("ab",), ("b", "abc"), "'abc' overlaps with an existing prefix 'ab'"),
            (("ab", "zz"), ("",), "'' overlaps with an existing prefix 'ab'"),
        ],
    )
    def test_of_one_client_do_not_overlap(self, tracker, there, new, said):
        client = tracker("BCAST", *(word for prefix in there for word in ("PREFIX", prefix)))
        if not there:
            client.raw("CLIENT", "TRACKING", "OFF")
        words = [word for prefix in new for word in ("PREFIX", prefix)]
        refusal = client.error("CLIENT", "TRACKING", "ON", "BCAST", *words)
        assert refusal == f"ERR Prefix {said}. Prefixes for a single client must not overlap."
        prefixes = client.call("CLIENT", "TRACKINGINFO")[b"prefixes"]
        assert prefixes == sorted(prefix.encode() for prefix in there)

    def test_who_hears_all_can_name_none_beside(self, tracker):
        client = tracker("BCAST", "PREFIX", "a")
        client.raw("CLIENT", "TRACKING", "ON", "BCAST")
        assert client.call("CLIENT", "TRACKINGINFO")[b"prefixes"] == [b"", b"a"]
        assert "overlaps with an existing prefix ''" in client.error(
            "CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", "z"
        )

    def test_two_clients_may_share_one(self, tracker, client):
        one, other = tracker("BCAST", "PREFIX", "a"), tracker("BCAST", "PREFIX", "a")
        client.raw("SET", "a", 1)
        assert told(one) == told(other) == invalidate("a")
        one.raw("CLIENT", "TRACKING", "OFF")
        client.raw("SET", "ab", 1)
        assert (told(one), told(other)) == (b"", invalidate("ab"))


def test_it_is_shown_in_client_info(tracker, new_client):
    hearer = new_client()
    client = tracker("REDIRECT", hearer.session.id, "BCAST")
    line = client.call("CLIENT", "INFO")
    assert b" flags=tB " in line
    assert b" redir=%d " % hearer.session.id in line
    assert b" redir=-1 " in hearer.call("CLIENT", "INFO")


def test_a_broken_redirection_is_shown_and_mended(tracker, new_client, client):
    hearer = new_client()
    reader = tracker("REDIRECT", hearer.session.id)
    reader.raw("GET", "k")
    client.node.clients.remove(hearer.session)
    client.raw("SET", "k", 1)
    assert told(reader) == b">2\r\n$21\r\ntracking-redir-broken\r\n:%d\r\n" % hearer.session.id
    assert b" flags=tR " in reader.call("CLIENT", "INFO")
    assert reader.raw("CLIENT", "TRACKING", "ON") == OK
    assert reader.call("CLIENT", "TRACKINGINFO")[b"flags"] == [b"on"]
