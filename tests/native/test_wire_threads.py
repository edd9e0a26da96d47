"""Spans that come in many threads at once, while another one tells of edges: nothing is lost, and nobody waits for
ever."""

import threading

from controlplane._native.wire import SpanPairs
from tests.native.test_wire import CLIENT, MS, SERVER, batch, span

THREADS, REQUESTS, CALLS = 4, 60, 50


def test_threads_share_the_tables() -> None:
    """Requests, single spans and the telling of edges in turns of the scheduler's choosing."""
    pairs = SpanPairs(waiting_max=1 << 15)
    done = threading.Event()
    told: list[float] = []

    def send(thread: int) -> None:
        for request in range(REQUESTS):
            first = (thread * REQUESTS + request) * CALLS + 1
            traces = range(first, first + CALLS)
            pairs.traces(batch(web=[span(1, 0, CLIENT, trace=trace) for trace in traces]), 1)
            pairs.traces(batch(cart=[span(2, 1, SERVER, trace=trace) for trace in traces]), 1)
            trace = (1 << 100) + first
            ids = trace.to_bytes(16, "big"), (1).to_bytes(8, "big")
            pairs.span(b"web", *ids, b"", b"", b"db", CLIENT, 5, 5 + MS, False, -1, -1, 1)

    def tell() -> None:
        while not done.is_set():
            told.extend(calls for *_, callee, calls, _, _, _, _, _ in pairs.take(0) if callee == "cart")
            assert pairs.statistics()["rejected"] == 0

    senders = [threading.Thread(target=send, args=(number,)) for number in range(THREADS)]
    teller = threading.Thread(target=tell)
    for one in (*senders, teller):
        one.start()
    for one in senders:
        one.join()
    done.set()
    teller.join()
    last = {(caller, callee): calls for caller, callee, calls, *_ in pairs.take(1)}
    assert sum(told) + last.get(("web", "cart"), 0.0) == THREADS * REQUESTS * CALLS
    assert last["web", "db"] == THREADS * REQUESTS
