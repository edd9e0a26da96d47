"""Options at the endpoints of the origin: eject, reroute, fail over, roll back. Each is checked for room first."""

from collections.abc import Mapping, Sequence

import msgspec

from controlplane.decide.plan import capacity
from controlplane.decide.plan.proposal import Origin, Proposal, spared
from controlplane.model.plan import Act, Do
from controlplane.model.signal import Target
from controlplane.model.situation import Replica

REROUTE_MAX = (
    0.9  # of a part's traffic: weights are steered, never binary; what stays shows when the part is well again
)
FAIL_OVER_S = 5.0  # until a standby carries its share: connections and caches are cold
ROLL_BACK_S = 30.0  # until the version before serves: a rolling restart in steps


def at_endpoints(origin: Origin) -> list[Proposal]:
    """Everything that could be done at the endpoints, also what a rule forbids."""
    if not origin.situation.replicas:
        return [_cannot(origin, do, "invalid_data", "its endpoints are not known") for do in ("eject", "reroute")] + (
            roll_back(origin)
        )
    return [eject(origin), reroute(origin), *fail_over(origin), *roll_back(origin)]


def eject(origin: Origin) -> Proposal:
    """The bad endpoints get nothing; what their siblings do not bear is shed."""
    acts = tuple(Act(do="eject", target=Target(origin.name, one.name)) for one in origin.bad)
    found = _movable(origin, "eject")
    if isinstance(found, Proposal):
        return found
    load, failing, level = found
    siblings = [one for one in origin.good if one.priority == level]
    every, left = len(origin.situation.replicas), len(origin.good)
    if not left or left * 100 < origin.situation.healthy_floor_percent * every:
        need = f"{origin.situation.healthy_floor_percent} % must stay"
        return _refused(acts, "healthy_floor", f"{left} of {every} endpoints would be left, {need}")
    if len(capacity.healthier(siblings, failing)) < len(siblings) or not siblings:
        return _refused(acts, "correlated_cause", "its siblings are not known to be better")
    moved = capacity.by_weight(load, siblings)
    rest = load - sum(moved.values())
    if not moved:
        return _refused(acts, *_no_room(siblings))
    why = f"{_fits(moved, load)}{_proof(siblings)}"
    if rest > capacity.SMALL:
        acts += (Act(do="shed", target=Target(origin.name), percent=_percent(rest, origin.load), amount=rest),)
        why += f"; {rest:.4g} are shed"
    return _moved(origin, acts, moved, failing, shed=rest, why=why)


def reroute(origin: Origin) -> Proposal:
    """As much of the bad endpoints' traffic as fits goes to better ones in rotation; the rest stays."""
    found = _movable(origin, "reroute")
    if isinstance(found, Proposal):
        return found
    load, _, level = found
    siblings = [one for one in origin.good if one.priority == level]
    return _steered(origin, (("reroute", REROUTE_MAX * load, siblings),), found)


def fail_over(origin: Origin) -> list[Proposal]:
    """As much as fits goes to endpoints that stand by, alone or after siblings are full; also where all of these fail.

    A standby that gets no traffic counts as well only where something asks it (an active probe): `failing` is then 0.
    """
    level = min(one.priority for one in origin.bad or origin.good)
    serving = tuple(one for one in origin.bad if one.priority == level)
    others = tuple(one for one in origin.situation.replicas if one not in serving)
    narrowed = msgspec.structs.replace(origin, bad=serving, good=others)
    found = _movable(narrowed, "fail_over")
    if isinstance(found, Proposal):
        return [found]
    standby = [one for one in others if one.priority > level]
    if not standby:
        return [_refused((_act(narrowed, "fail_over"),), "no_destination", f"nothing stands by for {origin.name}")]
    alone = _steered(narrowed, (("fail_over", found[0], standby),), found)
    siblings = capacity.healthier([one for one in others if one.priority == level], found[1])
    if alone.rule or not capacity.pour(found[0], siblings, in_rotation=True):
        return [alone]
    both: tuple[Stage, ...] = (("reroute", REROUTE_MAX * found[0], siblings), ("fail_over", found[0], standby))
    return [alone, _steered(narrowed, both, found)]


def roll_back(origin: Origin) -> list[Proposal]:
    """The version before the last change comes back, where the failing endpoints are those of the change."""
    situation = origin.situation
    if not situation.changed:
        return []
    act = Act(
        do="roll_back",
        target=Target(origin.name),
        part=f"version {situation.changed}",
        to=f"version {situation.previous}" if situation.previous else "the version before",
    )
    if any(one.version != situation.changed for one in origin.bad):
        return [_refused((act,), "not_the_change", f"endpoints fail that do not run {situation.changed}")]
    well = [one.name for one in origin.good if one.version == situation.changed and one.failing is not None]
    if well:
        reason = f"{', '.join(well)} run{'s' * (len(well) == 1)} {situation.changed} and {_are(well)} well"
        return [_refused((act,), "not_the_change", reason)]
    load, failing = origin.bad_load(), origin.bad_failing()
    remaining = 0.0
    if origin.good and load is not None and failing is not None and origin.load:
        remaining = origin.now.failing - load * failing / origin.load
    return [
        Proposal(
            acts=(act,),
            answer=origin.answer(remaining),
            delay_s=ROLL_BACK_S,
            heals=True,
            why=f"{situation.changed} came last, and nothing else fails; it takes {ROLL_BACK_S:g} s to be back",
        )
    ]


