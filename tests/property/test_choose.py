"""What holds for every choice of a containment, whatever the situation."""

import random
from typing import Any

import msgspec
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from controlplane.decide.plan.capacity import headroom
from controlplane.decide.plan.choose import choose
from controlplane.decide.plan.proposal import TIE
from controlplane.model.plan import Choice, Option
from controlplane.model.situation import Call, Replica, RetryCut, Situation
from tests.decide.situations import plan_for

SHARES = st.sampled_from([0.0, 0.01, 0.1, 0.3, 0.5, 0.75, 0.9, 0.99, 1.0])
RATES = st.sampled_from([0.0, 0.5, 3.0, 10.0, 37.0, 100.0, 400.0])
UNKNOWN_RATES = st.one_of(st.none(), RATES)


@st.composite
def replicas(draw: st.DrawFn) -> tuple[Replica, ...]:
    def one(at: int) -> Replica:
        return Replica(
            name=f"r{at}",
            zone=draw(st.sampled_from("ab")),
            version=draw(st.sampled_from(["v1", "v2"])),
            priority=draw(st.sampled_from([0, 0, 0, 1])),
            weight=draw(st.sampled_from([1.0, 1.0, 2.0])),
            load=draw(UNKNOWN_RATES),
            capacity=draw(UNKNOWN_RATES),
            failing=draw(st.one_of(st.none(), SHARES)),
        )

    return tuple(one(at) for at in range(draw(st.integers(0, 5))))


@st.composite
def situations(draw: st.DrawFn) -> Situation:
    services = draw(st.integers(2, 7))
    pairs = [(a, b) for a in range(services) for b in range(services) if a != b]
    edges = draw(st.lists(st.sampled_from(pairs), unique=True, max_size=2 * services))
    pool = draw(replicas())
    named = draw(st.lists(st.sampled_from(pool), unique_by=lambda one: one.name)) if pool else []
    loop = RetryCut(edges=(("s1", "s0"),), before=draw(st.sampled_from([0.5, 1.3])), after=draw(SHARES))
    return Situation(
        origin="s0",
        endpoints=tuple(one.name for one in named),
        zone=draw(st.sampled_from(["", "", "a"])),
        failing=draw(st.one_of(st.none(), SHARES, SHARES)),
        slow=draw(st.one_of(st.none(), SHARES)),
        requests={f"s{at}": draw(UNKNOWN_RATES) for at in range(services)},
        calls=tuple(
            Call(caller=f"s{a}", callee=f"s{b}", traffic=draw(UNKNOWN_RATES), soft=draw(st.booleans()))
            for a, b in edges
        ),
        entries=tuple(f"s{at}" for at in draw(st.sets(st.integers(1, services - 1), max_size=2))),
        blast={f"s{at}": draw(st.one_of(st.none(), SHARES)) for at in range(services)},
        impact_s={f"s{at}": draw(st.sampled_from([None, 5.0, 40.0, float("inf")])) for at in range(services)},
        replicas=pool,
        retries=draw(st.sampled_from([None, loop])),
        changed=draw(st.sampled_from(["", "v2"])),
        capacity=draw(UNKNOWN_RATES),
    )


def feasible(choice: Choice) -> list[Option]:
    return [one for one in choice.considered if not one.forbidden and one.net is not None]


def _acts(choice: Choice) -> list[str]:
    return [str(act) for act in choice.chosen.acts] if choice.chosen else []


def best(choice: Choice) -> float:
    """The best net there is; to do nothing nets 0."""
    return max([0.0, *(one.net or 0.0 for one in feasible(choice))])


@settings(max_examples=150, deadline=None, derandomize=True)
@given(situations())
def test_nothing_moves_that_does_not_fit_and_no_pool_is_emptied(situation: Situation) -> None:
    """Every destination of every feasible option keeps within its room; an ejection leaves the floor standing."""
    pool = {one.name: one for one in situation.replicas}
    for option in feasible(choose(situation)):
        given_to: dict[str, float] = {}
        for act in option.acts:
            if act.do in ("reroute", "fail_over") and act.to in pool:
                given_to[act.to] = given_to.get(act.to, 0.0) + (act.amount or 0.0)
                rotation = act.do == "reroute"
                assert given_to[act.to] <= headroom(pool[act.to], in_rotation=rotation) + 1e-6
        ejected = {act.target.endpoint for act in option.acts if act.do == "eject"}
        if ejected:
            left = [one for one in pool.values() if one.name not in ejected]
            assert len(left) * 100 >= situation.healthy_floor_percent * len(pool)
            gone = sum(pool[name].load or 0.0 for name in ejected)
            shed = sum(act.amount or 0.0 for act in option.acts if act.do == "shed")
            level = min(pool[name].priority for name in ejected)
            siblings = [one for one in left if one.priority == level]
            weights = sum(one.weight for one in siblings)
            for one in siblings:
                assert (gone - shed) * one.weight / weights <= headroom(one, in_rotation=True) + 1e-6


