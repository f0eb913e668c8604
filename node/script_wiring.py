"""What scripts and functions ask of the rest of the node, and who keeps the functions."""

from __future__ import annotations

from node.command.session import Session
from node.parts import Parts
from node.server import gates


def wire_scripts(parts: Parts) -> None:
    runs, libraries = parts.scripting.runs, parts.libraries
    runs.units, runs.table = parts.dispatcher, parts.table
    parts.dispatcher.script_as_seen = parts.scripting.as_seen
    cluster = parts.cluster
    if cluster is not None:
        runs.route = cluster.router.route
        runs.hear_peers = cluster.hear
        cluster.in_script = lambda: runs.current is not None
    runs.write_gates += [
        gates.writable_file(parts.guards, lambda: parts.aof.error),
        gates.conditions(parts.guards),
    ]
    runs.serve_others = lambda running: _serve_others(parts, running)
    runs.is_ending = lambda: parts.lifecycle.is_ending
    runs.is_signalled = lambda: parts.lifecycle.is_signalled
    runs.is_full = lambda: _is_full(parts)
    runs.drop_unit, runs.tell = parts.after.drop_unit, parts.after.tell_only
    runs.forbidden = parts.acl.refusal_of_script
    runs.may_run = lambda session, command, argv: parts.acl.denial(session, command, argv) is None
    libraries.give, libraries.take = parts.scripting.texts, parts.scripting.take
    parts.snapshots.functions = lambda: libraries.give()
    parts.replication.follower.take_functions = lambda sources: libraries.take(sources)


def _is_full(parts: Parts) -> bool:
    """Asked while Guard.MEMORY is held; inside of a transaction nothing can be evicted, so that is all."""
    return parts.after.in_unit or parts.eviction.is_full()


def _serve_others(parts: Parts, running: Session) -> None:
    """While a command of `running` runs for long: the dispatcher is entered again, in its midst."""
    pushes = parts.pushes
    current, held = pushes.current, pushes.held[:]
    pushes.held.clear()
    parts.reactor.pump(running.transport.descriptor())
    pushes.current = current
    pushes.held += held
