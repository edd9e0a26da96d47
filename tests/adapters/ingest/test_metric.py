"""OTLP metrics become edges: both temporalities, restarts, what is told twice, by several, or makes no sense."""

from typing import Any

import httpx
import pytest
from google.protobuf.json_format import MessageToJson
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse

from controlplane.adapters.ingest import metric as module
from controlplane.adapters.ingest.metric import MetricSource
from controlplane.adapters.ingest.otlp import JSON, PROTOBUF, OtlpReceiver
from controlplane.adapters.ingest.span import SpanSource
from controlplane.model.signal import EdgeSampled
from controlplane.testing import VirtualClock
from tests.adapters.ingest.metrics import DELTA, GRAPH, Exporter

pytestmark = pytest.mark.anyio

NO_NUMBER = b"""{"resourceMetrics": [{"scopeMetrics": [{"metrics": [
    {"name": "traces_service_graph_request_total", "sum": {"dataPoints": [{"asInt": "many"}]}}]}]}]}"""
ENDS = {"client": "web", "server": "cart"}


class Listener:
    """A receiver in virtual time, and a client of it that speaks protobuf or JSON."""

    def __init__(self, kind: str = PROTOBUF, **options: Any) -> None:
        self.clock, self.kind = VirtualClock(), kind
        self.source = MetricSource(self.clock, ring=lambda: None, **options)
        receiver = OtlpReceiver(SpanSource(self.clock, ring=lambda: None), self.source, self.clock)
        self.client = httpx.AsyncClient(transport=httpx.ASGITransport(receiver), base_url="http://collector")

    async def post(self, body: bytes) -> httpx.Response:
        return await self.client.post("/v1/metrics", content=body, headers={"content-type": self.kind})

    async def hear(self, exporter: Exporter, after_s: float = 0.0) -> httpx.Response:
        self.clock.advance(after_s)
        request = exporter.take()
        answer = await self.post(
            request.SerializeToString() if self.kind == PROTOBUF else MessageToJson(request).encode()
        )
        assert answer.status_code == 200, answer.content
        return answer

    def edges(self) -> dict[tuple[str, str], EdgeSampled]:
        self.clock.advance(1.0)
        return {(one.caller, one.callee): one for one in self.source.drain() if isinstance(one, EdgeSampled)}


def graph(exporter: Exporter, at_s: float, requests: int, failed: int, *, client_s: float, server_s: float) -> Exporter:
    """All that the Collector's connector says about one edge."""
    exporter.counter("total", requests, at_s, **ENDS).counter("failed_total", failed, at_s, **ENDS)
    exporter.histogram(GRAPH + "client_seconds", requests, client_s, at_s, ENDS)
    return exporter.histogram(GRAPH + "server", requests, server_s, at_s, ENDS, exponential=True)


@pytest.mark.parametrize("kind", [PROTOBUF, JSON])
async def test_what_a_cumulative_service_graph_added_is_an_edge(kind: str) -> None:
    """The first point is where we begin; then calls, failures and both latencies since."""
    heard = Listener(kind)
    exporter = Exporter()
    await heard.hear(graph(exporter, 0, 1000, 50, client_s=100.0, server_s=90.0))
    assert heard.edges() == {}
    await heard.hear(graph(exporter, 15, 1100, 60, client_s=115.0, server_s=100.0), after_s=14.0)
    edge = heard.edges()["web", "cart"]
    assert (edge.calls, edge.failures, edge.timed, edge.source) == (100, 10, 100, "metrics")
    assert (edge.client_latency_ns, edge.server_latency_ns) == (15_000_000_000, 10_000_000_000)
    assert round(edge.window_ns / 1e9) == 15
    assert heard.edges() == {}


@pytest.mark.parametrize("kind", [PROTOBUF, JSON])
async def test_deltas_count_as_they_come(kind: str) -> None:
    """And once, however often the exporter sends them."""
    heard = Listener(kind)
    exporter = Exporter(temporality=DELTA)
    request = graph(exporter, 15, 40, 4, client_s=4.0, server_s=2.0).take()
    body = request.SerializeToString() if kind == PROTOBUF else MessageToJson(request).encode()
    assert [(await heard.post(body)).status_code for _ in range(2)] == [200, 200]
    assert [(edge.calls, edge.failures) for edge in heard.edges().values()] == [(40, 4)]


