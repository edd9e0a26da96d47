"""What must not matter to the answer does not, and what must never be blamed never is; on made-up fleets."""

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.fleet import FAULTS, case
from controlplane.decide.analysis.origin import judge
from controlplane.decide.analysis.window import Window

seeds = st.integers(0, 10_000)
faults = st.sampled_from(FAULTS)
modest = settings(max_examples=25, deadline=None)


def shuffled(window: Window, order: np.ndarray, edge_order: np.ndarray) -> Window:
    place = np.argsort(order)
    return msgspec.structs.replace(
        window,
        services=tuple(window.services[v] for v in order),
        edges=place[window.edges][edge_order],
        service={name: values[:, order] for name, values in window.service.items()},
        edge={name: values[:, edge_order] for name, values in window.edge.items()},
        entry=None if window.entry is None else int(place[window.entry]),
    )


@modest
@given(seeds, faults, st.booleans())
def test_the_order_of_services_and_calls_does_not_matter(seed: int, fault: str, rich: bool) -> None:
    """Scores move with their services."""
    window = case(seed, rich=rich, fault=fault).window
    random = np.random.default_rng(seed)
    order = random.permutation(len(window.services))
    other = shuffled(window, order, random.permutation(len(window.edges)))
    assert judge(other).score == pytest.approx(judge(window).score[order], abs=1e-6)


@modest
@given(seeds, faults, st.booleans(), st.integers(2, 50))
def test_more_of_the_same_traffic_keeps_the_order(seed: int, fault: str, rich: bool, factor: int) -> None:
    """All requests times a number, without log lines: who was accused stays accused, with the same first."""
    window = case(seed, rich=rich, fault=fault).window
    grown = msgspec.structs.replace(
        window,
        service={n: v * factor if n == "requests" else v for n, v in window.service.items()},
        edge={n: v * factor if n == "requests" else v for n, v in window.edge.items()},
    )
    before, after = judge(window).score, judge(grown).score
    if before.max() > 0.6:
        assert after.argmax() == before.argmax()


@modest
@given(seeds, faults, st.booleans())
def test_mass_is_conserved(seed: int, fault: str, rich: bool) -> None:
    """Scores and the unexplained sum to one, or all is zero."""
    verdict = judge(case(seed, rich=rich, fault=fault).window)
    assert (verdict.score >= 0).all()
    total = float(verdict.score.sum()) + verdict.unexplained
    assert total == pytest.approx(1.0 if verdict.score.any() else 0.0, abs=1e-6)


@modest
@given(seeds)
def test_a_pure_relay_is_never_blamed(seed: int) -> None:
    """A chain of any length that passes on what its last service does: only the last one is accused."""
    random = np.random.default_rng(seed)
    length, normal, bad = int(random.integers(2, 9)), 40, 3
    requests = np.full((normal + bad, length), float(random.integers(200, 100_000)))
    ratio = np.full((normal + bad, length), 0.001)
    ratio[normal:] = random.uniform(0.1, 1.0)
    window = Window(
        bucket_s=60.0,
        services=tuple(f"s{v}" for v in range(length)),
        edges=np.array([[v, v + 1] for v in range(length - 1)]),
        incident_at=normal,
        service={"requests": requests, "error_ratio": ratio},
        entry=0,
        metric="availability",
    )
    score = judge(window).score
    assert score.argmax() == length - 1
    assert score[:-1].max() == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize(("rich", "floor"), [(True, (0.93, 0.95, 0.95)), (False, (0.85, 0.88, 0.9))])
def test_made_up_incidents_are_attributed(rich: bool, floor: tuple[float, float, float]) -> None:
    """Top-1, top-3 and top-5 on 63 fleets, with every signal and with those of services only."""
    kinds = [fault for fault in FAULTS if rich or fault != "network"]
    ranks = []
    for seed in range(63):
        made = case(seed, rich=rich, fault=kinds[seed % len(kinds)])
        score = judge(made.window).score
        assert made.truth is not None
        mine = score[made.truth]
        ranks.append(int((score > mine).sum()) if mine > 0 else len(score))
    for first, least in zip((1, 3, 5), floor, strict=True):
        assert np.mean([rank < first for rank in ranks]) >= least


@pytest.mark.parametrize("rich", [True, False])
def test_healthy_fleets_are_left_in_peace(rich: bool) -> None:
    """At least 95 of 100 healthy fleets accuse nobody."""
    empty = [not judge(case(500_000 + seed, rich=rich, fault=None).window).score.any() for seed in range(100)]
    assert np.mean(empty) >= 0.95
