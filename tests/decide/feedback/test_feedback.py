"""R and the verdict on loops small enough to work out by hand."""

import numpy as np
import pytest

from controlplane.decide.feedback.loop import Loop, from_telemetry, reproduction_number, verdict

CHAIN = (np.array([0, 1, 2, 3, 3]), np.array([1, 2, 3]))  # users -> a -> b -> c


def chain(*, utilisation: float, attempts: float, budget: float = np.inf, layers: int = 3) -> Loop:
    """Users and three services in a row, the last of which takes so much of its capacity; `layers` of edges retry."""
    tries = np.where(np.arange(3) >= 3 - layers, attempts, 1.0)
    return Loop(
        *CHAIN,
        base=[100.0, 0.0, 0.0, 0.0],
        capacity=[np.inf, 1e5, 1e5, 100.0 / utilisation],
        calls=1.0,
        attempts=tries,
        budget=budget,
    )


def test_a_call_matrix_without_circles_has_radius_zero_and_the_loop_has_not() -> None:
    """Calls alone never come back, so their matrix is nilpotent; the load that failures bring back makes R positive."""
    loop = chain(utilisation=0.95, attempts=3.0)
    calls = np.zeros((4, 4))
    calls[[0, 1, 2], [1, 2, 3]] = 1.0
    assert np.max(np.abs(np.linalg.eigvals(calls))) == 0.0
    assert reproduction_number(loop, np.full(4, 0.01)) > 1.0


def test_r_is_zero_without_retries() -> None:
    """Who never tries again brings no load back, however full everything is."""
    assert reproduction_number(chain(utilisation=0.999, attempts=1.0), np.full(4, 0.5)) == 0.0


def test_r_of_one_service_is_slope_times_slope() -> None:
    """With one retrying edge, R is (load per failure share) x (failure share per load), as worked out by hand."""
    loop = Loop(
        np.array([0, 1, 1]), np.array([1]), base=[90.0, 0.0], capacity=[np.inf, 100.0], calls=1.0, attempts=2.0,
        patience=30.0, queue=60.0,
    )  # fmt: skip
    failing = np.array([0.0, 0.05])
    load = 90.0 * 1.05
    step = 1e-5

    def overflow(at: float) -> float:
        ratio = at / 100.0
        return (ratio**30 - ratio**61) / (1 - ratio**61)

    rise = (overflow(load + step) - overflow(load - step)) / (2 * step)
    assert reproduction_number(loop, failing) == pytest.approx(90.0 * rise, rel=1e-6)


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_the_amplification_is_attempts_to_the_power_of_the_layers_that_retry(layers: int) -> None:
    """Three attempts in each of d layers make 3^d requests of one; with a budget of 20 % they make 1.2^d."""
    assert verdict(chain(utilisation=0.1, attempts=3.0, layers=layers)).amplification[3] == pytest.approx(3.0**layers)
    budgeted = chain(utilisation=0.1, attempts=3.0, budget=0.2, layers=layers)
    assert verdict(budgeted).amplification[3] == pytest.approx(1.2**layers)


@pytest.mark.parametrize(("utilisation", "attempts", "stays"), [(0.3, 2.0, True), (0.1, 2.0, False), (0.3, 1.0, False)])
def test_a_failure_stays_where_utilisation_times_amplification_is_over_one(
    utilisation: float, attempts: float, stays: bool
) -> None:
    """2^3 times 0.3 is too much, 2^3 times 0.1 is not, and without retries nothing stays."""
    found = verdict(chain(utilisation=utilisation, attempts=attempts))
    assert found.metastable is stays
    assert found.clears is not stays
    assert (found.reproduction_number > 1.0) is stays
    assert bool(found.utilisation[3] * found.amplification[3] > 1.0) is stays


def test_the_verdict_names_the_services_that_stay_stuck() -> None:
    """What hangs on the service that stays full is stuck with it; a branch beside it is not."""
    loop = Loop(
        np.array([0, 2, 2, 2]), np.array([1, 2]), base=[100.0, 0.0, 0.0], capacity=[np.inf, 140.0, 1000.0], calls=1.0,
        attempts=2.0,
    )  # fmt: skip
    found = verdict(loop)
    assert found.stuck.tolist() == [True, True, False]
    assert found.load[1] == pytest.approx(200.0, rel=1e-3)


