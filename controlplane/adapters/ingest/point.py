"""Points of metrics that tell of calls, whoever brought them: OTLP in protobuf or JSON, or the text of an exposition.

Of a service graph the requests, the failed ones, and how long both sides took; of the semantic conventions how long
HTTP requests took in the client and in the server, with the status in the labels.
"""

from collections.abc import Mapping
from enum import IntEnum
from typing import Final, NamedTuple

NAME_BYTES_MAX: Final = 128  # of a service, as in configuration
DELTA, CUMULATIVE = 1, 2


class Metric(IntEnum):
    """What a point counts. Numbers are those of _native/metrics.h."""

    REQUESTS = 1
    FAILED = 2
    SERVER = 3
    CLIENT = 4
    HTTP_CLIENT = 5
    HTTP_SERVER = 6


class Point(NamedTuple):
    """One point of one series: of a counter `value` is its value, of a histogram how many values it has.

    `series` is equal for points of one series of one `sender` and for no others of it; `failed` says what the labels
    say; `ended`: the sender knows that the series has ended. Times are those of the sender, Unix nanoseconds; 0: not
    told.
    """

    metric: int
    client: str
    server: str
    failed: bool
    sender: int
    series: int
    temporality: int
    ended: bool
    start_ns: int
    at_ns: int
    value: float
    sum_s: float


OTLP_NAMES: Final = {
    "traces_service_graph_request_total": Metric.REQUESTS,
    "traces_service_graph_request_failed_total": Metric.FAILED,
    "traces_service_graph_request_server_seconds": Metric.SERVER,
    "traces_service_graph_request_server": Metric.SERVER,
    "traces_service_graph_request_client_seconds": Metric.CLIENT,
    "traces_service_graph_request_client": Metric.CLIENT,
    "http.client.request.duration": Metric.HTTP_CLIENT,
    "http.server.request.duration": Metric.HTTP_SERVER,
}


WAVERING: Final = ("failed", "virtual_node")
"""Labels by which a Collector's service graph tells how the last call on a counter went: they set no series apart."""


def graph_ends(labels: Mapping[str, str]) -> tuple[str, str]:
    """(client, server) as a service graph labels them; an uninstrumented client is called "user" there, and is
    nobody."""
    client, server = labels.get("client", ""), labels.get("server", "")
    return "" if client == "user" and labels.get("connection_type") == "virtual_node" else client, server


def wrong(point: Point) -> str:
    """Why nothing can be made of `point`; empty: something can."""
    if point.temporality not in (DELTA, CUMULATIVE):
        return "it is neither a monotonic counter nor a histogram of known temporality"
    if not point.server:
        return "it does not say who was called"
    if not point.client and point.metric == Metric.HTTP_CLIENT:
        return "its resource has no service.name"
    if max(len(point.client.encode()), len(point.server.encode())) > NAME_BYTES_MAX:
        return f"a service's name has more than {NAME_BYTES_MAX} bytes"
    if not 0 <= point.value < COUNT_MAX or not 0 <= point.sum_s < COUNT_MAX:
        return f"count {point.value:g} and sum {point.sum_s:g} are not both from 0 up to {COUNT_MAX:g}"
    return ""


COUNT_MAX: Final = 2.0**53  # beyond it a double does not tell one call from two