async def test_a_counter_that_begins_again_counts_from_zero() -> None:
    """By its start where that is told, else because it fell."""
    heard = Listener()
    exporter = Exporter()
    await heard.hear(exporter.counter("total", 1000, 0, **ENDS))
    exporter.start_ns += 70 * 10**9
    await heard.hear(exporter.counter("total", 1001, 15, **ENDS))
    assert heard.edges()["web", "cart"].calls == 1001
    await heard.hear(exporter.counter("total", 7, 30, **ENDS))
    assert heard.edges()["web", "cart"].calls == 7


async def test_a_series_that_its_sender_did_not_have_before_is_all_news() -> None:
    """The first failures of an edge make a series of their own: they are not taken for history, once the sender has
    begun to repeat itself and so has told all it has."""
    heard = Listener()
    exporter = Exporter()
    await heard.hear(exporter.counter("total", 1000, 0, **ENDS))
    await heard.hear(exporter.counter("total", 1010, 15, **ENDS))
    heard.edges()
    await heard.hear(exporter.counter("total", 1020, 30, **ENDS).counter("failed_total", 3, 30, **ENDS))
    assert heard.edges()["web", "cart"].failures == 3


async def test_what_a_sender_tells_in_parts_is_not_news() -> None:
    """A batch may be cut, and each point has a time of its own: history stays history."""
    heard = Listener()
    exporter = Exporter()
    await heard.hear(exporter.counter("total", 1000, 0, **ENDS).counter("total", 500, 0.1, client="a", server="b"))
    await heard.hear(exporter.counter("total", 700, 0.2, client="c", server="d"))
    assert heard.edges() == {}


async def test_more_series_of_a_kind_that_is_known_are_not_news() -> None:
    """A label more on the same edge may be new while its count is old."""
    heard = Listener()
    exporter = Exporter()
    for at_s in (0, 15):
        await heard.hear(exporter.counter("total", 1000, at_s, **ENDS))
    await heard.hear(exporter.counter("total", 1000, 30, **ENDS).counter("total", 900, 30, **ENDS, method="GET"))
    assert heard.edges() == {}


@pytest.mark.parametrize("kind", [PROTOBUF, JSON])
async def test_a_label_that_wavers_sets_no_series_apart(kind: str) -> None:
    """The Collector's connector says with each counter how the last call on it went."""
    heard = Listener(kind)
    exporter = Exporter()
    for at_s, count, failed in ((0, 1000, "false"), (15, 1010, "true"), (30, 1030, "false")):
        await heard.hear(exporter.counter("total", count, at_s, **ENDS, failed=failed))
    assert heard.edges()["web", "cart"].calls == 30


async def test_a_sender_that_began_after_us_has_no_history() -> None:
    """Its first point counts whole."""
    heard = Listener()
    await heard.hear(Exporter(start_s=5.0).counter("total", 12, 20, **ENDS))
    assert heard.edges()["web", "cart"].calls == 12


async def test_what_is_overtaken_on_the_way_counts_nothing() -> None:
    """An older point of a series after a newer one."""
    heard = Listener()
    exporter = Exporter()
    for at_s, value in ((0, 10), (30, 30), (15, 20)):
        await heard.hear(exporter.counter("total", value, at_s, **ENDS))
    assert heard.edges()["web", "cart"].calls == 20


@pytest.mark.parametrize("kind", [PROTOBUF, JSON])
async def test_clients_tell_whom_they_called_and_how_it_went(kind: str) -> None:
    """HTTP durations: the better name wins, 5xx and no answer are failures, milliseconds are understood."""
    heard = Listener(kind)
    exporter = Exporter("web", temporality=DELTA)
    peer = {"server.address": "10.0.0.7", "service.peer.name": "cart"}
    name = "http.client.request.duration"
    exporter.histogram(name, 90, 9_000.0, 10, {**peer, "http.response.status_code": 200}, unit="ms")
    exporter.histogram(name, 6, 0.6, 10, {**peer, "http.response.status_code": 503, "error.type": "503"})
    exporter.histogram(name, 3, 0.3, 10, {**peer, "http.response.status_code": 404, "error.type": "404"})
    exporter.histogram(name, 1, 0.1, 10, {**peer, "error.type": "TimeoutError"})
    await heard.hear(exporter)
    edge = heard.edges()["web", "cart"]
    assert (edge.calls, edge.failures, edge.timed, edge.client_latency_ns) == (100, 7, 100, 10_000_000_000)


