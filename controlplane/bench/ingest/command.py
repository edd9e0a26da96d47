"""The ingest suite: its figures as a table and into the results."""

import gzip
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from time import perf_counter_ns
from typing import Final

from controlplane._native.wire import SpanPairs
from controlplane.adapters.bounded import expanded
from controlplane.adapters.ingest.otlp import EXPANDED_BYTES_MAX
from controlplane.bench import result
from controlplane.bench.ingest.batch import batch
from controlplane.bench.ingest.rival import Edges, Generated
from controlplane.bench.result import Result
from controlplane.bench.subject import NotInstalled

CALLS: Final = 1_024  # of one request: 2,048 spans, 700 KiB
BODIES: Final = 8
ROUNDS, ROUNDS_QUICK = 30, 5
PER_SECOND_MIN: Final = {"otlp.fold": 1_000_000}  # promised, on one core
RATIO_MIN: Final = {"otlp.fold": 5.0}
HEAD: Final = f"{'figure':<18} {'ns/span':>9} {'spans/s':>12}   {'rival':<30} {'ns/span':>9} {'ratio':>7}"

Fold = tuple[Callable[[bytes], object], Callable[[], Edges]]
"""Takes in a body; tells the edges since the last time."""


class Disagreement(AssertionError):
    """The rival folds something else than we do: its time would mean nothing."""


def measure(*, quick: bool, calls: int = CALLS) -> Iterator[Result]:
    """All figures: ns for a span that is decoded and folded, its edges told; the best of many rounds, in turns."""
    bodies = [batch(calls, seed=seed) for seed in range(BODIES)]
    packed = [gzip.compress(body, 6) for body in bodies]
    spans = 2 * calls * BODIES
    ours = _ours(expand=False)
    folds: dict[str, tuple[Fold, list[bytes]]] = {
        "otlp.fold": (ours, bodies),
        "otlp.fold.gzip": (_ours(expand=True), packed),
    }
    rival = _rival()
    if rival is not None:
        if _edges(rival[1], bodies) != _edges(ours, bodies):
            raise Disagreement(rival[0])
        folds[rival[0]] = rival[1], bodies
    took = _rounds(folds, ROUNDS_QUICK if quick else ROUNDS)
    for name in ("otlp.fold", "otlp.fold.gzip"):
        ns = took[name] / spans
        if rival is None or name != "otlp.fold":
            yield Result(name, ns, "ns")
            continue
        theirs = took[rival[0]] / spans
        yield Result(name, ns, "ns", None, rival[0], theirs, theirs / ns)


def _ours(*, expand: bool) -> Fold:
    pairs = SpanPairs(waiting_max=1 << 17)

    def take_in(body: bytes) -> None:
        pairs.traces(expanded(body, EXPANDED_BYTES_MAX) if expand else body, 1)

    return take_in, lambda: {(caller, callee): list(sums) for caller, callee, *sums in pairs.take(1)}


def _rival() -> tuple[str, Fold] | None:
    try:
        generated = Generated()
    except NotInstalled as error:
        print(f"the rival opentelemetry-proto is left out: {error}", file=sys.stderr)
        return None
    return generated.name, (generated.traces, generated.take)


def _edges(fold: Fold, bodies: list[bytes]) -> Edges:
    for body in bodies:
        fold[0](body)
    return fold[1]()


def _rounds(folds: dict[str, tuple[Fold, list[bytes]]], rounds: int) -> dict[str, int]:
    """ns of each fold over all its bodies: the best time of each body, and of telling the edges, summed. A body takes
    less than the scheduler's turn, so that a busy machine leaves some of the rounds in peace."""
    best = {name: [1 << 62] * (len(bodies) + 1) for name, (_, bodies) in folds.items()}
    for _ in range(rounds):
        for name, ((take_in, tell), bodies) in folds.items():
            for at, body in enumerate(bodies):
                begun = perf_counter_ns()
                take_in(body)
                best[name][at] = min(best[name][at], perf_counter_ns() - begun)
            begun = perf_counter_ns()
            tell()
            best[name][-1] = min(best[name][-1], perf_counter_ns() - begun)
    return {name: sum(times) for name, times in best.items()}


def missed(results: list[Result]) -> list[str]:
    """Promises that these results do not keep."""
    said = []
    for one in results:
        least = PER_SECOND_MIN.get(one.name)
        if least is not None and 1e9 / one.value < least:
            said.append(f"{one.name}: {1e9 / one.value:,.0f} spans/s, promised {least:,}")
        ratio = RATIO_MIN.get(one.name)
        if ratio is not None and one.peer_ratio is not None and one.peer_ratio < ratio:
            said.append(f"{one.name}: {one.peer_ratio:.1f}x the rival, promised {ratio:g}x")
    return said


def line(one: Result) -> str:
    """One figure."""
    rival = "" if one.rival_value is None else f"{one.rival:<30} {one.rival_value:>9,.0f} {one.peer_ratio:>6.1f}x"
    return f"{one.name:<18} {one.value:>9,.0f} {1e9 / one.value:>12,.0f}   {rival}".rstrip()


def run(json: Path | None, *, quick: bool) -> list[str]:
    """Measure, print, join to `json`; what was promised and not kept."""
    if json:
        result.read(json)  # a file that cannot be joined is better known before the minutes than after them
    print(HEAD)
    results = []
    for one in measure(quick=quick):
        print(line(one), flush=True)
        results.append(one)
    if json:
        result.join(json, results)
    broken = missed(results)
    for what in broken:
        print(f"MISSED {what}", file=sys.stderr)
    return broken
