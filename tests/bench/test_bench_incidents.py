"""The evaluation of attribution: how a hit is counted, how windows are changed, what is printed."""

import json
from pathlib import Path

import msgspec
import numpy as np
import pytest

from bench import incidents
from bench.fleet import case
from bench.scoring import healthy, hit, incomplete, merged, skewed, without
from controlplane.decide.analysis.recorded import recording_of
from controlplane.model.analysis import Analysis, Origin
from tests.decide.little_shop import DB, NORMAL, Shop

SERVICES = ("a", "b", "c", "d")


def answer(**scores: float) -> Analysis:
    return Analysis(origins=tuple(Origin(name, score) for name, score in scores.items()))


@pytest.mark.parametrize(
    ("scores", "first", "chance"),
    [
        ({"a": 0.9, "b": 0.1}, 1, 1.0),
        ({"b": 0.9, "a": 0.1}, 1, 0.0),
        ({"b": 0.9, "a": 0.1}, 3, 1.0),
        ({"a": 0.5, "b": 0.5}, 1, 0.5),
        ({"a": 0.3, "b": 0.3, "c": 0.3}, 1, 1 / 3),
        ({"b": 1.0}, 3, 2 / 3),
        ({}, 1, 0.25),
    ],
)
def test_a_hit_is_the_chance_under_a_random_order_of_equals(
    scores: dict[str, float], first: int, chance: float
) -> None:
    """The true one is `a`; who is not accused has a score of zero."""
    assert hit(answer(**scores), SERVICES, ["a"], first) == pytest.approx(chance)


def test_buckets_are_merged_on_either_side_of_the_beginning() -> None:
    """Counts add up, means are weighed by requests, unknown stays unknown."""
    shop = Shop(incident=4)
    shop.service["requests"][:2, DB] = [100.0, 300.0]
    shop.service["latency_s"][:2, DB] = [1.0, 2.0]
    shop.service["saturation"][:5, DB] = np.nan
    shop.service["requests"][2:5, DB] = np.nan
    window = merged(shop.window(), 5)
    assert (window.incident_at, len(window.service["requests"]), window.bucket_s) == (12, 13, 300.0)
    assert window.service["requests"][0, DB] == 400.0
    assert window.service["latency_s"][0, DB] == pytest.approx(1.75)
    assert np.isnan(window.service["saturation"][0, DB])


def test_signals_are_taken_away() -> None:
    """Edges, entry or one signal of services."""
    window = Shop().window(metric="latency")
    assert without(window, "edge").edge == {}
    assert (without(window, "entry").entry, without(window, "entry").metric) == (None, None)
    assert "saturation" not in without(window, "saturation").service


def test_counts_are_skewed_and_calls_are_lost() -> None:
    """Counts by service, at most what they were; edges together with their signals."""
    window = Shop().window()
    ratio = skewed(window).service["requests"] / window.service["requests"]
    assert np.nanmax(ratio) <= 1.0
    assert len(np.unique(np.round(np.nanmedian(ratio, axis=0), 3))) > 1
    fleet = case(11, rich=True, fault="slow").window
    less = incomplete(fleet, 0.5)
    assert 0 < len(less.edges) == less.edge["requests"].shape[1] < len(fleet.edges)


def test_healthy_windows_are_normal_buckets_away_from_incidents() -> None:
    """As long as the incident, the incident itself left out, none near a known one."""
    window = msgspec.structs.replace(Shop().window(), time_s=np.arange(NORMAL + 3) * 60.0)
    found = list(healthy(window, np.array([1800.0])))
    assert {len(each.service["requests"]) - each.incident_at for each in found} == {3}
    assert {len(each.service["requests"]) for each in found} == {NORMAL}
    assert len(found) == (NORMAL - 9) // 3  # 1,680 s to 2,160 s are near


def test_a_folder_is_evaluated(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The table, and the figures joined to a file by name."""
    shop = Shop()
    shop.edge["client_latency_s"][shop.bad, 2] += 0.3
    (tmp_path / "one.json").write_bytes(msgspec.json.encode(recording_of(shop.window())))
    (tmp_path / "truth.json").write_text(json.dumps({"one": {"fault": "network", "root_cause": ["db"]}}))
    results = tmp_path / "results.json"
    incidents.main([str(tmp_path), "--json", str(results)])
    said = capsys.readouterr().out
    assert "network" in said
    assert "healthy, empty" in said
    figures = {figure["name"]: figure["value"] for figure in json.loads(results.read_text())}
    assert figures["attribution.top1"] == figures["attribution.healthy_empty"] == 1.0


def test_a_made_up_fleet_is_the_same_again() -> None:
    """Equal seeds, equal windows, byte for byte."""
    first, again = (case(11, rich=True, fault="slow") for _ in range(2))
    assert msgspec.json.encode(recording_of(first.window)) == msgspec.json.encode(recording_of(again.window))
    assert first.truth == again.truth


def test_a_sweep_puts_every_parameter_back() -> None:
    """What it tries is gone afterwards."""
    before = [getattr(module, name) for module, name in incidents.PARAMETERS]
    made = case(3, rich=True, fault="slow")
    assert made.truth is not None
    one = incidents.Incident(made.window, made.fault, (made.window.services[made.truth],))
    assert "| `ACCUSE` | 2 |" in incidents.sweep([one], [], lambda window: window)
    assert [getattr(module, name) for module, name in incidents.PARAMETERS] == before
