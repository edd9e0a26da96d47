"""The compiled detector: against a slow oracle, against exact run lengths, and what an incident cannot teach it."""

import math
from array import array

import numpy as np
import pytest
from numpy.typing import NDArray

from controlplane._native.detector import FACTORS, FAILING, HEALTHY, LATE, SHARES, Detector, bank
from controlplane.bench.run_length import false_alarms
from tests.native.detector_oracle import Row

MEDIAN_NS = 20_000_000
Calls = tuple[NDArray[np.uint8], NDArray[np.int64]]


def calls(rng: np.random.Generator, count: int, *, share: float = 0.001, factor: float = 1.0) -> Calls:
    """So many calls of a service whose latency is lognormal."""
    latency = np.exp(rng.normal(0, 0.5, count)) * MEDIAN_NS * factor
    return (rng.random(count) < share).astype(np.uint8), latency.astype(np.int64)


def taught(rng: np.random.Generator, count: int = 20_000, *, false_alarm: float = 1e-6) -> Detector:
    """A detector of one row that has seen so many healthy calls."""
    detector = Detector(1, false_alarm=false_alarm)
    every(detector, *calls(rng, count))
    return detector


def every(detector: Detector, failed: NDArray[np.uint8], latency: NDArray[np.int64]) -> list[int]:
    """The verdicts on all of these calls."""
    verdicts, at = [], 0
    while True:
        found, verdict = detector.observe_many(0, failed[at:], latency[at:])
        if found < 0:
            return verdicts
        verdicts.append(verdict)
        at += found + 1


def test_the_kernel_is_the_oracle() -> None:
    """Over a life of health, failures, slowness and recovery each verdict and each sum is the slow detector's."""
    rng = np.random.default_rng(5)
    detector, oracle = Detector(1, false_alarm=1e-4), Row(1e-4)
    course = [(6_000, 0.01, 1.0), (300, 0.3, 1.0), (2_000, 0.01, 1.0), (300, 0.01, 2.5), (13_000, 0.02, 0.9)]
    for count, share, factor in course:
        for failed, latency in zip(*calls(rng, count, share=share, factor=factor), strict=True):
            known = -1 if latency % 50 == 0 else int(latency)
            assert detector.observe(0, bool(failed), known) == oracle.observe(bool(failed), known)
        told = detector.describe(0)
        assert (told["failing_mnat"], told["late_mnat"]) == (oracle.failing, oracle.late)
        assert told["learned_calls"] == oracle.calls / 256
        assert told["windows_rejected"] == oracle.rejected
        assert [row[0] for row in detector.latency(0)] == [each / 256 for each in oracle.bins]
        assert np.abs(np.array([row[1:] for row in detector.latency(0)]) - oracle.steps).max() <= 1


@pytest.mark.parametrize("rung", range(17))
@pytest.mark.parametrize("false_alarm", [1e-4, 1e-6])
def test_the_limits_keep_the_dial_exactly(rung: int, false_alarm: float) -> None:
    """At every base rate of the table each sum keeps to its sixth of the false alarms, by the exact chain."""
    p0, failed, passed, limits = bank(0.001 * 2 ** (rung / 2), false_alarm)
    for up, down, limit, unit in zip(failed, passed, limits, (1, 3, 10), strict=True):
        assert false_alarms((up, down), (p0, 1 - p0), limit, unit=unit) <= false_alarm / 6


def test_the_increments_are_log_likelihood_ratios() -> None:
    """What moves the sums is ln(p1 / p0) and ln((1 - p1) / (1 - p0)), rounded down."""
    p0, failed, passed, _ = bank(0.004, 1e-6)
    assert p0 == pytest.approx(0.004)
    for share, up, down in zip(SHARES, failed, passed, strict=True):
        p1 = p0 + (1 - p0) * share
        assert up == math.floor(1000 * math.log(p1 / p0))
        assert down == math.floor(1000 * math.log((1 - p1) / (1 - p0)))


def test_false_alarms_of_both_banks_are_within_the_dial() -> None:
    """At a dial of 1e-4 two million healthy calls bring no more verdicts than 1e-4 of them, with a learned baseline."""
    rng = np.random.default_rng(11)
    detector = taught(rng, false_alarm=1e-4)
    assert 0 < len(every(detector, *calls(rng, 2_000_000))) <= 200


@pytest.mark.parametrize(("factor", "found_in"), [(1.5, 80), (2.0, 30), (5.0, 6)])
def test_slowness_without_any_error_is_found(factor: float, found_in: int) -> None:
    """A gray failure is a verdict of the latency bank, in about as many calls as the bound asks for."""
    rng = np.random.default_rng(int(10 * factor))
    detector = taught(rng)
    found = []
    for _ in range(50):
        at, verdict = detector.observe_many(0, *calls(rng, 1_000, share=0.0, factor=factor))
        assert verdict >= LATE
        found.append(at + 1)
        detector.clear(0)
    assert np.mean(found) <= found_in


