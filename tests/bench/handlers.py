"""CPU time of commands without sockets: requests prepared like redis-benchmark's go straight through the
dispatcher. The rest of what a command costs (system calls, parsing) is the same for all, so this shows what
a change of a handler is worth, and a noisy machine disturbs it least.

    python tests/bench/handlers.py [--depth 16] [--rounds 7] [--profile] [NAME ...]
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import random
import time
from collections.abc import Callable

from node.app import Node
from node.command.session import Gone, Session
from node.config.config import Config

COUNT = 40_000
KEYSPACE = 100_000
VALUE_BYTES = 32

SET_IN_LUA = b"return redis.call('SET', KEYS[1], ARGV[1])"

Make = Callable[[random.Random], list[bytes]]


def number(rng: random.Random) -> bytes:
    """What redis-benchmark puts in place of __rand_int__."""
    return b"%012d" % rng.randrange(KEYSPACE)


def value(rng: random.Random) -> bytes:
    """An object of its own, as the parser makes it."""
    return rng.randbytes(VALUE_BYTES // 2).hex().encode()


FIRST: dict[str, Make] = {
    "GET": lambda rng: [b"SET", b"key:" + number(rng), value(rng)],
    "MIXED": lambda rng: [b"SET", b"key:" + number(rng), value(rng)],
    "RPOP": lambda rng: [b"LPUSH", b"mylist", value(rng)],
    "SPOP": lambda rng: [b"SADD", b"myset", b"element:" + number(rng)],
    "ZPOPMIN": lambda rng: [b"ZADD", b"myzset", number(rng), b"element:" + number(rng)],
    "LRANGE_100": lambda rng: [b"LPUSH", b"mylist", value(rng)],
}
"""What is done before, as often."""

COMMANDS: dict[str, Make] = {
    "SET": lambda rng: [b"SET", b"key:" + number(rng), value(rng)],
    "GET": lambda rng: [b"GET", b"key:" + number(rng)],
    "INCR": lambda rng: [b"INCR", b"counter:" + number(rng)],
    "LPUSH": lambda rng: [b"LPUSH", b"mylist", value(rng)],
    "RPOP": lambda _: [b"RPOP", b"mylist"],
    "SADD": lambda rng: [b"SADD", b"myset", b"element:" + number(rng)],
    "HSET": lambda rng: [b"HSET", b"myhash", b"element:" + number(rng), value(rng)],
    "SPOP": lambda _: [b"SPOP", b"myset"],
    "ZADD": lambda rng: [b"ZADD", b"myzset", number(rng), b"element:" + number(rng)],
    "ZPOPMIN": lambda _: [b"ZPOPMIN", b"myzset"],
    "LRANGE_100": lambda _: [b"LRANGE", b"mylist", b"0", b"99"],
    "MSET": lambda rng: [b"MSET", *(w for _ in range(10) for w in (b"key:" + number(rng), value(rng)))],
    "EVAL_1": lambda _: [b"EVAL", b"return 1", b"0"],
    "EVAL_SET": lambda rng: [b"EVAL", SET_IN_LUA, b"1", b"key:" + number(rng), value(rng)],
    "XADD": lambda rng: [b"XADD", b"stream", b"*", b"field", number(rng)],
    "PUBLISH": lambda _: [b"PUBLISH", b"channel", b"message"],
    "EVAL": lambda rng: [b"EVAL", b"return redis.call('INCR', KEYS[1])", b"1", b"counter:" + number(rng)],
    "MIXED": lambda rng: COMMANDS[rng.choice(("SET", "GET"))](rng),
}


def batches(make: Make, count: int, depth: int) -> list[list[list[bytes]]]:
    rng = random.Random(1)
    return [[make(rng) for _ in range(depth)] for _ in range(count // depth)]


def cpu_us(name: str, count: int, depth: int, profile: cProfile.Profile | None) -> float:
    """Microseconds a command on a fresh node."""
    node = Node(Config())
    session = Session(1, node.new_call(), Gone(), b"", b"")
    serve = node.dispatcher.serve
    if name in FIRST:
        for requests in batches(FIRST[name], count, depth):
            serve(session, requests, [])
    prepared = batches(COMMANDS[name], count, depth)
    if profile is not None:
        profile.enable()
    start_s = time.process_time()
    for requests in prepared:
        node.clock.update()
        serve(session, requests, [])
    used_s = time.process_time() - start_s
    if profile is not None:
        profile.disable()
    return used_s / count * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {' '.join(COMMANDS)}")
    parser.add_argument("--depth", type=int, default=16, help="requests a call of the dispatcher")
    parser.add_argument("--count", type=int, default=COUNT, help="commands a round")
    parser.add_argument("--rounds", type=int, default=7, help="the least of so many is printed")
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    for name in options.names or COMMANDS:
        profile = cProfile.Profile() if options.profile else None
        rounds = [cpu_us(name, options.count, options.depth, profile) for _ in range(options.rounds)]
        print(f"{name:12}{min(rounds):8.2f} us")
        if profile is not None:
            pstats.Stats(profile).sort_stats("tottime").print_stats(12)


if __name__ == "__main__":
    main()
