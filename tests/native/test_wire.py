"""The span reader against a slow one, a protobuf writer of a few lines, and bytes that lie."""

import contextlib
import random
from collections import defaultdict
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controlplane._native.wire import SpanPairs, rank_of, weight_of

SERVER, CLIENT, PRODUCER, CONSUMER = 2, 3, 4, 5
MS = 1_000_000


def varint(value: int) -> bytes:
    out = b""
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def field(number: int, value: int | bytes | str, wire: int | None = None) -> bytes:
    """One field: ints are varints, or of eight bytes with wire 1."""
    if isinstance(value, int):
        wire = wire or 0
        return varint(number << 3 | wire) + (value.to_bytes(8, "little") if wire == 1 else varint(value))
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def attribute(key: str, value: str | int) -> bytes:
    return field(1, key) + field(2, field(3 if isinstance(value, int) else 1, value))


def span(
    own: int,
    parent: int,
    kind: int,
    *,
    trace: int = 7,
    ms: int = 10,
    error: bool = False,
    state: str = "",
    start: int = 10**18,
    **attributes: str | int,
) -> bytes:
    """An OTLP span; attribute names with dots as double underscores."""
    out = field(1, trace.to_bytes(16, "big")) + field(2, own.to_bytes(8, "big"))
    if state:
        out += field(3, state)
    if parent:
        out += field(4, parent.to_bytes(8, "big"))
    out += field(5, "GET /") + field(6, kind) + field(7, start, 1) + field(8, start + ms * MS, 1)
    for key, value in attributes.items():
        out += field(9, attribute(key.replace("__", "."), value))
    return out + (field(15, field(3, 2)) if error else b"")


def batch(**spans: list[bytes]) -> bytes:
    """A request with the spans of each service; the resource comes last, as the format allows."""
    return b"".join(
        field(
            1,
            field(2, b"".join(field(2, one) for one in each)) + field(1, field(1, attribute("service.name", name))),
        )
        for name, each in spans.items()
    )


def told(pairs: SpanPairs, before: int = 0) -> dict[tuple[str, str], tuple[float, ...]]:
    return {(caller, callee): tuple(rest) for caller, callee, *rest in pairs.take(before)}


def test_a_call_is_one_edge_however_its_spans_arrive() -> None:
    """Client first, server first, one batch or two: calls, both latencies, and nobody is counted twice."""
    client, server = span(1, 0, CLIENT, ms=12), span(2, 1, SERVER, ms=10)
    for order in (
        [batch(web=[client], cart=[server])],
        [batch(web=[client]), batch(cart=[server])],
        [batch(cart=[server]), batch(web=[client])],
    ):
        pairs = SpanPairs()
        assert [sum(each) for each in zip(*(pairs.traces(one, 1) for one in order), strict=True)] == [2, 0]
        assert told(pairs) == {("web", "cart"): (1, 0, 1, 12 * MS, 1, 10 * MS)}


def test_what_is_sent_again_counts_once_and_a_second_server_adds_no_call() -> None:
    """Exporters repeat what was not acknowledged; a balancer tries a second replica for one client span."""
    pairs = SpanPairs()
    client = batch(web=[span(1, 0, CLIENT, ms=30)])
    pairs.traces(client, 1)
    pairs.traces(client, 1)
    pairs.traces(batch(cart=[span(2, 1, SERVER), span(3, 1, SERVER)]), 1)
    assert told(pairs) == {("web", "cart"): (1, 0, 1, 30 * MS, 2, 20 * MS)}


def test_a_service_without_spans_is_called_by_its_name() -> None:
    """After a while the client span is told alone; the newer attribute is believed before the older one."""
    pairs = SpanPairs()
    pairs.traces(
        batch(cart=[span(1, 0, CLIENT, peer__service="old", service__peer__name="redis", server__address="10.0.0.1")]),
        5,
    )
    assert told(pairs, before=4) == {}
    assert told(pairs, before=5) == {("cart", "redis"): (1, 0, 1, 10 * MS, 0, 0)}
    assert pairs.statistics()["alone"] == 1


def test_users_and_strangers_have_no_name() -> None:
    """A server span without a parent is a user's at once; one whose parent never comes is somebody's, later."""
    pairs = SpanPairs()
    pairs.traces(batch(web=[span(1, 0, SERVER)], cart=[span(2, 99, SERVER)]), 5)
    assert set(told(pairs, before=0)) == {("", "web")}
    assert set(told(pairs, before=5)) == {("", "cart")}


@pytest.mark.parametrize(
    ("attributes", "error", "failed"),
    [
        ({"http__response__status_code": 404}, True, False),
        ({"http__response__status_code": 503}, False, True),
        ({"http__status_code": 429}, False, True),
        ({"http__status_code": "500"}, False, True),
        ({"rpc__grpc__status_code": 5}, True, False),
        ({"rpc__grpc__status_code": 14}, False, True),
        ({}, True, True),
        ({}, False, False),
    ],
)
def test_a_failure_is_the_callees(attributes: dict[str, Any], error: bool, failed: bool) -> None:
    """A client marks 404 as an error of its own, which says nothing about the service."""
    pairs = SpanPairs()
    pairs.traces(batch(web=[span(1, 0, CLIENT, error=error, **attributes)], cart=[span(2, 1, SERVER)]), 1)
    assert told(pairs)["web", "cart"][:2] == (1, float(failed))


