"""A campaign against the reader of OTLP: `make fuzz`. Good requests are broken in every way that the format offers.

Each input ends where the next page may not be read, so that a reader that goes one byte too far dies of it instead of
reading on. Whatever comes must be taken or refused with ValueError or OverflowError, in bounded time and memory; a
batch that takes too long ends the run with every stack. Batches are numbered and each has a seed of its own: what
broke one is broken again by `--first N --inputs 10000`.
"""

import argparse
import ctypes
import faulthandler
import gzip
import mmap
import random
import sys
import time
from collections import Counter
from collections.abc import Callable

from controlplane._native.wire import SpanPairs, read_metrics
from controlplane.adapters.bounded import expanded
from controlplane.adapters.ingest import metric_json, span_json
from controlplane.adapters.ingest.kind import NOT_JSON
from controlplane.model.unit import Nanos
from tests.adapters.ingest.metrics import DELTA, GRAPH, Exporter
from tests.native.test_wire import CLIENT, CONSUMER, PRODUCER, SERVER, batch, field, span, varint

BATCH = 10_000
BATCH_S_MAX = 120.0  # a hundred times what it takes on a slow machine
PAGES = 16  # of an input's place: longer inputs are read where they lie
EXPANDED_MAX = 1 << 20
PACKED_EVERY, JSON_EVERY = 50, 50  # inputs of the packed and the textual kind cost a hundred times as much

Mutation = Callable[[random.Random, bytearray], None]


def seeds() -> list[bytes]:
    """Requests that are taken, small enough that one broken byte matters."""
    calls = batch(
        web=[span(1, 0, CLIENT, service__peer__name="cart", http__response__status_code=503, state="ot=th:8")],
        cart=[span(2, 1, SERVER, error=True, server__address="h"), span(3, 2, PRODUCER, messaging__system="q")],
        mail=[span(4, 3, CONSUMER, rpc__response__status_code="UNAVAILABLE", rpc__grpc__status_code=14)],
    )
    graph = Exporter(temporality=DELTA).counter("total", 5, 10, client="web", server="cart", connection_type="")
    graph.histogram(GRAPH + "server_seconds", 5, 0.5, 10, {"client": "web", "server": "cart"}, exponential=True)
    http = Exporter("web").histogram("http.client.request.duration", 5, 500, 10, {"error.type": "503"}, unit="ms")
    return [calls, graph.take().SerializeToString(), http.take().SerializeToString(), b""]


def cut(draw: random.Random, data: bytearray) -> None:
    """Truncated."""
    del data[int(draw.random() * (len(data) + 1)) :]


def change(draw: random.Random, data: bytearray) -> None:
    """Some bytes are others."""
    for _ in range(1 + int(draw.random() * 4)):
        if data:
            data[int(draw.random() * len(data))] = int(draw.random() * 256)


def retype(draw: random.Random, data: bytearray) -> None:
    """Another wire type."""
    if data:
        at = int(draw.random() * len(data))
        data[at] = data[at] & 0xF8 | int(draw.random() * 8)


def lengthen(draw: random.Random, data: bytearray) -> None:
    """A length, or a number, that is much larger, up to more than 64 bits."""
    at = int(draw.random() * (len(data) + 1))
    data[at : at + 1] = b"\xff" * int(draw.random() * 12) + bytes((int(draw.random() * 128),))


def repeat(draw: random.Random, data: bytearray) -> None:
    """A part of it comes again somewhere."""
    begin, at = int(draw.random() * (len(data) + 1)), int(draw.random() * (len(data) + 1))
    data[at:at] = data[begin : begin + int(draw.random() * 64)]


def remove(draw: random.Random, data: bytearray) -> None:
    """A part of it is missing."""
    begin = int(draw.random() * (len(data) + 1))
    del data[begin : begin + 1 + int(draw.random() * 16)]


def nest(draw: random.Random, data: bytearray) -> None:
    """Messages within messages, where a message of that kind is read and where it is not."""
    inner = bytes(data[int(draw.random() * (len(data) + 1)) :])
    for _ in range(1 + int(draw.random() * 30)):
        inner = field(int(draw.random() * 16) + 1, inner)
    data[:] = inner


def attribute(draw: random.Random, data: bytearray) -> None:
    """An attribute whose value is an array of arrays, in the place of the last one."""
    value = b""
    for _ in range(int(draw.random() * 40)):
        value = field(5, field(1, value))
    data += field(1, field(2, field(2, field(9, field(1, "http.status_code") + field(2, value)))))


def invent(draw: random.Random, data: bytearray) -> None:
    """Nothing of what was there."""
    data[:] = draw.randbytes(int(draw.random() * 200))


def swell(draw: random.Random, data: bytearray) -> None:
    """A key that is none, of more bytes than a key has."""
    at = int(draw.random() * (len(data) + 1))
    data[at:at] = varint(int(draw.random() * 2.0**70))


MUTATIONS: tuple[Mutation, ...] = (
    cut, change, change, retype, retype, lengthen, lengthen, repeat, remove, nest, attribute, invent, swell,
)  # fmt: skip


class Brink:
    """Memory whose last byte is followed by a page that may not be touched."""

    def __init__(self) -> None:
        size = PAGES * mmap.PAGESIZE
        self._map = mmap.mmap(-1, size + mmap.PAGESIZE)
        self.room = size
        self._view = memoryview(self._map)
        address = ctypes.addressof(ctypes.c_char.from_buffer(self._map)) + size
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.mprotect(ctypes.c_void_p(address), mmap.PAGESIZE, 0):
            raise OSError(ctypes.get_errno(), "mprotect")

    def hold(self, data: bytes | bytearray) -> memoryview:
        """`data`, up against the brink; it lies there until the next call."""
        begin = self.room - len(data)
        if begin < 0:
            return memoryview(data)
        self._view[begin : self.room] = data
        return self._view[begin : self.room]


