"""Atomic slot migration between real processes: what moves, who sees what when, and what a death leaves."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.retry import Retry

from gossip.slots import key_slot

NODE_TIMEOUT_MS = 1500
DEADLINE_S = 60.0
OVER = ("success", "failed", "cancelled")
MOVED_SLOTS = 2000  # slots 0 to this move in these tests


def wait_until(condition: Callable[[], Any], what: str, timeout_s: float = DEADLINE_S) -> Any:
    end_s = time.monotonic() + timeout_s
    while not (found := condition()):
        assert time.monotonic() < end_s, f"not within {timeout_s} s: {what}"
        time.sleep(0.01)
    return found


class Member:
    """One node of a cluster."""

    def __init__(self, process: Any, home: Path | None = None) -> None:
        self.process = process
        self.home = home or process.directory  # where its files are
        self.port = process.port
        self.redis = redis.Redis(
            port=process.port, protocol=2, decode_responses=True, socket_timeout=60,
            retry=Retry(NoBackoff(), 0),
        )  # fmt: skip
        self.id = self.redis.execute_command("CLUSTER MYID")

    def jobs(self) -> list[dict[str, Any]]:
        found = self.redis.execute_command("CLUSTER GETSLOTMIGRATIONS")
        return [dict(zip(job[::2], job[1::2], strict=True)) for job in found]

    def job(self) -> dict[str, Any]:
        return self.jobs()[0]

    def reaches(self, *states: str, timeout_s: float = DEADLINE_S) -> dict[str, Any]:
        def there() -> dict[str, Any] | None:
            found = self.jobs()
            return found[0] if found and found[0]["state"] in states else None

        return wait_until(there, f"{states}, but {self.jobs()}", timeout_s)

    def migrate(self, first: int, last: int, target: Member) -> None:
        self.redis.execute_command("CLUSTER MIGRATESLOTS SLOTSRANGE", first, last, "NODE", target.id)

    def debug(self, switch: str, on: bool) -> None:
        self.redis.execute_command("DEBUG SLOTMIGRATION", switch, int(on))

    def slots(self) -> int:
        """How many slots are its own."""
        ranges = self.redis.execute_command("CLUSTER SLOTS")
        return sum(last - first + 1 for first, last, owner, *_ in ranges if owner[1] == self.port)

    def digests(self, keys: list[str]) -> list[str]:
        self.redis.execute_command("READONLY")
        return self.redis.execute_command("DEBUG DIGEST-VALUE", *keys)

    def kill(self) -> None:
        self.process.process.kill()
        self.process.process.wait()


class Cluster:
    """Primaries with as many replicas each; slots in even parts."""

    def __init__(self, starter: Any, primaries: int, replicas: int, *more: str) -> None:
        self._starter = starter
        options = (
            "--cluster-enabled", "yes", "--cluster-node-timeout", str(NODE_TIMEOUT_MS),
            "--enable-debug-command", "yes", "--cluster-require-full-coverage", "no",
            *more,
        )  # fmt: skip
        self._options = options
        started = [starter.start(*options) for _ in range(primaries * (1 + replicas))]
        for node in started:
            node.wait_for_log("Ready to accept connections")
        self.members = [Member(node) for node in started]
        self.primaries, spare = self.members[:primaries], self.members[primaries:]
        self.replicas = {node.port: spare[at::primaries] for at, node in enumerate(self.primaries)}
        share = 16384 // primaries
        for number, node in enumerate(self.primaries):
            last = 16383 if number == primaries - 1 else (number + 1) * share - 1
            node.redis.execute_command("CLUSTER ADDSLOTSRANGE", number * share, last)
            node.redis.execute_command("CLUSTER SET-CONFIG-EPOCH", number + 1)
        for node in self.members[1:]:
            self.members[0].redis.execute_command("CLUSTER MEET", "127.0.0.1", node.port)
        wait_until(self._all_linked, "all know each other")
        for primary in self.primaries:
            for replica in self.replicas[primary.port]:
                replica.redis.execute_command("CLUSTER REPLICATE", primary.id)
        wait_until(self.is_healthy, "healthy")

    def _all_linked(self) -> bool:
        count = len(self.members)
        for node in self.members:
            known = node.redis.execute_command("CLUSTER NODES").values()
            if sum(each["connected"] and "handshake" not in each["flags"] for each in known) < count:
                return False
        return True

    def is_healthy(self) -> bool:
        for node in self.members:
            if node.redis.execute_command("CLUSTER INFO")["cluster_state"] != "ok":
                return False
            role = node.redis.info("replication")
            if role.get("master_link_status", "up") != "up":
                return False
        return all(
            node.redis.info("replication")["connected_slaves"] == len(self.replicas[node.port])
            for node in self.primaries
        )

    def restart(self, node: Member) -> Member:
        again = self._starter.start(*self._options, "--dir", str(node.home), port=node.port)
        again.wait_for_log("Ready to accept connections")
        return Member(again, node.home)

    def client(self) -> RedisCluster:
        return RedisCluster(
            startup_nodes=[ClusterNode("127.0.0.1", node.port) for node in self.members],
            decode_responses=True,
        )


@pytest.fixture
def make_cluster(starter: Any) -> Callable[..., Cluster]:
    return lambda primaries=2, replicas=0, *more: Cluster(starter, primaries, replicas, *more)


def moving_keys(count: int, prefix: str = "k") -> list[str]:
    """Keys of the slots that move, each of another slot if there are enough."""
    found: list[str] = []
    number = 0
    while len(found) < count:
        number += 1
        if key_slot(f"{prefix}{number}".encode()) <= MOVED_SLOTS:
            found.append(f"{prefix}{number}")
    return found


def fill_with_every_type(node: redis.Redis) -> list[str]:
    """One key or more of each type, with what a type has beside its elements."""
    keys = moving_keys(14, "type")
    text, number, changed, small, big, ints, words, scores, hash_, large, entries, empty, due, fields = keys
    node.set(text, "x" * 1000)
    node.set(number, -12345)
    node.setrange(changed, 100, "abc")
    node.rpush(small, *range(20))
    node.rpush(big, *[f"item {each}" * 5 for each in range(2000)])
    node.sadd(ints, *range(300))
    node.sadd(words, *[f"word {each}" for each in range(700)])
    node.zadd(scores, {f"member {each}": each / 3 for each in range(1000)} | {"inf": float("inf")})
    node.hset(hash_, mapping={"a": "1", "b": "2"})
    for start in range(0, 5000, 500):
        node.hset(large, mapping={f"field {each}": "v" * 50 for each in range(start, start + 500)})
    for each in range(300):
        node.xadd(entries, {"n": each, "m": "x"}, id=f"{each + 1}-1")
    node.xdel(entries, "5-1", "300-1")
    node.xgroup_create(entries, "group", "0")
    node.xreadgroup("group", "consumer", {entries: ">"}, count=10)
    node.xack(entries, "group", "1-1", "2-1")
    node.xadd(empty, {"a": "b"})
    node.xtrim(empty, 0)
    node.set(due, "soon over", ex=1000)
    node.hset(fields, mapping={"a": "1", "b": "2"})
    node.execute_command("HPEXPIREAT", fields, int(time.time() * 1000) + 900_000, "FIELDS", 1, "a")
    return keys


def test_every_type_arrives_as_it_was(make_cluster: Callable[..., Cluster]) -> None:
    """Values, deadlines and consumer groups are the same on the target and its replica; the source and its
    replica have them no longer; before the hand-over nobody sees anything on the target.
    """
    cluster = make_cluster(2, 1)
    source, target = cluster.primaries
    keys = fill_with_every_type(source.redis)
    elsewhere = source.redis
    before = source.digests(keys)
    assert "0" * 40 not in before
    source.debug("PREVENT-PAUSE", True)
    source.migrate(0, MOVED_SLOTS, target)
    source.reaches("waiting-to-pause")
    of_source, of_target = cluster.replicas[source.port][0], cluster.replicas[target.port][0]
    wait_until(lambda: of_target.jobs() and of_target.job()["state"] == "occurring-on-primary", "tracked")
    for node in (target, of_target):
        assert node.redis.dbsize() == 0
        assert node.redis.execute_command("RANDOMKEY") is None
        assert node.redis.scan()[1] == []
        assert node.redis.keys("*") == []
        assert node.redis.execute_command("CLUSTER COUNTKEYSINSLOT", key_slot(keys[0].encode())) == 0
        assert node.redis.execute_command("CLUSTER GETKEYSINSLOT", key_slot(keys[0].encode()), 10) == []
        assert "keys" not in str(node.redis.info("keyspace").get("db0", ""))
    assert elsewhere.dbsize() == len(keys)
    source.debug("PREVENT-PAUSE", False)
    job = source.reaches("success")
    assert 0 <= job["pause_ms"] <= 110
    assert target.reaches("success")["keys"] == len(keys)
    assert target.digests(keys) == before
    wait_until(lambda: of_target.digests(keys) == before, "the target's replica has it all")
    wait_until(lambda: source.redis.dbsize() == of_source.redis.dbsize() == 0, "the source has let go")
    assert target.redis.ttl(keys[12]) > 900
    assert target.redis.execute_command("HPTTL", keys[13], "FIELDS", 1, "a")[0] > 800_000
    assert source.slots() == 8192 - MOVED_SLOTS - 1
    pending = target.redis.xpending(keys[10], "group")
    assert pending["pending"] == 8


class Traffic:
    """Readers and writers of every type through redis-py's cluster client, each in a thread of its own."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self.errors: list[str] = []
        self.counts: dict[str, int] = {}

    def start(self, name: str, work: Callable[[RedisCluster, int], None]) -> None:
        def run() -> None:
            client = self._cluster.client()
            done = 0
            try:
                while not self._stop.is_set():
                    work(client, done)
                    done += 1
            except Exception as failed:  # noqa: BLE001  whatever a client sees is an error
                self.errors.append(f"{name}: {failed!r}")
            self.counts[name] = done
            client.close()

        thread = threading.Thread(target=run)
        thread.start()
        self._threads.append(thread)

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


