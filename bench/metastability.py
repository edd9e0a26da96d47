"""Does the verdict tell stuck from recovered? A thousand systems, each broken for a while and then watched.

    python -m bench.metastability [--quick] [--systems 1000] [--seed 0] [--restless] [--json FILE]

`controlplane.sim` moves the fluids and knows nothing of the verdict; `controlplane.decide` gets the systems' parameters
and the failure shares seen while the trigger ends (or, `foreseen`, what its own loop makes of the trigger) and says
which systems will still fail a minute later. `--restless`: few requests at a time, where chance alone tips systems.
"""

import argparse
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from controlplane.bench.result import Result, join
from controlplane.decide.feedback.backlog import after_backlog
from controlplane.decide.feedback.loop import STUCK_SHARE, Loop, verdict
from controlplane.sim.draw import RESTLESS, USERS, draw
from controlplane.sim.fluid import Course, Systems, Trigger, simulate

BEGIN_S, END_S, WATCH_S, LOOK_S, STEP_S = 4.0, 19.0, 80.0, 3.0, 0.01
SYSTEMS, QUICK_SYSTEMS = 1000, 100
NEAR = (0.8, 1.25)  # offered load over capacity of the fullest service, in the failed state without the trigger

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


def loop_of(systems: Systems, trigger: Trigger | None = None) -> Loop:
    """The loop of the systems' parameters, or of what they are while the trigger is on.

    An answer is late when nobody waits for it any more, neither its caller nor who waits for that one. And a fallback
    that comes when the caller's own callers have left is none.
    """
    services, callee, caller = len(systems.load), systems.callee, systems.caller
    order = np.argsort(caller, kind="stable")
    callers = np.bincount(callee, minlength=services)
    left = np.full(services, np.inf)  # seconds for which anybody waits
    for _ in range(16):  # layers are fewer
        mean = np.bincount(callee, weights=np.minimum(systems.wait, left[caller]), minlength=services)
        left = np.divide(mean, callers, out=np.full(services, np.inf), where=callers > 0)
    tried = systems.wait * systems.attempts + systems.pause * (systems.attempts - 1)
    need = np.where(tried > left[caller], np.minimum(systems.calls, 1.0), systems.need)
    need[callers[caller] == 0] = systems.need[callers[caller] == 0]
    now_capacity = systems.capacity * (1.0 if trigger is None else trigger.capacity)
    bounded = np.isfinite(systems.capacity)
    return Loop(
        np.concatenate([[0], np.cumsum(np.bincount(caller, minlength=services))]),
        callee[order],
        base=systems.load * (1.0 if trigger is None else trigger.load),
        capacity=now_capacity,
        calls=systems.calls[order],
        attempts=systems.attempts[order],
        budget=systems.budget[order],
        need=need[order],
        patience=np.maximum(1.0, np.where(bounded, now_capacity, 1.0) * np.where(bounded, left, 1.0)),
        queue=np.maximum(1.0, systems.queue),
    )