def test_the_verdict_names_the_size_of_the_change() -> None:
    """The sum that fits is the one that crosses: a total failure is not reported as a trickle."""
    detector = taught(np.random.default_rng(1))
    assert [detector.observe(0, True, -1) for _ in range(3)] == [HEALTHY, HEALTHY, FAILING + 2]
    detector.clear(0)
    slow = [detector.observe(0, False, int(5 * MEDIAN_NS)) for _ in range(20)]
    assert LATE + FACTORS.index(5.0) in slow


@pytest.mark.parametrize("known", [0, 20_000])
def test_two_stray_failures_are_no_verdict(known: int) -> None:
    """Neither a new row nor one that never failed gives a verdict on two failures side by side."""
    detector = Detector(1)
    rng = np.random.default_rng(3)
    every(detector, *calls(rng, known, share=0.0))
    assert [detector.observe(0, True, -1) for _ in range(2)] == [HEALTHY, HEALTHY]


def test_an_incident_is_not_learned() -> None:
    """A quarter of the calls failing and twice the latency, for 100,000 calls, leave the baseline as it was."""
    rng = np.random.default_rng(7)
    detector = taught(rng)
    before, law = detector.describe(0), [row[0] for row in detector.latency(0)]
    verdicts = every(detector, *calls(rng, 100_000, share=0.25, factor=2.0))
    after = detector.describe(0)
    assert len(verdicts) > 1_000
    assert after["failure_share"] == before["failure_share"]
    assert after["learned_calls"] - before["learned_calls"] <= 256  # type: ignore[operator]
    assert np.abs(np.array([row[0] for row in detector.latency(0)]) - law).sum() <= 2 * 256


def test_what_creeps_fast_is_found_and_what_creeps_slowly_is_learned() -> None:
    """Latency that doubles in 20,000 calls is found; in 400,000 it is taken for normal: the bound is stated."""
    rng = np.random.default_rng(9)
    for over, found in ((20_000, True), (400_000, False)):
        detector = taught(rng)
        failed, latency = calls(rng, over, share=0.0)
        latency = (latency * 2 ** (np.arange(over) / over)).astype(np.int64)
        assert bool(every(detector, failed, latency)) is found


def test_a_row_knows_nothing_of_another() -> None:
    """Evidence and learning of one row leave its neighbours as they were."""
    detector = Detector(3)
    for _ in range(1_000):
        detector.observe(1, False, MEDIAN_NS)
    detector.observe(1, True, -1)
    for index in (0, 2):
        assert detector.describe(index)["failing_mnat"] == [0, 0, 0]
        assert detector.describe(index)["learned_calls"] == 0


def test_forgetting_begins_anew_and_clearing_keeps_the_baseline() -> None:
    """`clear` drops the evidence alone, `forget` what is normal, too."""
    detector = taught(np.random.default_rng(2))
    detector.observe(0, True, -1)
    learned = detector.describe(0)["learned_calls"]
    detector.clear(0)
    assert detector.describe(0)["failing_mnat"] == [0, 0, 0]
    assert detector.describe(0)["learned_calls"] == learned
    detector.forget(0)
    assert detector.describe(0) == Detector(1).describe(0)


def test_memory_that_is_shared_is_one_detector() -> None:
    """Two detectors over the same words see each other's evidence; other geometry or another dial is refused."""
    words = array("q", bytes(8 * (Detector.words(2) + 8)))
    start = -(words.buffer_info()[0] // 8) % 8
    memory = memoryview(words)[start : start + Detector.words(2)]
    first, second = Detector(2, memory=memory), Detector(2, memory=memory)
    first.observe(1, True, -1)
    assert second.describe(1) == first.describe(1) != first.describe(0)
    with pytest.raises(ValueError, match="detector of 1 rows"):
        Detector(1, memory=memory)
    with pytest.raises(ValueError, match="false_alarm must be 1e-06"):
        Detector(2, false_alarm=1e-5, memory=memory)


def test_a_latency_that_is_no_integer_is_refused() -> None:
    """Nanoseconds are never a float: nothing is truncated on the way in."""
    with pytest.raises(TypeError):
        Detector(1).observe(0, False, 1.5)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("act", "named"),
    [
        (lambda: Detector(0), "rows"),
        (lambda: Detector(1, false_alarm=0.5), "false_alarm"),
        (lambda: Detector(1).observe(1, False, 0), "row"),
        (lambda: Detector(1).clear(-1), "row"),
        (lambda: Detector(1).observe_many(0, bytearray(2), array("q", [1])), "latency_ns"),
        (lambda: bank(1.5, 1e-6), "failure_share"),
    ],
)
def test_what_is_out_of_bounds_is_named(act: object, named: str) -> None:
    """A wrong argument is refused by its name."""
    with pytest.raises(ValueError, match=named):
        act()  # type: ignore[operator]
