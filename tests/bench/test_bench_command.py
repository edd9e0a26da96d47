"""`controlplane bench guard` as it is typed, without rivals: those are not needed to test it."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from controlplane.bench import suite
from controlplane.bench.conformance import rivals
from controlplane.bench.conformance.page import Findings, markdown
from controlplane.bench.entry import Row, Target
from controlplane.bench.measure import QUICK
from controlplane.bench.result import read
from controlplane.cli import main

ROOT = Path(__file__).parents[2]
PROMISED = {
    "guard.fused", "guard.async", "limit.unkeyed", "limit.keyed", "breaker.refuse", "histogram.record",
    "balancer.pick16", "balancer.pick4096", "arena.limit",
}  # fmt: skip


def test_every_figure_that_was_promised_is_measured() -> None:
    """By the names that the results use."""
    names = [name for name, _ in suite.figures(QUICK, peers=True)]
    assert set(names) >= PROMISED
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    "name", [name for name, _ in suite.figures(QUICK, peers=False) if name != "contended.processes"]
)
def test_every_figure_of_ours_can_be_measured(name: str) -> None:
    """A reading above nothing, or the part that this build lacks; never an error."""
    ((_, measure),) = suite.figures(QUICK, peers=False, only=name)
    for row in measure():
        assert row.why == "" or row.why.startswith(("not built:", "not told:"))
        assert row.why or row.value > 0 or row.name.startswith("allocations.")


@pytest.mark.integration
def test_processes_that_share_a_guard_are_measured() -> None:
    """Both races end, and each gives a figure."""
    ((_, measure),) = suite.figures(QUICK, peers=False, only="contended.processes")
    (row,) = measure()
    assert row.why == ""
    assert row.value > 0
    assert row.ratio() is not None


def test_a_run_writes_the_table_and_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The table on standard output, the progress on standard error, the figures by name in the file."""
    path = tmp_path / "out.json"
    arguments = ["bench", "guard", "--quick", "--no-peers", "--only", "floor.*", "--json", str(path)]
    assert main(arguments) == 0
    out, progress = capsys.readouterr()
    assert out.startswith("figure ")
    assert progress == "[1/1] floor.call\n"
    (figure,) = json.loads(path.read_text())
    assert figure["name"] == "floor.call"
    assert 0.3 < figure["floor_ratio"] < 3


def test_a_missed_promise_is_status_1_only_where_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """`--check` is the gate; a run for its figures is no failure."""

    def figures(*_: object, **__: object) -> Iterator[tuple[str, Callable[[], list[Row]]]]:
        yield "slow", lambda: [Row("slow", 100.0, floor=1.0, target=Target(floor_max=2))]

    monkeypatch.setattr(suite, "figures", figures)
    assert main(["bench", "guard"]) == 0
    assert main(["bench", "guard", "--check"]) == 1


def test_a_pattern_that_matches_nothing_and_a_file_that_cannot_be_joined_are_wrong_usage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Status 2 and one line, before anything is measured."""
    path = tmp_path / "notes.txt"
    path.write_text("mine")
    assert main(["bench", "guard", "--only", "nothing"]) == 2
    assert "'nothing' matches no figure" in capsys.readouterr().err
    assert main(["bench", "guard", "--json", str(path)]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"controlplane: {path}: is not a list")
    assert said.count("\n") == 1


def test_the_page_of_rivals_is_the_one_that_the_command_writes() -> None:
    """All of its text but the findings, and a line for every library that is probed."""
    page = (ROOT / "docs" / "reference" / "peers.md").read_text()
    assert [line for line in markdown(Findings([], [])).splitlines() if line not in page.splitlines()] == []
    probed = [rival.library for rival in (*rivals.BREAKERS, *rivals.LIMITERS)]
    assert [library for library in probed if page.count(f"\n| {library} ") != probed.count(library)] == []


def test_the_committed_results_are_a_list_that_can_be_joined() -> None:
    """With figures in them, each once."""
    names = [one.name for one in read(ROOT / "bench" / "results" / "latest.json")]
    assert "guard.fused" in names
    assert len(names) == len(set(names))


def test_the_figures_are_explained() -> None:
    """Every name in the table of `bench guard` in docs/benchmarks.md, and no other."""
    page = (ROOT / "docs" / "benchmarks.md").read_text().partition("## The figures")[2].partition("\n## ")[0]
    cells = [line.split("|")[1] for line in page.splitlines() if line.startswith("| `")]
    explained = {name for cell in cells for name in re.findall(r"`([\w.]+)`", cell)}
    measured = {name for name, _ in suite.figures(QUICK, peers=True)}
    assert explained - {"allocations.kept", "allocations.malloc"} == measured
