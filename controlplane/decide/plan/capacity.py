"""What fits where: checked before traffic moves, so that a destination is never drowned by what it was to rescue.

What an endpoint bears beyond its present load:

    capacity known     UTILISATION_MAX * capacity - load
    capacity unknown   it has borne its present load, and nothing more is proven: STRETCH of that load for a sibling in
                       rotation, TRIAL of it for one elsewhere. An idle standby of unknown capacity gets nothing
    load unknown       nothing

Nothing moves to an endpoint whose health is unknown, or no better than that of the endpoint it comes from.
"""

from collections.abc import Sequence

from controlplane.model.situation import Replica

UTILISATION_MAX = 0.9  # of a capacity that is known: in an M/M/1 queue waiting is then nine times the service time
STRETCH = 0.4  # of its load: the guard's overprovision_percent of 140, as Envoy's
TRIAL = 0.1  # of its load: the first share of a ramp
SMALL = 1e-9  # requests per second that nobody would miss


def headroom(replica: Replica, *, in_rotation: bool) -> float:
    """Requests per second that `replica` bears beyond its load."""
    if replica.load is None:
        return 0.0
    if replica.capacity is not None:
        return max(0.0, UTILISATION_MAX * replica.capacity - replica.load)
    return (STRETCH if in_rotation else TRIAL) * replica.load


def healthier(replicas: Sequence[Replica], failing: float) -> list[Replica]:
    """Those known to fail a smaller share than `failing`."""
    return [one for one in replicas if one.failing is not None and one.failing < failing]


def by_weight(amount: float, siblings: Sequence[Replica], *, in_rotation: bool = True) -> dict[str, float]:
    """What each sibling gets of `amount` when a balancer shares it by weight, cut to what all of them bear.

    After an ejection nobody chooses who gets what: the one with least room beside its weight is the measure.
    """
    weights = sum(one.weight for one in siblings)
    if not weights:
        return {}
    fits = min(
        (headroom(one, in_rotation=in_rotation) * weights / one.weight for one in siblings if one.weight > 0),
        default=0.0,
    )
    moved = min(amount, fits)
    return {one.name: moved * one.weight / weights for one in siblings} if moved > SMALL else {}


def pour(amount: float, destinations: Sequence[Replica], *, in_rotation: bool) -> dict[str, float]:
    """What each destination gets of `amount` when shares are steered: by weight, each up to what it bears."""
    room = {one.name: headroom(one, in_rotation=in_rotation) for one in destinations}
    weight = {one.name: one.weight for one in destinations if room[one.name] > SMALL and one.weight > 0}
    given = dict.fromkeys(weight, 0.0)
    left = amount
    while weight and left > SMALL:
        total = sum(weight.values())
        scale = min(left / total, *((room[name] - given[name]) / share for name, share in weight.items()))
        for name, share in weight.items():
            given[name] += scale * share
        left -= scale * total
        weight = {name: share for name, share in weight.items() if room[name] - given[name] > SMALL}
    return {name: amount for name, amount in given.items() if amount > SMALL}


def unproven(replicas: Sequence[Replica]) -> bool:
    """Whether the capacity of any of them is unknown."""
    return any(one.capacity is None for one in replicas)
