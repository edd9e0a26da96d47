"""Options about load: shed what the origin does not bear, the least important first; stop the retries that feed it;
let nobody wait for slow answers for so long that all its slots are taken."""

import math

import msgspec

from controlplane.decide.plan import capacity
from controlplane.decide.plan.harm import Answer, Spread
from controlplane.decide.plan.proposal import Origin, Proposal, spared
from controlplane.model.plan import Act
from controlplane.model.signal import Target
from controlplane.model.situation import RetryCut

DEADLINE_FACTOR = 3.0  # of the usual latency
LATE_ANYHOW = 0.014  # of healthy answers, lognormal with sigma 0.5, take longer than DEADLINE_FACTOR medians
DEADLINE_MIN_MS = 10  # timers of event loops and networks are no finer than a few milliseconds
CLASSES = ("sheddable", "default", "critical")  # in the order in which they are refused


def shed(origin: Origin) -> Proposal:
    """Refuse so much that the rest fits into UTILISATION_MAX of the capacity, where load is what it fails by."""
    bears, load = bears_of(origin), origin.load
    act = Act(do="shed", target=Target(origin.name))
    if bears is None:
        return Proposal(acts=(act,), rule="unknown_capacity", why=f"what {origin.name} bears is not known")
    if not load:
        return Proposal(acts=(act,), rule="invalid_data", why=f"the load of {origin.name} is not known")
    if load <= bears:
        return Proposal(acts=(act,), rule="not_overloaded", why=f"{load:.4g} requests/s, {bears:.4g} fit")
    over = load - capacity.UTILISATION_MAX * bears
    doomed = over * origin.now.failing  # of what is shed, this would have failed anyhow
    answer = origin.answer(doomed / load, (over - doomed) / load)
    acts = tuple(
        Act(do="shed", target=Target(origin.name), part=part, percent=100 * amount / load, amount=amount)
        for part, amount in classes(over, origin.situation.demand)
    )
    why = f"{load:.4g} requests/s are offered and {bears:.4g} fit: {over:.4g} are refused, the least important first"
    return Proposal(acts=acts, answer=answer, relief=spared(over, origin.now.failing * origin.now.vain), why=why)


def bears_of(origin: Origin) -> float | None:
    """Requests per second that the origin bears: its own figure, else that of all of its endpoints together."""
    if origin.situation.capacity is not None:
        return origin.situation.capacity
    known = [one.capacity for one in origin.situation.replicas if one.capacity is not None]
    return sum(known) if known and len(known) == len(origin.situation.replicas) else None


def classes(amount: float, demand: tuple[float, ...]) -> list[tuple[str, float]]:
    """`amount` over the classes of requests, the least important first; without their figures, over all alike."""
    shares: list[tuple[str, float]] = []
    left = amount
    for name, offered in zip(CLASSES, demand, strict=False):
        taken = min(left, offered)
        if taken > capacity.SMALL:
            shares.append((name, taken))
        left -= taken
    return [*shares, ("", left)] if left > capacity.SMALL else shares


def cap_retries(origin: Origin) -> Proposal | None:
    """Stop the retries on the fewest edges that bring R below 1; None where there are none to stop."""
    retries = origin.situation.retries
    if retries is None or not retries.edges:
        return None
    acts = tuple(
        Act(do="cap_retries", target=Target(callee), caller=caller) for caller, callee in sorted(set(retries.edges))
    )
    if retries.after >= 1:
        return Proposal(acts=acts, rule="no_effect", why=f"R stays {retries.after:.3g} without them")
    why = f"R falls from {retries.before:.3g} to {retries.after:.3g}"
    return Proposal(acts=acts, answer=without_retries(origin, retries, origin.now), why=why)


def tighten(origin: Origin, spread: Spread) -> list[Proposal]:
    """Let a call take a few times its usual latency at most, where slow answers fill the pools of those who wait.

    What would have been answered too late fails at once: for users that is the same, and callers keep their slots. It
    is an option only where a pool is known to fill within the horizon, and where the usual latency is known.
    """
    situation = origin.situation
    times = [at for name, at in situation.impact_s.items() if at is not None and name != origin.name]
    if not origin.now.slow or situation.usual_s is None or situation.taking_s is None or not times:
        return []
    deadline_ms = max(DEADLINE_MIN_MS, math.ceil(DEADLINE_FACTOR * situation.usual_s * 1000))
    act = Act(do="tighten", target=Target(origin.name), to=f"{deadline_ms} ms", deadline_ms=deadline_ms)
    soonest = min(times)
    if soonest > situation.horizon_s:
        return [Proposal(acts=(act,), rule="no_effect", why="no pool fills while it is awaited")]
    held = deadline_ms / 1000 / situation.taking_s if situation.taking_s else math.inf
    if held >= 1:
        return [Proposal(acts=(act,), rule="no_effect", why=f"answers take no longer: {situation.taking_s:.3g} s")]
    late = LATE_ANYHOW * (1 - spread.now.failing)
    answer = msgspec.structs.replace(spread.now, slow=0.0, late=0.0, refused=late, held=held)
    why = f"a pool would be full in {soonest:.3g} s; each slow call holds its slot for {held:.0%} of the time"
    return [Proposal(acts=(act,), answer=answer, why=why)]


def without_retries(origin: Origin, retries: RetryCut, answer: Answer) -> Answer:
    """`answer` once the loop is no longer fed: what a trigger t makes fail is t / (1 - R).

    So a failure shrinks by (1 - R before) / (1 - R after), and where it fed itself, only retries kept it up and it
    goes. A trigger that is known to last keeps its own share, and so does load that is too much without any retry. What
    retries rescue now is given up.
    """
    kept = 0.0 if retries.feeds_itself else (1 - retries.before) / (1 - retries.after)
    failing = answer.failing * min(1.0, kept)
    if retries.trigger is not None:
        failing = max(failing, retries.trigger / (1 - retries.after))
    bears, requests = bears_of(origin), origin.situation.requests.get(origin.name)
    if bears is not None and requests:
        failing = max(failing, 1 - bears / requests)
    failing = min(answer.failing, failing)
    rescued = failing * (1 - failing)  # at most: one in so many fails first and succeeds when tried again
    if retries.rescued is not None and origin.load:
        rescued = retries.rescued / origin.load
    return origin.answer(failing, answer.refused + rescued)
