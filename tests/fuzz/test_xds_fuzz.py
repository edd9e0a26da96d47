"""Whatever a proxy sends: a message, or a WireError, in bounded time; never anything else, and no state that grows."""

from contextlib import suppress

from hypothesis import given, settings
from hypothesis import strategies as st

from controlplane.adapters.proxies.envoy.catalog import Catalog, resource
from controlplane.adapters.proxies.envoy.delta import DeltaSession
from controlplane.adapters.proxies.envoy.discovery import CLUSTER, ENDPOINTS, RUNTIME, read_delta_request, read_request
from controlplane.adapters.proxies.envoy.logs import read_entry, read_logs
from controlplane.adapters.proxies.envoy.session import UNACKED_MAX, Session
from controlplane.adapters.proxies.envoy.wire import WireError, duration, message, text, uint
from controlplane.adapters.proxies.envoy.world import WorldSession

TYPES = (CLUSTER, ENDPOINTS, RUNTIME, "type.googleapis.com/nothing.we.serve")
NODE = message(2, text(1, "e1"), text(2, "edge"), message(4, text(2, "zone-a")), text(6, "envoy"), text(10, "any"))
REQUEST = b"".join(
    (
        text(1, "v1"),
        NODE,
        text(3, "a"),
        text(3, "b"),
        text(4, ENDPOINTS),
        text(5, "1"),
        message(6, uint(1, 3), text(2, "no")),
    )
)
DELTA = b"".join(
    (
        message(1, text(1, "e1")),
        text(2, ENDPOINTS),
        text(3, "a"),
        text(4, "b"),
        message(5, text(1, "a"), text(2, "v")),
        text(6, "1"),
    )
)
COMMON = message(
    1,
    duration(7, 5),
    duration(9, 50),
    message(13, message(1, text(2, "127.0.0.1"), uint(3, 80))),
    text(15, "orders"),
    message(16, uint(3, 1)),
    uint(33, 6),
)
LOGS = message(1, NODE, text(2, "controlplane")) + message(
    2, message(1, COMMON, message(3, text(9, "id")), message(4, message(1, uint(1, 503)), text(6, "x")))
)
SEEDS = (REQUEST, DELTA, LOGS)


@st.composite
def broken(draw: st.DrawFn) -> bytes:
    """A message that was right, cut, flipped, doubled and nested."""
    data = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(0, 6))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        match draw(st.integers(0, 4)):
            case 0:
                del data[at:]
            case 1 if data:
                data[at] = draw(st.integers(0, 255))
            case 2:
                data[at:at] = draw(st.binary(max_size=12))
            case 3:
                data += data[at:]
            case _:
                data = bytearray(message(draw(st.integers(1, 20)), bytes(data)))
    return bytes(data)


inputs = st.one_of(st.binary(max_size=300), broken())


@settings(max_examples=3000, deadline=None)
@given(inputs)
def test_readers_refuse_or_read(data: bytes) -> None:
    """Every reader of what proxies send answers any bytes with a value or a WireError."""
    for read in (read_request, read_delta_request, lambda data: [*map(read_entry, read_logs(data).entries)]):
        with suppress(WireError):
            read(data)


@settings(max_examples=500, deadline=None)
@given(st.sampled_from([WorldSession, DeltaSession]), st.lists(inputs, max_size=30))
def test_sessions_stay_bounded(variant: type[Session], requests: list[bytes]) -> None:
    """After any requests a session has few answers under way, and goes on answering a proper one."""
    catalog = Catalog()
    catalog.put(
        [(ENDPOINTS, resource("a", b"a")), (ENDPOINTS, resource("b", b"b")), (RUNTIME, resource("l", b"l", ttl_ns=5))]
    )
    session = variant(catalog)
    for number, data in enumerate(requests):
        try:
            session.receive(data)
        except WireError:
            continue
        session.touch(catalog.put([(ENDPOINTS, resource("a", str(number).encode()))]))
        session.prolong()
        while session.take() is not None:
            pass
    assert all(len(one.pending) <= UNACKED_MAX for one in session.subscriptions.values())
    assert session.subscriptions.keys() <= set(TYPES)
    assert session.subscriptions.keys().isdisjoint({TYPES[-1]})
