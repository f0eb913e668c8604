"""Scenarios that a person can read: a small language for what happens to a simulated cluster.

One step a line; `#` begins a comment. First the cluster, then what happens to it:

    nodes 6                      its machines, numbered from 1; `nodes 6 fresh`: strangers without slots
    replicas 1                   a formed cluster's replicas per primary; the first nodes are the primaries
    seed 7                       of the network's delays and the cores' choices
    set node_timeout_ms 2000     any field of `gossip.settings.Settings`
    delay 1..3ms                 how long a segment takes

    advance 5s                   let time pass (`200ms`, `2m`)
    crash 1 · power-off 1 · start 1
    pause 2 [5s] · resume 2      SIGSTOP and SIGCONT
    partition 1,2 | 3..6         nodes not named are together on a further side
    heal
    meet 1 2 · forget 1 3        node 1 is told to meet 2, to forget 3
    slots 1 0-5460 · replicate 4 1 · failover 4 [force|takeover]

    expect role 5 primary        or replica
    expect replica 4 1           4 replicates 1
    expect state ok              of all running nodes; `expect state 1 fail` of one
    expect sees 2 1 fail         or pfail, up, nothing
    expect owner 0 4             all running nodes say that node 4 owns slot 0
    expect settled               see `gossip.testing.checkers`
    within 5s expect …           let time pass until it is so

    watch                        from here on, what happens is compared …
    trace                        … with the lines that follow, to the end of the file

The trace leaves out times and log lines. The invariants of `gossip.testing.checkers` hold in every scenario.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

from gossip.admin import FailoverMode
from gossip.core import Core
from gossip.member import Member
from gossip.settings import Settings
from gossip.slots import SlotSet
from gossip.testing.checkers import unsettled
from gossip.testing.cluster import BUS_PORT, PORT, Cluster
from gossip.testing.network import Weather

WAIT_STEP_MS = 10
NOTED_LINES = 60


class ScenarioError(Exception):
    """The scenario itself is wrong."""


def run(text: str) -> Cluster:
    """Play a scenario. Raises ScenarioError for a line not understood, AssertionError for an expectation.

    Both name the line; a failure carries the end of the trace as a note.
    """
    scenario = Scenario()
    lines = text.splitlines()
    for number, line in enumerate(lines, 1):
        step = line.partition("#")[0].strip()
        if step == "trace":
            scenario.compare([one.strip() for one in lines[number:] if one.strip()])
            break
        if step:
            _take(scenario, number, step)
    return scenario.cluster


def _take(scenario: Scenario, number: int, step: str) -> None:
    try:
        scenario.step(step.split())
    except (ScenarioError, ValueError, IndexError) as error:
        raise ScenarioError(f"line {number}: {step!r}: {error}") from error
    except Exception as error:
        error.add_note(f"line {number}: {step}")
        error.add_note("\n".join(list(scenario.cluster.trace)[-NOTED_LINES:]))
        raise


class Scenario:
    """One run; `cluster` comes into being with the first step that is no preparation."""

    def __init__(self) -> None:
        self._node_count = 6
        self._replicas = 1
        self._fresh = False
        self._seed = 0
        self._settings = Settings(node_timeout_ms=2_000)
        self._weather = Weather()
        self._cluster: Cluster | None = None
        self._watched_from = 0
        self._preparations: dict[str, Callable[[list[str]], None]] = {
            "nodes": self._nodes,
            "replicas": self._set_replicas,
            "seed": self._set_seed,
            "set": self._set,
            "delay": self._delay,
        }
        self._actions: dict[str, Callable[[list[str]], None]] = {
            "advance": lambda words: self.cluster.advance(_ms(words[0])),
            "crash": lambda words: self.cluster.crash(int(words[0])),
            "power-off": lambda words: self.cluster.power_off(int(words[0])),
            "start": lambda words: self.cluster.start(int(words[0])),
            "pause": lambda words: self.cluster.pause(int(words[0]), _ms(words[1]) if words[1:] else None),
            "resume": lambda words: self.cluster.resume(int(words[0])),
            "partition": self._partition,
            "heal": lambda _: self.cluster.heal(),
            "meet": self._meet,
            "forget": self._forget,
            "slots": self._slots,
            "replicate": self._replicate,
            "failover": self._failover,
            "expect": self._expect,
            "within": self._within,
            "watch": self._watch,
        }
        self._facts: dict[str, Callable[[list[str]], str | None]] = {
            "role": self._role,
            "replica": self._replica,
            "state": self._state,
            "sees": self._sees,
            "owner": self._owner,
            "settled": lambda _: unsettled(self.cluster.cores()),
        }

    @property
    def cluster(self) -> Cluster:
        if self._cluster is None:
            self._cluster = Cluster(self._seed, self._node_count, self._settings)
            self._cluster.network.weather = self._weather
            if self._fresh:
                for node in self._cluster.nodes:
                    self._cluster.start(node.number)
            else:
                self._cluster.form(self._replicas)
        return self._cluster

    def step(self, words: list[str]) -> None:
        verb, rest = words[0], words[1:]
        if verb in self._preparations:
            if self._cluster is not None:
                raise ScenarioError("comes too late: the cluster runs")
            self._preparations[verb](rest)
        elif verb in self._actions:
            self._actions[verb](rest)
        else:
            raise ScenarioError("no such step")

    def compare(self, expected: list[str]) -> None:
        """The trace since `watch` is this. Raises AssertionError with what happened."""
        lines = [line.split(maxsplit=1)[1] for line in list(self.cluster.trace)[self._watched_from :]]
        happened = [line for line in lines if " logs: " not in line]
        assert happened == expected, "the trace is\n" + "\n".join(happened)

    # --- preparations --------------------------------------------------------------------------------------

    def _nodes(self, words: list[str]) -> None:
        self._node_count = int(words[0])
        self._fresh = words[1:] == ["fresh"]

    def _set_replicas(self, words: list[str]) -> None:
        self._replicas = int(words[0])

    def _set_seed(self, words: list[str]) -> None:
        self._seed = int(words[0])

    def _set(self, words: list[str]) -> None:
        name, text = words
        if name not in {one.name for one in fields(Settings)}:
            raise ScenarioError(f"no setting {name}")
        old = getattr(self._settings, name)
        change: dict[str, Any] = {
            name: {"yes": True, "no": False}[text] if isinstance(old, bool) else type(old)(text)
        }
        self._settings = replace(self._settings, **change)

    def _delay(self, words: list[str]) -> None:
        low, _, high = words[0].rpartition("..")
        self._weather = Weather((_ms(low + "ms" if low else high), _ms(high)))

    # --- actions -------------------------------------------------------------------------------------------

    def _partition(self, words: list[str]) -> None:
        groups = "".join(words).split("|")
        self.cluster.partition([_numbers(group) for group in groups])

    def _meet(self, words: list[str]) -> None:
        peer = self.cluster[int(words[1])]
        self.cluster.act(int(words[0]), lambda core, now_ms: core.meet(peer.ip, PORT, BUS_PORT, now_ms))

    def _forget(self, words: list[str]) -> None:
        name = self._name(words[1])
        self.cluster.act(int(words[0]), lambda core, now_ms: core.forget(name, now_ms))

    def _slots(self, words: list[str]) -> None:
        first, _, last = words[1].partition("-")
        slots = SlotSet.from_ranges([(int(first), int(last or first))])
        self.cluster.act(int(words[0]), lambda core, now_ms: core.add_slots(slots, now_ms))

    def _replicate(self, words: list[str]) -> None:
        name = self._name(words[1])
        self.cluster.act(int(words[0]), lambda core, now_ms: core.replicate(name, now_ms))

    def _failover(self, words: list[str]) -> None:
        mode = FailoverMode[words[1].upper()] if words[1:] else FailoverMode.NORMAL
        self.cluster.act(int(words[0]), lambda core, now_ms: core.failover(mode, now_ms))

    def _watch(self, _: list[str]) -> None:
        self._watched_from = len(self.cluster.trace)

    # --- expectations --------------------------------------------------------------------------------------

    def _expect(self, words: list[str]) -> None:
        difference = self._facts[words[0]](words[1:])
        assert difference is None, f"expected {' '.join(words)}, but {difference}"

    def _within(self, words: list[str]) -> None:
        if words[1] != "expect":
            raise ScenarioError("`within` waits for what is expected")
        fact, rest = self._facts[words[2]], words[3:]
        self.cluster.advance_until(lambda: fact(rest) is None, _ms(words[0]), WAIT_STEP_MS)
        self._expect(words[2:])

    def _role(self, words: list[str]) -> str | None:
        role = "primary" if self._core(words[0]).state.me.is_primary else "replica"
        return None if role == words[1] else f"it is a {role}"

    def _replica(self, words: list[str]) -> str | None:
        primary = self._core(words[0]).state.me.primary
        followed = self.cluster.number_of(primary.node_id) if primary else "nobody"
        return None if followed == words[1] else f"it follows {followed}"

    def _state(self, words: list[str]) -> str | None:
        expected_ok = {"ok": True, "fail": False}[words[-1]]
        cores = self.cluster.cores() if len(words) == 1 else [self._core(words[0])]
        others = [self.cluster.number_of(core.state.me.node_id) for core in cores if core.ok != expected_ok]
        return f"not on {', '.join(others)}" if others else None

    def _sees(self, words: list[str]) -> str | None:
        member = self._core(words[0]).state.members.get(self._name(words[1]))
        health = _health(member)
        return None if health == words[2] else f"it sees {health}"

    def _owner(self, words: list[str]) -> str | None:
        slot = int(words[0])
        for core in self.cluster.cores():
            owner = core.state.owner(slot)
            number = self.cluster.number_of(owner.node_id) if owner else "nobody"
            if number != words[1]:
                return f"{self.cluster.number_of(core.state.me.node_id)} says {number}"
        return None

    def _core(self, number: str) -> Core:
        return self.cluster.core(int(number))

    def _name(self, number: str) -> str:
        """The id of a node, which need not run."""
        return self.cluster.name_of(int(number))


def _health(member: Member | None) -> str:
    if member is None:
        return "nothing"
    return "fail" if member.failed else "pfail" if member.pfail else "up"


def _ms(text: str) -> int:
    for unit, factor in (("ms", 1), ("s", 1_000), ("m", 60_000)):
        if text.endswith(unit) and text[: -len(unit)].isdigit():
            return int(text[: -len(unit)]) * factor
    raise ScenarioError(f"{text!r} is no length of time")


def _numbers(text: str) -> list[int]:
    """`1,2` or `3..6`, or both."""
    numbers: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("..")
        numbers += range(int(first), int(last or first) + 1)
    return numbers