def test_a_sampled_span_stands_for_many() -> None:
    """th:c0 rejects three of four; what is broken or beyond belief counts as one, or as a million."""
    for state, weight in (("ot=th:c", 4), ("a=b, ot=rv:ff;th:8", 2), ("ot=th:0", 1), ("ot=th:xyz", 1), ("th:8", 1)):
        assert weight_of(state.encode()) == weight, state
    assert weight_of(b"ot=th:ffffffffffffff") == 1e6
    pairs = SpanPairs()
    pairs.traces(batch(web=[span(1, 0, CLIENT, state="ot=th:c")], cart=[span(2, 1, SERVER, state="ot=th:c")]), 1)
    assert told(pairs) == {("web", "cart"): (4, 0, 4, 4 * 10 * MS, 4, 4 * 10 * MS)}


def test_a_queue_between_them_is_no_latency() -> None:
    """Producer and consumer pair; the consumer's failure is the edge's, and nobody waited."""
    pairs = SpanPairs()
    pairs.traces(batch(shop=[span(1, 0, PRODUCER)], mail=[span(2, 1, CONSUMER, error=True)]), 1)
    calls, failures, timed, *_ = told(pairs)["shop", "mail"]
    assert (calls, failures, timed) == (1, 1, 0)


def test_clocks_that_disagree_time_nothing() -> None:
    """A span that ends before it begins still counts as a call."""
    pairs = SpanPairs()
    pairs.traces(batch(web=[span(1, 0, CLIENT, ms=-5)], cart=[span(2, 1, SERVER)]), 1)
    assert told(pairs) == {("web", "cart"): (1, 0, 0, 0, 1, 10 * MS)}


def test_a_broken_request_changes_nothing() -> None:
    """Cut anywhere, it is taken whole or refused, never half."""
    whole = batch(web=[span(1, 0, CLIENT)], cart=[span(2, 1, SERVER)])
    pairs = SpanPairs()
    taken = 0
    for length in range(len(whole)):
        try:
            taken += pairs.traces(whole[:length], 1)[0]
        except ValueError:
            assert pairs.statistics()["spans"] == taken
    with pytest.raises(OverflowError, match="more than 1 spans"):
        pairs.traces(whole, 1, spans_max=1)
    with pytest.raises(TypeError):
        pairs.traces(whole, 1.5)  # type: ignore[arg-type]


def test_a_span_without_ids_is_left_out_and_counted() -> None:
    """Ids of another length, or of zeros only, are none: the rest of the request is taken."""
    pairs = SpanPairs()
    short = field(1, b"short") + field(2, (1).to_bytes(8, "big")) + field(6, CLIENT)
    zeros = field(1, bytes(16)) + field(2, (1).to_bytes(8, "big")) + field(6, CLIENT)
    good = [span(1, 0, CLIENT)]
    assert pairs.traces(batch(web=[short, zeros, *good], cart=[span(2, 1, SERVER)]), 1) == (4, 2)
    assert pairs.statistics()["rejected"] == 2
    assert told(pairs)["web", "cart"][0] == 1


def test_who_has_met_its_other_side_gives_way_first() -> None:
    """A set of eight places: calls that are complete make room for those that are not, however old."""
    pairs = SpanPairs(names_max=16, edges_max=16, waiting_max=16)
    pairs.traces(batch(web=[span(1, 0, CLIENT, trace=1)]), 1)
    for number in range(2, 200):  # each complete at once
        pairs.traces(batch(web=[span(1, 0, CLIENT, trace=number)], cart=[span(2, 1, SERVER, trace=number)]), number)
    pairs.traces(batch(cart=[span(2, 1, SERVER, trace=1)]), 200)
    assert told(pairs)["web", "cart"][0] == 199
    assert pairs.statistics()["evicted"] == 0


@pytest.mark.parametrize(("status", "failed"), [("UNAVAILABLE", True), ("NOT_FOUND", False), ("made up", False)])
def test_a_status_of_grpc_may_come_by_its_name(status: str, failed: bool) -> None:
    """As newer conventions write it; what is no status leaves it to the span."""
    pairs = SpanPairs()
    pairs.traces(batch(web=[span(1, 0, CLIENT, rpc__response__status_code=status)], cart=[span(2, 1, SERVER)]), 1)
    assert told(pairs)["web", "cart"][:2] == (1, float(failed))


@given(st.binary(max_size=300))
@settings(max_examples=500)
def test_no_bytes_break_it(data: bytes) -> None:
    """Anything is read or refused."""
    pairs = SpanPairs(names_max=16, edges_max=16, waiting_max=16)
    for body in (data, field(1, data), field(1, field(2, field(2, data)))):
        with contextlib.suppress(ValueError):
            pairs.traces(body, 1)
    pairs.take(10)


