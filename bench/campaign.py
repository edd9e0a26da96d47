"""A thousand simulated failures, each met by the production plane and by every textbook policy, and what users saw.

    python -m bench.campaign [--seeds 1000] [--first 0] [--classes leaf_slow,retry_storm] [--processes 2]
                             [--seconds 120] [--healthy-calls 1e8] [--policies ours,plain,...]
                             [--json bench/results/latest.json] [--plot FILE] [--table FILE] [--check]

One seed is one world: its services, its load and its fault follow from the seed alone, and every policy lives in the
same one. `ours` is watched by the invariants of `controlplane.sim.invariant` at every step. Ends with 1 when one of
them broke, or, with `--check`, when a promise was missed.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from multiprocessing import get_context
from pathlib import Path

from bench.living import HEALTHY_SECONDS, Job, healthy, live
from controlplane.bench import result
from controlplane.bench.campaign import plot, table
from controlplane.bench.campaign.run import CASCADING, HEALTHY, OURS, SIMPLE, Run
from controlplane.sim.textbook.fleet import POLICIES

CLASSES = (*CASCADING, *SIMPLE, HEALTHY)
SHOWN_EVERY_S = 1.0


def main(argv: Sequence[str] | None = None) -> int:
    """Run, print, write; 1 when an invariant broke."""
    asked = _arguments(argv)
    if asked.json:
        result.read(asked.json)  # a file that cannot be joined is better known before the minutes than after them
    begun = time.monotonic()
    jobs = [
        Job(seed, asked.classes[at % len(asked.classes)] if asked.classes else "", tuple(asked.policies), asked.seconds)
        for at, seed in enumerate(range(asked.first, asked.first + asked.seeds))
    ]
    runs = sorted(
        (run for found in spread(live, jobs, asked.processes, "worlds") for run in found),
        key=lambda run: (run.seed, run.policy),
    )
    if runs:
        print(table.table(runs))
        print(f"\n{len(jobs)} worlds in {time.monotonic() - begun:.0f} s\n")
    quiet = rest(asked, runs)
    broken, missed = table.broken([*runs, *quiet]), table.missed(runs)
    if broken:
        print("invariants that BROKE:\n" + "\n".join(f"    {text}" for text in broken))
    print("\n".join(["promised and MISSED:", *(f"    {text}" for text in missed)]) if missed else "all promises met")
    _write(asked, runs, quiet)
    return 1 if broken or (asked.check and missed) else 0


def rest(asked: argparse.Namespace, runs: Sequence[Run]) -> list[Run]:
    """Healthy worlds, ours alone, until there were `--healthy-calls` in all."""
    begun = time.monotonic()
    seen = sum(run.calls for run in runs if run.policy == OURS and run.fault_class == HEALTHY)
    quiet: list[Run] = []
    seed = 1_000_000  # beside those of the campaign
    while seen < asked.healthy_calls:
        mean = max(1, sum(run.calls for run in quiet) // max(1, len(quiet))) if quiet else 0
        batch = max(asked.processes, min(200, round((asked.healthy_calls - seen) / mean))) if mean else asked.processes
        more = [Job(seed + at, HEALTHY, (OURS,), HEALTHY_SECONDS) for at in range(batch)]
        quiet += [run for found in spread(healthy, more, asked.processes, "healthy worlds") for run in found]
        seed += batch
        seen += sum(run.calls for run in quiet[-batch:])
    if asked.healthy_calls:
        false = sum(run.false_acts for run in [*runs, *quiet] if run.policy == OURS)
        took = time.monotonic() - begun
        print(f"healthy: {seen:,} calls in {len(quiet)} worlds more, {false} false actions, {took:.0f} s\n")
    return quiet


def spread(work: Callable[[Job], list[Run]], jobs: Sequence[Job], processes: int, what: str) -> list[list[Run]]:
    """What `work` makes of each job, in the order in which they are done, with a line that tells how far it is."""
    if processes <= 1 or len(jobs) <= 1:
        return list(_told(map(work, jobs), len(jobs), what))
    with get_context("spawn").Pool(min(processes, len(jobs))) as pool:
        return list(_told(pool.imap_unordered(work, jobs), len(jobs), what))


def _told(found: Iterable[list[Run]], total: int, what: str) -> Iterator[list[Run]]:
    begun = shown = time.monotonic()
    terminal = sys.stderr.isatty()
    for done, one in enumerate(found, 1):
        yield one
        now = time.monotonic()
        if now - shown >= (SHOWN_EVERY_S if terminal else 30 * SHOWN_EVERY_S) or (terminal and done == total):
            shown = now
            left = (now - begun) / done * (total - done)
            line = f"{done} of {total} {what}, {now - begun:.0f} s, {left:.0f} s to go"
            print(f"\r{line:<70}" if terminal else line, end="" if terminal else "\n", file=sys.stderr, flush=True)
    if terminal:
        print(file=sys.stderr)


def _write(asked: argparse.Namespace, runs: Sequence[Run], quiet: Sequence[Run]) -> None:
    calls, false = sum(run.calls for run in quiet), sum(run.false_acts for run in quiet)
    if asked.json:
        result.join(asked.json, table.results(runs, calls, false))
    if asked.plot:
        asked.plot.write_text(plot.svg(runs))
    if asked.table:
        asked.table.write_text(table.table(runs) + "\n")


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0, metavar="SEED", help="the first one")
    parser.add_argument("--seconds", type=float, default=120.0, help="simulated, of each world")
    parser.add_argument("--classes", type=_names(CLASSES), default=[], help="instead of what each seed draws")
    parser.add_argument("--policies", type=_names((OURS, *POLICIES)), default=[OURS, *POLICIES])
    parser.add_argument("--processes", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--healthy-calls", type=float, default=0.0, metavar="N", help="in healthy worlds, ours alone")
    parser.add_argument("--json", type=Path, metavar="FILE", help="join the figures to that file's")
    parser.add_argument("--plot", type=Path, metavar="FILE")
    parser.add_argument("--table", type=Path, metavar="FILE")
    parser.add_argument("--check", action="store_true", help="end with 1 when a promise is missed, too")
    return parser.parse_args(argv)


def _names(known: Sequence[str]) -> Callable[[str], list[str]]:
    def names(text: str) -> list[str]:
        found = [name for name in text.split(",") if name]
        if unknown := sorted(set(found) - set(known)):
            raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: not among {', '.join(known)}")
        return found

    return names


if __name__ == "__main__":
    sys.exit(main())
