"""Asking Prometheus: what is scraped or queried becomes edges; who is slow, wrong, huge or silent delays nobody
else."""

import json
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

import anyio
import httpx
import pytest
import trio
import trio.testing

from controlplane.adapters.ingest import prometheus as module
from controlplane.adapters.ingest.metric import MetricSource
from controlplane.adapters.ingest.prometheus import PrometheusPoller, Target, Unusable, query_of
from controlplane.config import parse_config
from controlplane.model.errors import ConfigError
from controlplane.model.signal import EdgeSampled
from controlplane.testing import VirtualClock

EXPOSED = "http://collector:8889/metrics"
SERVER = "http://prometheus:9090"


def text_of(requests: int, failed: int | None = None) -> str:
    """An exposition of one edge."""
    failures = (
        "" if failed is None else f'traces_service_graph_request_failed_total{{client="web",server="cart"}} {failed}'
    )
    return f'traces_service_graph_request_total{{client="web",server="cart"}} {requests}\n{failures}\n'


def vector(**values: float) -> dict[str, Any]:
    """An instant query's answer."""
    labels = {"client": "web", "server": "cart", "instance": "collector:8889", "job": "graph"}
    return {
        "status": "success",
        "data": {
            "resultType": "vector",
            "result": [
                {"metric": labels | {"__name__": f"traces_service_graph_request_{name}"}, "value": [1.5, str(value)]}
                for name, value in values.items()
            ],
        },
    }