def test_clients_notice_nothing(make_cluster: Callable[..., Cluster]) -> None:
    """No error for readers and writers of every type, multi-key commands and transactions among them, while
    the slots go there and back again; every acknowledged write is there in the end, and each once.
    """
    cluster = make_cluster(2, 0)
    first, second = cluster.primaries
    tag = next(key for key in moving_keys(1, "tag"))
    traffic = Traffic(cluster)

    def several(client: RedisCluster, done: int) -> None:
        client.mset_nonatomic({f"{{{tag}}}a": done, f"{{{tag}}}b": done})
        client.mset({f"{{{tag}}}c": done, f"{{{tag}}}d": done})
        one, two = client.mget(f"{{{tag}}}c", f"{{{tag}}}d")
        assert one == two == str(done)

    def transaction(client: RedisCluster, done: int) -> None:
        pipeline = client.pipeline(transaction=True)
        pipeline.incr(f"{{{tag}}}t1")
        pipeline.incr(f"{{{tag}}}t2")
        assert pipeline.execute() == [done + 1, done + 1]

    def types(client: RedisCluster, done: int) -> None:
        client.hset(f"{{{tag}}}h", f"f{done % 100}", done)
        assert client.hget(f"{{{tag}}}h", f"f{done % 100}") == str(done)
        client.rpush(f"{{{tag}}}l", done)
        client.zadd(f"{{{tag}}}z", {f"m{done % 50}": done})
        client.sadd(f"{{{tag}}}s", done % 200)
        client.xadd(f"{{{tag}}}x", {"n": done}, maxlen=50)
        client.set(f"{{{tag}}}e", done, px=60_000)

    traffic.start("counter", lambda client, _: client.incr(f"{{{tag}}}n"))
    traffic.start("several", several)
    traffic.start("transaction", transaction)
    traffic.start("types", types)
    for number in range(6):
        source, target = (first, second) if number % 2 == 0 else (second, first)
        source.migrate(0, MOVED_SLOTS, target)
        job = source.reaches("success", "failed")
        assert job["state"] == "success", job
    traffic.stop()
    assert traffic.errors == []
    counts = traffic.counts
    assert min(counts.values()) > 10
    assert int(first.redis.get(f"{{{tag}}}n")) == counts["counter"]
    assert int(first.redis.get(f"{{{tag}}}t1")) == counts["transaction"]
    assert first.redis.lrange(f"{{{tag}}}l", 0, -1) == [str(each) for each in range(counts["types"])]


