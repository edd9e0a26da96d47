"""The propagation suite without its minutes: that its rivals agree with ours, and that a broken promise is said."""

import numpy as np
import pytest

from controlplane.bench.propagation import clock, command, full, incremental
from controlplane.bench.propagation.graphs import call_graph, sample
from controlplane.bench.result import Result


def test_graphs_are_as_large_as_asked_for_and_alike() -> None:
    """Within a twentieth, the same by the same seed, with a few cycles and services that very many call."""
    graph = call_graph(4_000, 24_000, seed=1)
    assert graph.edges == pytest.approx(24_000, rel=0.05)
    assert (call_graph(4_000, 24_000, seed=1).indices == graph.indices).all()
    assert 0 < len(graph.flows.cycles) < 40
    called = np.sort(np.bincount(graph.indices, minlength=4_000))
    assert called[-1] > 20 * called.mean()


def test_whole_evaluations_are_measured_beside_rivals_that_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ours is quicker than the best of them even on a small graph."""
    monkeypatch.setattr(full, "SIZES", (("small", 400, 2_000),))
    one, best = full.figures(quick=True)
    assert [one.name, best.name] == ["propagation.full.small", "propagation.full.small.best"]
    assert best.peer_ratio is not None
    assert best.peer_ratio > 1
    assert one.value == best.value


def test_a_rival_that_disagrees_is_no_rival(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its time is not taken."""
    monkeypatch.setattr(full, "agree", lambda *_: False)
    with pytest.raises(full.Disagreement):
        full._rivals(sample(200, 800, 1))


def test_changes_are_measured_warm_and_cold(monkeypatch: pytest.MonkeyPatch) -> None:
    """For each size: warm, cold, the whole, and the memory of an edge."""
    monkeypatch.setattr(incremental, "CURVE", (("small", 2_000, 10_000),))
    monkeypatch.setattr(incremental, "TOUCHED", range(50, 500))
    monkeypatch.setattr(clock, "LAST_LEVEL", clock.LAST_LEVEL / "not there")
    names = [one.name for one in incremental.figures(quick=True)]
    assert names == [
        "propagation.incremental.small",
        "propagation.incremental.small.cold",
        "propagation.whole.small",
        "propagation.memory.small",
    ]


def test_a_broken_promise_is_said() -> None:
    """By the figure's name, with what was promised."""

    def one(name: str, value: float, ratio: float | None = None) -> Result:
        return Result(name=f"propagation.{name}", value=value, unit="ns", peer_ratio=ratio)

    kept = [one("full.2k", 1e5, 9), one("full.18k", 1e6, 9), one("incremental.10k", 5e4), one("incremental.1m", 9e4)]
    assert command.missed([*kept, one("incremental.1m.cold", 1e6)]) == []
    assert command.missed(
        [one("full.2k", 2e6, 4), one("full.18k", 1e6, 7), one("incremental.10k", 1e4), one("incremental.1m", 9e4),
         one("incremental.1m.cold", 3e6)]
    ) == [
        "propagation.full.2k: 4.0x the rival, promised 5x",
        "propagation.full.18k: 7.0x the rival, promised 8x",
        "propagation.full.2k: 2.00 ms, promised 1 ms",
        "propagation.incremental.1m.cold: 3.00 ms, promised 2 ms",
        "propagation.incremental.1m: 9.0x that of 10k, promised 3x",
    ]  # fmt: skip