def test_a_fallback_keeps_the_caller_from_being_stuck() -> None:
    """Where nobody needs the answer, the callee alone stays stuck."""
    loop = Loop(
        np.array([0, 1, 1]),
        np.array([1]),
        base=[100.0, 0.0],
        capacity=[np.inf, 140.0],
        calls=1.0,
        attempts=2.0,
        need=0.0,
    )
    assert verdict(loop).stuck.tolist() == [False, True]


def test_too_much_load_in_any_case_does_not_clear_and_is_not_metastable() -> None:
    """An overload that needs no retry to last is told from one that feeds itself."""
    found = verdict(chain(utilisation=1.2, attempts=1.0))
    assert not found.clears
    assert not found.metastable


def test_a_state_that_has_not_failed_enough_falls_back() -> None:
    """The same loop clears from a small failure and stays from a large one: that is what metastable means."""
    loop = chain(utilisation=0.3, attempts=2.0)
    assert verdict(loop, np.full(4, 0.2)).clears
    assert verdict(loop, np.full(4, 0.9)).metastable


def test_a_queue_shorter_than_patience_refuses_and_recovers() -> None:
    """Refusals cost no capacity: the share that is served passes, and where that is enough the failure dies out."""
    late = Loop(
        np.array([0, 1, 1]), np.array([1]), base=[100.0, 0.0], capacity=[np.inf, 140.0], calls=1.0, attempts=2.0,
        patience=50.0, queue=200.0,
    )  # fmt: skip
    short = Loop(
        np.array([0, 1, 1]), np.array([1]), base=[100.0, 0.0], capacity=[np.inf, 140.0], calls=1.0, attempts=2.0,
        patience=50.0, queue=20.0,
    )  # fmt: skip
    assert verdict(late).metastable
    assert verdict(short).clears


def test_telemetry_gives_the_loop_it_was_taken_from() -> None:
    """Requests and utilisation of normal operation give back base load, calls per request and capacity."""
    loop = from_telemetry(
        *CHAIN,
        requests=[100.0, 100.0, 50.0, 100.0],
        utilisation=[0.1, 0.2, 0.5, 0.25],
        edge_requests=[100.0, 50.0, 100.0],
        attempts=[1.0, 2.0, 3.0],
    )
    assert loop is not None
    np.testing.assert_allclose(loop.base, [100.0, 0.0, 0.0, 0.0])
    np.testing.assert_allclose(loop.capacity, [1000.0, 500.0, 100.0, 400.0])
    np.testing.assert_allclose(loop.calls, [1.0, 0.5, 2.0])


@pytest.mark.parametrize(
    ("utilisation", "attempts", "known"),
    [
        ([np.nan, 0.2, 0.5, 0.25], [1.0, 2.0, 2.0], True),  # retries bring no load to the first
        ([0.1, 0.2, 0.5, np.nan], [1.0, 2.0, 2.0], False),
        ([0.1, 0.2, np.nan, 0.2], [2.0, 1.0, 1.0], False),  # below a retried service
        ([0.1, 0.2, 0.5, 0.0], [1.0, 1.0, 2.0], False),  # none of its capacity taken tells none
        ([np.nan, np.nan, np.nan, np.nan], [1.0, 1.0, 1.0], True),
        ([0.1, 0.2, 0.5, 0.25], [1.0, np.nan, 1.0], False),
    ],
)
def test_what_is_unknown_and_matters_gives_no_loop(
    utilisation: list[float], attempts: list[float], known: bool
) -> None:
    """None, never a number made of zeros, where R depends on what nobody measured."""
    loop = from_telemetry(
        *CHAIN,
        requests=100.0 * np.ones(4),
        utilisation=utilisation,
        edge_requests=100.0 * np.ones(3),
        attempts=attempts,
    )
    assert (loop is not None) is known


@pytest.mark.parametrize(
    "wrong",
    [
        {"requests": -1.0},
        {"requests": np.inf},
        {"utilisation": -0.1},
        {"edge_requests": [1.0]},
        {"edge_requests": -1.0},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_what_cannot_be_measured_is_refused_by_name(wrong: dict[str, object]) -> None:
    """Rates below 0, infinite ones and other sizes give a ValueError that names the argument."""
    right: dict[str, object] = {"requests": 1.0, "utilisation": 0.5, "edge_requests": 1.0, "attempts": 1.0}
    with pytest.raises(ValueError, match=next(iter(wrong))):
        from_telemetry(*CHAIN, **(right | wrong))  # type: ignore[arg-type]