Movable = tuple[float, float, int]
"""Load of the bad endpoints, the share of it that is harmed, the priority they serve at."""


def _movable(origin: Origin, do: Do) -> Proposal | Movable:
    if not origin.bad:
        return _cannot(origin, do, "invalid_data", f"no endpoint of {origin.name} is {origin.part}")
    if not origin.good:
        return _cannot(origin, do, "correlated_cause", f"all {len(origin.bad)} endpoints fail together")
    load, failing = origin.bad_load(), origin.bad_failing()
    if load is None or failing is None or not origin.load:
        return _cannot(origin, do, "invalid_data", "load or failures of the bad endpoints are not known")
    return load, failing, min(one.priority for one in origin.bad)


Stage = tuple[Do, float, Sequence[Replica]]
"""What to do, with at most how many requests per second, and where to."""


def _steered(origin: Origin, stages: Sequence[Stage], found: Movable) -> Proposal:
    """Traffic steered stage by stage: what did not fit into one goes to the next, what fits nowhere stays."""
    load, failing, _ = found
    last = stages[-1][0]
    left, moved, acts, asked = load, dict[str, float](), list[Act](), list[Replica]()
    for do, most, others in stages:
        better = capacity.healthier(others, failing)
        asked += better
        taken = capacity.pour(min(most, left), better, in_rotation=do == "reroute")
        acts += (
            msgspec.structs.replace(_act(origin, do), to=to, percent=_percent(amount, load), amount=amount)
            for to, amount in _grouped(origin, taken).items()
        )
        moved |= taken
        left -= sum(taken.values())
    if not asked:
        return _cannot(origin, last, "no_destination", "no endpoint is known to be better")
    if not moved:
        return _cannot(origin, last, *_no_room(asked))
    why = f"{_fits(moved, load)}{_proof(asked)}" + (f"; {left:.4g} stay" if left > capacity.SMALL else "")
    delay_s = FAIL_OVER_S if last == "fail_over" else 0.0
    return _moved(origin, tuple(acts), moved, failing, why=why, delay_s=delay_s)


def _moved(
    origin: Origin,
    acts: tuple[Act, ...],
    moved: Mapping[str, float],
    failing: float,
    *,
    why: str,
    shed: float = 0.0,
    delay_s: float = 0.0,
) -> Proposal:
    """The origin once `moved` has gone to endpoints that fail less; what is shed would have failed in part anyhow."""
    assert origin.load
    share = {one.name: one.failing or 0.0 for one in origin.situation.replicas}
    gained = sum(amount * (failing - share[name]) for name, amount in moved.items())
    answer = origin.answer(origin.now.failing - gained / origin.load, shed * (1 - failing) / origin.load)
    return Proposal(
        acts=acts, answer=answer, why=why, delay_s=delay_s, relief=spared(shed, failing * origin.now.vain), heals=True
    )


def _grouped(origin: Origin, moved: Mapping[str, float]) -> dict[str, float]:
    """`moved` by zone or version where the failure is narrowed down by one, else by endpoint."""
    where = {one.name: one for one in origin.situation.replicas}
    groups: dict[str, float] = {}
    for name, amount in moved.items():
        one = where[name]
        zone = origin.situation.zone and one.zone
        version = origin.situation.version and one.version
        key = f"zone {zone}" if zone else f"version {version}" if version else name
        groups[key] = groups.get(key, 0.0) + amount
    return groups


def _act(origin: Origin, do: Do) -> Act:
    target = origin.target()
    return Act(do=do, target=target, part="" if target.endpoint else origin.part)


def _cannot(origin: Origin, do: Do, rule: str, why: str) -> Proposal:
    return _refused((_act(origin, do),), rule, why)


def _refused(acts: tuple[Act, ...], rule: str, why: str) -> Proposal:
    return Proposal(acts=acts, rule=rule, why=why)


def _no_room(replicas: Sequence[Replica]) -> tuple[str, str]:
    if capacity.unproven(replicas):
        return "unknown_capacity", f"what {_list([one.name for one in replicas])} bear is not known"
    return "capacity", f"{_list([one.name for one in replicas])} have no room"


def _fits(moved: Mapping[str, float], load: float) -> str:
    return f"{_list(moved)}: {sum(moved.values()):.4g} of {load:.4g} requests/s fit"


def _proof(replicas: Sequence[Replica]) -> str:
    return ", no more is proven" if capacity.unproven(replicas) else ""


def _percent(amount: float, whole: float | None) -> float | None:
    return 100 * amount / whole if whole else None


def _list(names: Mapping[str, float] | Sequence[str]) -> str:
    found = list(names)
    return ", ".join(found) if len(found) <= 4 else f"{', '.join(found[:3])} and {len(found) - 3} more"


def _are(names: Sequence[str]) -> str:
    return "is" if len(names) == 1 else "are"
