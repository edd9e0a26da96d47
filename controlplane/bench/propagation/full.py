"""Whole evaluations: what ours and its rivals do, that they agree, and how long each takes."""

import contextlib
from collections.abc import Callable, Iterator
from functools import partial

import msgspec

from controlplane.bench.propagation import clock
from controlplane.bench.propagation.graphs import Floats, Sample, sample
from controlplane.bench.propagation.rivals import Levels, Rival, Sparse, agree
from controlplane.bench.result import Result
from controlplane.decide.propagation import blame_flow, blast_radius

SEED = 1
SIZES = (("2k", 2_000, 10_000), ("18k", 18_500, 350_000))  # 18,500 / 350,000: as in Alibaba's published traces
CURVE = (("10k", 10_000, 80_000), ("100k", 100_000, 800_000), ("1m", 1_000_000, 8_000_000))
ROUNDS, ROUNDS_QUICK = 30, 5


class Part(msgspec.Struct, frozen=True):
    """One more thing that belongs to a full evaluation: of ours and of numpy's, made ready from a sample."""

    ours: Callable[[Sample], clock.Act]
    rival: Callable[[Sample], clock.Act]


# the reproduction number belongs here, as soon as it can be computed from a sample's graph
PARTS: tuple[Part, ...] = ()


class Disagreement(AssertionError):
    """A rival computes something else than we do: its time would mean nothing."""


def evaluate(s: Sample) -> tuple[Floats, Floats, Floats]:
    """Share, failure and latency of the sample, with the structure worked out: what an engine does with each window."""
    blame = blame_flow(s.graph, excess=s.excess, edge_excess=s.edge_excess, source=s.source)
    blast = blast_radius(s.graph, failure=s.failure, latency=s.latency, fraction=s.fraction, calls=s.calls, soft=s.soft)
    return blame.share, blast.failure, blast.latency


def _all(acts: list[clock.Act]) -> None:
    for act in acts:
        act()


def _rivals(s: Sample) -> dict[str, Rival]:
    made: dict[str, Rival] = {"numpy, level by level": Levels(s.graph)}
    with contextlib.suppress(ImportError):  # scipy is an extra of the bench; without it numpy is the only rival
        made["scipy.sparse, to the fixed point"] = Sparse(s.graph)
    found = evaluate(s)
    for name, rival in made.items():
        if not agree(found, rival(s)):
            raise Disagreement(name)
    return made


def figures(*, quick: bool) -> Iterator[Result]:
    """`propagation.full.*`: blame, blast and PARTS, trouble everywhere, beside the best rival."""
    floor_s = clock.floor()
    for label, services, edges in SIZES:
        s = sample(services, edges, SEED, cell=services)
        acts: dict[str, clock.Act] = {
            name: partial(_all, [partial(rival, s), *(part.rival(s) for part in PARTS)])
            for name, rival in _rivals(s).items()
        }
        acts["ours"] = partial(_all, [partial(evaluate, s), *(part.ours(s) for part in PARTS)])
        took = clock.in_turns(acts, ROUNDS_QUICK if quick else ROUNDS)
        value = took.pop("ours")
        best = min(took, key=lambda name: took[name])
        yield Result(
            name=f"propagation.full.{label}",
            value=value * 1e9,
            unit="ns",
            floor_ratio=value / floor_s,
            rival=best,
            rival_value=took[best] * 1e9,
            peer_ratio=took[best] / value,
        )
