"""Whatever is told to the graph, in whatever order, it keeps its promises."""

from collections import Counter, defaultdict

import msgspec
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from controlplane.decide.analysis.window import Window
from controlplane.decide.graph.live import DependencyGraph
from controlplane.model.policy import GraphPolicy
from controlplane.model.signal import EdgeSampled
from controlplane.model.topology import Service, Topology
from controlplane.model.unit import SECOND, Nanos

BUCKET_S = 15
BEGAN = 1_000 * BUCKET_S * SECOND
TOPOLOGY = Topology(
    services=(
        Service(name="a", calls=("b", "c")),
        Service(name="b", calls=("c",), aliases=("vip",)),
        Service(name="c", fallback=True),
    ),
    entry="a",
)

counts = st.integers(0, 1_000)
callees = st.sampled_from(["b", "c", "d", "vip"])
maybe = st.none() | st.integers(0, 10**12)


@st.composite
def samples(draw: st.DrawFn) -> EdgeSampled:
    """One second of one edge."""
    calls, extra = draw(counts), draw(st.none() | counts)
    attempts = None if extra is None else calls + extra
    sends = calls if attempts is None else attempts
    return EdgeSampled(
        at=Nanos(BEGAN + draw(st.integers(1, 5 * BUCKET_S - 1)) * SECOND),
        caller=draw(st.sampled_from(["a", "b", "", "d"])),
        callee=draw(callees),
        window_ns=SECOND,
        calls=calls,
        attempts=attempts,
        failures=draw(st.integers(0, sends)),
        client_latency_ns=draw(maybe),
        server_latency_ns=draw(maybe),
        source=draw(st.sampled_from(["gateway", "spans", "metrics"])),
    )


def graph_of(told: list[EdgeSampled], **policy: int) -> DependencyGraph:
    graph = DependencyGraph(TOPOLOGY, GraphPolicy(bucket_s=BUCKET_S, **policy))
    for sample in told:
        graph.observe(sample)
    return graph


def same(one: Window, other: Window) -> bool:
    pairs = [*zip(one.edge.values(), other.edge.values(), strict=True)]
    pairs += [*zip(one.service.values(), other.service.values(), strict=True)]
    return (
        one.services == other.services
        and np.array_equal(one.edges, other.edges)
        and all(np.array_equal(mine, theirs, equal_nan=True) for mine, theirs in pairs)
    )


@given(st.lists(samples(), max_size=40), st.randoms(use_true_random=False))
@settings(max_examples=150, deadline=None)
def test_the_order_within_a_bucket_does_not_matter(told: list[EdgeSampled], random: object) -> None:
    """Whoever comes first, and whichever source: the same window."""
    first = EdgeSampled(
        at=Nanos(BEGAN), caller="a", callee="b", window_ns=SECOND, calls=1, failures=0, source="gateway"
    )
    within = [msgspec.structs.replace(one, at=Nanos(BEGAN + one.at % (BUCKET_S * SECOND))) for one in told]
    shuffled = list(within)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    now = Nanos(BEGAN + BUCKET_S * SECOND)
    assert same(graph_of([first, *within]).window(now), graph_of([first, *shuffled]).window(now))


