"""From an entry of Envoy's access log to what `observe` is told.

Envoy answers for itself in many cases: nobody to send to, a limit, a filter, a client who left. Such an answer is never
evidence against an endpoint, whatever its status; what the plane ordered is told as refused.
"""

from collections.abc import Mapping
from typing import Final

from controlplane._native.guard import ERROR, STALLED, TIMEOUT
from controlplane.adapters.proxies.envoy.logs import Address, Entry, Flag
from controlplane.adapters.proxies.envoy.resources.name import CONTAINED, service_of, service_shed
from controlplane.adapters.proxies.observe import Told, Whose, outcome_of

REFUSED, CAUSE = "controlplane-refused", "controlplane-cause"  # header fields, to be named in the log's configuration
DROPPED: Final = "drop_overload"  # how the details end of a call that an assignment says to drop

_OWN: Final = frozenset(
    {
        Flag.FAILED_LOCAL_HEALTHCHECK,
        Flag.NO_HEALTHY_UPSTREAM,
        Flag.LOCAL_RESET,
        Flag.UPSTREAM_OVERFLOW,
        Flag.NO_ROUTE_FOUND,
        Flag.FAULT_INJECTED,
        Flag.RATE_LIMITED,
        Flag.UNAUTHORIZED,
        Flag.RATE_LIMIT_SERVICE_ERROR,
        Flag.INVALID_ENVOY_REQUEST_HEADERS,
        Flag.DOWNSTREAM_PROTOCOL_ERROR,
        Flag.RESPONSE_FROM_CACHE_FILTER,
        Flag.NO_FILTER_CONFIG_FOUND,
        Flag.NO_CLUSTER_FOUND,
        Flag.OVERLOAD_MANAGER,
        Flag.DNS_RESOLUTION_FAILURE,
    }
)
_LEFT: Final = frozenset(
    {Flag.DOWNSTREAM_CONNECTION_TERMINATION, Flag.DOWNSTREAM_REMOTE_RESET, Flag.STREAM_IDLE_TIMEOUT}
)
_LATE: Final = frozenset(
    {Flag.UPSTREAM_REQUEST_TIMEOUT, Flag.UPSTREAM_MAX_STREAM_DURATION_REACHED, Flag.DURATION_TIMEOUT}
)
_BROKEN: Final = frozenset(
    {
        Flag.UPSTREAM_REMOTE_RESET,
        Flag.UPSTREAM_CONNECTION_FAILURE,
        Flag.UPSTREAM_CONNECTION_TERMINATION,
        Flag.UPSTREAM_PROTOCOL_ERROR,
    }
)


def told(entry: Entry, endpoints: Mapping[tuple[str, Address], str]) -> Told:
    """What `entry` says; `endpoints` gives the name of the one at an address, by service and address.

    A call that has not ended, and an attempt that was given up, is told as one whose client left: overdue, it is
    evidence; else it is not. Of an attempt Envoy does not say whether the client left or it lost patience itself.
    """
    service = service_of(entry.cluster) or service_shed(entry.route)
    endpoint = endpoints.get((service, entry.address), "") if entry.address is not None else ""
    whose, outcome = _judged(entry)
    cause = ""
    if whose is Whose.ENDPOINT and outcome:
        if entry.headers.get(REFUSED):
            whose = Whose.REFUSED
        elif cause := entry.headers.get(CAUSE, ""):
            whose = Whose.RELAYED
    return Told(service, endpoint, whose, outcome, entry.latency_ns, entry.status, cause)


def _judged(entry: Entry) -> tuple[Whose, int]:
    if not entry.ended or entry.flags & _LEFT or (entry.attempt and not entry.status and not entry.flags):
        return Whose.CLIENT, STALLED
    if service_shed(entry.route) or entry.details.endswith(DROPPED):
        return Whose.REFUSED, ERROR
    if entry.cluster.endswith(CONTAINED) and Flag.UPSTREAM_OVERFLOW in entry.flags:
        return Whose.REFUSED, ERROR
    if entry.flags & _OWN:
        return Whose.PROXY, ERROR
    if entry.flags & _LATE:
        return Whose.ENDPOINT, TIMEOUT
    if entry.flags & _BROKEN:
        return Whose.ENDPOINT, ERROR
    return (Whose.PROXY if entry.address is None else Whose.ENDPOINT), outcome_of(entry.status)