class Judged:
    """What was foretold of each system, and what came."""

    def __init__(self, systems: Systems, trigger: Trigger, course: Course) -> None:
        self.systems, inner = systems, systems.load == 0.0
        loop = loop_of(systems)
        self.quiet = ~self._any((course.before > STUCK_SHARE) & inner)
        self.stuck = self._any((course.after > course.before + STUCK_SHARE) & inner)
        self.failed = self._any((course.triggered > STUCK_SHARE) & inner)
        seen = verdict(loop, after_backlog(loop, course.triggered, course.backlog))
        self.seen = self._any(seen.stuck & inner)
        self.shares = self._any(verdict(loop, course.triggered).stuck & inner)
        nothing = np.zeros(len(systems.load))
        under = loop_of(systems, trigger)
        failing, load, _ = under.core.settle(nothing)
        full = np.where(load > under.capacity, systems.queue, 0.0)
        self.foreseen = self._any(verdict(loop, after_backlog(loop, failing, full)).stuck & inner)
        names = ("base", "capacity", "calls", "attempts", "budget", "need")
        blind = Loop(loop.indptr, loop.indices, **{name: getattr(loop, name) for name in names})
        self.blind = self._any(verdict(blind, course.triggered).stuck & inner)
        self.simple = self._most(seen.utilisation * seen.amplification) > 1.0
        load = self._most(loop.core.loads(course.triggered) / systems.capacity)
        self.near = (load > NEAR[0]) & (load < NEAR[1])
        self.by_service = float(np.mean((seen.stuck == (course.after > course.before + STUCK_SHARE))[inner]))

    def _any(self, flags: Flags) -> Flags:
        return np.bincount(self.systems.system, weights=flags) > 0

    def _most(self, values: Floats) -> Floats:
        most = np.zeros(self.systems.system[-1] + 1)
        np.maximum.at(most, self.systems.system, values)
        return most

    def score(self, foretold: Flags, among: Flags) -> dict[str, float]:
        """The confusion table of `foretold` over the systems `among`, and its shares."""
        true, said = self.stuck[among], foretold[among]
        hits, misses = int(np.sum(said & true)), int(np.sum(~said & true))
        alarms, calm = int(np.sum(said & ~true)), int(np.sum(~said & ~true))
        return {
            "systems": len(true),
            "stuck_stuck": hits,
            "stuck_recovered": alarms,
            "recovered_stuck": misses,
            "recovered_recovered": calm,
            "accuracy": (hits + calm) / max(1, len(true)),
            "precision": hits / max(1, hits + alarms),
            "recall": hits / max(1, hits + misses),
            "base_rate": (hits + misses) / max(1, len(true)),
        }

    def table(self) -> dict[str, dict[str, float]]:
        """Scores by who foretells, and among which systems. Systems that failed before the trigger are left out."""
        quiet = self.quiet
        return {
            "verdict": self.score(self.seen, quiet),
            "verdict, near": self.score(self.seen, quiet & self.near),
            "verdict, trigger took hold": self.score(self.seen, quiet & self.failed),
            "verdict without backlog": self.score(self.shares, quiet),
            "patience, queue unknown": self.score(self.blind, quiet),
            "foreseen": self.score(self.foreseen, quiet),
            "utilisation x amplification": self.score(self.simple, quiet),
            "still fails": self.score(self.failed, quiet),
        }


def judge(systems: int, seed: int, users: tuple[float, float] = USERS) -> Judged:
    """Draw, break, watch and compare."""
    random = np.random.default_rng(seed)
    drawn, trigger = draw(systems, random, begin_s=BEGIN_S, end_s=END_S, users=users)
    course = simulate(drawn, trigger, end_s=WATCH_S, look_s=LOOK_S, step_s=STEP_S, random=random)
    return Judged(drawn, trigger, course)


def main() -> None:
    """Print the confusion tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--systems", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_SYSTEMS} systems instead of {SYSTEMS}")
    parser.add_argument("--restless", action="store_true", help="few requests at a time")
    parser.add_argument("--json", type=Path, metavar="FILE", help="join the figures to that file's, by name")
    asked = parser.parse_args()
    began = time.perf_counter()
    systems = asked.systems or (QUICK_SYSTEMS if asked.quick else SYSTEMS)
    judged = judge(systems, asked.seed, RESTLESS if asked.restless else USERS)
    table = judged.table()
    columns = list(table["verdict"])
    print(f"{'foretold by, among':28}" + "".join(f"{name[:16]:>17}" for name in columns))
    for name, row in table.items():
        print(f"{name:28}" + "".join(f"{row[key]:>17.3f}" if row[key] % 1 else f"{row[key]:>17.0f}" for key in columns))
    print(f"left out, failing before the trigger: {int(np.sum(~judged.quiet))}")
    print(f"services judged right: {judged.by_service:.3f}; {time.perf_counter() - began:.0f} s")
    if asked.json:
        names = {"accuracy": "verdict", "near": "verdict, near", "foreseen": "foreseen"}
        rows = [Result(f"metastability.{name}", table[row]["accuracy"], "share") for name, row in names.items()]
        rows += [Result(f"metastability.{key}", table["verdict"][key], "share") for key in ("precision", "recall")]
        join(asked.json, [*rows, Result("metastability.base_rate", table["verdict"]["base_rate"], "share")])


if __name__ == "__main__":
    main()