class Campaign:
    """The readers, what they are given, and what they said of it."""

    def __init__(self) -> None:
        self.outcomes: Counter[str] = Counter()
        self._seeds, self._brink = seeds(), Brink()
        self._pairs = SpanPairs(names_max=64, edges_max=64, waiting_max=64)
        self._packed = [gzip.compress(one, 1) for one in self._seeds] + [gzip.compress(bytes(8 << 20), 9)]
        self._texts = [_SPANS_JSON, _METRICS_JSON]

    def run(self, number: int, inputs: int) -> None:
        """One batch. Raises whatever a reader should not have raised."""
        draw = random.Random(number)
        for turn in range(inputs):
            if turn % PACKED_EVERY == 0:
                self.packed(self._broken(draw, self._packed))
            elif turn % JSON_EVERY == 1:
                self.text(bytes(self._broken(draw, self._texts)))
            else:
                self.plain(self._broken(draw, self._seeds), number * inputs + turn)
        told = self._pairs.statistics()
        assert told["names"] < 64, told
        assert told["edges"] <= 64, told
        self._pairs.take(1 << 62)

    def _broken(self, draw: random.Random, seeds: list[bytes]) -> bytearray:
        data = bytearray(seeds[int(draw.random() * len(seeds))])
        for _ in range(1 + int(draw.random() * 3)):
            MUTATIONS[int(draw.random() * len(MUTATIONS))](draw, data)
        return data

    def plain(self, data: bytearray, now: int) -> None:
        """A body in protobuf, for both readers."""
        view = self._brink.hold(data)
        try:
            self._pairs.traces(view, now, spans_max=1000)
        except (ValueError, OverflowError) as error:
            self.outcomes[f"traces: {type(error).__name__}"] += 1
        else:
            self.outcomes["traces: taken"] += 1
        try:
            read_metrics(view, 1, 1000)
        except (ValueError, OverflowError) as error:
            self.outcomes[f"metrics: {type(error).__name__}"] += 1
        else:
            self.outcomes["metrics: taken"] += 1

    def packed(self, data: bytearray) -> None:
        """A body in gzip: what comes out is no larger than it may be, and is read."""
        try:
            whole = expanded(bytes(data), EXPANDED_MAX)
        except (ValueError, OverflowError) as error:
            self.outcomes[f"gzip: {type(error).__name__}"] += 1
            return
        assert len(whole) <= EXPANDED_MAX
        self.outcomes["gzip: taken"] += 1
        self.plain(bytearray(whole), 1)

    def text(self, data: bytes) -> None:
        """A body in JSON, for both readers."""
        try:
            span_json.take_in(self._pairs, span_json.decode(data), Nanos(1))
            metric_json.read(data, 1000)
        except (*NOT_JSON, ValueError, OverflowError):
            self.outcomes["json: refused"] += 1
        else:
            self.outcomes["json: taken"] += 1


_SPANS_JSON = b"""{"resourceSpans": [{"resource": {"attributes": [
 {"key": "service.name", "value": {"stringValue": "web"}}]}, "scopeSpans": [{"spans": [
 {"traceId": "00000000000000000000000000000007", "spanId": "0000000000000001", "kind": 3,
 "startTimeUnixNano": "1000", "endTimeUnixNano": 2000, "status": {"code": 2}, "attributes": [
 {"key": "http.response.status_code", "value": {"intValue": "503"}}]}]}]}]}"""
_METRICS_JSON = b"""{"resourceMetrics": [{"scopeMetrics": [{"metrics": [{"name": "traces_service_graph_request_total",
 "sum": {"isMonotonic": true, "aggregationTemporality": 1, "dataPoints": [{"asInt": "5", "timeUnixNano": "7",
 "attributes": [{"key": "client", "value": {"stringValue": "a"}},
 {"key": "server", "value": {"stringValue": "b"}}]}]}}]}]}]}"""


def main() -> int:
    """Run, and say how fast; 0: nothing broke."""
    parser = argparse.ArgumentParser(description="Break requests and see whether the reader of OTLP minds.")
    parser.add_argument("--inputs", type=int, default=10_000_000, help="(default: 10000000)")
    parser.add_argument(
        "--first", type=int, default=0, help="number of the first batch, which is also its seed (default: 0)"
    )
    args = parser.parse_args()
    faulthandler.enable()
    campaign, begun = Campaign(), time.monotonic()
    batches = -(-args.inputs // BATCH)
    for number in range(args.first, args.first + batches):
        faulthandler.dump_traceback_later(BATCH_S_MAX, exit=True)
        if number % 50 == 0:
            print(f"batch {number}", file=sys.stderr, flush=True)
        try:
            campaign.run(number, BATCH)
        except BaseException:
            print(f"broken in batch {number}: again by --first {number} --inputs {BATCH}", file=sys.stderr)
            raise
    faulthandler.cancel_dump_traceback_later()
    took = time.monotonic() - begun
    done = batches * BATCH
    print(f"{done:,} inputs in {took:.0f} s, {done / took:,.0f} a second: no crash, no hang, nothing but refusals")
    for what, count in sorted(campaign.outcomes.items()):
        print(f"    {what:<28} {count:>12,}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
