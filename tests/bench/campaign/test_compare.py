"""What a campaign concludes from its runs: by hand where that is possible."""

from xml.etree import ElementTree as ET

import pytest

from controlplane.bench.campaign import plot
from controlplane.bench.campaign.compare import compare
from controlplane.bench.campaign.run import CASCADING, HEALTHY, OURS, SIMPLE, Run
from controlplane.bench.campaign.table import broken, comparisons, missed, results, table
from controlplane.sim.textbook.fleet import POLICIES


def run(seed: int, policy: str, failed: int, **fields: object) -> Run:
    """A world of ten thousand requests."""
    sound: dict[str, object] = {
        "fault_class": "leaf_slow",
        "requests": 10_000,
        "slow": 0,
        "blast_services": 0,
        "blast_seconds": 0.0,
        "calls": 40_000,
    }
    return Run(seed=seed, policy=policy, failed=failed, **(sound | fields))  # type: ignore[arg-type]


def worlds(ours: list[int], **rivals: list[int]) -> list[Run]:
    """One world an item."""
    return [
        run(seed, name, failed)
        for name, column in ({OURS: ours} | rivals).items()
        for seed, failed in enumerate(column)
    ]


def test_the_best_rival_is_the_one_with_the_lowest_median() -> None:
    """And the ratio is of medians, not the median of ratios."""
    one = compare(worlds([10, 20, 90], plain=[900, 900, 900], other=[60, 100, 5_000]), "failed")
    assert one is not None
    assert (one.ours, one.best, one.best_value, one.ratio) == (20.0, "other", 100.0, 5.0)
    assert one.rivals == {"plain": 900.0, "other": 100.0}
    assert one.low <= 5.0 <= one.high


def test_worse_is_counted_beyond_chance() -> None:
    """A tenth of a percent of the requests more is no difference; more than that is one, and its seed is named."""
    one = compare(worlds([110, 111, 500, 0], other=[100, 100, 100, 100]), "failed")
    assert one is not None
    assert one.worse == 0.5
    assert one.worst_seeds == (2, 1)


def test_only_worlds_that_everybody_lived_in_count() -> None:
    """A seed that one policy did not finish is left out for all."""
    one = compare([*worlds([10, 20], other=[30, 40]), run(7, OURS, 9_999)], "failed")
    assert one is not None
    assert one.worlds == 2


def test_no_ratio_is_infinite_and_nothing_against_nothing_is_one() -> None:
    """One failed request is the least that is divided by."""
    against = compare(worlds([0, 0], other=[50, 50]), "failed")
    nothing = compare(worlds([0, 0], other=[0, 0]), "failed")
    assert against is not None
    assert nothing is not None
    assert (against.ratio, nothing.ratio) == (50.0, 1.0)


def test_what_a_bound_allows_stands_beside_the_ratio() -> None:
    """Nobody has more than the best policy over the bound; of what that loses above it, ours spares a share."""
    runs = [
        run(seed, name, failed, bound=80.0)
        for name, column in {OURS: [110, 110], "plain": [300, 300], "other": [120, 120]}.items()
        for seed, failed in enumerate(column)
    ]
    one = compare(runs, "failed")
    assert one is not None
    assert (one.at_most, one.spared) == (1.5, 0.25)
    assert one.avoided == pytest.approx(190 / 220)
    assert "| 1.1x (1.1 to 1.1) | 0% | 80 | 1.5x | 25% | 86% | 82% |" in table(runs)


def test_nothing_above_the_bound_is_nothing_to_spare() -> None:
    """A rival that loses no more than must be lost, by a request, leaves no share to speak of."""
    one = compare([run(0, OURS, 5, bound=99.5), run(0, "other", 100, bound=99.5)], "failed")
    assert one is not None
    assert (one.spared, one.avoided) == (None, None)


def test_confidence_narrows_with_worlds() -> None:
    """The interval of a ratio of medians over noisy worlds holds the truth, and is narrower with ten times as many."""
    widths = []
    for size in (20, 200):
        ours = [10 + seed % 7 for seed in range(size)]
        other = [40 + (seed * 5) % 11 for seed in range(size)]
        one = compare(worlds(ours, other=other), "failed")
        assert one is not None
        assert one.low <= 45 / 13 <= one.high
        widths.append(one.high - one.low)
    assert widths[1] < widths[0]


def test_promises() -> None:
    """Threefold over all cascading faults; not worse on each simple one; nothing on healthy seeds."""
    good = worlds([10], other=[30])
    assert missed(good) == [
        "cascading, service-seconds: 1.00x of other, at least 3x; worst seeds: none by more than chance"
    ]
    blast = [run(1, name, 10, blast_seconds=value) for name, value in ((OURS, 2.0), ("other", 5.0))]
    assert any(text.startswith("cascading, service-seconds: 2.50x") for text in missed(blast))
    simple = [run(1, name, failed, fault_class="bad_version") for name, failed in ((OURS, 36), ("other", 30))]
    assert [text.split(":")[0] for text in missed(simple)] == [
        "bad_version, failed user requests",
        "simple, failed user requests",
    ]
    healthy = [run(5, OURS, 3, fault_class=HEALTHY, acts=1, incidents=1)]
    assert missed(healthy) == ["false actions on healthy seeds: 5 (2)"]


def test_what_broke_comes_with_the_command_that_replays_it() -> None:
    """The seed is in it."""
    (text,) = broken([run(17, OURS, 0, violations=("12.5 s web: flapping: a/r0",))])
    assert "flapping" in text
    assert "controlplane simulate --seed 17" in text


def everything() -> list[Run]:
    """Three worlds of every class."""
    return [
        run(3 * number + again, name, 5 + 7 * at, fault_class=fault, blast_seconds=float(at))
        for number, fault in enumerate((*CASCADING, *SIMPLE, HEALTHY))
        for again in range(3)
        for at, name in enumerate((OURS, *POLICIES))
    ]


def test_table_figures_and_picture_tell_the_same() -> None:
    """A row, two figures and a line for each class and for all cascading and all simple faults."""
    runs = everything()
    names = [*CASCADING, *SIMPLE, "cascading", "simple"]
    assert list(comparisons(runs)) == names
    rows = table(runs).splitlines()
    assert sum(row.startswith(("| `", "| **")) for row in rows) == len(names)
    assert "Healthy worlds: 3, 120,000 calls, 0 false actions." in rows
    found = {one.name: one for one in results(runs, healthy_calls=1_000)}
    assert set(found) == {f"sim.{name}{suffix}" for name in names for suffix in ("", ".blast")} | {"sim.healthy"}
    assert found["sim.leaf_slow"].peer_ratio == pytest.approx(12 / 5)
    assert found["sim.healthy"].unit == "false actions in 121,000 calls"
    assert len(list(ET.fromstring(plot.svg(runs)).iter("{http://www.w3.org/2000/svg}rect"))) == 1 + len(names)
