"""The figures of a real proxy: they are measured, written and judged."""

import argparse
from collections.abc import Mapping
from pathlib import Path

import anyio
import pytest

from controlplane._native.histogram import Histogram
from controlplane.bench import result
from controlplane.bench.dataplane import command, compare, judge, page
from controlplane.bench.dataplane.fault import FAULTS, Harm, Pace, suffer
from controlplane.bench.dataplane.measure import Measured, Setting
from controlplane.bench.dataplane.protect import PROTECTIONS
from controlplane.testbed import envoy
from controlplane.testbed.bed import KINDS, ProxyKind
from controlplane.testbed.child import NoProxy
from tests.integration.envoy_world import peers
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
    assert command.run(argparse.Namespace(**arguments, check=False, faults=False, data_plane=None, table=None)) == 0
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


@pytest.mark.parametrize(("kind", "protection"), [(kind, one) for kind in KINDS for one in PROTECTIONS[kind]])
def test_a_fault_harms_users_under_each_protection(kind: ProxyKind, protection: str) -> None:
    """One replica fails: some requests do, and as many as it had where nobody took it out."""
    assert binary() if kind == "haproxy" else peers()
    harm = anyio.run(suffer, kind, FAULTS["errors"], protection, Pace(per_s=100, warm_s=2.0, lasts_s=2.0))
    assert 190 <= harm.requests <= 200
    assert harm.asked_ms is not None
    if protection in ("checks", "outlier"):  # a tenth of four replicas is none
        assert harm.failed >= 45
    else:
        assert (1 if protection == "fastest" else 4) <= harm.failed < 30


def test_a_proxy_that_is_missing_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The message names the command that brings it, and without any proxy there is nothing to measure."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("controlplane.testbed.haproxy.PATHS", str(tmp_path))
    monkeypatch.setattr("controlplane.testbed.envoy._CHECKOUT", tmp_path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NoProxy, match=r"\.ci/envoy"):
        envoy.binary()
    with pytest.raises(NoProxy, match="apt-get install haproxy"):
        compare.chosen("haproxy")
    with pytest.raises(NoProxy, match=r"haproxy.*envoy"):
        compare.chosen(None)


def table(**harmed: Mapping[str, int]) -> judge.Table:
    return {
        fault: {name: Harm(requests=1_000, failed=count, slow=0, asked_ms=9.0) for name, count in by.items()}
        for fault, by in harmed.items()
    }


GOOD = {"checks": 300, "observe": 5, "ours": 8}
BLIND = {"checks": 300, "observe": 300, "ours": 60}
STORM = {"checks": 2_000, "observe": 2_000, "ours": 400}


def test_every_fault_has_a_bound() -> None:
    """Nobody is judged by a fault of which nobody knows what must be lost."""
    assert set(judge.LEAST) == set(FAULTS)
    assert set(judge.PLAIN) < set(judge.LEAST)


def test_the_comparison_is_judged_and_written() -> None:
    """As fast as the proxy where it sees, five times better where it is blind."""
    two = {"checks": 600, "observe": 10, "ours": 16}
    found = table(errors=GOOD, slow=BLIND, hang=BLIND, two=two, two_hang=BLIND, bad_version=BLIND, retry_storm=STORM)
    assert judge.judged("haproxy", found) == judge.Judgement([], [])
    worse = table(errors={**GOOD, "ours": 9}, slow={**BLIND, "ours": 61})
    assert judge.judged("haproxy", worse).missed == [
        "haproxy errors: 9 users harmed, promised 3 more than 5 at most",
        "haproxy slow: 61 users harmed, promised 5 times fewer than 300",
    ]
    figures = {figure.name: figure for figure in judge.figures("haproxy", found)}
    assert figures["dataplane.haproxy.slow.harmed"].value == 60
    assert figures["dataplane.haproxy.slow.harmed"].rivals == {"checks": 300.0, "observe": 300.0}
    assert figures["dataplane.haproxy.slow.harmed"].bound == 15
    assert figures["dataplane.haproxy.two.asked"].unit == "ms"
    assert len(compare.lines("haproxy", found)) == 2 + len(found)


def test_what_nobody_can_keep_is_said_and_no_excuse() -> None:
    """Where a proxy takes one failure for proof we are held to the bound, and lose no more than it elsewhere."""
    fast = table(
        errors={"outlier": 300, "fastest": 1, "ours": 6}, bad_version={"outlier": 150, "fastest": 35, "ours": 11}
    )
    verdict = judge.judged("envoy", fast)
    assert verdict.missed == []
    assert [text.partition(":")[0] for text in verdict.impossible] == ["envoy errors", "envoy bad_version"]
    slower = table(
        errors={"outlier": 300, "fastest": 1, "ours": 7}, bad_version={"outlier": 150, "fastest": 9, "ours": 21}
    )
    assert judge.judged("envoy", slower).missed == [
        "envoy errors: 7 users harmed, promised 3 more than 3 at most",
        "envoy bad_version: 21 users harmed, more than 9 with fastest and twice what must be lost",
    ]


def test_the_page_shows_the_figures_that_are_on_file(tmp_path: Path) -> None:
    """What docs/benchmarks.md says of faults is what the last whole run wrote, and nobody's hand."""
    root = Path(__file__).parents[2]
    shown = (root / "docs" / "benchmarks.md").read_text()
    assert shown.count(page.BEGIN) == 1
    made = page.markdown(result.read(root / "bench" / "results" / "latest.json"))
    assert made.count("| `errors` |") == len(KINDS)
    assert shown.partition(page.BEGIN)[2].startswith(made + page.END)
    copy = tmp_path / "page.md"
    copy.write_text(f"before\n{page.BEGIN}old\n{page.END}after\n")
    page.put(copy, judge.figures("haproxy", table(slow=BLIND)))
    assert copy.read_text().splitlines()[4:] == [
        "| `slow` | 300 (9 ms) | 300 (9 ms) | 60 (9 ms) | 15 |",
        page.END.strip(),
        "after",
    ]
    copy.write_text("nothing")
    with pytest.raises(ValueError, match="has no <!-- generated: faults -->"):
        page.put(copy, [])