@given(st.lists(samples(), max_size=60))
@settings(max_examples=150, deadline=None)
def test_the_window_is_what_was_fed(told: list[EdgeSampled]) -> None:
    """Against adding up by hand: attempts, failures and seconds per edge and bucket, nothing lost, nothing invented."""
    told = sorted((msgspec.structs.replace(one, source="gateway") for one in told), key=lambda one: one.at)
    window = graph_of(told).window(Nanos(BEGAN + 5 * BUCKET_S * SECOND))
    sends: Counter[tuple[int, str, str]] = Counter()
    failures: Counter[tuple[int, str, str]] = Counter()
    waited: defaultdict[tuple[int, str, str], list[int]] = defaultdict(lambda: [0, 0])
    for one in told:
        callee = "b" if one.callee == "vip" else one.callee
        key = (one.at - BEGAN) // (BUCKET_S * SECOND), one.caller, callee
        if one.caller and one.caller != callee:
            number = one.calls if one.attempts is None else one.attempts
            sends[key] += number
            failures[key] += one.failures
            if one.client_latency_ns is not None:
                waited[key][0] += number
                waited[key][1] += one.client_latency_ns
    assert window.time_s is not None
    rows = {round((begin * 1e9 - BEGAN) // (BUCKET_S * SECOND)): row for row, begin in enumerate(window.time_s)}
    seen = set()
    for column, (caller, callee) in enumerate(window.edges.tolist()):
        for bucket, row in rows.items():
            key = bucket, window.services[caller], window.services[callee]
            late = (round(window.time_s[row] * 1e9) - BEGAN) % (BUCKET_S * SECOND)  # the first one begins off the grid
            scale = BUCKET_S * SECOND / max(SECOND, BUCKET_S * SECOND - late)
            requests = window.edge["requests"][row, column]
            if key in sends:
                seen.add(key)
                assert np.isclose(requests, sends[key] * scale)
                if sends[key]:
                    assert np.isclose(window.edge["error_ratio"][row, column], failures[key] / sends[key])
                mean = window.edge["client_latency_s"][row, column]
                number, total = waited[key]
                assert np.isclose(mean, total / number / 1e9) if number else np.isnan(mean)
            else:
                assert np.isnan(requests) or requests == 0
    assert seen == set(sends)


NAMES = st.text("abcdefgh0123456789", min_size=1, max_size=6)


@given(
    st.lists(st.tuples(NAMES, NAMES, st.integers(0, 3_000), st.integers(1, 10**9)), max_size=300),
    st.integers(3, 12),
    st.integers(3, 12),
)
@settings(max_examples=60, deadline=None)
def test_hostile_names_never_grow_it(told: list[tuple[str, str, int, int]], services: int, edges: int) -> None:
    """Bounds hold after every sample, what is declared stays, and the window can always be made."""
    graph = DependencyGraph(TOPOLOGY, GraphPolicy(bucket_s=BUCKET_S, buckets=8, services_max=services, edges_max=edges))
    for caller, callee, second, calls in told:
        at = Nanos(BEGAN + second * SECOND)
        graph.observe(EdgeSampled(at=at, caller=caller, callee=callee, window_ns=SECOND, calls=calls, failures=0))
        counts = graph.statistics()
        assert counts.services <= max(services, 3)
        assert counts.edges <= max(edges, 3)
        assert counts.buckets <= 8
    known = {(one.caller, one.callee) for one in graph.edges(Nanos(BEGAN))}
    assert {("a", "b"), ("a", "c"), ("b", "c")} <= known
    nodes = {node.name for node in graph.nodes()}
    assert {end for one in known for end in one if end} <= nodes
    window = graph.window(Nanos(BEGAN + 3_000 * SECOND))
    assert set(window.services) <= nodes
    assert window.edges.max(initial=0) < len(window.services)


@given(
    st.lists(samples(), min_size=1, max_size=40),
    st.lists(st.tuples(st.sampled_from("bc"), st.integers(0, 80), st.booleans()), max_size=8),
)
@settings(max_examples=100, deadline=None)
def test_rows_of_a_window_are_in_order_and_never_overlap(
    told: list[EdgeSampled], holds: list[tuple[str, int, bool]]
) -> None:
    """Whatever incidents begin and end in between, and however late they are found."""
    graph = graph_of(told, buckets=8)
    now = Nanos(BEGAN + 90 * SECOND)
    for service, second, begins in holds:
        at = Nanos(BEGAN + second * SECOND)
        (graph.hold if begins else graph.release)(service, at)
        window = graph.window(now)
        assert window.time_s is not None
        assert (np.diff(window.time_s) > 0).all()
        assert 0 <= window.incident_at <= len(window.time_s)
        if graph.held():
            since = min(graph.held().values()) / 1e9
            assert (window.time_s[: window.incident_at] < since).all()