class Whole(httpx.AsyncByteStream):
    """A body that comes in two parts, as from a socket."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    async def __aiter__(self) -> AsyncIterator[bytes]:
        half = len(self._content) // 2
        yield self._content[:half]
        yield self._content[half:]


def answered(status: int, content: bytes | str, headers: dict[str, str] | None = None) -> httpx.Response:
    """An answer that nobody has read yet."""
    body = content.encode() if isinstance(content, str) else content
    named = {name.replace("_", "-"): value for name, value in (headers or {}).items()}
    return httpx.Response(status, stream=Whole(body), headers=named)


class Asked:
    """A poller in virtual time, whose questions are answered by `answer`, one host each."""

    def __init__(self, targets: list[Target], **options: Any) -> None:
        self.clock = VirtualClock()
        self.source = MetricSource(self.clock, ring=lambda: None)
        self.at_s: dict[str, list[float]] = {}
        self.requests: list[httpx.Request] = []
        self.answers: dict[str, Callable[[int], Any]] = {}
        settings = {"every_s": 5.0, "timeout_s": 2.0} | options
        self.poller = PrometheusPoller(
            self.source, targets, clock=self.clock, transport=lambda: httpx.MockTransport(self._answer), **settings
        )

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        times = self.at_s.setdefault(request.url.host, [])
        times.append(trio.current_time())
        found = self.answers[request.url.host](len(times) - 1)
        if found is None:
            await anyio.sleep_forever()
        if isinstance(found, dict):
            return answered(200, json.dumps(found))
        return answered(200, found) if isinstance(found, str) else answered(*found)

    def run(self, for_s: float) -> dict[tuple[str, str], list[EdgeSampled]]:
        """Ask for so long, and drain once a second as the loop does."""
        edges: dict[tuple[str, str], list[EdgeSampled]] = {}

        async def main() -> None:
            with anyio.move_on_after(for_s):
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(self.poller.run)
                    while True:
                        await anyio.sleep(1.0)
                        for one in self.source.drain():
                            assert isinstance(one, EdgeSampled)
                            edges.setdefault((one.caller, one.callee), []).append(one)

        trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
        return edges


def test_what_an_exposition_added_is_an_edge() -> None:
    """Every few seconds; the first look is where we begin; the first failures are no history."""
    asked = Asked([Target(EXPOSED)])
    asked.answers["collector"] = lambda turn: text_of(1000 + 10 * turn, 4 * turn if turn else None)
    seen = asked.run(21.5)["web", "cart"]
    assert [(one.calls, one.failures, round(one.window_ns / 1e9)) for one in seen] == [(10, 4, 5)] * 4
    assert asked.requests[0].headers["accept-encoding"] == "identity"


def test_a_server_is_asked_by_one_query() -> None:
    """With the matchers that people set, and the token; histograms come as sums and counts."""
    asked = Asked([Target(SERVER, query_of('namespace="shop"'))], token="secret-token-of-length")
    asked.answers["prometheus"] = lambda turn: vector(
        total=100 + 50 * turn,
        failed_total=5 * turn,
        client_seconds_sum=10.0 + turn,
        client_seconds_count=100 + 50 * turn,
    )
    (edge,) = asked.run(7.0)["web", "cart"]
    assert (edge.calls, edge.failures, edge.client_latency_ns) == (50, 5, 1_000_000_000)
    request = asked.requests[0]
    assert request.url.path == "/api/v1/query"
    assert request.url.params["query"].endswith('client_seconds_count",namespace="shop"}')
    assert request.headers["authorization"] == "Bearer secret-token-of-length"


def test_a_counter_that_fell_counts_from_zero_and_one_that_stays_away_counts_nothing() -> None:
    """The exporter was restarted; a stale series is nobody's calls, and comes back as it left."""
    asked = Asked([Target(EXPOSED)])
    told: list[str] = [text_of(1000), text_of(1010), text_of(7), "", "", text_of(12)]
    asked.answers["collector"] = lambda turn: told[min(turn, 5)]
    assert [one.calls for one in asked.run(30.0)["web", "cart"]] == [10, 7, 5]


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        ((503, "not ready"), "status 503: not ready"),
        ((302, "elsewhere"), "status 302"),
        ((200, "traces_service_graph_request_total{ 1"), "no exposition: line 1 is no sample"),
        ((200, b"\xff\xfe"), "no exposition"),
        ((200, b"x" * 2_000), "larger than 1000 bytes"),
        ((200, b"x", {"content_encoding": "gzip"}), "was not asked for"),
        (None, "no whole answer within 2 s"),
    ],
)  # fmt: skip
def test_who_answers_nonsense_is_asked_later_each_time(
    bad: tuple[Any, ...] | None, why: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing of it is taken; one line in the log, the wait doubles up to a minute, and another target is not
    delayed."""
    monkeypatch.setattr(module, "ANSWER_BYTES_MAX", 1_000)
    asked = Asked([Target(EXPOSED), Target("http://other:1/metrics")])
    asked.answers["collector"] = lambda _: bad
    asked.answers["other"] = lambda turn: text_of(1000 + turn)
    with caplog.at_level(logging.INFO, "controlplane"):
        seen = asked.run(200.0)
    broken, other = asked.poller.targets
    assert why in broken.trouble
    waits = [
        later - sooner for sooner, later in zip(asked.at_s["collector"], asked.at_s["collector"][1:], strict=False)
    ]
    hung = 2.0 if bad is None else 0.0
    assert [round(wait - hung) for wait in waits[:4]] == [10, 20, 40, 60]
    assert other.failed == 0
    assert len(asked.at_s["other"]) == 40
    assert sum(one.calls for one in seen["web", "cart"]) == 39
    assert [line for line in caplog.messages if EXPOSED in line] == [
        f"{EXPOSED} tells nothing: {broken.trouble}; asked again, later each time"
    ]


def test_after_trouble_it_is_asked_as_often_as_before() -> None:
    """A good answer ends the back-off at once."""
    asked = Asked([Target(EXPOSED)])
    asked.answers["collector"] = lambda turn: (500, "") if turn == 1 else text_of(1000 + turn)
    asked.run(30.0)
    assert [round(at) for at in asked.at_s["collector"]] == [
        round(asked.at_s["collector"][0]) + at for at in (0, 5, 15, 20, 25)
    ]
    assert asked.poller.targets[0].trouble == ""


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ({"status": "error", "error": "query timed out"}, "query timed out"),
        ({"status": "success", "data": {"resultType": "scalar", "result": []}}, "scalar"),
        ({"status": "success", "data": {"resultType": "vector", "result": [{"value": [1, 2]}]}}, "str"),
        ({"status": "success", "data": {"resultType": "vector", "result": [{"metric": {"__name__":
            "traces_service_graph_request_total"}, "value": [1, "lots"]}]}}, "lots"),
        ([], "object"),
    ],
)  # fmt: skip
def test_a_server_that_answers_something_else_is_not_believed(body: Any, why: str) -> None:
    """And the reason names what it was."""

    async def main() -> str:
        asked = Asked([Target(SERVER, query_of(""))])
        async with httpx.AsyncClient(
            transport=httpx.MockTransport(lambda _: answered(200, json.dumps(body)))
        ) as client:
            with pytest.raises(Unusable) as error:
                await asked.poller.ask(client, asked.poller.targets[0])
        return str(error.value)

    assert why in trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


@pytest.mark.parametrize(
    ("section", "problem"),
    [
        ("", r"prometheus: asks nobody"),
        ('scrape = ["collector:8889"]', r"prometheus.scrape: 'collector:8889' is no URL of HTTP"),
        ('scrape = ["http://a/m", "http://a/m"]', r"is named twice"),
        ('scrape = ["http://user:word@a/m"]', r"carries credentials"),
        ('server = "http://p:9090"\nselector = "{a=1}"', r"prometheus.selector: '\{a=1\}' has braces"),
        ('scrape = ["http://a/m"]\nselector = "a=1"', r"no.*named; set prometheus.server|none is named"),
        ('server = "http://p:9090"\nevery_s = 0', r"prometheus.every_s: 0 is not a number over 0"),
    ],
)
def test_a_section_that_makes_no_sense_is_refused(section: str, problem: str) -> None:
    """By the key, what stands there, and what would be right."""
    with pytest.raises(ConfigError, match=problem):
        parse_config(f"[prometheus]\n{section}")
