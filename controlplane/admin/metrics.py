"""Prometheus text, written by hand: 3 ms for 1,000 services where the client libraries take 91 and more (FACTS).

Counters end in _total, times are in seconds, and quantiles are summaries, because promtool refuses them as gauges.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice

import anyio.lowlevel

from controlplane._native.guard import Guard
from controlplane.admin import proxy, view
from controlplane.assembly import Plane
from controlplane.decide.safety import RULES
from controlplane.decide.state import State
from controlplane.model.incident import Phase
from controlplane.model.tally import BOUNDS_S, Tally
from controlplane.model.unit import to_seconds
from controlplane.runtime.statistics import Latency

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Sample = tuple[str, str, float]
"""Suffix of the name, labels as written, value."""

QUANTILES_PERMILLE = (500, 900, 990, 999)
TURN = 64  # services or endpoints that are asked before others get their turn: a fraction of a millisecond

_LOOP_COUNTERS = (
    ("steps", "Signals and ticks the engine has answered."),
    ("records", "Records on record since the start."),
    ("lost", "Records decided and acted on, but not on record."),
    ("commands", "Commands given to data planes since the start."),
    ("commands_failed", "Commands a data plane did not take."),
    ("inbox_refused", "Signals refused because the inbox was full."),
    ("engine_errors", "Signals on which the engine broke."),
    ("source_errors", "Reads of a signal source that broke."),
    ("notices", "Notices handed to the notifiers."),
    ("notices_failed", "Attempts at telling that failed; they are repeated."),
    ("notices_dropped", "Notices that a notifier has given up."),
)

_EDGE_COUNTERS = (
    ("calls", "calls_total", "Calls that were admitted and settled."),
    ("failures", "call_failures_total", "Calls that failed."),
    ("slow", "calls_slow_total", "Calls slower than healthy traffic."),
    ("refused", "calls_refused_total", "Calls the guard refused."),
    ("cancelled", "calls_cancelled_total", "Calls that were neither success nor failure."),
    ("retries", "call_retries_total", "Retries within the budget."),
)


async def render(plane: Plane, *, followers: int = 0) -> bytes:
    """The exposition of `plane`. Between parts of it the loop runs on: a large topology must not delay a reflex."""
    parts = []
    for part in (
        _plane(plane, followers),
        _incidents(plane),
        _services(plane),
        _loop(plane),
        _edges(plane),
        _endpoints(plane),
        _graph(plane),
        _proxies(plane),
        _telemetry(plane),
    ):
        for family in part:
            parts.append(family)
            await anyio.lowlevel.checkpoint()
    return "".join(parts).encode()


def _plane(plane: Plane, followers: int) -> Iterator[str]:
    from controlplane import __version__

    state = plane.state
    labels = _labels(version=__version__, name=plane.topology.entry)
    yield _family("info", "gauge", "Version and name; always 1.", [("", labels, 1)])
    numbers: tuple[tuple[str, str, str, float], ...] = (
        ("ready", "gauge", "1 while the control loop runs.", plane.ready),
        ("enforcing", "gauge", "1: acts; 0: observes only.", state.mode == "enforce"),
        ("frozen", "gauge", "1 while a person has stopped automation.", state.frozen),
        ("epoch", "gauge", "Number of starts on this journal.", state.epoch),
        ("incidents_open", "gauge", "Incidents not yet closed.", len(state.open_incidents())),
        ("incidents_total", "counter", "Incidents opened, on this journal.", state.incidents_total),
        ("commands_in_force", "gauge", "Orders whose lease has not run out.", len(view.in_force(plane))),
        ("commands_issued_total", "counter", "Commands decided, on this journal.", state.commands_total),
        ("journal_gap_records_total", "counter", "Records missing from this journal.", state.journal_gap),
        ("retry_storms", "gauge", "Edges with a retry storm.", len(plane.storms())),
        ("event_followers", "gauge", "Clients of /v1/events.", followers),
    )
    for name, kind, text, value in numbers:
        yield _family(name, kind, text, [("", "", value)])
    yield from _rules(state)


def _rules(state: State) -> Iterator[str]:
    standing = state.standing
    yield _family("holds", "gauge", "Targets that people hold.", [("", "", len(standing.holds))])
    yield _family("overrides", "gauge", "Rules that people have set aside.", [("", "", len(standing.overrides))])
    refused = [("", _labels(rule=rule.name), standing.refused.get(rule.name, 0)) for rule in RULES]
    yield _family("refusals_total", "counter", "Acts that a safety rule forbade, on this journal.", refused)


def _services(plane: Plane) -> Iterator[str]:
    """Those of which something is to be said: a service that is well, or of which nothing is known, has no line."""
    states = plane.service_states(notable=True)
    users = [("", _labels(service=one.service, state=one.users), 1) for one in states if one.users not in _CALM]
    inside = [("", _labels(service=one.service, state=one.inside), 1) for one in states if one.inside not in _CALM]
    differ = sum(bool(one.differ) for one in states)
    text = "Services of which users see something else than is so."
    yield _family("services_masked", "gauge", text, [("", "", differ)])
    yield _family("service_users_state", "gauge", "What users see of a service; always 1.", users)
    yield _family("service_inside_state", "gauge", "How a service is inside; always 1.", inside)
    answers = [("", _labels(service=one.service), one.fallbacks) for one in states if one.fallbacks]
    yield _family("fallback_answers_total", "counter", "Answers given without a service.", answers)


_CALM = ("well", "unknown")
_TOOK = (
    ("detect", "From the earliest evidence to the signal that decided."),
    ("contain", "From the signal that decided until all that was ordered was in force."),
    ("stabilize", "From the signal that decided until harm had stopped spreading."),
    ("recover", "From the signal that decided until all was verified."),
)


def _incidents(plane: Plane) -> Iterator[str]:
    """Times are of enforced incidents, on this journal; what never came about is not counted."""
    state = plane.state
    phases = Counter(incident.phase for incident in state.open_incidents())
    opened = [("", _labels(phase=phase), phases[phase]) for phase in Phase if phase is not Phase.CLOSED]
    yield _family("incidents_in_phase", "gauge", "Open incidents by what they wait for.", opened)
    for name, text in _TOOK:
        samples = _histogram(state.taken_ns.get(name, Tally()))
        yield _family(f"incident_time_to_{name}_seconds", "histogram", text, samples)
    open_ = state.open_incidents()
    for name, text, value in (
        ("user_requests_failed", "User requests that failed in open incidents.", sum(one.user_failed for one in open_)),
        ("user_requests_slow", "User requests that were slow in open incidents.", sum(one.user_slow for one in open_)),
    ):
        yield _family(f"incidents_open_{name}", "gauge", text, [("", "", value)])
    reached = len({service for one in open_ for service in one.reached})
    yield _family("incidents_open_services_reached", "gauge", "Services in which one shows.", [("", "", reached)])


def _histogram(tally: Tally) -> Iterator[Sample]:
    below = 0
    for bound, count in zip(BOUNDS_S, tally.counts, strict=False):
        below += count
        yield "_bucket", _labels(le=format(bound, "g")), below
    yield "_bucket", _labels(le="+Inf"), sum(tally.counts)
    yield "_sum", "", to_seconds(tally.total_ns)
    yield "_count", "", sum(tally.counts)


def _loop(plane: Plane) -> Iterator[str]:
    seen = plane.statistics()
    for name, text in _LOOP_COUNTERS:
        yield _family(f"loop_{name}_total", "counter", text, [("", "", getattr(seen, name))])
    yield _family("loop_inbox_signals", "gauge", "Signals that wait for the engine.", [("", "", seen.inbox)])
    yield _family("journal_up", "gauge", "1 while the journal takes records.", [("", "", seen.journal_ok)])
    text = "What does not work now, and containment goes on without: journal, data planes, notifiers, inbox, proxies."
    yield _family("degraded", "gauge", text, [("", "", len(view.degraded(plane)))])
    lag_s = to_seconds(seen.journal_lag_ns)
    yield _family("journal_append_seconds", "gauge", "How long the newest append took.", [("", "", lag_s)])
    samples = [
        sample
        for stage in ("decided", "journaled", "applied")
        for sample in _latency(_labels(stage=stage), getattr(seen, stage))
    ]
    text = "From the deciding signal to the decision, to the journal, and to the last data plane."
    yield _family("response_seconds", "summary", text, samples)


def _latency(labels: str, latency: Latency) -> Iterable[Sample]:
    inner = labels[1:-1]
    if latency.count:  # unknown is never zero: an empty histogram has a count and no quantiles
        for quantile, nanos in (("0.5", latency.p50_ns), ("0.99", latency.p99_ns), ("1", latency.max_ns)):
            yield "", f'{{{inner},quantile="{quantile}"}}', to_seconds(nanos)
    yield "_count", labels, latency.count


def _edges(plane: Plane) -> Iterator[str]:
    guards = [
        (service.name, guard) for service in plane.topology.services if (guard := plane.guard_or_none(service.name))
    ]
    described = []
    for name, guard in guards:
        described.append((_labels(service=name), guard, guard.describe()))
        if len(described) % TURN == 0:
            yield ""
    for key, name, text in _EDGE_COUNTERS:
        yield from _families(name, "counter", text, (("", labels, seen[key]) for labels, _, seen in described))
    in_flight = (("", labels, seen["in_flight"]) for labels, _, seen in described)
    yield from _families("calls_in_flight", "gauge", "Calls that wait for their answer.", in_flight)
    is_open = (("", labels, float(guard.is_open())) for labels, guard, _ in described)
    yield from _families("edge_open", "gauge", "1 while calls to the service are refused.", is_open)
    latencies = (sample for labels, guard, seen in described for sample in _guarded(labels, guard, seen))
    yield from _families("call_latency_seconds", "summary", "Latency of successful calls.", latencies)


def _guarded(labels: str, guard: Guard, seen: Mapping[str, int]) -> Iterator[Sample]:
    succeeded = seen["calls"] - seen["failures"]
    if succeeded:
        for permille in QUANTILES_PERMILLE:
            quantile = f'{labels[:-1]},quantile="{permille / 1000:g}"}}'
            yield "", quantile, to_seconds(guard.latency_quantile_ns(permille))
    yield "_count", labels, succeeded


def _endpoints(plane: Plane) -> Iterator[str]:
    seen = []
    for service in plane.topology.services:
        guard = plane.guard_or_none(service.name)
        for index, endpoint in enumerate(service.endpoints if guard is not None else ()):
            assert guard is not None
            seen.append((_labels(service=service.name, endpoint=endpoint.name), guard.endpoint(index)))
            if len(seen) % TURN == 0:
                yield ""
    for key, name, kind, text in (
        ("calls", "endpoint_calls_total", "counter", "Calls to the endpoint that were settled."),
        ("failures", "endpoint_failures_total", "counter", "Calls to the endpoint that failed."),
        ("ejections", "endpoint_ejections_total", "counter", "How often the endpoint was ejected."),
        ("weight", "endpoint_weight_percent", "gauge", "Share of its normal traffic."),
        ("in_flight", "endpoint_calls_in_flight", "gauge", "Calls that wait for the endpoint's answer."),
    ):
        yield from _families(name, kind, text, [("", labels, known[key]) for labels, known in seen])
    states = (("", labels, float(view.ENDPOINT_STATES[known["state"]] == "ejected")) for labels, known in seen)
    yield from _families("endpoint_ejected", "gauge", "1 while the endpoint gets no new calls.", states)


def _graph(plane: Plane) -> Iterator[str]:
    known = plane.graph.statistics()
    share = plane.graph.coverage(plane.clock.now())
    # unknown is never zero: without calls there is no share
    coverage = [] if share is None else [("", "", share)]
    yield _family("graph_coverage_ratio", "gauge", "Share of calls that known edges account for.", coverage)
    yield _family("graph_services", "gauge", "Services in the dependency graph.", [("", "", known.services)])
    yield _family("graph_edges", "gauge", "Edges in the dependency graph.", [("", "", known.edges)])
    for name, text in (
        ("evicted", "Edges that made place for others."),
        ("faded", "Edges that were not heard of any more."),
        ("refused", "Samples of edges for which there was no place."),
        ("late", "Samples of edges that came too late to be counted."),
    ):
        yield _family(f"graph_{name}_total", "counter", text, [("", "", getattr(known, name))])


def _proxies(plane: Plane) -> Iterator[str]:
    for name, kind, text, samples in proxy.families(plane):
        yield _family(name, kind, text, [(suffix, _labels(**labels), value) for suffix, labels, value in samples])


_SPANS = (
    ("spans", "Spans that were sent to us."),
    ("rejected", "Spans without ids, which were left out."),
    ("paired", "Calls of which both sides were seen."),
    ("alone", "Spans that were told without their other side."),
    ("evicted", "Of those, before their time: more waited than there is place for."),
    ("unnamed", "Calls to nobody that was named."),
    ("without_place", "Spans of services or edges for which there was no place."),
)


def _telemetry(plane: Plane) -> Iterator[str]:
    """What others told of calls; nothing where they are not asked."""
    telemetry = plane.telemetry
    if telemetry.spans is not None:
        told = telemetry.spans.pairs.statistics()
        for name, text in _SPANS:
            exposed = "otlp_spans_total" if name == "spans" else f"otlp_spans_{name}_total"
            yield _family(exposed, "counter", text, [("", "", told[name])])
    if (metrics := telemetry.metrics) is not None:
        left = metrics.without_place + metrics.series.without_place
        for name, text, value in (
            ("metric_points_total", "Points of metrics that tell of calls.", metrics.points),
            ("metric_points_wrong_total", "Of those, points that make no sense.", metrics.wrong),
            ("metric_points_without_place_total", "Of those, points for which there was no place.", left),
        ):
            yield _family(name, "counter", text, [("", "", value)])
    if telemetry.poller is not None:
        targets = [(_labels(url=one.url), one) for one in telemetry.poller.targets]
        up = [("", labels, float(bool(one.asked) and not one.trouble)) for labels, one in targets]
        failed = [("", labels, one.failed) for labels, one in targets]
        yield _family("prometheus_up", "gauge", "1: the last answer could be used.", up)
        yield _family("prometheus_failures_total", "counter", "Answers that could not, or never came.", failed)


def _family(name: str, kind: str, text: str, samples: Iterable[Sample]) -> str:
    return "".join(_families(name, kind, text, samples))


def _families(name: str, kind: str, text: str, samples: Iterable[Sample]) -> Iterator[str]:
    """One family in parts, between which others get their turn."""
    head = f"# HELP controlplane_{name} {text}\n# TYPE controlplane_{name} {kind}\n"
    rest = iter(samples)
    while lines := [
        # counters as whole numbers: a float's digits would drop the last calls of a busy year
        f"controlplane_{name}{suffix}{labels} {value if type(value) is int else format(value, '.9g')}\n"
        for suffix, labels, value in islice(rest, 4 * TURN)
    ]:
        yield head + "".join(lines)
        head = ""
    if head:
        yield head


def _labels(**labels: str) -> str:
    written = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())
    return f"{{{written}}}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