async def test_servers_tell_of_calls_by_nobody_known() -> None:
    """Until somebody names the callers: then the same calls would count twice."""
    heard = Listener()
    server, client = Exporter("cart", temporality=DELTA), Exporter("web", temporality=DELTA)
    said = {"http.response.status_code": 200}
    await heard.hear(server.histogram("http.server.request.duration", 5, 0.5, 10, said))
    assert heard.edges()["", "cart"].server_latency_ns == 500_000_000
    await heard.hear(client.histogram("http.client.request.duration", 5, 0.5, 20, {"server.address": "cart"}))
    await heard.hear(server.histogram("http.server.request.duration", 5, 0.5, 20, said))
    assert set(heard.edges()) == {("web", "cart")}


async def test_of_several_who_tell_of_an_edge_one_is_believed() -> None:
    """A service graph before the clients; when it falls silent, the clients again."""
    heard = Listener()
    connector, client = Exporter(temporality=DELTA), Exporter("web", temporality=DELTA)
    for at_s in (15, 30):
        await heard.hear(client.histogram("http.client.request.duration", 9, 0.9, at_s, {"server.address": "cart"}))
        await heard.hear(connector.counter("total", 10, at_s, **ENDS))
        assert heard.edges()["web", "cart"].calls == 10
    heard.clock.advance(module.SILENT_NS / 1e9)
    await heard.hear(client.histogram("http.client.request.duration", 9, 0.9, 300, {"server.address": "cart"}))
    assert heard.edges()["web", "cart"].calls == 9


async def test_users_of_a_service_graph_are_nobody() -> None:
    """The connector's name for a client that sends no spans; a service that is called so keeps its name."""
    heard = Listener()
    exporter = Exporter(temporality=DELTA)
    exporter.counter("total", 3, 10, client="user", server="web", connection_type="virtual_node")
    exporter.counter("total", 4, 10, client="user", server="cart", connection_type="")
    await heard.hear(exporter)
    assert {key: edge.calls for key, edge in heard.edges().items()} == {("", "web"): 3, ("user", "cart"): 4}


@pytest.mark.parametrize("kind", [PROTOBUF, JSON])
async def test_points_that_make_no_sense_are_a_partial_success(kind: str) -> None:
    """How many, and why the first one; the rest is taken."""
    heard = Listener(kind)
    exporter = Exporter(temporality=DELTA)
    exporter.counter("total", 1, 10, client="web").counter("total", 5, 10, monotonic=False, **ENDS)
    exporter.counter("total", -3, 10, client="web", server="pay").counter("total", 2, 10, **ENDS)
    answer = await heard.hear(exporter)
    if kind == PROTOBUF:
        told = ExportMetricsServiceResponse.FromString(answer.content).partial_success
        rejected, why = told.rejected_data_points, told.error_message
    else:
        body = answer.json()["partialSuccess"]
        rejected, why = int(body["rejectedDataPoints"]), body["errorMessage"]
    assert (rejected, why) == (3, "a point of requests: it does not say who was called")
    assert [edge.calls for edge in heard.edges().values()] == [2]


async def test_other_metrics_are_taken_and_ignored() -> None:
    """A collector sends all it has; what tells of no calls is no mistake."""
    heard = Listener()
    exporter = Exporter().histogram("process.cpu.time", 1, 1.0, 10, {"client": "web", "server": "cart"})
    assert (await heard.hear(exporter)).content == b""
    assert heard.source.points == 0


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"\x0a\x05\x12", PROTOBUF, 400),
        (b'{"resourceMetrics": 7}', JSON, 400),
        (NO_NUMBER, JSON, 400),
    ],
)
async def test_what_cannot_be_read_is_refused(body: bytes, kind: str, status: int) -> None:
    """And changes nothing."""
    heard = Listener(kind)
    answer = await heard.post(body)
    assert answer.status_code == status
    assert b"ExportMetricsServiceRequest" in answer.content
    assert heard.source.points == 0


async def test_series_and_edges_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Invented names fill the tables and no more; what was left out is counted, and known not to be new later."""
    monkeypatch.setattr(module, "EDGES_MAX", 20)
    heard = Listener(series_max=30)
    exporter = Exporter(temporality=DELTA)
    for number in range(100):
        exporter.counter("total", 1, 10, client="web", server=f"s{number}")
    await heard.hear(exporter)
    assert (len(heard.source.series), heard.source.series.without_place) == (30, 70)
    assert len(heard.edges()) == 20
    assert heard.source.without_place == 80
    heard.clock.advance(3700)
    heard.edges()
    assert len(heard.source.series) == 0
    cumulative = Exporter()
    await heard.hear(cumulative.counter("total", 500, 3800, client="web", server="s99"))
    assert heard.edges() == {}
