"""One setting for all nodes: what each has now, and why it cannot be set, before anything is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ctl.plan.change import Configure
from ctl.plan.steps import PlanError
from ctl.snapshot import ClusterSnapshot


def pairs_of(words: Sequence[str]) -> dict[str, str]:
    """`NAME VALUE …` as a dictionary. Raises PlanError for a name without value, or given twice."""
    if len(words) % 2:
        raise PlanError(f"{words[-1]} has no value", "Give NAME VALUE, or several such pairs.")
    values: dict[str, str] = {}
    for name, value in zip(words[::2], words[1::2], strict=True):
        if name.lower() in values:
            raise PlanError(f"{name} is given twice")
        values[name.lower()] = value
    return values


def plan_set_config(
    snapshot: ClusterSnapshot,
    values: Mapping[str, str],
    current: Mapping[str, Mapping[str, str]],
    *,
    rewrite: bool,
) -> tuple[Configure, ...]:
    """`current` is CONFIG GET by node id. No step when all nodes have the values. Raises PlanError.

    A directive that one node does not know, a node that does not answer, and with `rewrite` one that was
    started without a file are refused: it is all nodes or none.
    """
    silent = [member.name for member in snapshot.members if not member.reachable]
    if silent:
        raise PlanError(f"{', '.join(silent)} does not answer", "It is set on all nodes or on none.")
    for member in snapshot.members:
        if unknown := [name for name in values if name not in current[member.node_id]]:
            raise PlanError(f"{member.name} knows no directive {unknown[0]}", "Nothing was changed.")
        if rewrite and member.view is not None and not member.view.info.get("config_file"):
            raise PlanError(
                f"{member.name} was started without a file, so the setting would not outlive it",
                "With --no-rewrite it is set for as long as the nodes run.",
            )
    if not rewrite and all(dict(before) == dict(values) for before in current.values()):
        return ()
    return (Configure(dict(values), {node: dict(before) for node, before in current.items()}, rewrite),)
