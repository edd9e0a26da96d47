"""Spans whose other side never comes, without end: memory stays what it was, and every span is accounted for."""

import os
import tracemalloc
from pathlib import Path

import numpy as np

from controlplane._native.wire import SpanPairs
from tests.native.test_wire import CLIENT, batch, span

PAGE = 4096
SPANS, REQUESTS = 1_000, 1_000
SANITIZED = "libasan" in os.environ.get("LD_PRELOAD", "")  # keeps what is freed for a while; a leak would be 60 MiB
GROWN_BYTES_MAX = 32 << 20 if SANITIZED else 2 << 20


def resident() -> int:
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


def test_an_endless_stream_of_unpaired_spans_costs_no_memory() -> None:
    """A million client spans of as many traces: the oldest give way, are told alone, and nothing grows."""
    one = span(1, 0, CLIENT, trace=1 << 64, service__peer__name="db")
    body = np.frombuffer(batch(web=[one] * SPANS), np.uint8).copy()
    marker = (1 << 64).to_bytes(16, "big")
    text, places, at = body.tobytes(), [], -1
    while (at := text.find(marker, at + 1)) >= 0:
        places.append(at)
    assert len(places) == SPANS
    where = (np.array(places)[:, None] + np.arange(8)).ravel()
    pairs = SpanPairs(waiting_max=4096)
    told = 0.0

    def request(number: int) -> None:
        first = number * SPANS + 1
        ids = np.arange(first, first + SPANS, dtype=">u8")
        body[where] = ids.view(np.uint8)
        assert pairs.traces(body, number) == (SPANS, 0)

    for number in range(20):
        request(number)
    told += sum(calls for _, _, calls, *_ in pairs.take(-1))
    tracemalloc.start()
    before, traced = resident(), tracemalloc.get_traced_memory()[0]
    for number in range(20, REQUESTS):
        request(number)
        if number % 100 == 0:
            told += sum(calls for _, _, calls, *_ in pairs.take(-1))
    grown, traced = resident() - before, tracemalloc.get_traced_memory()[0] - traced
    tracemalloc.stop()
    seen = pairs.statistics()
    waiting = seen["spans"] - seen["alone"]
    assert grown < GROWN_BYTES_MAX
    assert traced < 64 << 10
    assert seen["spans"] == SPANS * REQUESTS
    assert seen["evicted"] == seen["alone"]
    assert 0 < waiting <= 4096
    told += sum(calls for _, _, calls, *_ in pairs.take(REQUESTS))
    assert told == SPANS * REQUESTS
