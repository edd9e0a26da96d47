"""The figures of a real proxy: they are measured, written and judged."""

import argparse
from pathlib import Path

import pytest

from controlplane._native.histogram import Histogram
from controlplane.bench import result
from controlplane.bench.dataplane import command
from controlplane.bench.dataplane.measure import Measured, Setting
from tests.integration.haproxy import binary

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("loop", ["uvloop", "trio"])
def test_a_run_measures_and_writes(
    loop: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every order is acknowledged, no request fails, and the figures are in the file."""
    assert binary()
    monkeypatch.setattr(command, "QUICK", 8)
    arguments = argparse.Namespace(json=tmp_path / "figures.json", quick=True, services=2, loop=loop, check=False)
    assert command.run(arguments) == 0
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