@settings(max_examples=150, deadline=None, derandomize=True)
@given(situations())
def test_figures_stay_within_what_there_is(situation: Situation) -> None:
    """Nobody avoids more harm than there is, gives up less than nothing, or chooses worse than to do nothing."""
    choice = choose(situation)
    for option in choice.considered:
        if option.net is None or choice.harm is None:
            continue
        assert -1e-6 <= (option.avoided or 0.0) <= choice.harm + 1e-6
        assert (option.given_up or 0.0) >= 0
        after = choice.harm - (option.avoided or 0.0) + (option.given_up or 0.0)
        assert after <= sum(rate or 0.0 for rate in situation.requests.values()) + 1e-6
    if choice.chosen is not None:
        assert choice.harm is not None
        assert choice.chosen in feasible(choice)
        assert (choice.chosen.net or 0.0) >= best(choice) - TIE * choice.harm - 1e-6
        assert (choice.chosen.net or 0.0) >= -TIE * choice.harm - 1e-6
        assert choice.why


@settings(max_examples=150, deadline=None, derandomize=True)
@given(situations(), st.integers(0, 1_000))
def test_order_changes_nothing_and_asking_again_neither(situation: Situation, seed: int) -> None:
    """Calls, endpoints and entries in another order: the same answer, to the last bit."""
    shuffle = random.Random(seed)

    def mixed(values: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(shuffle.sample(values, len(values)))

    requests = dict(mixed(tuple(situation.requests.items())))
    again = msgspec.structs.replace(
        situation,
        calls=mixed(situation.calls),
        replicas=mixed(situation.replicas),
        entries=mixed(situation.entries),
        endpoints=mixed(situation.endpoints),
        requests=requests,
    )
    assert msgspec.json.encode(choose(situation)) == msgspec.json.encode(choose(again))


@settings(max_examples=200, deadline=None, derandomize=True)
@given(situations(), SHARES, SHARES)
def test_more_harm_never_makes_the_plan_weaker(situation: Situation, one: float, other: float) -> None:
    """The more users suffer by the same failure, the more the best option nets, and what was worth doing stays so."""

    def suffering(share: float) -> Choice:
        return choose(msgspec.structs.replace(situation, blast=dict.fromkeys(situation.requests, share)))

    less, more = suffering(min(one, other)), suffering(max(one, other))
    assert best(more) >= best(less) - 1e-6
    assert more.chosen is not None or less.chosen is None


@settings(max_examples=100, deadline=None, derandomize=True)
@given(SHARES, SHARES, st.lists(st.tuples(st.booleans(), st.sampled_from([0.2, 0.7, 1.0])), min_size=1, max_size=4))
def test_along_one_way_more_failures_never_make_the_plan_weaker(
    one: float, other: float, way: list[tuple[bool, float]]
) -> None:
    """One chain of calls leads to the users. Where there are two, what fails by one cannot be saved on the other."""
    rates = [100.0]
    for _, needed in way:
        rates.append(rates[-1] * needed)
    names = [f"s{at}" for at in range(len(way), -1, -1)]
    calls = tuple(
        Call(caller=names[at], callee=names[at + 1], traffic=rates[at + 1], soft=soft)
        for at, (soft, _) in enumerate(way)
    )
    chain = Situation(origin="s0", calls=calls, requests=dict(zip(names, rates, strict=True)), capacity=0.8 * rates[-1])
    less, more = (choose(msgspec.structs.replace(chain, failing=share, slow=share)) for share in sorted((one, other)))
    assert best(more) >= best(less) - 1e-6
    assert more.chosen is not None or less.chosen is None


@settings(max_examples=100, deadline=None, derandomize=True)
@given(situations(), st.sampled_from([2.0, 4.0, 0.5]))
def test_twice_the_traffic_is_twice_the_figures(situation: Situation, scale: float) -> None:
    """Uniform scaling of rates and capacities leaves the acts as they are."""

    def times(rate: float | None) -> float | None:
        return None if rate is None else rate * scale

    scaled = msgspec.structs.replace(
        situation,
        requests={name: times(rate) for name, rate in situation.requests.items()},
        calls=tuple(msgspec.structs.replace(call, traffic=times(call.traffic)) for call in situation.calls),
        replicas=tuple(
            msgspec.structs.replace(one, load=times(one.load), capacity=times(one.capacity))
            for one in situation.replicas
        ),
        capacity=times(situation.capacity),
    )
    small, large = choose(situation), choose(scaled)
    assert _acts(small) == _acts(large)
    assert abs(best(large) - scale * best(small)) <= 1e-4


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(3, 9), st.integers(0, 10_000))
def test_the_order_of_nodes_in_the_arrays_changes_nothing(services: int, seed: int) -> None:
    """Rows of the CSR graph in another order, with their names: the same choice."""
    numbers = np.random.default_rng(seed)
    dense = numbers.random((services, services)) < 0.35
    np.fill_diagonal(dense, val=False)
    traffic, soft = numbers.integers(1, 50, dense.shape).astype(float), numbers.random(dense.shape) < 0.3
    requests, impact = numbers.integers(50, 200, services).astype(float), numbers.uniform(1, 90, services)

    def ask(order: np.ndarray[Any, Any]) -> bytes:
        graph = dense[np.ix_(order, order)]
        rows, columns = np.nonzero(graph)
        choice = plan_for(
            [f"s{at}" for at in order],
            np.concatenate([[0], np.cumsum(graph.sum(axis=1))]),
            columns,
            origin=int(np.flatnonzero(order == 0)[0]),
            failing=0.6,
            slow=0.6,
            traffic=traffic[np.ix_(order, order)][rows, columns],
            soft=soft[np.ix_(order, order)][rows, columns],
            requests=requests[order],
            impact_s=impact[order],
        )
        return msgspec.json.encode(choice)

    assert ask(np.arange(services)) == ask(numbers.permutation(services))
