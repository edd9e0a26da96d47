"""The delay bench in its short form: within reach of the bound, never behind a rival, at the promised false alarms."""

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from controlplane.bench import detection, detection_report, rivals
from controlplane.bench.detection import BASE_SHARE, FALSE_ALARM, SHIFTS, Delay
from controlplane.cli import main


@pytest.fixture(scope="module")
def delays() -> list[Delay]:
    """One short run with a fixed seed."""
    return list(detection.measure(lives_count=6, trials=1_200, rival_trials=200, seed=7))


def test_every_delay_is_near_the_bound(delays: list[Delay]) -> None:
    """Each shift is found within 1.3 bounds and one call, on average."""
    assert [delay.shift for delay in delays] == list(SHIFTS)
    assert [delay.shift.name for delay in delays if delay.calls > 1.3 * delay.shift.bound + 1] == []


def test_no_rival_is_faster(delays: list[Delay]) -> None:
    """Never slower than any rival, and at a failure share of 5 and 20 % at least five times faster."""
    assert [text for delay in delays for text in delay.missed] == []
    for delay in delays[:2]:
        assert min(delay.rivals.values()) >= 5 * delay.calls


def test_false_alarms_are_counted_exactly_and_kept() -> None:
    """With what was learned from a finite sample, the six sums together stay below the dial on the true law."""
    assert detection_report.alarms_of(3) <= FALSE_ALARM


def test_the_bound_is_that_of_the_full_likelihood() -> None:
    """ln(1 / alpha) over the divergence: two calls at a total failure from one in a thousand."""
    bounds = {shift.name: shift.bound for shift in SHIFTS}
    assert bounds["detection.failures_100"] == pytest.approx(2.0)
    assert bounds["detection.latency_x2"] == pytest.approx(14.378, abs=1e-3)


def test_the_rivals_do_what_their_names_say() -> None:
    """Five in a row take five calls at a total failure, half of twenty ten, and a sweep half an interval."""
    rng = np.random.default_rng(1)
    assert rivals.consecutive(1.0) == 5
    assert rivals.consecutive(0.5) == pytest.approx(62)
    assert rivals.ratio_in_window(0.0, 1.0, 50, rng) == 10
    assert rivals.success_rate_outlier(BASE_SHARE, 1.0, 4_000, rng) == pytest.approx(
        rivals.INTERVAL_CALLS / 2, rel=0.05
    )


def test_the_command_writes_figures_and_a_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file has value, bound and rivals for each shift; the picture is a document that can be parsed."""
    monkeypatch.setattr(detection_report, "QUICK", {"lives_count": 2, "trials": 40, "rival_trials": 20})
    figures, picture = tmp_path / "figures.json", tmp_path / "delays.svg"
    assert main(["bench", "detection", "--quick", "--json", str(figures), "--plot", str(picture)]) == 0
    found = {row["name"]: row for row in json.loads(figures.read_text())}
    for shift in SHIFTS:
        row = found[shift.name]
        assert row["unit"] == "calls"
        assert row["bound"] == pytest.approx(shift.bound)
        assert len(row["rivals"]) == 3
    assert found["detection.false_alarm"]["value"] < FALSE_ALARM
    assert ET.fromstring(picture.read_text()).tag.endswith("svg")
