"""Access logs as they stream in: what a proxy says of a call, in the words of `observe`.

Only the few fields that say who answered, how and when are read; the rest of an entry is stepped over. An entry about a
call that has not ended (Envoy's periodic ones) says that it is still open, and for how long.

Source  envoy/data/accesslog/v3/accesslog.proto, field numbers of Envoy 1.40
"""

from collections.abc import Iterator
from typing import Final

import msgspec

from controlplane.adapters.proxies.envoy.discovery import Node, read_node
from controlplane.adapters.proxies.envoy.wire import as_bytes, as_int, as_text, fields, nanos_of, unwrapped

# numbers of envoy.data.accesslog.v3.ResponseFlags
NO_HEALTHY_UPSTREAM, TIMEOUT, LOCAL_RESET, REMOTE_RESET, NO_CONNECTION, CUT_OFF, OVERFLOW, NO_ROUTE = range(2, 10)
DELAYED, ABORTED, RATE_LIMITED, UNAUTHORIZED, RATE_LIMIT_BROKEN, CLIENT_LEFT, RETRIES_SPENT, IDLE = range(10, 18)
BAD_HEADERS, CLIENT_PROTOCOL, TOO_LONG, CACHED, NO_FILTER, TIME_UP, UPSTREAM_PROTOCOL, NO_CLUSTER = range(18, 26)
OVERLOADED, NO_NAME, CLIENT_RESET = range(26, 29)
_PERIODIC: Final = (3, 7)  # AccessLogType: DownstreamPeriodic, UpstreamPeriodic
_UPSTREAM: Final = (7, 8, 9)  # UpstreamPoolReady, UpstreamPeriodic, UpstreamEnd


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One call, or one attempt of it (`attempt_only`). `address` is that of the endpoint, "" where none was chosen;
    `latency_ns` from when the endpoint was asked until it had answered, of one that is still `open` so far.
    """

    cluster: str = ""
    address: tuple[str, int] | None = None
    status: int = 0
    flags: frozenset[int] = frozenset()
    details: str = ""
    latency_ns: int = 0
    open: bool = False
    attempt_only: bool = False
    headers: dict[str, str] = {}


def read_logs(data: bytes) -> tuple[Node | None, list[Entry]]:
    """Who tells (in the first message of a stream only), and the calls that a StreamAccessLogsMessage tells of.

    Raises WireError.
    """
    node: Node | None = None
    entries: list[Entry] = []
    for number, value in fields(memoryview(data)):
        if number == 1:
            node = next((read_node(part) for at, part in fields(as_bytes(value)) if at == 1), None)
        elif number == 2:
            entries += (_entry(as_bytes(part)) for at, part in fields(as_bytes(value)) if at == 1)
    return node, entries
