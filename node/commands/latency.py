"""LATENCY: spikes (node.observe.latency) and how long commands take (node.observe.commandstats)."""

from __future__ import annotations

from node.command.call import Call
from node.command.help import help_reply
from node.command.registry import Command, Table
from node.command.spec import ADMIN, LOADING, NOSCRIPT, STALE, command, container
from node.errors import CommandError
from node.observe.commandstats import Timing, histogram_us
from node.observe.latency import Latency
from node.resp.encode import array, bulk
from node.resp.encode import integer as number

_FLAGS = ADMIN | NOSCRIPT | LOADING | STALE
_TIPS = ("nondeterministic_output", "request_policy:all_nodes", "response_policy:special")

container(b"LATENCY", group="server", since="2.8.13", summary="A container for latency diagnostics commands.")


@command(
    b"LATENCY|LATEST", arity=2, group="server", since="2.8.13", flags=_FLAGS, complexity="O(1)", tips=_TIPS,
    needs=Latency,
)  # fmt: skip
def latest(latency: Latency, _call: Call, _argv: list[bytes]) -> bytes:
    """Returns the latest spike of each event, and its worst."""
    return array(
        [
            array([bulk(name), number(last.at_s), number(last.took_ms), number(event.worst_ms)])
            for name, event in latency.events.items()
            for last in (event.spikes[-1],)
        ]
    )


@command(
    b"LATENCY|HISTORY", arity=3, group="server", since="2.8.13", flags=_FLAGS, complexity="O(1)", tips=_TIPS,
    needs=Latency,
)  # fmt: skip
def history(latency: Latency, _call: Call, argv: list[bytes]) -> bytes:
    """Returns the spikes of an event."""
    event = latency.events.get(argv[2])
    spikes = event.spikes if event is not None else ()
    return array([array([number(spike.at_s), number(spike.took_ms)]) for spike in spikes])


@command(
    b"LATENCY|RESET", arity=-2, group="server", since="2.8.13", flags=_FLAGS, complexity="O(1)",
    tips=("request_policy:all_nodes", "response_policy:agg_sum"), needs=Latency,
)  # fmt: skip
def reset(latency: Latency, _call: Call, argv: list[bytes]) -> bytes:
    """Forgets the spikes of events, or all."""
    return number(latency.reset(argv[2:]))


@command(
    b"LATENCY|GRAPH", arity=3, group="server", since="2.8.13", flags=_FLAGS, complexity="O(1)", tips=_TIPS,
    needs=Latency,
)  # fmt: skip
def graph(latency: Latency, call: Call, argv: list[bytes]) -> bytes:
    """Draws the spikes of an event."""
    if argv[2] not in latency.events:
        raise CommandError(b"ERR No samples available for event '%b'" % argv[2])
    return call.reply.verbatim(latency.graph(argv[2]).encode())


@command(
    b"LATENCY|DOCTOR", arity=2, group="server", since="2.8.13", flags=_FLAGS, complexity="O(1)", tips=_TIPS,
    needs=Latency,
)  # fmt: skip
def doctor(latency: Latency, call: Call, _argv: list[bytes]) -> bytes:
    """Returns a report on spikes for people."""
    return call.reply.verbatim(latency.doctor().encode())


@command(
    b"LATENCY|HISTOGRAM", arity=-2, group="server", since="7.0.0", flags=_FLAGS, tips=_TIPS,
    needs=(Table, Timing),
    complexity="O(N) where N is the number of commands with latency information being retrieved.",
)  # fmt: skip
def histogram(table: Table, timing: Timing, call: Call, argv: list[bytes]) -> bytes:
    """Returns how many calls of commands took how long, cumulated."""
    told = [each for each in _named(table, argv[2:]) if each.times and timing.tracking]
    return call.reply.map([(bulk(each.title), _distribution(call, each)) for each in told])


def _named(table: Table, names: list[bytes]) -> list[Command]:
    """A container stands for itself and all its subcommands; a name that is not known for nothing."""
    if not names:
        return list(table.walk())
    found: dict[Command, None] = {}
    for name in names:
        if (each := table.find(name)) is not None:
            found.update(dict.fromkeys([each, *(each.subcommands or {}).values()]))
    return list(found)


def _distribution(call: Call, each: Command) -> bytes:
    cumulated = [(number(us), number(count)) for us, count in histogram_us(each.times)]
    calls = sum(each.times.values())
    return call.reply.map(
        [(bulk(b"calls"), number(calls)), (bulk(b"histogram_usec"), call.reply.map(cumulated))]
    )


@command(
    b"LATENCY|HELP", arity=2, group="server", since="2.8.13", flags=LOADING | STALE, complexity="O(1)"
)  # fmt: skip
def help_(_call: Call, _argv: list[bytes]) -> bytes:
    """Returns helpful text about the subcommands."""
    return help_reply(
        "LATENCY",
        (
            "DOCTOR",
            "    Return a report on spikes, and what to do about them.",
            "GRAPH <event>",
            "    Draw the spikes of an event.",
            "HISTOGRAM [<command> ...]",
            "    Return how many calls of commands took how long, cumulated by powers of two.",
            "HISTORY <event>",
            "    Return Unix time and milliseconds of the spikes of an event.",
            "LATEST",
            "    Return the latest spike of each event, and its worst.",
            "RESET [<event> ...]",
            "    Forget the spikes of events (default: all); return how many events were forgotten.",
        ),
    )
