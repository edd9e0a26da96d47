"""The OpenTelemetry SDK and its exporters as they are sold: every span is accounted for, and what is refused comes
again."""

import random
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode

from tests.integration.process import DEADLINE_S, Served, World, wait_for

pytestmark = pytest.mark.integration

CALLS = 2_500  # two spans each


def otlp_url(served: Served) -> str:
    return served.wait_line("otlp ").split()[1]


def listening(world: World) -> Served:
    config = world.write()
    config.write_text(config.read_text() + '[otlp]\nlisten = "127.0.0.1:0"\nwait_s = 2\n')
    return world.serve()


@contextmanager
def tracers(url: str, *services: str, compression: Compression = Compression.Gzip) -> Iterator[list[trace.Tracer]]:
    """A tracer of each service, with a provider and an exporter of its own as in a process of its own."""
    providers = []
    for service in services:
        provider = TracerProvider(resource=Resource.create({"service.name": service}), shutdown_on_exit=False)
        exporter = OTLPSpanExporter(endpoint=f"{url}/v1/traces", compression=compression)
        provider.add_span_processor(BatchSpanProcessor(exporter, max_queue_size=4 * CALLS))
        providers.append(provider)
    try:
        yield [provider.get_tracer("test") for provider in providers]
    finally:
        for provider in providers:
            provider.shutdown()


def counted(served: Served, name: str) -> float:
    """A counter of our own exposition."""
    text = served.admin.get("/metrics").text
    return next(
        (float(line.split()[-1]) for line in text.splitlines() if line.startswith(f"controlplane_{name} ")), 0.0
    )


def call(client: trace.Tracer, server: trace.Tracer, *, failed: bool) -> None:
    """One call: a client span and the server span that it is the parent of."""
    with client.start_as_current_span("GET", kind=SpanKind.CLIENT) as span:
        with server.start_as_current_span("GET /", kind=SpanKind.SERVER) as inner:
            inner.set_attribute("http.response.status_code", 500 if failed else 200)
        span.set_attribute("http.response.status_code", 500 if failed else 200)
        if failed:
            span.set_status(Status(StatusCode.ERROR))


def test_every_span_of_the_sdk_is_accounted_for(world: World) -> None:
    """Two services export on their own, packed, in whatever order; each call is on its edge, each failure with it."""
    served = listening(world)
    draw, failures = random.Random(7), 0
    with tracers(otlp_url(served), "web", "cart") as (web, cart):
        for _ in range(CALLS):
            failed = draw.random() < 0.1
            failures += failed
            call(web, cart, failed=failed)
    wait_for("all spans", lambda: counted(served, "otlp_spans_total") == 2 * CALLS)
    assert counted(served, "otlp_spans_paired_total") == CALLS
    assert counted(served, "otlp_spans_rejected_total") == counted(served, "otlp_spans_evicted_total") == 0

    def edge() -> dict[str, Any] | None:
        told = served.get("/v1/graph")["edges"]
        return next((one for one in told if (one["caller"], one["callee"]) == ("web", "cart")), None)

    whole = pytest.approx(failures / CALLS, abs=1e-6)  # the graph hears of what was folded a beat later
    told = wait_for("the whole edge", lambda: (one := edge()) is not None and one["error_ratio"] == whole and one)
    assert told["source"] == "spans"


def test_metrics_of_the_sdk_are_an_edge(world: World) -> None:
    """HTTP client durations by a periodic reader."""
    served = listening(world)
    exporter = OTLPMetricExporter(endpoint=f"{otlp_url(served)}/v1/metrics", compression=Compression.Gzip)
    reader = PeriodicExportingMetricReader(exporter, export_interval_millis=200)
    provider = MeterProvider([reader], resource=Resource.create({"service.name": "web"}), shutdown_on_exit=False)
    try:
        duration = provider.get_meter("test").create_histogram("http.client.request.duration", unit="s")
        for status in [200] * 9 + [503]:
            duration.record(0.1, {"server.address": "cart", "http.response.status_code": status})
        provider.force_flush()

        def edge() -> dict[str, Any] | None:
            told = served.get("/v1/graph")["edges"]
            return next((one for one in told if (one["caller"], one["callee"]) == ("web", "cart")), None)

        told = wait_for("the edge", edge)
    finally:
        provider.shutdown()
    assert (told["source"], told["error_ratio"]) == ("metrics", pytest.approx(0.1))
    assert told["client_latency_s"] == pytest.approx(0.1)


class Busy:
    """A proxy that refuses the first requests as a receiver under pressure does, and then passes them on."""

    def __init__(self, url: str, refusals: int) -> None:
        self.statuses: Counter[int] = Counter()
        busy, left = self, [refusals]

        class Answer(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if left[0] > 0:
                    left[0] -= 1
                    busy.statuses[429] += 1
                    self.send_response(429)
                    self.send_header("retry-after", "1")
                    self.send_header("content-length", "0")
                    self.end_headers()
                    return
                named = {key: self.headers[key] for key in ("content-type", "content-encoding") if key in self.headers}
                answer = httpx.post(url + self.path, content=body, headers=named)
                busy.statuses[answer.status_code] += 1
                self.send_response(answer.status_code)
                self.send_header("content-length", str(len(answer.content)))
                self.end_headers()
                self.wfile.write(answer.content)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(DEADLINE_S)


def test_what_is_refused_under_pressure_comes_again(world: World) -> None:
    """The exporter waits as Retry-After says, and no span is lost nor counted twice."""
    served = listening(world)
    busy = Busy(otlp_url(served), refusals=2)
    try:
        with tracers(busy.url, "web", "cart", compression=Compression.NoCompression) as (web, cart):
            for _ in range(10):
                call(web, cart, failed=False)
    finally:
        busy.close()
    assert busy.statuses[429] == 2
    wait_for("all spans", lambda: counted(served, "otlp_spans_total") == 20)
    assert counted(served, "otlp_spans_paired_total") == 10