def test_a_cancelled_migration_leaves_everything_as_it_was(make_cluster: Callable[..., Cluster]) -> None:
    """CANCELSLOTMIGRATIONS: the source goes on, the target and its replica keep nothing."""
    cluster = make_cluster(2, 1)
    source, target = cluster.primaries
    keys = fill_with_every_type(source.redis)
    before = source.digests(keys)
    source.debug("PREVENT-PAUSE", True)
    source.migrate(0, MOVED_SLOTS, target)
    source.reaches("waiting-to-pause")
    assert source.redis.execute_command("CLUSTER CANCELSLOTMIGRATIONS ALL")
    assert source.job()["state"] == "cancelled"
    target.reaches("failed")
    of_target = cluster.replicas[target.port][0]
    of_target.reaches("failed")
    assert source.digests(keys) == before
    assert source.redis.incr(moving_keys(1, "new")[0]) == 1
    with pytest.raises(redis.ResponseError, match="No migrations ongoing"):
        source.redis.execute_command("CLUSTER CANCELSLOTMIGRATIONS ALL")
    source.debug("PREVENT-PAUSE", False)
    source.migrate(0, MOVED_SLOTS, target)
    assert source.reaches("success", "failed")["state"] == "success"
    wait_until(lambda: of_target.digests(keys) == before, "a second try succeeds")


