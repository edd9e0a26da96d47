"""Metrics of OTLP for tests, written by the generated messages."""

from collections.abc import Mapping
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality, Metric

CUMULATIVE = AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
DELTA = AggregationTemporality.AGGREGATION_TEMPORALITY_DELTA
SECOND = 1_000_000_000
WALL = 1_700_000_000 * SECOND  # when a virtual clock begins

GRAPH = "traces_service_graph_request_"


def attribute(made: Any, key: str, value: str | int | bool) -> None:
    one = made.attributes.add(key=key)
    if isinstance(value, bool):
        one.value.bool_value = value
    elif isinstance(value, int):
        one.value.int_value = value
    else:
        one.value.string_value = value


class Exporter:
    """One sender: its resource, its temporality, and the requests it makes of what it is told to say."""

    def __init__(self, service: str = "collector", *, temporality: int = CUMULATIVE, start_s: float = -60.0) -> None:
        self.service, self.temporality = service, temporality
        self.start_ns = WALL + round(start_s * SECOND)
        self.request = ExportMetricsServiceRequest()

    def _metric(self, name: str, unit: str) -> Metric:
        if not self.request.resource_metrics:
            made = self.request.resource_metrics.add()
            attribute(made.resource, "service.name", self.service)
            made.scope_metrics.add()
        return self.request.resource_metrics[0].scope_metrics[0].metrics.add(name=name, unit=unit)

    def counter(self, name: str, value: float, at_s: float, *, monotonic: bool = True, **labels: str) -> "Exporter":
        """A point of a counter, in the name of a service graph."""
        told = self._metric(GRAPH + name, "").sum
        told.aggregation_temporality, told.is_monotonic = self.temporality, monotonic
        point = told.data_points.add(start_time_unix_nano=self.start_ns, time_unix_nano=WALL + round(at_s * SECOND))
        if value == int(value):
            point.as_int = int(value)
        else:
            point.as_double = value
        for key, text in labels.items():
            attribute(point, key, text)
        return self

    def histogram(
        self,
        name: str,
        count: int,
        total: float,
        at_s: float,
        labels: Mapping[str, str | int],
        *,
        unit: str = "s",
        exponential: bool = False,
    ) -> "Exporter":
        """A point of a histogram."""
        metric = self._metric(name, unit)
        told = metric.exponential_histogram if exponential else metric.histogram
        told.aggregation_temporality = self.temporality
        point = told.data_points.add(
            start_time_unix_nano=self.start_ns, time_unix_nano=WALL + round(at_s * SECOND), count=count, sum=total
        )
        for key, value in labels.items():
            attribute(point, key, value)
        return self

    def take(self) -> ExportMetricsServiceRequest:
        """What was said since the last time."""
        made, self.request = self.request, ExportMetricsServiceRequest()
        return made
