"""Access logs as Envoy streams them: the few fields that say who answered, how and when; the rest is stepped over.

Source  envoy/data/accesslog/v3/accesslog.proto, field numbers of Envoy 1.40
"""

from enum import IntEnum
from typing import Final

import msgspec

from controlplane.adapters.proxies.envoy.discovery import Node, read_node
from controlplane.adapters.proxies.envoy.wire import as_bytes, as_int, as_text, fields, nanos_of, unwrapped

Address = tuple[str, int]


class Flag(IntEnum):
    """Fields of envoy.data.accesslog.v3.ResponseFlags that are true; in comments, the letters that text logs show."""

    FAILED_LOCAL_HEALTHCHECK = 1  # LH
    NO_HEALTHY_UPSTREAM = 2  # UH
    UPSTREAM_REQUEST_TIMEOUT = 3  # UT
    LOCAL_RESET = 4  # LR
    UPSTREAM_REMOTE_RESET = 5  # UR
    UPSTREAM_CONNECTION_FAILURE = 6  # UF
    UPSTREAM_CONNECTION_TERMINATION = 7  # UC
    UPSTREAM_OVERFLOW = 8  # UO
    NO_ROUTE_FOUND = 9  # NR
    FAULT_INJECTED = 11  # FI
    RATE_LIMITED = 12  # RL
    UNAUTHORIZED = 13  # UAEX
    RATE_LIMIT_SERVICE_ERROR = 14  # RLSE
    DOWNSTREAM_CONNECTION_TERMINATION = 15  # DC
    STREAM_IDLE_TIMEOUT = 17  # SI
    INVALID_ENVOY_REQUEST_HEADERS = 18  # IH
    DOWNSTREAM_PROTOCOL_ERROR = 19  # DPE
    UPSTREAM_MAX_STREAM_DURATION_REACHED = 20  # UMSDR
    RESPONSE_FROM_CACHE_FILTER = 21  # RFCF
    NO_FILTER_CONFIG_FOUND = 22  # NFCF
    DURATION_TIMEOUT = 23  # DT
    UPSTREAM_PROTOCOL_ERROR = 24  # UPE
    NO_CLUSTER_FOUND = 25  # NC
    OVERLOAD_MANAGER = 26  # OM
    DNS_RESOLUTION_FAILURE = 27  # DF
    DOWNSTREAM_REMOTE_RESET = 28  # DR


_PERIODIC: Final = (5, 8)  # AccessLogType: DownstreamPeriodic, UpstreamPeriodic
_BEGUN: Final = (4, 7)  # DownstreamStart, UpstreamPoolReady
_OF_ATTEMPTS: Final = (7, 8, 9)


class Entry(msgspec.Struct, kw_only=True):
    """One call, or with `attempt` one attempt of it; both have the call's id as `request`. `address` is the endpoint's,
    None where none was chosen; `latency_ns` from when it was asked to the head of its answer, or until it was given up.
    One that has not `ended` has none: Envoy does not say how old it is.
    """

    cluster: str = ""
    route: str = ""
    address: Address | None = None
    status: int = 0
    flags: frozenset[int] = frozenset()
    details: str = ""
    latency_ns: int = 0
    request: str = ""
    ended: bool = True
    attempt: bool = False
    headers: dict[str, str] = {}


class Logs(msgspec.Struct):
    """A StreamAccessLogsMessage; the first one of a stream says who tells, and under which name. Its entries are
    unread."""

    entries: list[memoryview]
    node: Node | None = None
    name: str = ""


def read_logs(data: bytes) -> Logs:
    """The StreamAccessLogsMessage in `data`. Raises WireError."""
    logs = Logs([])
    for number, value in fields(memoryview(data)):
        if number == 1:
            for at, part in fields(as_bytes(value)):
                if at == 1:
                    logs.node = read_node(part)
                elif at == 2:
                    logs.name = as_text(part)
        elif number == 2:
            logs.entries += (as_bytes(part) for at, part in fields(as_bytes(value)) if at == 1)
    return logs


def read_entry(data: memoryview) -> Entry:
    """The HTTPAccessLogEntry in `data`. Raises WireError."""
    entry = Entry()
    for number, value in fields(data):
        if number == 1:
            _common(entry, as_bytes(value))
        elif number == 3:
            entry.request = next((as_text(part) for at, part in fields(as_bytes(value)) if at == 9), "")
        elif number == 4:
            _response(entry, as_bytes(value))
    return entry


def _common(entry: Entry, data: memoryview) -> None:
    asked = answered = duration = 0
    for number, value in fields(data):
        if number == 7:  # time_to_first_upstream_tx_byte
            asked = nanos_of(value)
        elif number == 9:  # time_to_first_upstream_rx_byte
            answered = nanos_of(value)
        elif number == 13:
            entry.address = address_of(as_bytes(value))
        elif number == 15:
            entry.cluster = as_text(value)
        elif number == 16:
            entry.flags = frozenset(at for at, part in fields(as_bytes(value)) if part != 0)
        elif number == 19:
            entry.route = as_text(value)
        elif number == 23:
            duration = nanos_of(value)
        elif number == 33:
            kind = as_int(value)
            entry.ended = kind not in _PERIODIC and kind not in _BEGUN
            entry.attempt = kind in _OF_ATTEMPTS
    entry.latency_ns = max(0, (answered or duration) - asked)


def _response(entry: Entry, data: memoryview) -> None:
    for number, value in fields(data):
        if number == 1:
            entry.status = unwrapped(value)
        elif number == 4:
            pair = dict(fields(as_bytes(value)))
            entry.headers = {**entry.headers, as_text(pair.get(1, _NOTHING)): as_text(pair.get(2, _NOTHING))}
        elif number == 6:
            entry.details = as_text(value)


def address_of(data: memoryview) -> Address | None:
    """A SocketAddress in an Address; None for a pipe."""
    host, port = "", 0
    for number, value in fields(data):
        if number == 1:
            for at, part in fields(as_bytes(value)):
                if at == 2:
                    host = as_text(part)
                elif at == 3:
                    port = as_int(part)
    return (host, port) if host else None


_NOTHING: Final = memoryview(b"")
