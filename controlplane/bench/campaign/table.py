"""The campaign for people: a table of classes, what was promised, what broke."""

from collections.abc import Sequence
from typing import Final

import msgspec

from controlplane.bench.campaign.compare import Comparison, compare
from controlplane.bench.campaign.run import CASCADING, HEALTHY, MEASURES, OURS, SIMPLE, Run, of
from controlplane.bench.result import Result

RATIO_MIN: Final = 3.0  # promised on cascading faults: failed user requests and blast radius
RATIO_MIN_SIMPLE: Final = 1.0  # never worse
SLACK: Final = {"failed": 5.0, "blast_seconds": 1.0}  # medians so near to each other are not worse and better
PROMISED: Final = ("failed", "blast_seconds")
UNITS: Final = {
    "failed": "failed user requests",
    "slow": "slow user requests",
    "blast_services": "services",
    "blast_seconds": "service-seconds",
}


def comparisons(runs: Sequence[Run]) -> dict[str, dict[str, Comparison]]:
    """By class, and of all cascading and all simple ones; then by measure."""
    found = {}
    for name, classes in [*((one, (one,)) for one in (*CASCADING, *SIMPLE)), *TOGETHER.items()]:
        here = {measure: compare(of(runs, classes), measure) for measure in MEASURES}
        if all(here.values()):
            found[name] = {measure: one for measure, one in here.items() if one is not None}
    return found


HEAD: Final = (
    "Faults",
    "worlds",
    *("failed: ours", "best", "ratio (95 %)", "worse", "bound", "at most", "spared", "avoided: ours", "best"),
    *("per world", "of sums"),
    *("blast s: ours", "best", "ratio (95 %)", "worse"),
    *("slow: ours", "best"),
)
TOGETHER: Final = {"cascading": CASCADING, "simple": SIMPLE}


def table(runs: Sequence[Run]) -> str:
    """One row a class: ours, the best textbook policy, their ratio with its confidence, how often worse. Then what can
    be had: what is lost at best, the ratio that nobody exceeds, the share that ours spares of what the best loses above
    that, and the shares of plain's loss that ours and the best avoid. Then the two other readings of a ratio."""
    lines = [
        "| " + " | ".join(HEAD) + " |",
        "|---" * len(HEAD) + "|",
    ]
    for name, here in comparisons(runs).items():
        title = f"**all {name}**" if name in TOGETHER else f"`{name}`"
        slow = here["slow"]
        cells = [
            title,
            str(slow.worlds),
            *_cells(here["failed"]),
            *_beside(here["failed"]),
            *_cells(here["blast_seconds"]),
            _number(slow.ours),
            _rival(slow),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", _healthy(runs)]
    return "\n".join(lines)


def _cells(one: Comparison) -> list[str]:
    ratio = f"{one.ratio:.1f}x ({one.low:.1f} to {one.high:.1f})"
    return [_number(one.ours), _rival(one), ratio, f"{one.worse:.0%}"]


def _beside(one: Comparison) -> list[str]:
    bound = ["-"] * 2
    if one.bound is not None and one.at_most is not None:
        bound = [_number(one.bound), f"{one.at_most:.1f}x"]
    shares = ["-" if share is None else f"{share:.0%}" for share in (one.spared, one.avoided, one.best_avoided)]
    return [*bound, *shares, f"{one.paired:.1f}x", f"{one.summed:.1f}x"]


def _rival(one: Comparison) -> str:
    return f"{_number(one.best_value)} {one.best}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 or value == int(value) else f"{value:,.1f}"


def _healthy(runs: Sequence[Run]) -> str:
    healthy = [run for run in of(runs, (HEALTHY,)) if run.policy == OURS]
    false, calls = sum(run.false_acts for run in healthy), sum(run.calls for run in healthy)
    return f"Healthy worlds: {len(healthy)}, {calls:,} calls, {false} false actions."


def missed(runs: Sequence[Run]) -> list[str]:
    """Promises that these runs do not keep."""
    found = []
    for name, here in comparisons(runs).items():
        least = RATIO_MIN if name == "cascading" else RATIO_MIN_SIMPLE
        if name in CASCADING:
            continue  # promised of all of them together, in the median; what each allows is in the table
        for measure in PROMISED:
            one = here[measure]
            if one.ratio < least and (least > 1 or one.ours - one.best_value > SLACK[measure]):
                seeds = ", ".join(map(str, one.worst_seeds)) or "none by more than chance"
                found.append(
                    f"{name}, {UNITS[measure]}: {one.ratio:.2f}x of {one.best}, at least {least:g}x; "
                    f"worst seeds: {seeds}"
                )
    false = [f"{run.seed} ({run.false_acts})" for run in runs if run.policy == OURS and run.false_acts]
    if false:
        found.append(f"false actions on healthy seeds: {', '.join(false)}")
    return found


def broken(runs: Sequence[Run]) -> list[str]:
    """Every invariant that broke, with the command that replays it."""
    return [
        f"{violation}\n        controlplane simulate --seed {run.seed}"
        for run in runs
        if run.policy == OURS
        for violation in run.violations
    ]


def results(runs: Sequence[Run], healthy_calls: int = 0, false_acts: int = 0) -> list[Result]:
    """`sim.<class>`: failed user requests in the median; `sim.<class>.blast`: service-seconds; `sim.healthy`."""
    found = []
    for name, here in comparisons(runs).items():
        for measure, suffix in (("failed", ""), ("blast_seconds", ".blast")):
            one = here[measure]
            found.append(
                Result(
                    f"sim.{name}{suffix}",
                    one.ours,
                    f"{UNITS[measure]}, median of {one.worlds} worlds",
                    rival=one.best,
                    rival_value=one.best_value,
                    peer_ratio=one.ratio,
                    rivals=one.rivals,
                    bound=msgspec.UNSET if one.bound is None else round(one.bound, 1),
                )
            )
    healthy = [run for run in of(runs, (HEALTHY,)) if run.policy == OURS]
    calls = healthy_calls + sum(run.calls for run in healthy)
    if calls:
        false_acts += sum(run.false_acts for run in healthy)
        found.append(Result("sim.healthy", float(false_acts), f"false actions in {calls:,} calls", bound=0.0))
    return found
