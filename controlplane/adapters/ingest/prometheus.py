"""Service-graph metrics by Prometheus: expositions that we scrape, or a server that we ask, as edges of the call graph.

Each target is asked by a task of its own, `every_s`, with a deadline; one that fails is left alone for longer each
time, and delays no other. An answer is read no further than a bound, and taken in whole or not at all.
"""

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

import anyio
import httpx
import msgspec

from controlplane.adapters.ingest.exposition import NAMES, SAMPLES_MAX, Sample, points, samples
from controlplane.adapters.ingest.metric import MetricSource
from controlplane.ports import Clock

ANSWER_BYTES_MAX: Final = 16 << 20
BACK_OFF_S_MAX: Final = 60.0
ACCEPT: Final = "application/openmetrics-text;version=1.0.0;q=0.9,text/plain;version=0.0.4;q=0.8,*/*;q=0.1"

logger = logging.getLogger("controlplane")

Transport = Callable[[], httpx.AsyncBaseTransport | None]


class _Vector(msgspec.Struct):
    metric: dict[str, str] = {}
    value: tuple[float, str] = (0.0, "0")


class _Data(msgspec.Struct, rename="camel"):
    result_type: str = ""
    result: list[_Vector] = []


class _Answer(msgspec.Struct, rename="camel"):
    status: str = ""
    error: str = ""
    data: _Data | None = None


class Unusable(Exception):
    """An answer nothing can be made of, or none; the message says why."""


class Target:
    """One that is asked: a text exposition at `url`, or, with a `query`, a Prometheus server."""

    def __init__(self, url: str, query: str = "") -> None:
        self.query = query
        self.url = f"{url.rstrip('/')}/api/v1/query" if query else url
        self.asked = self.failed = 0
        self.trouble = ""  # why the last time failed; empty: it did not


def query_of(selector: str) -> str:
    """A PromQL query for every service-graph series that `selector` (label matchers, empty: none) admits."""
    names = "|".join(NAMES)
    return f'{{__name__=~"{names}"{"," + selector if selector else ""}}}'


class PrometheusPoller:
    """Asks `targets` and feeds `source`."""

    def __init__(
        self,
        source: MetricSource,
        targets: list[Target],
        *,
        clock: Clock,
        every_s: float,
        timeout_s: float,
        token: str = "",
        transport: Transport = lambda: None,
    ) -> None:
        self.targets = targets
        self._source, self._clock = source, clock
        self._every_s, self._timeout_s = every_s, timeout_s
        self._headers = {"accept-encoding": "identity"} | ({"authorization": f"Bearer {token}"} if token else {})
        self._transport = transport

    async def run(self) -> None:
        """Ask until cancelled."""
        async with self._client() as client, anyio.create_task_group() as tasks:
            for target in self.targets:
                tasks.start_soon(self._follow, client, target)

    @asynccontextmanager
    async def _client(self) -> AsyncIterator[httpx.AsyncClient]:
        # the deadline is ours, over the whole answer; proxies of the environment are not meant for what stands beside
        # us
        client = httpx.AsyncClient(
            transport=self._transport(),
            headers=self._headers,
            timeout=None,  # noqa: S113
            trust_env=False,
        )
        async with client:
            yield client

    async def _follow(self, client: httpx.AsyncClient, target: Target) -> None:
        wait_s = self._every_s
        while True:
            try:
                await self.ask(client, target)
            except Unusable as error:
                if not target.trouble:
                    logger.warning("%s tells nothing: %s; asked again, later each time", target.url, error)
                target.trouble = str(error)
                target.failed += 1
                wait_s = min(2 * wait_s, max(BACK_OFF_S_MAX, self._every_s))
            else:
                if target.trouble:
                    logger.info("%s tells again", target.url)
                target.trouble, wait_s = "", self._every_s
            await anyio.sleep(wait_s)

    async def ask(self, client: httpx.AsyncClient, target: Target) -> None:
        """Ask once, and take in what it tells. Raises Unusable."""
        target.asked += 1
        try:
            with anyio.fail_after(self._timeout_s):
                body = await self._get(client, target)
        except TimeoutError as error:
            raise Unusable(f"no whole answer within {self._timeout_s:g} s") from error
        except httpx.HTTPError as error:
            raise Unusable(f"{type(error).__name__}: {error}") from error
        try:
            found = _vector(body) if target.query else list(samples(body.decode()))
        except (ValueError, msgspec.MsgspecError, RecursionError) as error:  # a UnicodeDecodeError is a ValueError, too
            raise Unusable(f"the answer {'' if target.query else 'is no exposition: '}{error}") from error
        now = self._clock.now()
        self._source.take_in(points(found, self._clock.wall_ns()), now, origin=target.url, complete=True)

    async def _get(self, client: httpx.AsyncClient, target: Target) -> bytes:
        """The body of the answer, plain and no larger than it may be. Raises Unusable, httpx.HTTPError."""
        asked = {"query": target.query} if target.query else None
        headers = {"accept": "application/json" if target.query else ACCEPT}
        async with client.stream("GET", target.url, params=asked, headers=headers) as answer:
            if answer.headers.get("content-encoding", "identity") != "identity":
                raise Unusable(f"content encoding {answer.headers['content-encoding']!r} was not asked for")
            parts, size = [], 0
            async for part in answer.aiter_raw():
                size += len(part)
                if size > ANSWER_BYTES_MAX:
                    raise Unusable(f"the answer is larger than {ANSWER_BYTES_MAX} bytes")
                parts.append(part)
        body = b"".join(parts)
        if answer.status_code != 200:
            raise Unusable(f"status {answer.status_code}: {body[:200].decode('utf-8', 'replace')}".strip())
        return body


def _vector(body: bytes) -> list[Sample]:
    """The samples of an instant query's answer. Raises ValueError, msgspec.MsgspecError."""
    answer = msgspec.json.decode(body, type=_Answer)
    if answer.status != "success" or answer.data is None:
        raise ValueError(f"has status {answer.status[:40]!r}: {answer.error[:200]}")
    if answer.data.result_type != "vector":
        raise ValueError(f"is a {answer.data.result_type[:40]!r}, not a vector")
    if len(answer.data.result) > SAMPLES_MAX:
        raise ValueError(f"has more than {SAMPLES_MAX} samples")
    found = ((one.metric.get("__name__", ""), one.metric, float(one.value[1])) for one in answer.data.result)
    return [sample for sample in found if sample[0] in NAMES]
