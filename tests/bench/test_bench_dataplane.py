"""The figures of a real proxy: they are measured, written and judged."""

import argparse
from collections.abc import Mapping
from pathlib import Path

import anyio
import pytest

from controlplane._native.histogram import Histogram
from controlplane.bench import result
from controlplane.bench.dataplane import command, compare
from controlplane.bench.dataplane.fault import FAULTS, Harm, Pace, suffer
from controlplane.bench.dataplane.measure import Measured, Setting
from controlplane.bench.dataplane.protect import PROTECTIONS
from tests.integration.haproxy import binary

pytestmark = [pytest.mark.integration, pytest.mark.alone]


@pytest.mark.parametrize("loop", ["uvloop", "trio"])
def test_a_run_measures_and_writes(
    loop: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every order is acknowledged, no request fails, and the figures are in the file."""
    assert binary()
    monkeypatch.setattr(command, "QUICK", 8)
    arguments = {"json": tmp_path / "figures.json", "quick": True, "services": 2, "loop": loop}
    assert command.run(argparse.Namespace(**arguments, check=False, faults=False)) == 0
    assert " 0 failed" in capsys.readouterr().out
    names = [figure.name for figure in result.read(tmp_path / "figures.json")]
    assert names == ["dataplane.haproxy.2.acknowledged", "dataplane.haproxy.2.rerouted"]


def test_what_was_promised_is_judged() -> None:
    """By the request that was rerouted last, and by those that failed."""
    measured = Measured()
    measured.rerouted = Histogram(1_000, 60_000_000_000, 3)
    measured.rerouted.record_times(1_500_000, 90)
    measured.rerouted.record_times(12_000_000, 10)
    assert [text.split(",")[0] for text in command._missed(measured, Setting())] == ["rerouted: p99 12.001 ms"]
    assert command._missed(measured, Setting(services=1_000)) == []
    measured.failed = 1
    assert command._missed(measured, Setting(services=1_000)) == ["1 requests failed, promised none"]


@pytest.mark.parametrize("protection", PROTECTIONS)
def test_a_fault_harms_users_under_each_protection(protection: str) -> None:
    """One replica fails: some requests do, and as many as it had where nobody took it out."""
    assert binary()
    harm = anyio.run(suffer, "errors", protection, Pace(per_s=100, warm_s=2.0, lasts_s=2.0))
    assert 190 <= harm.requests <= 200
    assert harm.failed >= 45 if protection == "checks" else 4 <= harm.failed < 30


def table(**harmed: Mapping[str, int]) -> compare.Table:
    return {
        fault: {name: Harm(requests=1_000, failed=count, slow=0, asked_ms=9.0) for name, count in by.items()}
        for fault, by in harmed.items()
    }


def test_the_comparison_is_judged_and_written() -> None:
    """As fast as HAProxy where it sees, five times better where it is blind."""
    good = {"checks": 300, "observe": 5, "ours": 8}
    blind = {"checks": 300, "observe": 300, "ours": 60}
    found = table(errors=good, slow=blind, hang=blind, two={"checks": 600, "observe": 10, "ours": 16})
    assert compare.broken(found) == []
    assert set(found) == set(FAULTS)
    worse = table(errors={**good, "ours": 9}, slow={**blind, "ours": 61})
    assert compare.broken(worse) == [
        "errors: 9 users harmed, promised 3 more than 5 at most",
        "slow: 61 users harmed, promised 5 times fewer than 300",
    ]
    figures = {figure.name: figure for figure in compare.figures(found)}
    assert figures["dataplane.haproxy.slow.harmed"].value == 60
    assert figures["dataplane.haproxy.slow.harmed"].rivals == {"checks": 300.0, "observe": 300.0}
    assert figures["dataplane.haproxy.two.asked"].unit == "ms"
    assert len(compare.lines(found)) == 6
