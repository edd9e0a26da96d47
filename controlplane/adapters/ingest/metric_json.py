"""Metrics of OTLP in JSON, as far as they tell of calls, read by declared types into the points of `point.py`."""

import msgspec

from controlplane._native.wire import rank_of
from controlplane.adapters.ingest.attribute import Attribute, Resource, number_of, service_of, text_of
from controlplane.adapters.ingest.point import OTLP_NAMES, WAVERING, Metric, Point, graph_ends

_TEMPORALITIES = {"AGGREGATION_TEMPORALITY_DELTA": 1, "AGGREGATION_TEMPORALITY_CUMULATIVE": 2}
_COUNTERS = (Metric.REQUESTS, Metric.FAILED)
_ENDED = 1  # of a point's flags: no recorded value


class _DataPoint(msgspec.Struct, rename="camel"):
    attributes: list[Attribute] = []
    start_time_unix_nano: str | int = 0
    time_unix_nano: str | int = 0
    as_double: float | str = 0.0
    as_int: str | int = 0
    count: str | int = 0
    sum: float | str = 0.0
    flags: int = 0


class _Shape(msgspec.Struct, rename="camel"):
    """A sum or a histogram."""

    data_points: list[_DataPoint] = []
    aggregation_temporality: int | str = 0
    is_monotonic: bool = False


class _Metric(msgspec.Struct, rename="camel"):
    name: str = ""
    unit: str = ""
    sum: _Shape | None = None
    histogram: _Shape | None = None
    exponential_histogram: _Shape | None = None


class _Scope(msgspec.Struct):
    metrics: list[_Metric] = []


class _ResourceMetrics(msgspec.Struct, rename="camel"):
    resource: Resource | None = None
    scope_metrics: list[_Scope] = []


class _Request(msgspec.Struct, rename="camel"):
    resource_metrics: list[_ResourceMetrics] = []


_DECODER = msgspec.json.Decoder(_Request)


def read(body: bytes, points_max: int) -> list[Point]:
    """The points of an ExportMetricsServiceRequest in JSON that tell of calls.

    Raises  msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError: it is none; OverflowError: too many.
    """
    points: list[Point] = []
    for resource in _DECODER.decode(body).resource_metrics:
        service = service_of(resource.resource)
        told = resource.resource.attributes if resource.resource is not None else []
        sender = hash(tuple(sorted(_pair(one) for one in told)))
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                number = OTLP_NAMES.get(metric.name)
                if number is None:
                    continue
                shapes = (metric.sum,) if number in _COUNTERS else (metric.histogram, metric.exponential_histogram)
                for shape in shapes:
                    if shape is None:
                        continue
                    if len(points) + len(shape.data_points) > points_max:
                        raise OverflowError(f"more than {points_max} points in one request")
                    points += (_point(number, metric, shape, one, service, sender) for one in shape.data_points)
    return points


def _point(number: Metric, metric: _Metric, shape: _Shape, one: _DataPoint, service: str, sender: int) -> Point:
    counter = number in _COUNTERS
    temporality = shape.aggregation_temporality
    if not isinstance(temporality, int):
        temporality = _TEMPORALITIES.get(temporality, 0)
    graph = number not in (Metric.HTTP_CLIENT, Metric.HTTP_SERVER)
    if not graph:
        client, server = (service, _peer(one)) if number == Metric.HTTP_CLIENT else ("", service)
    else:
        client, server = graph_ends({each.key: text_of(each) for each in one.attributes})
    apart = (each for each in one.attributes if not graph or each.key not in WAVERING)
    value = float(one.as_double) or float(one.as_int)
    return Point(
        metric=number,
        client=client,
        server=server,
        failed=not counter and _failed(one),
        sender=sender,
        series=hash((metric.name, tuple(sorted(_pair(each) for each in apart)))),
        temporality=temporality if shape.is_monotonic or not counter else 0,
        ended=bool(one.flags & _ENDED),
        start_ns=int(one.start_time_unix_nano),
        at_ns=int(one.time_unix_nano),
        value=value if counter else float(one.count),
        sum_s=0.0 if counter else float(one.sum) * (1e-3 if metric.unit == "ms" else 1.0),
    )


def _peer(point: _DataPoint) -> str:
    """Whom an HTTP client called, by the attribute that says so best."""
    named = [(rank_of(one.key.encode()), text_of(one)) for one in point.attributes if text_of(one)]
    rank, name = max(named, default=(0, ""))
    return name if rank else ""


def _failed(point: _DataPoint) -> bool:
    """By the status where there is one, else whether there was no answer."""
    for one in point.attributes:
        if one.key == "http.response.status_code":
            status = number_of(one)
            return status >= 500 or status == 429
    return any(one.key == "error.type" for one in point.attributes)


def _pair(attribute: Attribute) -> tuple[str, str]:
    value = attribute.value
    return attribute.key, "" if value is None else f"{value.string_value}|{value.int_value}|{value.bool_value}"
