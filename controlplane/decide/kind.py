"""What kind of act an intent is: the word by which a policy lets it act, reports it only, or leaves it to a person."""

from controlplane.model.command import (
    CapRetries,
    Close,
    Command,
    Eject,
    FailOver,
    Harden,
    Intent,
    Isolate,
    Limit,
    Probe,
    RollBack,
    Shed,
    Tighten,
    Weigh,
)
from controlplane.model.policy import ActKind

_KINDS: dict[type, ActKind] = {
    Eject: "eject",
    Isolate: "isolate",
    Limit: "limit",
    FailOver: "fail_over",
    CapRetries: "cap_retries",
    Shed: "shed",
    Tighten: "tighten",
    RollBack: "roll_back",
    Close: "close",
    Harden: "harden",
}

DOORS: frozenset[ActKind | None] = frozenset({"close", "harden"})
"""Acts that people have declared beforehand, one by one: nothing paces them, and they take no endpoint."""


def kind_of(intent: Intent) -> ActKind | None:
    """The kind of act that `intent` is; None: it gives back (`Restore`, `Probe`, `Weigh`), which is never in shadow.

    A `Weigh` that takes traffic away is a "reroute"; only who orders it knows that.
    """
    return _KINDS.get(type(intent))


def act_of(command: Command) -> ActKind | None:
    """The kind of act that `command` is; None: it gives back."""
    return command.kind or kind_of(command.intent)


def lessens(intent: Intent, beside: Command | None) -> bool:
    """Whether `intent` is less of what is in force `beside` traffic already: it gives back."""
    if not isinstance(intent, FailOver | Shed) or beside is None or type(beside.intent) is not type(intent):
        return False
    return beside.intent.percent > intent.percent


def share_out(intent: Intent) -> float:
    """The share of its endpoint's normal traffic that `intent` keeps away: 1 all of it, 0 none."""
    match intent:
        case Eject() | Probe():  # of an endpoint on probation a few requests at a time are no capacity
            return 1.0
        case Weigh():
            return (100 - intent.percent) / 100
        case _:
            return 0.0
