"""What users see of a failure: the model by which options are weighed."""

import random

import pytest

from controlplane.decide.plan.harm import Answer, Spread, upstream
from controlplane.model.situation import Call, Situation
from tests.decide.situations import chain


def lasting(situation: Situation, name: str) -> float:
    return Spread(situation, situation.failing or 0.0).before[name].lasting


def test_a_hard_call_passes_on_the_share_that_needs_it() -> None:
    """40 of 100 requests need what fails half of the time."""
    assert lasting(chain(0.5), "orders") == pytest.approx(0.5)
    assert lasting(chain(0.5), "web") == pytest.approx(0.2)


def test_a_fallback_answers_what_fails_at_once_and_not_what_is_waited_for() -> None:
    """Errors cost what the fallback costs; slow answers cost the whole."""
    soft = (Call(caller="web", callee="db", traffic=100.0, soft=True, fallback_cost=0.25),)
    given = {"origin": "db", "failing": 0.4, "calls": soft, "requests": {"web": 100.0}}
    assert lasting(Situation(**given), "web") == pytest.approx(0.1)  # type: ignore[arg-type]
    assert lasting(Situation(**given, slow=0.4), "web") == pytest.approx(0.4)  # type: ignore[arg-type]


def test_two_ways_to_the_origin_fail_as_two_chances() -> None:
    """A caller is well when all of its calls are."""
    calls = (
        Call(caller="web", callee="a", traffic=100.0),
        Call(caller="web", callee="b", traffic=100.0),
        Call(caller="a", callee="db", traffic=10.0),
        Call(caller="b", callee="db", traffic=10.0),
    )
    two = Situation(origin="db", failing=0.5, calls=calls, requests={"web": 100.0, "a": 10.0, "b": 10.0})
    assert lasting(two, "web") == pytest.approx(0.75)


def test_a_caller_whose_pool_fills_fails_altogether_for_the_rest_of_the_horizon() -> None:
    """Full after 15 of 60 seconds: three quarters of all its requests, and 50 % of the others."""
    assert lasting(chain(0.5, impact_s={"orders": 15.0}), "orders") == pytest.approx(1 - 0.25 * 0.5)


def test_who_is_refused_at_once_does_not_fill_up() -> None:
    """The cut edge loses all of its requests, and the caller keeps the rest."""
    spread = Spread(chain(0.5, slow=0.5, impact_s={"web": 6.0}), 0.5)
    assert spread.before["web"].lasting == pytest.approx(1 - 0.1 * 0.8)
    cut = spread.harm(spread.now, [("orders", "db")])
    assert cut["web"].total == pytest.approx(0.4)
    assert cut["web"].lasting == pytest.approx(0.2)
    assert cut["web"].reach == 0.0


def test_half_the_failure_takes_twice_as_long_to_fill_a_pool() -> None:
    """20 s to the brim become 40 s."""
    spread = Spread(chain(0.5, impact_s={"orders": 20.0}), 0.5)
    halved = spread.harm(Answer(failing=0.25))
    assert halved["orders"].lasting == pytest.approx(1 - (40 / 60) * 0.75)


def oracle(situation: Situation, name: str, cut: frozenset[tuple[str, str]]) -> tuple[float, float, float, float]:
    """Equations 2 and 3 by plain recursion: lasting, total, slow, reach. No memory, no order, no cycles."""
    if name == situation.origin:
        failing, slow = situation.failing or 0.0, situation.slow or 0.0
        return failing, failing, slow, failing
    well = [1.0, 1.0, 1.0, 1.0]
    for call in situation.calls:
        if call.caller != name:
            continue
        lasting, total, slow, reach = oracle(situation, call.callee, cut)
        p, loss = (call.traffic or 0.0) / (situation.requests[name] or 1.0), call.fallback_cost if call.soft else 1.0
        passed = [p * (slow + loss * (lasting - slow)), p * (slow + loss * (total - slow)), p * slow, p * reach]
        if (call.caller, call.callee) in cut:
            passed = [p * loss * lasting, p * loss, 0.0, 0.0]
        well = [one * (1 - share) for one, share in zip(well, passed, strict=True)]
    return 1 - well[0], 1 - well[1], 1 - well[2], 1 - well[3]


@pytest.mark.parametrize("seed", range(20))
def test_the_sweep_is_the_recursion(seed: int) -> None:
    """On random acyclic graphs, with random edges refused."""
    draw = random.Random(seed)
    pairs = [(a, b) for a in range(7) for b in range(a) if draw.random() < 0.5]
    calls = tuple(
        Call(caller=f"s{a}", callee=f"s{b}", traffic=draw.uniform(0, 10), soft=draw.random() < 0.3) for a, b in pairs
    )
    requests: dict[str, float | None] = {f"s{at}": 10.0 for at in range(7)}
    situation = Situation(origin="s0", failing=0.7, slow=0.4, calls=calls, requests=requests)
    spread = Spread(situation, 0.7)
    cut = frozenset((call.caller, call.callee) for call in spread.calls if draw.random() < 0.2)
    for name, harm in spread.harm(spread.now, cut).items():
        found = (harm.lasting, harm.total, harm.slow, harm.reach)
        assert found == pytest.approx(oracle(situation, name, cut))


def test_calls_in_a_circle_come_to_rest() -> None:
    """a and b call each other: the least shares that satisfy both."""
    calls = (
        Call(caller="a", callee="b", traffic=5.0),
        Call(caller="b", callee="a", traffic=5.0),
        Call(caller="b", callee="db", traffic=10.0),
    )
    circle = Situation(origin="db", failing=0.5, calls=calls, requests={"a": 10.0, "b": 10.0})
    spread = Spread(circle, 0.5)
    a, b = spread.before["a"].lasting, spread.before["b"].lasting
    assert a == pytest.approx(0.5 * b)
    assert b == pytest.approx(1 - 0.5 * (1 - 0.5 * a))


def test_only_callers_above_the_origin_count() -> None:
    """What the origin itself calls, and what never reaches it, is none of this failure's ways."""
    calls = (
        Call(caller="web", callee="db"),
        Call(caller="db", callee="disk"),
        Call(caller="other", callee="cache"),
        Call(caller="db", callee="web"),
    )
    situation = Situation(origin="db", calls=calls)
    found = upstream(situation)
    assert [(call.caller, call.callee) for call in found] == [("web", "db")]
    assert Spread(situation, 0.5).entries == ("web",)
