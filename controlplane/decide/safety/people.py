"""What people have ordered: freeze, holds, and rules that they set aside.

A **freeze** stops new acts. What is in force runs out with its lease, and may be given back sooner where that is safe:
an order in force is loosened, on the evidence that recovery asks for, and never for longer than it would have lasted.
Forbidding that, too, would be the more dangerous choice: the lease gives all traffic back at once, proven or not.

A **hold** freezes what is: nothing new, nothing given back; what is in force is renewed for as long as the hold lasts.
"""

from controlplane.decide.safety.ask import Ask, No
from controlplane.decide.standing import Hold, Standing
from controlplane.decide.state import State
from controlplane.model.command import Command, Eject, Intent, Isolate, Probe, Restore, Weigh
from controlplane.model.signal import PersonOrder, Target
from controlplane.model.topology import Topology
from controlplane.model.unit import SECOND, Nanos

OVERRIDE_NS_MAX = 3600 * SECOND  # a broken glass is mended within the hour, or broken again by a person who looks
HOLD_NS_MAX = 30 * 86_400 * SECOND  # longer is a change of configuration


def freeze(ask: Ask) -> No | None:
    """No new act; what is in force may be given back."""
    state = ask.state
    if not state.frozen or isinstance(ask.intent, Restore):
        return None
    held = state.in_force.get(str(ask.target))
    if (
        ask.kind is None
        and held is not None
        and held.lease_until > ask.now
        and _looseness(ask.intent) >= _looseness(held.intent)
    ):
        return None
    return No(f"a person froze automation: {state.frozen_reason or 'no reason given'}")


def human_hold(ask: Ask) -> No | None:
    """A person keeps their hand on it."""
    hold = held_by(ask.state.standing, ask.target, ask.now)
    if hold is None:
        return None
    what = "everything" if hold.target is None else str(hold.target)
    return No(f"{hold.by} holds {what}: {hold.reason or 'no reason given'}")


def held_by(standing: Standing, target: Target, now: Nanos) -> Hold | None:
    """The hold that an act about `target` would touch, or None."""
    for hold in standing.holds.values():
        if (hold.until is None or now < hold.until) and hold.covers(target):
            return hold
    return None


def set_aside(standing: Standing, target: Target, now: Nanos) -> set[str]:
    """The rules that people have set aside for acts about `target`."""
    return {one.rule for one in standing.overrides.values() if now < one.until and one.covers(target)}


def may_renew(state: State, command: Command, now: Nanos) -> bool:
    """Whether the lease of `command` may be made longer: not under a freeze, and not once a rule that was set aside for
    it stands again."""
    if state.frozen:
        return False
    return not command.overrides or set(command.overrides.split(", ")) <= set_aside(state.standing, command.target, now)


def wrong_order(
    order: PersonOrder, target: Target | None, rule: str, for_ns: int, *, topology: Topology, never: dict[str, str]
) -> str:
    """What is wrong with a hold, release, override or revoke, and what would be right; empty when nothing is.

    `never` has every rule by name, with the reason why it cannot be set aside; empty where it can.
    """
    if order not in ("hold", "release", "override", "revoke"):
        return ""
    if target is not None and order in ("hold", "override"):  # what is gone from the topology can still be let go
        service = topology.service(target.service)
        if service is None:
            return f"target: {target.service[:80]!r} is not a declared service"
        if target.endpoint and all(one.name != target.endpoint for one in service.endpoints):
            return f"target: {target.endpoint[:80]!r} is not an endpoint of {target.service!r}"
    if order in ("override", "revoke"):
        if rule not in never:
            return f"rule: {rule[:80]!r} is not a safety rule; the rules: {', '.join(never)}"
        if never[rule]:
            return f"rule: {rule} is never set aside: {never[rule]}"
    if order == "override" and not 0 < for_ns <= OVERRIDE_NS_MAX:
        return f"for_s: {for_ns / SECOND:g} is not over 0 and at most {OVERRIDE_NS_MAX // SECOND}: an override ends"
    if order == "hold" and not 0 <= for_ns <= HOLD_NS_MAX:
        return f"for_s: {for_ns / SECOND:g} is not from 0 (until released) up to {HOLD_NS_MAX // SECOND}"
    return ""


def _looseness(intent: Intent) -> int:
    """How much traffic an order about a target lets through, to compare two of them."""
    match intent:
        case Eject() | Isolate():
            return 0
        case Probe():
            return 1
        case Weigh():
            return 2 + intent.percent
        case _:
            return 1000
