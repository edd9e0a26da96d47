"""Simulated deploys: how often a healthy version is rolled back, and how soon a bad one.

    python -m bench.deploys --count 1000 --json deploys.json

Healthy versions are deployed into worlds in which something goes wrong for both versions alike. Exit status 1 if one
is rolled back. Bad ones fail a share of their calls; the table tells how soon the comparison found them.
"""

import argparse
import json
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import msgspec

from controlplane.simulate.deploys import NOISES, Deploy, run

BAD = (0.05, 0.1, 0.3, 1.0)


def main() -> int:
    """Run them and print what became of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1000, help="healthy deploys (default: 1000)")
    parser.add_argument("--bad", type=int, default=20, help="bad deploys of each share (default: 20)")
    parser.add_argument("--first", type=int, default=0, help="first seed")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    began = time.monotonic()
    seeds = range(args.first, args.first + args.count)
    with ProcessPoolExecutor(args.jobs) as pool:
        healthy = list(pool.map(run, seeds, chunksize=8))
        wrong = [one for one in healthy if one.found_s is not None or one.rolled_back_s is not None]
        print(f"{len(healthy)} healthy deploys, {len(wrong)} rolled back, {time.monotonic() - began:.0f} s")
        for noise in NOISES:
            of_noise = [one for one in healthy if one.noise == noise]
            print(f"  {noise:<18} {len(of_noise):>5} deploys  {sum(one.calls for one in of_noise):>9} calls")
        for one in wrong:
            print(f"  WRONG: {one}")
        bad: dict[str, list[Deploy]] = {}
        for share in BAD:
            found = list(pool.map(partial(run, noise="none", bad=share), range(args.bad), chunksize=4))
            bad[f"{share:g}"] = found
            print(f"  {share:.0%} of its calls fail: {_when(found)}")
    if args.json is not None:
        args.json.write_text(json.dumps(msgspec.to_builtins({"healthy": healthy, "bad": bad}), indent=1) + "\n")
    return 1 if wrong else 0


def _when(found: list[Deploy]) -> str:
    times = [one.found_s for one in found if one.found_s is not None]
    back = [one.rolled_back_s for one in found if one.rolled_back_s is not None]
    parts = [
        f"{name} {len(each)} of {len(found)}" + (f", median {statistics.median(each):.1f} s" if each else "")
        for name, each in (("side by side", times), ("rolled back", back))
    ]
    return "; ".join(parts)


if __name__ == "__main__":
    raise SystemExit(main())
