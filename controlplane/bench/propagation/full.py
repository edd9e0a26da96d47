"""Whole evaluations: what ours and its rivals do, that they agree, and how long each takes."""

import contextlib
import math
from collections.abc import Iterator
from functools import partial
from typing import cast

from controlplane.bench.propagation import clock
from controlplane.bench.propagation.graphs import Floats, Sample, sample
from controlplane.bench.propagation.rivals import Levels, Rival, Sparse, agree
from controlplane.bench.result import Result
from controlplane.decide.feedback import reproduction_number
from controlplane.decide.propagation import blame_flow, blast_radius

SEED = 1
SIZES = (("2k", 2_000, 10_000), ("18k", 18_500, 350_000))  # 18,500 / 350,000: as in Alibaba's published traces
CURVE = (("10k", 10_000, 80_000), ("100k", 100_000, 800_000), ("1m", 1_000_000, 8_000_000))
ROUNDS, ROUNDS_QUICK = 30, 5
NUMPY, POWER = "numpy, level by level", "power iteration"


class Disagreement(AssertionError):
    """A rival computes something else than we do: its time would mean nothing."""


def evaluate(s: Sample) -> tuple[Floats, Floats, Floats]:
    """Share, failure and latency of the sample, with the structure worked out: what an engine does with each window."""
    blame = blame_flow(s.graph, excess=s.excess, edge_excess=s.edge_excess, source=s.source)
    blast = blast_radius(s.graph, failure=s.failure, latency=s.latency, fraction=s.fraction, calls=s.calls, soft=s.soft)
    return blame.share, blast.failure, blast.latency


def _together(*acts: clock.Act | None) -> clock.Act:
    wanted = [act for act in acts if act is not None]

    def run() -> None:
        for act in wanted:
            act()

    return run


def _rivals(s: Sample) -> dict[str, Rival]:
    made: dict[str, Rival] = {NUMPY: Levels(s.graph)}
    with contextlib.suppress(ImportError):  # scipy is an extra of the bench; without it numpy is the only rival
        made["scipy.sparse, to the fixed point"] = Sparse(s.graph)
    found = evaluate(s)
    for name, rival in made.items():
        if not agree(found, rival(s)):
            raise Disagreement(name)
    return made


def _radii(s: Sample) -> tuple[clock.Act | None, dict[str, clock.Act]]:
    """R of the sample's loop: ours, and the rivals'. None without scipy, which even the plain rival multiplies with."""
    try:
        from controlplane.bench.propagation.reproduction import Layered, loop_of
    except ImportError:
        return None, {}
    loop, at = loop_of(s, SEED)
    rival = Layered(loop)
    wanted = reproduction_number(loop, at)
    rivals: dict[str, clock.Act] = {
        POWER: partial(rival.radius, at, arpack=False),
        "ARPACK": partial(rival.radius, at, arpack=True),
    }
    for name, act in rivals.items():
        if not math.isclose(cast("float", act()), wanted, rel_tol=1e-3, abs_tol=1e-3):
            raise Disagreement(name)
    return partial(reproduction_number, loop, at), rivals


def figures(*, quick: bool) -> Iterator[Result]:
    """`propagation.full.*`: blame, blast and R, trouble everywhere, beside numpy; `.best`: beside the quickest."""
    floor_s = clock.floor()
    for label, services, edges in SIZES:
        s = sample(services, edges, SEED, cell=services)
        radius, radii = _radii(s)
        acts: dict[str, clock.Act] = {"ours": _together(partial(evaluate, s), radius)}
        for name, rival in _rivals(s).items():
            for method, act in radii.items() or [("", None)]:
                acts[f"{name}; {method}" if method else name] = _together(partial(rival, s), act)
        took = clock.in_turns(acts, ROUNDS_QUICK if quick else ROUNDS)
        value = took.pop("ours")
        plain, best = f"{NUMPY}; {POWER}" if radius else NUMPY, min(took, key=lambda each: took[each])
        for name, rival_name in ((f"full.{label}", plain), (f"full.{label}.best", best)):
            yield Result(
                name=f"propagation.{name}",
                value=value * 1e9,
                unit="ns",
                floor_ratio=value / floor_s,
                rival=rival_name,
                rival_value=took[rival_name] * 1e9,
                peer_ratio=took[rival_name] / value,
            )
