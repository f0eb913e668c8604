"""Steps of a change in words."""

from __future__ import annotations

from ctl.plan.change import Attach, Configure, Join, Leave, Move, Roster, Start, Step, Stop
from ctl.plan.findings.finding import count
from ctl.plan.repairs import Bump, Introduce, Settle
from gossip.slots import SlotSet

SECRETS = ("requirepass", "masterauth", "tls-key-file-pass", "tls-client-key-file-pass")


def step_title(step: Step, roster: Roster) -> str:
    """One line, in the imperative: `move 120 slots from 10.0.0.1:7000 to 10.0.0.2:7001`."""
    match step:
        case Move():
            number = len(step.slots)
            many = f"slot {step.slots}" if number == 1 else f"{number} slots"
            return f"move {many} from {roster.name(step.source)} to {roster.name(step.target)}"
        case Start():
            return f"start a node at {step.address}"
        case Stop():
            return f"stop the node at {step.address}" + (" and remove its files" if step.remove else "")
        case Join():
            return f"join {step.address}"
        case Leave():
            return f"have every node forget {roster.name(step.node) if step.node else step.address}"
        case Attach():
            who = roster.name(step.node) if step.node else str(step.address)
            return f"make {who} a replica of {roster.name(step.primary)}"
        case Settle(owner, slots, keys):
            moved = f", moving {count(keys, 'key')} there" if keys else ""
            return f"settle {count(len(slots), 'slot')} on {roster.name(owner)}{moved}: {few_ranges(slots)}"
        case Bump(node):
            return f"give {roster.name(node)} a new configuration epoch"
        case Introduce(node, other):
            return f"introduce {roster.name(other)} to {roster.name(node)}"
        case _:
            assert isinstance(step, Configure), step
            values = (f"{name} {shown_value(name, value)!r}" for name, value in step.values.items())
            rewrite = ", and write it to their files" if step.rewrite else ""
            return f"set {', '.join(values)} on {len(step.before)} nodes{rewrite}"


def shown_value(name: str, value: str) -> str:
    """A value for eyes: passwords are not."""
    return "***" if name.lower() in SECRETS and value else value


def few_ranges(slots: SlotSet, limit: int = 4) -> str:
    """Ranges as operators write them, the first `limit` of them."""
    ranges = slots.ranges()
    text = str(SlotSet.from_ranges(ranges[:limit]))
    return text if len(ranges) <= limit else f"{text} and {len(ranges) - limit} more ranges"