def test_cow_size_is_what_the_snapshots_child_cost(make_cluster: Callable[..., Cluster]) -> None:
    """Nothing for few keys, which need no child."""
    source, target = make_cluster(2, 0).primaries
    [key] = moving_keys(1)
    source.redis.set(key, "v")
    source.migrate(0, MOVED_SLOTS, target)
    assert source.reaches("success", "failed")["cow_size"] == 0
    target.redis.mset({f"{{{key}}}:{number}": "v" * 50 for number in range(12_000)})
    target.migrate(0, MOVED_SLOTS, source)
    job = target.reaches("success", "failed")
    assert job["state"] == "success"
    assert job["cow_size"] > 100_000
    assert source.job()["cow_size"] == 0


def test_old_keys_in_a_file_do_not_come_back(make_cluster: Callable[..., Cluster]) -> None:
    """The source's snapshot is from before its slots were handed over; it is killed, and starts with that."""
    cluster = make_cluster(2, 0)
    source, target = cluster.primaries
    keys = moving_keys(20)
    for key in keys:
        source.redis.set(key, "old")
    source.redis.save()
    source.migrate(0, MOVED_SLOTS, target)
    assert source.reaches("success", "failed")["state"] == "success"
    target.redis.set(keys[0], "new")
    source.kill()
    source = cluster.restart(source)
    wait_until(cluster.is_healthy, "the source is back")
    wait_until(lambda: source.redis.dbsize() == 0, "what it had given away is gone")
    assert "importing" not in source.process.logged()
    with cluster.client() as client:
        assert [client.get(key) for key in keys] == ["new"] + ["old"] * 19
    source.redis.save()
    target.redis.execute_command("CLUSTER MIGRATESLOTS SLOTSRANGE", 0, MOVED_SLOTS, "NODE", source.id)
    assert target.reaches("success", "failed")["state"] == "success", "it takes them back as any node would"
    assert source.redis.dbsize() == 20


def test_a_cut_ends_migrations_and_migrate(make_cluster: Callable[..., Cluster]) -> None:
    """DEBUG FAULT CUT-OFF, on either side: links to the peer end, and none is made until it is healed."""
    cluster = make_cluster(2, 0)
    source, target = cluster.primaries
    keys = fill_with_every_type(source.redis)
    before = source.digests(keys)
    source.debug("PREVENT-PAUSE", True)
    for one, other in ((source, target), (target, source)):
        source.migrate(0, MOVED_SLOTS, target)
        source.reaches("waiting-to-pause")
        address = f"127.0.0.1:{other.port}"
        one.redis.execute_command("DEBUG FAULT CUT-OFF", 30_000, address, other.id)
        assert "Connection lost" in source.reaches("failed")["message"]
        target.reaches("failed")
        if one is source:
            source.migrate(0, MOVED_SLOTS, target)
            wait_until(lambda: "cut off" in source.job()["message"], "it does not even begin")
            with pytest.raises(redis.RedisError, match="error or timeout connecting"):
                source.redis.migrate("127.0.0.1", target.port, keys[0], 0, 1000)
        one.redis.execute_command("DEBUG FAULT HEAL")
        wait_until(cluster.is_healthy, "healed")
    assert source.digests(keys) == before


