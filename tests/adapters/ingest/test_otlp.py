"""OTLP over HTTP: what is taken, what is refused and how, and that no body makes it grow."""

import gzip
import json
import threading
from typing import Any

import anyio
import anyio.to_thread
import httpx
import pytest
from google.rpc import status_pb2
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2

from controlplane.adapters.ingest import otlp, proto
from controlplane.adapters.ingest.kind import SpanKind, Take
from controlplane.adapters.ingest.metric import MetricSource
from controlplane.adapters.ingest.otlp import JSON, PROTOBUF, OtlpReceiver
from controlplane.adapters.ingest.span import SpanSource
from controlplane.model.signal import EdgeSampled
from controlplane.testing import VirtualClock
from tests.native.test_wire import CLIENT, MS, SERVER, batch, field, span

pytestmark = pytest.mark.anyio

WHOLE = batch(web=[span(1, 0, CLIENT, ms=12)], cart=[span(2, 1, SERVER, ms=10)])


class Rings:
    """A source, a receiver and a client of it, in virtual time."""

    def __init__(self, **options: Any) -> None:
        self.clock = VirtualClock()
        self.rung = anyio.Event()
        self.source = SpanSource(self.clock, ring=self._ring)
        self.metrics = MetricSource(self.clock, ring=self._ring)
        self.receiver = OtlpReceiver(self.source, self.metrics, self.clock, **options)
        self.client = httpx.AsyncClient(transport=httpx.ASGITransport(self.receiver), base_url="http://collector")

    def _ring(self) -> None:
        self.rung.set()

    async def post(self, body: bytes, kind: str = PROTOBUF, **headers: str) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.client.post("/v1/traces", content=body, headers={"content-type": kind, **named})

    async def edges(self, after_s: float = 1.0) -> list[EdgeSampled]:
        self.clock.advance(after_s)
        await self.source.take_stock()
        return [one for one in self.source.drain() if isinstance(one, EdgeSampled)]


def as_json(**changes: Any) -> dict[str, Any]:
    """The same call as WHOLE, in JSON."""
    trace = "0" * 31 + "7"

    def one(own: int, parent: str, kind: Any, ms: int, **more: Any) -> dict[str, Any]:
        began = 10**18
        base = {"traceId": trace, "spanId": f"{own:016x}", "parentSpanId": parent, "kind": kind, "name": "GET"}
        return base | {"startTimeUnixNano": str(began), "endTimeUnixNano": str(began + ms * MS)} | more

    def of(name: str, spans: list[dict[str, Any]]) -> dict[str, Any]:
        service = {"key": "service.name", "value": {"stringValue": name}}
        return {"resource": {"attributes": [service]}, "scopeSpans": [{"spans": spans}]}

    client = one(1, "", "SPAN_KIND_CLIENT", 12) | changes
    return {"resourceSpans": [of("web", [client]), of("cart", [one(2, f"{1:016x}", 2, 10)])]}


async def test_a_batch_becomes_an_edge_once_a_second() -> None:
    """Protobuf, plain and packed: an empty answer says that all was taken; what was told is not told again."""
    ours = Rings()
    assert (await ours.post(WHOLE)).content == b""
    packed = batch(web=[span(3, 0, CLIENT, ms=12)], cart=[span(4, 3, SERVER, ms=10, error=True)])
    answer = await ours.post(gzip.compress(packed), content_encoding="gzip")
    assert (answer.status_code, answer.headers["content-type"]) == (200, PROTOBUF)
    assert ours.source.drain() == []
    (edge,) = await ours.edges()
    assert (edge.caller, edge.callee, edge.calls, edge.failures, edge.timed) == ("web", "cart", 2, 0, 2)
    assert (edge.client_latency_ns, edge.server_latency_ns, edge.source) == (24 * MS, 20 * MS, "spans")
    assert await ours.edges() == []


async def test_json_says_the_same() -> None:
    """Names or numbers for the kind, strings for 64-bit numbers; an attribute's status decides over the span's."""
    ours = Rings()
    answer = await ours.post(json.dumps(as_json()).encode(), JSON)
    assert (answer.status_code, answer.json()) == (200, {})
    status = [{"key": "http.response.status_code", "value": {"intValue": "503"}}]
    later = as_json(spanId=f"{9:016x}", attributes=status)
    later["resourceSpans"][1]["scopeSpans"][0]["spans"][0] |= {"spanId": f"{10:016x}", "parentSpanId": f"{9:016x}"}
    await ours.post(json.dumps(later).encode(), JSON)
    (edge,) = await ours.edges()
    assert (edge.calls, edge.failures, edge.client_latency_ns) == (2, 1, 24 * MS)


