"""A destination is never drowned by what it was to rescue.

Who gets the traffic must bear it. What that is, in this order:

    capacity declared, load told of     load <= 90 % of capacity, endpoint by endpoint
    load told of                        what each gets was borne before, in the last hour
    neither                             unknown is not zero, and not endless: siblings get at most
                                        `stretch_percent_max` of what they bear on a normal day, when nobody is out;
                                        who stands by gets no more than its weight beside the weights it stands by for
"""

from collections.abc import Sequence

from controlplane.decide.plan.capacity import UTILISATION_MAX
from controlplane.decide.safety.ask import Ask, No
from controlplane.model.command import FailOver
from controlplane.model.topology import Endpoint


def destination_capacity(ask: Ask) -> No | None:
    """Whether those who get the traffic bear it."""
    if ask.service is None:
        return None
    if isinstance(ask.intent, FailOver):
        return _standby(ask, ask.intent.percent * ask.percent / 10_000)
    if ask.steers_endpoint:
        return _siblings(ask)
    return None


def _siblings(ask: Ask) -> No | None:
    """After an ejection the balancer shares the load among the others by weight, standbys included."""
    assert ask.service is not None
    out, name = ask.out(), ask.target.service
    me = next(one for one in ask.service.endpoints if one.name == ask.target.endpoint)
    rest = [one for one in ask.service.endpoints if one is not me and out.get(one.name, 0.0) < 1]
    after = _weight(rest, out) + me.weight * (1 - out[me.name])
    before = sum(one.weight for one in ask.service.endpoints if one.priority == me.priority)  # as on a normal day
    if not rest or after <= 0:
        return None  # `healthy_floor` has the word
    load = ask.seen.rate(name, ask.now)
    if load is not None and all(one.capacity_per_s for one in rest):
        return _declared(load, rest, out, after, f"the {len(rest)} others of {name}")
    if load is not None and load * before <= ask.seen.borne(name) * after:
        return None  # per weight no more than was borne before
    most = ask.policy.stretch_percent_max
    if before * 100 > most * after:
        return No(
            f"the others of {name} would bear {before / after:.0%} of what they bear normally; "
            f"their capacity is not known, and {most} % is the most that is tried"
        )
    return None


def _standby(ask: Ask, share: float) -> No | None:
    assert ask.service is not None
    out, name = ask.out(), ask.target.service
    levels = sorted({one.priority for one in ask.service.endpoints})
    if len(levels) < 2:
        return No(f"no endpoint of {name} stands by")
    first = [one for one in ask.service.endpoints if one.priority == levels[0]]
    spare = [one for one in ask.service.endpoints if one.priority == levels[1] and out.get(one.name, 0.0) < 1]
    room = _weight(spare, out)
    if room <= 0:
        return No(f"every endpoint of {name} that stands by is out of rotation")
    load = ask.seen.rate(name, ask.now)
    if load is not None and all(one.capacity_per_s for one in spare):
        return _declared(load * share, spare, out, room, f"the {len(spare)} that stand by for {name}")
    moved = share * sum(one.weight for one in first)
    if moved > room + 1e-9:
        return No(
            f"a weight of {moved:g} of {name} would go to {room:g} that stands by; its capacity is not known, "
            "and it is taken for what its weight says"
        )
    return None


def _declared(load: float, to: Sequence[Endpoint], out: dict[str, float], weight: float, who: str) -> No | None:
    """By weight each gets its part of `load`: the one with least room is the measure."""
    for one in to:
        part = load * one.weight * (1 - out.get(one.name, 0.0)) / weight
        bears = UTILISATION_MAX * (one.capacity_per_s or 0.0)
        if part > bears:
            return No(
                f"{who} would get {_short(load)} requests/s; {one.name} alone {_short(part)}, "
                f"and bears {_short(bears)} ({UTILISATION_MAX:.0%} of its capacity)"
            )
    return None


def _short(rate: float) -> str:
    """To three digits: a refusal that differs by a request or two is no news."""
    return f"{float(f'{rate:.3g}'):g}"


def _weight(endpoints: Sequence[Endpoint], out: dict[str, float]) -> float:
    return sum(one.weight * (1 - out.get(one.name, 0.0)) for one in endpoints)