@pytest.mark.slow
def test_a_target_killed_before_the_hand_over_changes_nothing(make_cluster: Callable[..., Cluster]) -> None:
    """kill -9 while it imports: the source fails at once and goes on; the target comes back without keys."""
    cluster = make_cluster(3, 0)
    source, target, _ = cluster.primaries
    keys = fill_with_every_type(source.redis)
    before = source.digests(keys)
    source.debug("PREVENT-PAUSE", True)
    source.migrate(0, MOVED_SLOTS, target)
    source.reaches("waiting-to-pause")
    target.kill()
    assert "Connection lost to target" in source.reaches("failed")["message"]
    assert source.digests(keys) == before
    target = cluster.restart(target)
    wait_until(cluster.is_healthy, "the target is back")
    assert target.redis.dbsize() == 0
    assert source.slots() == 16384 // 3


@pytest.mark.slow
def test_a_source_killed_before_the_hand_over_is_replaced_with_all_data(
    make_cluster: Callable[..., Cluster],
) -> None:
    """kill -9 of the source while it streams: its replica has everything, the target drops what it had."""
    cluster = make_cluster(3, 1)
    source, target, _ = cluster.primaries
    keys = fill_with_every_type(source.redis)
    before = source.digests(keys)
    heir = cluster.replicas[source.port][0]
    wait_until(lambda: heir.digests(keys) == before, "replicated")
    source.debug("PREVENT-PAUSE", True)
    source.migrate(0, MOVED_SLOTS, target)
    source.reaches("waiting-to-pause")
    source.kill()
    assert "Connection lost to source" in target.reaches("failed")["message"]
    assert target.redis.dbsize() == 0
    wait_until(lambda: heir.redis.info("replication")["role"] == "master", "promoted")
    wait_until(lambda: heir.slots() == 16384 // 3, "has the slots")
    assert heir.digests(keys) == before


@pytest.mark.slow
def test_a_target_killed_after_the_hand_over_is_replaced_with_all_data(
    make_cluster: Callable[..., Cluster],
) -> None:
    """What was acknowledged before the hand-over is on the target's replica when the target takes over."""
    cluster = make_cluster(3, 1)
    source, target, _ = cluster.primaries
    keys = fill_with_every_type(source.redis)
    before = source.digests(keys)
    source.migrate(0, MOVED_SLOTS, target)
    target.reaches("success")
    target.kill()
    heir = cluster.replicas[target.port][0]
    wait_until(lambda: heir.redis.info("replication")["role"] == "master", "promoted")
    assert heir.digests(keys) == before
    wait_until(lambda: source.redis.dbsize() == 0, "the source has let go")


@pytest.mark.slow
def test_a_target_killed_with_the_grant_in_its_hands(make_cluster: Callable[..., Cluster]) -> None:
    """Nobody knows whether it took the slots: they stay closed until the cluster has found that it failed and
    no one claims them; then the source goes on, and a target that comes back owns nothing of them.
    """
    cluster = make_cluster(3, 0)
    source, target, other = cluster.primaries
    key = moving_keys(1)[0]
    source.redis.set(key, "v")
    target.debug("PREVENT-FAILOVER", True)
    source.migrate(0, MOVED_SLOTS, target)
    target.reaches("failover-granted")
    target.kill()
    assert source.job()["state"] == "failover-granted"
    assert source.redis.set(key, "later")  # waits until it is decided
    assert source.job()["state"] == "failed"
    assert "failed before anybody heard" in source.job()["message"]
    cluster.restart(target)
    wait_until(cluster.is_healthy, "the target is back")
    wait_until(lambda: other.redis.execute_command("CLUSTER SLOTS")[0][2][1] == source.port, "agreed")
    assert source.redis.get(key) == "later"


def test_a_grant_that_is_not_used_is_over_soon(make_cluster: Callable[..., Cluster]) -> None:
    """A target that does nothing with the grant is asked, and its word that it owns nothing is final."""
    cluster = make_cluster(2, 0)
    source, target = cluster.primaries
    key = moving_keys(1)[0]
    source.redis.set(key, "v")
    target.debug("PREVENT-FAILOVER", True)
    source.migrate(0, MOVED_SLOTS, target)
    target.reaches("failover-granted")
    assert source.redis.set(key, "later")  # waits until it is decided
    assert "did not take over" in source.reaches("failed")["message"]
    target.reaches("failed")
    assert target.redis.dbsize() == 0


@pytest.mark.slow
def test_a_replica_of_the_target_killed_meanwhile(make_cluster: Callable[..., Cluster]) -> None:
    """The migration goes on without it; when it is back it is given a snapshot once nothing is staged."""
    cluster = make_cluster(2, 1)
    source, target = cluster.primaries
    keys = fill_with_every_type(source.redis)
    before = source.digests(keys)
    replica = cluster.replicas[target.port][0]
    source.debug("PREVENT-PAUSE", True)
    source.migrate(0, MOVED_SLOTS, target)
    source.reaches("waiting-to-pause")
    replica.kill()
    replica = cluster.restart(replica)
    wait_until(lambda: "wait_bgsave" in str(target.redis.info("replication")), "it asks for a snapshot")
    source.debug("PREVENT-PAUSE", False)
    assert source.reaches("success", "failed")["state"] == "success"
    wait_until(lambda: replica.redis.info("replication")["master_link_status"] == "up", "synchronised")
    assert replica.digests(keys) == before


@pytest.mark.slow
def test_a_target_with_an_append_only_file(make_cluster: Callable[..., Cluster]) -> None:
    """kill -9 while it imports: it comes back with nothing of that, although its file has it. After the
    hand-over it comes back with everything; a rewrite that was asked for meanwhile waits.
    """
    cluster = make_cluster(2, 0, "--appendonly", "yes", "--appendfsync", "always")
    source, target = cluster.primaries
    keys = fill_with_every_type(source.redis)
    before = source.digests(keys)
    source.debug("PREVENT-PAUSE", True)
    source.migrate(0, MOVED_SLOTS, target)
    source.reaches("waiting-to-pause")
    target.kill()
    target = cluster.restart(target)
    assert target.redis.dbsize() == 0
    source.reaches("failed")
    wait_until(lambda: source.redis.execute_command("CLUSTER INFO")["cluster_state"] == "ok", "healthy")
    source.migrate(0, MOVED_SLOTS, target)
    source.reaches("waiting-to-pause")
    target.redis.bgrewriteaof()
    told = target.redis.info("persistence")
    assert (told["aof_rewrite_in_progress"], told["aof_rewrite_scheduled"]) == (0, 1)
    source.debug("PREVENT-PAUSE", False)
    assert source.reaches("success", "failed")["state"] == "success"
    target.kill()
    target = cluster.restart(target)
    assert target.digests(keys) == before


def test_several_at_once_to_several_targets(make_cluster: Callable[..., Cluster]) -> None:
    """One order with two targets, and one from another source at the same time."""
    cluster = make_cluster(3, 0)
    first, second, third = cluster.primaries
    client = cluster.client()
    keys = [f"key{number}" for number in range(500)]
    for key in keys:
        client.set(key, key)
    first.redis.execute_command(
        "CLUSTER MIGRATESLOTS SLOTSRANGE", 0, 999, 2000, 2999, "NODE", second.id,
        "SLOTSRANGE", 1000, 1999, "NODE", third.id,
    )  # fmt: skip
    second.migrate(10000, 10500, third)
    for node in (first, second):
        wait_until(lambda node=node: all(job["state"] in OVER for job in node.jobs()), "all are over")
        assert [(job["state"], job["message"]) for job in node.jobs() if job["state"] != "success"] == []
    assert [client.get(key) for key in keys] == keys
    client.close()
    assert first.redis.execute_command("CLUSTER COUNTKEYSINSLOT", 1500) == 0
    assert sum(node.slots() for node in cluster.primaries) == 16384


def test_a_source_that_gives_all_away_becomes_a_replica(make_cluster: Callable[..., Cluster]) -> None:
    """The last slots are gone with success; then Redis's rule makes it a replica of the new owner."""
    cluster = make_cluster(2, 0)
    source, target = cluster.primaries
    keys = fill_with_every_type(source.redis)
    before = source.digests(keys)
    source.migrate(0, 8191, target)
    job = source.reaches("success", "failed")
    assert job["state"] == "success", job
    assert target.slots() == 16384
    wait_until(lambda: source.redis.info("replication").get("master_link_status") == "up", "a replica")
    wait_until(lambda: source.digests(keys) == before, "with the data")
    assert target.digests(keys) == before


def test_what_ends_a_migration_and_what_is_refused(make_cluster: Callable[..., Cluster]) -> None:
    """FLUSHALL on either side ends it; SETSLOT, overlaps and orders that make no sense are refused."""
    cluster = make_cluster(2, 1)
    source, target = cluster.primaries
    replica = cluster.replicas[source.port][0]
    order = source.redis.execute_command
    for words, text in (
        (("SLOTSRANGE", 5, 1, "NODE", target.id), "Start slot number 5 is greater"),
        (("SLOTSRANGE", 1, 16384, "NODE", target.id), "Invalid or out of range slot"),
        (("SLOTSRANGE", 1, 5, "NODE", "x" * 40), "Unknown node name"),
        (("SLOTSRANGE", 1, 5, "NODE", "x"), "Invalid node name"),
        (("SLOTSRANGE", 1, 5, "NODE", source.id), "can not be this node"),
        (("SLOTSRANGE", 1, 5, "NODE", replica.id), "Target node is not a master"),
        (("SLOTSRANGE", 9000, 9001, "NODE", target.id), "Slots are not served by this node"),
        (("SLOTSRANGE", 1, 5, 5, 6, "NODE", target.id), "overlaps with previous range"),
        (
            ("SLOTSRANGE", 1, 5, "NODE", target.id, "SLOTSRANGE", 5, 6, "NODE", target.id),
            "migrations overlap",
        ),
        (("SLOTSRANGE", 1, 5, "TO", target.id), "syntax error"),
    ):
        with pytest.raises(redis.ResponseError, match=text):
            order("CLUSTER MIGRATESLOTS", *words)
    assert source.jobs() == []
    with pytest.raises(redis.ResponseError, match="only be used on primary nodes"):
        replica.redis.execute_command("CLUSTER MIGRATESLOTS SLOTSRANGE 1 5 NODE", target.id)
    with pytest.raises(redis.ResponseError, match="only be used by slot migration clients"):
        order("CLUSTER SYNCSLOTS SNAPSHOT-EOF")

    source.redis.set(moving_keys(1)[0], "v")
    source.debug("PREVENT-PAUSE", True)
    source.migrate(0, MOVED_SLOTS, target)
    source.reaches("waiting-to-pause")
    with pytest.raises(redis.ResponseError, match="I am already migrating slot 7"):
        source.migrate(7, 8, target)
    for node, other in ((source, target), (target, source)):
        with pytest.raises(redis.ResponseError, match="Slot 7 is being moved by CLUSTER MIGRATESLOTS"):
            node.redis.execute_command("CLUSTER SETSLOT 7 MIGRATING", other.id)
    source.redis.flushall()
    assert source.reaches("failed")["message"] == "Data was flushed"
    target.reaches("failed")

    source.redis.set(moving_keys(1)[0], "v")
    source.migrate(0, MOVED_SLOTS, target)
    source.reaches("waiting-to-pause")
    target.redis.flushall()
    assert target.reaches("failed")["message"] == "Data was flushed"
    source.reaches("failed")
    assert source.redis.get(moving_keys(1)[0]) == "v"

    source.migrate(0, MOVED_SLOTS, target)
    source.reaches("waiting-to-pause")
    replica.redis.execute_command("CLUSTER FAILOVER")
    source.reaches("failed")
    target.reaches("failed")
    wait_until(lambda: replica.slots() == 8192, "a fail-over ends it, and loses nothing")
    assert replica.redis.get(moving_keys(1)[0]) == "v"
