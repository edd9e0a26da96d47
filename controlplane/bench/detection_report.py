"""`controlplane bench detection`: the table, the file and the picture."""

import argparse
from collections.abc import Sequence

import numpy as np

from controlplane.bench import detection, detection_plot, result, rivals
from controlplane.bench.detection import BASE_SHARE, FALSE_ALARM, Delay
from controlplane.bench.result import Result

QUICK = {"lives_count": 6, "trials": 600, "rival_trials": 200}
EXACT_LIVES, EXACT_LIVES_QUICK = 8, 2


def markdown(delays: Sequence[Delay], alarms: float) -> str:
    """The table, as it stands in docs/concepts/detection.md."""
    names = list(delays[0].rivals)
    lines = [
        "| Change | bound | at most | ours | " + " | ".join(names) + " |",
        "|---|---|---|---|" + "---|" * len(names),
    ]
    for delay in delays:
        beside = [
            f"{calls:,.0f}" if calls < rivals.CALLS_MAX else f"over {rivals.CALLS_MAX:,}"
            for calls in (delay.rivals[name] for name in names)
        ]
        ours = f"**{delay.calls:.1f}** ± {delay.error:.1f}"
        cells = [f"`{delay.shift.name}`", f"{delay.shift.bound:.1f}", f"{delay.limit:.1f}", ours, *beside]
        lines.append(f"| {' | '.join(cells)} |")
    sweeps = rivals.success_rate_false_alarms(BASE_SHARE, 200_000, np.random.default_rng(1))
    told = (
        f"Calls from the change to the verdict. False alarms a call: ours {alarms:.1e} at a dial of {FALSE_ALARM:.0e} "
        f"(exact chains, added up over the six sums); success-rate outlier {sweeps:.0e} "
        f"({rivals.HOSTS} hosts, {rivals.INTERVAL_CALLS:,} calls each in an interval)."
    )
    return "\n".join([*lines, "", told])


def alarms_of(lives: int) -> float:
    """Ours, exactly, on average over what so many detectors have learned."""
    rng = np.random.default_rng(2)
    return float(np.mean([detection.exact_false_alarms(one) for one in detection.lives(lives, rng)]))


def run(args: argparse.Namespace) -> int:
    """Measure, print, write; 1 when `--check` found a broken promise."""
    if args.json:
        result.read(args.json)  # a file that cannot be joined is better known before the minutes than after them
    delays = list(detection.measure(seed=args.seed, **(QUICK if args.quick else {})))
    alarms = alarms_of(EXACT_LIVES_QUICK if args.quick else EXACT_LIVES)
    print(markdown(delays, alarms))
    missed = [text for delay in delays for text in delay.missed]
    if alarms > FALSE_ALARM:
        missed.append(f"detection.false_alarm: {alarms:.1e} a call, at most {FALSE_ALARM:.0e}")
    print("\npromised and MISSED:\n" + "\n".join(f"    {text}" for text in missed) if missed else "\nall promises met")
    if args.json:
        figures = [delay.result() for delay in delays]
        result.join(args.json, [*figures, Result("detection.false_alarm", alarms, "per call", bound=FALSE_ALARM)])
    if args.plot:
        args.plot.write_text(detection_plot.svg(delays))
    return 1 if args.check and missed else 0