async def test_a_large_body_is_read_in_a_thread_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Packed or plain, protobuf or JSON; meanwhile the loop goes on, and what is told is the same."""
    ours, threads = Rings(), set()

    def noting(kind: SpanKind, *told: Any, **how: Any) -> Take:
        threads.add(threading.get_ident())
        return reading(kind, *told, **how)

    reading = SpanKind.read
    monkeypatch.setattr(SpanKind, "read", noting)
    whole = batch(
        web=[span(number, 0, CLIENT, trace=number) for number in range(1, 2_001)],
        cart=[span(1, number, SERVER, trace=number) for number in range(1, 2_001)],
    )
    assert len(gzip.compress(whole, 0)) > otlp.APART_BYTES_MIN
    assert (await ours.post(gzip.compress(whole, 0), content_encoding="gzip")).status_code == 200
    told = as_json()
    told["resourceSpans"] *= 300
    body = json.dumps(told).encode()
    assert len(body) > otlp.APART_BYTES_MIN
    assert (await ours.post(body, JSON)).status_code == 200
    assert threads.isdisjoint({threading.get_ident()})
    assert [edge.calls for edge in await ours.edges()] == [2_001]


async def test_some_spans_that_make_no_sense_are_a_partial_success() -> None:
    """The rest is taken, and the sender told how many were not, and why."""
    ours = Rings()
    answer = await ours.post(json.dumps(as_json(traceId="no hex")).encode(), JSON)
    told = answer.json()["partialSuccess"]
    assert (answer.status_code, told["rejectedSpans"]) == (200, "1")
    assert "0000000000000001" in told["errorMessage"]


@pytest.mark.parametrize(
    ("body", "kind", "headers", "status"),
    [
        (b"\x0a\xff", PROTOBUF, {}, 400),
        (b"{", JSON, {}, 400),
        (b"[]", JSON, {}, 400),
        (WHOLE, "text/plain", {}, 415),
        (WHOLE, PROTOBUF, {"content_encoding": "br"}, 415),
        (WHOLE, PROTOBUF, {"content_encoding": "gzip"}, 400),
        (gzip.compress(WHOLE)[:-9], PROTOBUF, {"content_encoding": "gzip"}, 400),
        (WHOLE, PROTOBUF, {"content_length": "999999999"}, 413),
    ],
)
async def test_what_cannot_be_read_is_refused_and_changes_nothing(
    body: bytes, kind: str, headers: dict[str, str], status: int
) -> None:
    """With the protocol's own answer, in the sender's own language."""
    ours = Rings()
    answer = await ours.post(body, kind, **headers)
    assert answer.status_code == status
    assert b"body" in answer.content or b"content" in answer.content
    assert "retry-after" not in answer.headers
    assert ours.source.pairs.statistics()["spans"] == 0


async def test_a_bomb_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    """What grows beyond the bound is refused before it has grown."""
    monkeypatch.setattr(otlp, "EXPANDED_BYTES_MAX", 1_000_000)
    ours = Rings()
    answer = await ours.post(gzip.compress(bytes(50_000_000)), content_encoding="gzip")
    assert answer.status_code == 413


async def test_while_too_much_is_read_senders_are_asked_to_wait() -> None:
    """429 with Retry-After, as exporters understand it."""
    ours = Rings(reading_max=0)
    answer = await ours.post(WHOLE)
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")
    assert ours.receiver.refused == 1


async def test_while_nobody_listens_senders_are_asked_to_wait() -> None:
    """503 with Retry-After: what was taken in would wait for a loop that may never start."""
    ours = Rings(ready=lambda: False)
    answer = await ours.post(WHOLE)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert ours.source.pairs.statistics()["spans"] == 0


async def test_protobuf_tells_of_a_partial_success_too() -> None:
    """Spans without ids are left out; a generated reader of the answer finds how many, and why."""
    ours = Rings()
    broken = batch(web=[field(1, b"short") + field(6, CLIENT), span(1, 0, CLIENT)], cart=[span(2, 1, SERVER)])
    answer = await ours.post(broken)
    told = trace_service_pb2.ExportTraceServiceResponse.FromString(answer.content).partial_success
    assert (answer.status_code, told.rejected_spans) == (200, 1)
    assert "16 bytes" in told.error_message
    assert [edge.calls for edge in await ours.edges()] == [1]


async def test_a_refusal_in_protobuf_is_a_status() -> None:
    """As a generated reader sees it, and cut where a text would be too long, never within a character."""
    ours = Rings()
    answer = await ours.post(b"\x0a\xff")
    assert status_pb2.Status.FromString(answer.content).message.startswith("the body is not an ExportTraceService")
    assert status_pb2.Status.FromString(proto.status("ä" * 600)).message == "ä" * 250


async def test_other_paths_and_methods_are_not_taken() -> None:
    """The message says what is."""
    ours = Rings()
    assert (await ours.client.post("/v1/logs", content=b"")).status_code == 404
    assert (await ours.client.get("/v1/traces")).status_code == 405


async def test_the_loop_is_rung_while_spans_come() -> None:
    """And until what waits for its other side has been told."""
    ours = Rings()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ours.source.beat)
        await anyio.lowlevel.checkpoint()
        await ours.post(WHOLE)
        with anyio.fail_after(30):
            await ours.rung.wait()
        tasks.cancel_scope.cancel()


async def test_stock_that_cannot_be_taken_is_taken_later(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """No thread to be had, for once: it is said, nothing ends, and no edge is lost."""
    ours, failures = Rings(), [RuntimeError("can't start new thread")]
    run_sync = anyio.to_thread.run_sync

    async def failing(*told: Any) -> Any:
        if failures:
            raise failures.pop()
        return await run_sync(*told)

    monkeypatch.setattr("controlplane.adapters.ingest.span.BEAT_S", 0.01)
    monkeypatch.setattr(anyio.to_thread, "run_sync", failing)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ours.source.beat)
        await ours.post(WHOLE)
        with anyio.fail_after(30):
            await ours.rung.wait()
        tasks.cancel_scope.cancel()
    assert [type(one) for one in ours.source.drain()] == [EdgeSampled]
    assert "taken stock of" in caplog.text
