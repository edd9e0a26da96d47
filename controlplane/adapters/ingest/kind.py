"""The kinds of telemetry that OTLP brings here: how the body of each is read, in protobuf and in JSON."""

from collections.abc import Callable
from functools import partial
from typing import Final

import msgspec

from controlplane._native.wire import read_metrics
from controlplane.adapters.ingest import metric_json, span_json
from controlplane.adapters.ingest.metric import MetricSource
from controlplane.adapters.ingest.point import Point
from controlplane.adapters.ingest.span import SpanSource
from controlplane.model.unit import Nanos

SPANS_MAX: Final = 200_000  # of one request
POINTS_MAX: Final = 100_000
NOT_JSON: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


Take = Callable[[], tuple[int, str]]
"""The rest of it, for the event loop's own thread; (how much was left out, why)."""


class Unreadable(Exception):
    """A body that is none of its kind, in words that follow "the body"."""


class TooMany(Exception):
    """A body that holds more than one request may."""


class SpanKind:
    """Spans, which go to `source`."""

    rejected = "rejectedSpans"

    def __init__(self, source: SpanSource) -> None:
        self._source = source

    @property
    def busy(self) -> bool:
        """Whether reading would wait for another thread."""
        return self._source.busy

    def read(self, body: bytes, now: Nanos, *, protobuf: bool) -> Take:
        """Take in the spans of a body, in any thread. Raises Unreadable, TooMany."""
        return partial(self._told, self._protobuf(body, now) if protobuf else self._json(body, now))

    def _told(self, left_out: tuple[int, str]) -> tuple[int, str]:
        self._source.heard()
        return left_out

    def _protobuf(self, body: bytes, now: Nanos) -> tuple[int, str]:
        try:
            _, refused = self._source.pairs.traces(body, now, spans_max=SPANS_MAX)
        except OverflowError as error:
            raise TooMany(str(error)) from error
        except ValueError as error:
            raise Unreadable(str(error)) from error
        return refused, "a trace id has 16 bytes, a span id 8, not all of them zero" if refused else ""

    def _json(self, body: bytes, now: Nanos) -> tuple[int, str]:
        try:
            request = span_json.decode(body)
        except NOT_JSON as error:
            raise Unreadable(f"is not an ExportTraceServiceRequest: {error}") from error
        if request.spans() > SPANS_MAX:
            raise TooMany(f"more than {SPANS_MAX} spans in one request")
        return span_json.take_in(self._source.pairs, request, now)


class MetricKind:
    """Metrics, which go to `source`; `secret` keys the hash of their series."""

    rejected = "rejectedDataPoints"
    busy = False  # points are read into lists of their own

    def __init__(self, source: MetricSource, secret: int) -> None:
        self._source, self._secret = source, secret

    def read(self, body: bytes, now: Nanos, *, protobuf: bool) -> Take:
        """Read the points of a body, in any thread. Raises Unreadable, TooMany."""
        try:
            if protobuf:
                points = [Point(*one) for one in read_metrics(body, self._secret, POINTS_MAX)]
            else:
                points = metric_json.read(body, POINTS_MAX)
        except OverflowError as error:
            raise TooMany(str(error)) from error
        except (*NOT_JSON, ValueError) as error:
            why = str(error) if protobuf else f"is not an ExportMetricsServiceRequest: {error}"
            raise Unreadable(why) from error
        return partial(self._source.take_in, points, now, origin="otlp" if protobuf else "otlp json")


Kind = SpanKind | MetricKind
