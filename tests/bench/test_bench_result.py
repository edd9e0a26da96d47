"""Rows, promises, the file of results and the table."""

import json
from pathlib import Path

import pytest

from controlplane.bench import report, result
from controlplane.bench.entry import Row, Target
from controlplane.bench.measure import Reading
from controlplane.bench.result import Result, UnreadableResults

RIVALS = {
    "slow 1.0": Reading(900.0),
    "fast 2.0": Reading(400.0),
    "rust 3.0": Reading(90.0),
    "absent": Reading(why="not installed: pip install absent"),
}


def row(value: float, target: Target) -> Row:
    """A row with a floor of 20 ns and RIVALS."""
    return Row("limit", value, floor=20.0, rivals=RIVALS, natives=frozenset({"rust 3.0"}), target=target)


@pytest.mark.parametrize(
    ("target", "kept", "broken"),
    [
        (Target(floor_max=2.5), 50.0, 50.1),
        (Target(python_min=10), 40.0, 40.1),
        (Target(native_min=2), 45.0, 45.1),
        (Target(rival_max=1.3), 117.0, 117.1),
        (Target(value_max=0), 0.0, 1.0),
    ],
)
def test_a_promise_holds_up_to_its_bound_and_no_further(target: Target, kept: float, broken: float) -> None:
    """Every kind of promise, against the floor, the cheapest rival of each kind, and nothing."""
    assert row(kept, target).missed == []
    assert len(row(broken, target).missed) == 1
    assert "MISSED" in report.line(row(broken, target))
    assert "met" in report.line(row(kept, target))


def test_what_was_not_measured_breaks_no_promise_and_is_listed() -> None:
    """A part that is not built is shown as such, not as kept."""
    absent = Row("limit", target=Target(floor_max=1), why="not built: x")
    assert absent.missed == []
    assert "promised and not measured in this build: limit" in report.table([absent])
    assert "met" not in report.line(absent)


def test_a_row_becomes_the_flat_object_that_the_file_holds() -> None:
    """The rival is the cheapest of all that have a figure; ratios are over the floor and over ours."""
    assert row(30.0, Target()).result() == Result("limit", 30.0, "ns", 1.5, "rust 3.0", 90.0, 3.0)
    assert Row("count", 0.0, unit="blocks").result() == Result("count", 0.0, "blocks")


def test_the_table_says_which_rivals_have_no_figure_and_why() -> None:
    """With the command that installs them."""
    assert "absent: not installed: pip install absent" in report.table([row(30.0, Target())])


def test_results_join_a_file_by_name(tmp_path: Path) -> None:
    """Figures of other suites stay, those of the same name are replaced, and every object has all seven keys."""
    path = tmp_path / "new folder" / "latest.json"
    result.join(path, [Result("demo.response", 1.0, "ms"), Result("limit", 1.0, "ns")])
    result.join(path, [row(30.0, Target()).result()])
    said = json.loads(path.read_text())
    assert [(one["name"], one["value"]) for one in said] == [("demo.response", 1.0), ("limit", 30.0)]
    keys = {"name", "value", "unit", "floor_ratio", "rival", "rival_value", "peer_ratio"}
    assert [set(one) for one in said] == [keys, keys]
    assert [one.name for one in path.parent.iterdir()] == ["latest.json"]


def test_a_file_that_holds_something_else_is_refused_and_kept(tmp_path: Path) -> None:
    """It may be somebody's only copy."""
    path = tmp_path / "notes.json"
    path.write_text('{"mine": 1}')
    with pytest.raises(UnreadableResults, match=r"notes\.json: is not a list of benchmark results"):
        result.join(path, [Result("limit", 1.0, "ns")])
    assert path.read_text() == '{"mine": 1}'


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Readers see the old list or the new one, and no half of either lies about."""
    path = tmp_path / "latest.json"
    result.join(path, [Result("limit", 1.0, "ns")])
    before = path.read_text()

    def full(_: int) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("controlplane.bench.result.os.fsync", full)
    with pytest.raises(OSError, match="no space left"):
        result.join(path, [Result("limit", 2.0, "ns")])
    assert path.read_text() == before
    assert [one.name for one in tmp_path.iterdir()] == ["latest.json"]
