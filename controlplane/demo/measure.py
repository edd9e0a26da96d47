"""From ledgers to numbers. Pure: the same rows give the same numbers, whichever run they are from.

A request is *failed* when it has a status of 500 or more, or no answer. It is *slow* when it was answered without
failure but later than `SLOW_S` after it was due, or is still unanswered by then. Both are *bad*, from the moment that
shows it: the end of a failed one, the slow mark of a slow one.
"""

from collections.abc import Iterable, Mapping, Sequence

import msgspec
from hdrh.histogram import HdrHistogram

from controlplane.demo import mesh
from controlplane.demo.pipe import Sent, Served
from controlplane.model.unit import SECOND, Nanos, to_nanos, to_seconds

SLOW_NS = to_nanos(mesh.SLOW_S)

UNHEALTHY_SHARE = 0.20
UNHEALTHY_OVER_NS = to_nanos(0.25)
UNHEALTHY_REQUESTS_MIN = 20
"""The next hop is unhealthy when 20 % of what it served in the trailing 250 ms, or of its last 20 requests where those
reach further back, was bad: a success rate under 80 %, where Linkerd's breaker, too, trips by default."""

TOUCHED_SHARE = 0.05
TOUCHED_BAD_MIN = 3
TOUCHED_BIN_NS = SECOND
"""A service is touched when in any second of the window more than 5 % of its requests, and at least 3, were bad."""

HDR_LOWEST_NS, HDR_HIGHEST_NS, HDR_DIGITS = 1_000, 3_600_000_000_000, 3

Row = Sent | Served


class Users(msgspec.Struct, frozen=True):
    """What users saw in a window."""

    requests: int
    failed: int
    slow: int

    @property
    def bad(self) -> int:
        """Failed or slow."""
        return self.failed + self.slow


class Escalation(msgspec.Struct, frozen=True):
    """Time from onset until the next hop was unhealthy; `censored`: not within the window, so at least so long."""

    seconds: float
    censored: bool
    hop: str = ""


def failed(row: Row) -> bool:
    """Whether the request failed; one without any answer yet has not."""
    return bool(row.end) and (row.status == 0 or row.status >= 500)


def bad_at(row: Row) -> Nanos | None:
    """When the request showed itself failed or slow, None where it did neither."""
    mark = row.start + SLOW_NS
    if failed(row):
        return Nanos(min(row.end, mark))
    return Nanos(mark) if not row.end or row.end > mark else None


def users(sent: Iterable[Sent]) -> Users:
    """Count a window's requests; gather them late enough that each has ended."""
    rows = list(sent)
    failures = sum(failed(row) for row in rows)
    return Users(len(rows), failures, sum(bad_at(row) is not None for row in rows) - failures)


def escalation(rows: Iterable[Row], *, onset: Nanos, window_ns: Nanos) -> Escalation:
    """When one hop became unhealthy, by the requests of it that depend on the faulty service."""
    judged = sorted((_verdict(row) for row in rows), key=lambda pair: pair[0])
    first = 0
    for last, (at, _) in enumerate(judged):
        if at > onset + window_ns:
            break
        while judged[first][0] <= at - UNHEALTHY_OVER_NS and last - first >= UNHEALTHY_REQUESTS_MIN:
            first += 1
        seen = judged[first : last + 1]
        if at < onset or len(seen) < UNHEALTHY_REQUESTS_MIN:
            continue
        if sum(bad for _, bad in seen) >= UNHEALTHY_SHARE * len(seen):
            return Escalation(to_seconds(at - onset), censored=False)
    return Escalation(to_seconds(window_ns), censored=True)


def _verdict(row: Row) -> tuple[Nanos, bool]:
    """When it was known how the request went, and whether badly."""
    at = bad_at(row)
    return (at, True) if at is not None else (row.end, False)


def earliest(hops: Mapping[str, Escalation]) -> Escalation:
    """The first hop that became unhealthy."""
    hop, first = min(hops.items(), key=lambda item: (item[1].censored, item[1].seconds))
    return msgspec.structs.replace(first, hop="" if first.censored else hop)


def touched(rows: Iterable[Row], *, onset: Nanos, window_ns: Nanos) -> bool:
    """Whether a service's failed-or-slow share rose in any second of the window."""
    bins: dict[int, tuple[int, int]] = {}
    for row in rows:
        at, bad = _verdict(row)
        if onset <= at < onset + window_ns:
            total, ill = bins.get((at - onset) // TOUCHED_BIN_NS, (0, 0))
            bins[(at - onset) // TOUCHED_BIN_NS] = (total + 1, ill + bad)
    return any(ill >= TOUCHED_BAD_MIN and ill > TOUCHED_SHARE * total for total, ill in bins.values())


def blast_radius(served: Mapping[str, Sequence[Row]], *, onset: Nanos, window_ns: Nanos) -> tuple[str, ...]:
    """The services touched, gateway and origin included."""
    return tuple(name for name, rows in served.items() if touched(rows, onset=onset, window_ns=window_ns))


class Percentiles(msgspec.Struct, frozen=True):
    """Of an HDR histogram, in seconds. Null without a single value: unknown is never zero."""

    count: int
    p50: float | None
    p99: float | None
    max: float | None


def percentiles(values_ns: Iterable[int]) -> Percentiles:
    """HDR percentiles of times in nanoseconds; resolution 1 us, 3 digits."""
    histogram = HdrHistogram(HDR_LOWEST_NS, HDR_HIGHEST_NS, HDR_DIGITS)
    for value in values_ns:
        histogram.record_value(max(value, HDR_LOWEST_NS))
    if not histogram.get_total_count():
        return Percentiles(0, None, None, None)
    p50, p99, top = (histogram.get_value_at_percentile(percent) / 1e9 for percent in (50, 99, 100))
    return Percentiles(histogram.get_total_count(), p50, p99, top)
