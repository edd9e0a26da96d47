"""Which calls to refuse: prices, and how near the ways that are tried come to the best of all."""

import random

import pytest

from controlplane.decide.plan.choose import choose
from controlplane.decide.plan.edges import cut_between, price, worth_of
from controlplane.decide.plan.harm import Spread
from controlplane.decide.plan.proposal import Proposal
from controlplane.decide.plan.weigh import Scale
from controlplane.model.plan import Act
from controlplane.model.signal import Target
from controlplane.model.situation import Call, Situation
from tests.decide.situations import chain

EDGES_MAX = 9


def drawn(seed: int) -> Situation:
    """A random acyclic graph of up to six services, with fallbacks and pools that fill."""
    draw = random.Random(seed)
    services = draw.randint(3, 6)
    requests: dict[str, float | None] = {f"s{at}": draw.uniform(20, 100) for at in range(services)}
    calls = tuple(
        Call(
            caller=f"s{a}",
            callee=f"s{b}",
            traffic=draw.uniform(0.1, 1) * (requests[f"s{a}"] or 0.0),
            soft=draw.random() < 0.4,
        )
        for a in range(services)
        for b in range(a)
        if draw.random() < 0.6
    )
    failing = draw.choice([0.2, 0.5, 0.8, 0.95])
    impact_s = {f"s{at}": draw.choice([None, 5.0, 20.0, 50.0]) for at in range(services)}
    return Situation(
        origin="s0",
        failing=failing,
        slow=failing * draw.choice([0, 0.5, 1]),
        requests=requests,
        calls=calls,
        impact_s=impact_s,
    )


def exhaustive(spread: Spread) -> float:
    """The best net of every set of refused calls, none of them included."""
    scale, edges = Scale(spread), [(call.caller, call.callee) for call in spread.calls]
    act = Act(do="isolate", target=Target(spread.situation.origin))
    best = 0.0
    for mask in range(1, 1 << len(edges)):
        refused = tuple(edge for at, edge in enumerate(edges) if mask >> at & 1)
        best = max(best, scale.weigh(Proposal(acts=(act,), answer=spread.now, refused=refused)).net or 0.0)
    return best


def test_what_is_tried_is_nearly_as_good_as_the_best_of_all() -> None:
    """On 120 random graphs, against every subset of calls: nearly always the same, and never better."""
    ratios = []
    for seed in range(120):
        situation = drawn(seed)
        spread = Spread(situation, situation.failing or 0.0)
        if len(spread.calls) > EDGES_MAX or (best := exhaustive(spread)) < 0.01:
            continue
        mine = max([0.0, *(one.net or 0.0 for one in choose(situation).considered if not one.forbidden)])
        assert mine <= best + 1e-6
        ratios.append(mine / best)
    assert len(ratios) > 80
    assert sum(ratio > 0.99 for ratio in ratios) >= 0.95 * len(ratios)
    assert sum(ratios) >= 0.98 * len(ratios)


def test_a_request_is_worth_what_of_it_reaches_a_user() -> None:
    """Below a fallback a tenth; below two callers the mean, weighted by their traffic."""
    calls = (
        Call(caller="web", callee="a", traffic=30.0, soft=True),
        Call(caller="app", callee="a", traffic=10.0),
        Call(caller="a", callee="db", traffic=40.0),
    )
    spread = Spread(Situation(origin="db", calls=calls), 0.5)
    worth = worth_of(spread, spread.entries)
    assert worth["a"] == pytest.approx((30 * 0.1 + 10) / 40)


def test_a_price_is_what_users_lose_and_unknown_traffic_has_a_bound() -> None:
    """A call never counted costs as much as all requests of its caller; without these it has no price."""
    spread = Spread(chain(0.5), 0.5)
    known = spread.calls[0]
    assert (known.caller, price(spread, known, 1.0)) == ("orders", pytest.approx(20))
    assert price(spread, known, 0.25) == pytest.approx(5)
    assert price(spread, Call(caller="web", callee="db"), 1.0) == pytest.approx(50)
    assert price(spread, Call(caller="stranger", callee="db"), 1.0) is None
    assert price(spread, Call(caller="orders", callee="db", traffic=40.0, cuttable=False), 1.0) is None


def test_an_upstream_service_that_would_fill_up_is_not_written_off() -> None:
    """The cut is at the origin, although orders itself would be lost within seconds if nothing were done."""
    spread = Spread(chain(0.5, slow=0.5, impact_s={"orders": 1.0}), 0.5)
    assert [(call.caller, call.callee) for call in cut_between(spread, ("web",)) or []] == [("orders", "db")]
