"""R of the load-failure loop: the kernel beside the same in numpy and scipy, in one run.

    python -m bench.feedback [--quick] [--json FILE]

The rival does what the kernel does, as well as we could write it in numpy 2 and scipy: services in layers, one slice of
a CSR matrix per layer for either direction, the factors of the Jacobian once, then ARPACK or power iteration to the
same tolerance, whichever is quicker. What depends on the graph alone is prepared outside of the clock for both.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from controlplane.bench.propagation.graphs import Floats
from controlplane.bench.propagation.reproduction import Layered
from controlplane.bench.result import Result, join
from controlplane.decide.feedback.loop import Loop, verdict

SIZES = {"2k": (2_000, 10_000), "18k": (18_500, 350_000)}
LAYERS = 8
ROUNDS, QUICK_ROUNDS = 15, 3


def draw(services: int, edges: int, full_share: float, seed: int = 0) -> tuple[Loop, Floats]:
    """A loop in LAYERS layers of which `full_share` services are near their capacity, and where it settles."""
    random = np.random.default_rng(seed)
    layer = np.sort(random.integers(0, LAYERS, services))
    ends = random.integers(0, services, (3 * edges, 2))
    ends = np.unique(ends[layer[ends[:, 0]] < layer[ends[:, 1]]], axis=0)
    ends = ends[np.sort(random.permutation(len(ends))[:edges])]
    caller, callee = ends.T
    indptr = np.concatenate([[0], np.cumsum(np.bincount(caller, minlength=services))])
    callers = np.maximum(1, np.bincount(callee, minlength=services))
    arguments = {
        "base": np.where(layer == 0, 100.0, 1.0),
        "calls": random.uniform(0.1, 1.0, len(caller)) / callers[callee],
        "attempts": random.integers(1, 4, len(caller)).astype(np.float64),
        "need": np.minimum(1.0, random.uniform(0.0, 1.0, len(caller)) * services / edges),
    }
    quiet = Loop(indptr, callee, capacity=np.inf, **arguments).core.loads(np.zeros(services))
    full = random.random(services) < full_share
    utilisation = np.where(full, random.uniform(0.9, 1.05, services), random.uniform(0.2, 0.7, services))
    loop = Loop(indptr, callee, capacity=quiet / utilisation, **arguments)
    return loop, loop.core.settle(np.zeros(services))[0]


def clock(work: Callable[[], object], rounds: int) -> float:
    """Milliseconds of processor time of the quickest round: neighbours on the machine do not count."""
    best = float("inf")
    for _ in range(rounds):
        began = time.thread_time()
        work()
        best = min(best, time.thread_time() - began)
    return best * 1e3


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", type=Path, metavar="FILE", help="join the figures to that file's, by name")
    asked = parser.parse_args()
    rounds, rows = QUICK_ROUNDS if asked.quick else ROUNDS, []
    print(f"{'':24}{'R':>9}{'applied':>9}{'ms':>9}{'arpack':>9}{'power':>9}{'ratio':>7}")
    for name, (services, edges) in SIZES.items():
        for state, full in (("healthy", 0.0), ("incident", 0.05), ("everywhere", 0.6)):
            loop, at = draw(services, edges, full)
            rival = Layered(loop)
            radius, applied = loop.core.radius(at)
            ours = clock(lambda loop=loop, at=at: loop.core.radius(at), rounds)
            arpack = clock(lambda rival=rival, at=at: rival.radius(at, arpack=True), max(2, rounds // 3))
            power = clock(lambda rival=rival, at=at: rival.radius(at, arpack=False), max(2, rounds // 3))
            assert abs(rival.radius(at, arpack=True) - radius) <= 1e-3, "the rival computes something else"
            best = min(arpack, power)
            label = f"feedback.radius.{name}.{state}"
            print(f"{label[9:]:24}{radius:9.4f}{applied:9}{ours:9.3f}{arpack:9.3f}{power:9.3f}{best / ours:7.1f}")
            rows.append(Result(label, ours, "ms", rival="scipy", rival_value=best, peer_ratio=best / ours))
        loop, at = draw(services, edges, 0.05)
        built = clock(lambda loop=loop: loop.replace(), rounds)
        judged = clock(lambda loop=loop: verdict(loop), max(2, rounds // 5))
        turned = clock(lambda loop=loop, at=at: loop.core.turn(at), rounds)
        print(f"{name}: build {built:.3f} ms, one turn {turned:.3f} ms, whole verdict {judged:.1f} ms")
        times = {"build": built, "turn": turned, "verdict": judged}
        rows += [Result(f"feedback.{what}.{name}", value, "ms") for what, value in times.items()]
    if asked.json:
        join(asked.json, rows)


if __name__ == "__main__":
    main()
