"""The graph as arrays: one row for each bucket, one column for each edge, and what is computed from them.

What is unknown is NaN, never zero: an edge of which nothing was heard during a bucket has no requests known then; one
that was heard, and not called, had none.
"""

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from controlplane.decide.analysis.window import Window
from controlplane.decide.graph.bucket import (
    ATTEMPTS,
    CALLS,
    CLIENT_NS,
    COUNTED,
    FAILURES,
    HEARD_NS,
    SERVED,
    SERVER_NS,
    TIMED,
    WORDS,
    Bucket,
)
from controlplane.model.unit import SECOND

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Frame(msgspec.Struct, frozen=True, kw_only=True):
    """T buckets, N services, E edges.

    Shapes  edges (E, 2), sorted, indices of `names`; edge (T, E, WORDS) and service (T, N, WORDS) sums of counts, the
            latter over all calls into it; width_ns (T,) how long each bucket lasted; soft, heard (E,).
    """

    names: tuple[str, ...]
    edges: Ints
    edge: Floats
    service: Floats
    start_ns: Ints
    width_ns: Ints
    bucket_ns: int
    incident_row: int
    soft: NDArray[np.bool_]
    entry: int | None


class Csr(msgspec.Struct, frozen=True, kw_only=True):
    """Callers as rows, callees as columns (scipy's layout); `names[i]` is row and column i. `soft`: has a fallback."""

    names: tuple[str, ...]
    indptr: Ints
    indices: Ints
    soft: NDArray[np.bool_]


def frame_of(
    buckets: Sequence[Bucket],
    *,
    names: Sequence[str],
    ends: Sequence[tuple[int, int, int]],
    soft: set[tuple[int, int]],
    entry: int | None,
    bucket_ns: int,
    incident_row: int,
    now: int,
) -> Frame:
    """The arrays of `buckets`. `ends`: edge number, caller and callee as indices of `names` (caller -1: nobody named);
    those with the same ends are one edge."""
    pairs = sorted({(caller, callee) for _, caller, callee in ends if caller >= 0})
    column = {pair: index for index, pair in enumerate(pairs)}
    numbers = np.array([number for number, _, _ in ends], dtype=np.int64)
    counts = np.zeros((len(buckets), len(ends), WORDS), dtype=np.int64)
    for row, bucket in zip(counts, buckets, strict=True):
        there = numbers < len(bucket.words)
        row[there] = bucket.words[numbers[there]]
    into = np.array([callee for _, _, callee in ends], dtype=np.int64)
    merged = np.array([column.get((caller, callee), -1) for _, caller, callee in ends], dtype=np.int64)
    return Frame(
        names=tuple(names),
        edges=np.array(pairs, dtype=np.int64).reshape(-1, 2),
        edge=_grouped(counts, merged, len(pairs)),
        service=_grouped(counts, into, len(names)),
        start_ns=np.array([bucket.start for bucket in buckets], dtype=np.int64),
        width_ns=np.array([max(SECOND, min(bucket.end, now) - bucket.start) for bucket in buckets], dtype=np.int64),
        bucket_ns=bucket_ns,
        incident_row=incident_row,
        soft=np.array([pair in soft for pair in pairs], dtype=bool),
        entry=entry,
    )


def window_of(frame: Frame) -> Window:
    """What an analysis reads. A service's latency is its own where it is measured, else what its callers measured."""
    measured = frame.service[:, :, SERVED].any(axis=0)
    served = _seconds(frame.service, SERVER_NS, SERVED)
    return Window(
        bucket_s=frame.bucket_ns / 1e9,
        services=frame.names,
        edges=frame.edges,
        incident_at=frame.incident_row,
        service={
            "requests": _requests(frame, frame.service),
            "error_ratio": _ratio(frame.service),
            "latency_s": np.where(measured, served, _seconds(frame.service, CLIENT_NS, TIMED)),
        },
        edge={
            "requests": _requests(frame, frame.edge),
            "error_ratio": _ratio(frame.edge),
            "client_latency_s": _seconds(frame.edge, CLIENT_NS, TIMED),
            "server_latency_s": _seconds(frame.edge, SERVER_NS, SERVED),
            "attempts": np.divide(
                frame.edge[..., ATTEMPTS],
                frame.edge[..., COUNTED],
                out=np.full(frame.edge.shape[:2], np.nan),
                where=frame.edge[..., COUNTED] > 0,
            ),
        },
        soft=frame.soft,
        entry=frame.entry,
        time_s=frame.start_ns / 1e9,
    )


def csr_of(frame: Frame) -> Csr:
    """The edges in compressed rows."""
    degrees = np.bincount(frame.edges[:, 0], minlength=len(frame.names))
    indptr = np.concatenate([[0], np.cumsum(degrees)]).astype(np.int64)
    return Csr(names=frame.names, indptr=indptr, indices=frame.edges[:, 1].copy(), soft=frame.soft)


def _grouped(counts: Ints, group: Ints, groups: int) -> Floats:
    """Sums of `counts` over the columns of each group; those of group -1 are nobody's."""
    sums = np.zeros((len(counts), groups, WORDS))
    order = np.argsort(group, kind="stable")
    order = order[group[order] >= 0]
    if len(order):
        found, first = np.unique(group[order], return_index=True)
        if len(found) == len(order):  # every edge by itself, as they mostly are
            sums[:, group[order]] = counts[:, order]
            return sums
        sums[:, found] = np.add.reduceat(counts[:, order], first, axis=1)
    return sums


def _sends(counts: Floats) -> Floats:
    """Attempts, where they were counted; elsewhere as many as calls."""
    sends: Floats = counts[..., ATTEMPTS] + counts[..., CALLS] - counts[..., COUNTED]
    return sends


def _requests(frame: Frame, counts: Floats) -> Floats:
    """Attempts in as long as a whole bucket lasts."""
    scale = (frame.bucket_ns / frame.width_ns)[:, np.newaxis]
    return np.where(counts[..., HEARD_NS] > 0, _sends(counts) * scale, np.nan)


def _ratio(counts: Floats) -> Floats:
    sends = _sends(counts)
    ratio: Floats = np.divide(counts[..., FAILURES], sends, out=np.full(sends.shape, np.nan), where=sends > 0)
    return ratio


def _seconds(counts: Floats, total: int, count: int) -> Floats:
    number = counts[..., count] * 1e9
    mean: Floats = np.divide(counts[..., total], number, out=np.full(number.shape, np.nan), where=number > 0)
    return mean