def test_memory_does_not_grow_and_what_finds_no_place_is_counted() -> None:
    """Invented names, edges and spans: the tables stay, the counts say what was left out."""
    pairs = SpanPairs(names_max=16, edges_max=16, waiting_max=16)
    for number in range(1, 2_000):
        pairs.traces(
            batch(**{f"s{number}": [span(number, 0, CLIENT, trace=number, service__peer__name=f"p{number}")]}), number
        )
    seen = pairs.statistics()
    assert seen["names"] <= 15
    assert seen["edges"] <= 16
    assert seen["without_place"] > 0
    pairs.take(10_000)
    pairs.traces(batch(web=[span(1, 0, CLIENT)], cart=[span(2, 1, SERVER)]), 10_001)
    assert ("web", "cart") in told(pairs)


def slow(spans: list[tuple[str, dict[str, Any]]]) -> dict[tuple[str, str], list[float]]:
    """The same by dictionaries over all spans at once."""
    clients = {(one["trace"], one["id"]): (name, one) for name, one in spans if one["kind"] == CLIENT}
    edges: dict[tuple[str, str], list[float]] = defaultdict(lambda: [0.0] * 6)
    met = set()
    for name, one in spans:
        if one["kind"] != SERVER:
            continue
        found = clients.get((one["trace"], one["parent"]))
        caller = found[0] if found else ""
        if caller == name:
            if found:
                met.add((one["trace"], one["parent"]))
            continue
        edge = edges[caller, name]
        if found and (one["trace"], one["parent"]) not in met:
            met.add((one["trace"], one["parent"]))
            client = found[1]
            edge[0] += 1
            edge[1] += client["error"]
            edge[2] += 1
            edge[3] += client["ms"] * MS
        elif not found:
            edge[0] += 1
            edge[1] += one["error"]
        edge[4] += 1
        edge[5] += one["ms"] * MS
    for key, (name, one) in clients.items():
        if key not in met and one.get("peer") and one["peer"] != name:
            edge = edges[name, one["peer"]]
            for at, value in enumerate((1, one["error"], 1, one["ms"] * MS)):
                edge[at] += value
    return {key: value for key, value in edges.items() if any(value)}


@pytest.mark.parametrize("seed", range(20))
def test_random_traffic_is_told_as_the_slow_reader_tells_it(seed: int) -> None:
    """Thousands of spans of a random mesh, shuffled into random batches."""
    draw = random.Random(seed)
    services = [f"s{number}" for number in range(6)]
    spans: list[tuple[str, dict[str, Any]]] = []
    for number in range(1, 400):
        caller, callee = draw.choice(services), draw.choice(services)
        client = {"trace": draw.randrange(1, 50), "id": 2 * number, "parent": 0, "kind": CLIENT}
        client |= {"ms": draw.randrange(1, 90), "error": draw.random() < 0.2, "peer": draw.choice(["", "db", callee])}
        spans.append((caller, client))
        if draw.random() < 0.8:
            parent = client["id"] if draw.random() < 0.9 else draw.choice([0, 2 * number + 100_000])
            server = {"trace": client["trace"], "id": 2 * number + 1, "parent": parent, "kind": SERVER}
            spans.append((callee, server | {"ms": draw.randrange(1, 90), "error": draw.random() < 0.2}))
    draw.shuffle(spans)
    pairs = SpanPairs(seed=seed)
    at = 0
    while at < len(spans):
        grouped: dict[str, list[bytes]] = defaultdict(list)
        for name, one in spans[at : (at := at + draw.randrange(1, 60))]:
            peer = {"service__peer__name": one["peer"]} if one.get("peer") else {}
            grouped[name].append(
                span(
                    one["id"], one["parent"], one["kind"], trace=one["trace"], ms=one["ms"], error=one["error"], **peer
                )
            )
        pairs.traces(batch(**grouped), 1)
    assert pairs.statistics()["evicted"] == 0
    assert {key: list(value) for key, value in told(pairs, before=1).items()} == slow(spans)


def test_a_span_that_was_read_elsewhere_counts_the_same() -> None:
    """JSON comes by this door."""
    pairs = SpanPairs()
    trace, one, two = (7).to_bytes(16, "big"), (1).to_bytes(8, "big"), (2).to_bytes(8, "big")
    pairs.span(b"web", trace, one, b"", b"ot=th:8", b"", CLIENT, 5, 5 + 12 * MS, False, -1, -1, 1)
    pairs.span(b"cart", trace, two, one, b"", b"", SERVER, 5, 5 + 10 * MS, False, 500, -1, 1)
    assert told(pairs) == {("web", "cart"): (2, 0, 2, 2 * 12 * MS, 2, 2 * 10 * MS)}
    with pytest.raises(ValueError, match="16 bytes"):
        pairs.span(b"web", b"short", one, b"", b"", b"", CLIENT, 5, 5, False, -1, -1, 1)


def test_names_of_the_other_end_are_ranked() -> None:
    """The service's own name, then the deprecated one, then what it runs on."""
    ranks = [rank_of(key) for key in (b"service.peer.name", b"peer.service", b"messaging.system", b"server.address")]
    assert ranks == sorted(ranks, reverse=True)
    assert rank_of(b"http.route") == 0
