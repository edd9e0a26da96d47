"""A recording into a window and back. What does not fit is refused by its key, with what would be right."""

from collections.abc import Iterator, Mapping
from math import isfinite

import numpy as np

from controlplane.decide.analysis.window import Floats, Window
from controlplane.model.errors import ConfigError
from controlplane.model.recording import EntryPoint, Recording, Rows

SERVICES_MAX = 100_000
RANGES: Mapping[str, tuple[float, float]] = {
    "requests": (0.0, np.inf),
    "error_ratio": (0.0, 1.0),
    "error_logs": (0.0, np.inf),
    "latency_s": (0.0, np.inf),
    "saturation": (0.0, np.inf),
    "client_latency_s": (0.0, np.inf),
    "server_latency_s": (0.0, np.inf),
    "attempts": (0.0, np.inf),
}  # self time is a difference of two measurements, and may come out below zero


def window_of(recording: Recording) -> Window:
    """The window that `recording` describes. Raises ConfigError that names the first key that is wrong."""
    problem = next(_problems(recording), None)
    if problem is not None:
        raise problem
    services, edges = len(recording.services), len(recording.edges)
    entry = recording.entry or EntryPoint()
    pairs = np.array(recording.edges, dtype=np.int64).reshape(edges, 2)
    return Window(
        bucket_s=recording.bucket_s,
        services=tuple(recording.services),
        edges=pairs,
        incident_at=recording.incident_at,
        service={name: _array(rows, services) for name, rows in recording.service_signals.items()},
        edge={name: _array(rows, edges) for name, rows in recording.edge_signals.items()},
        entry=recording.services.index(entry.service) if entry.service is not None else None,
        metric=entry.metric,
        time_s=None if recording.time_s is None else np.array(recording.time_s, dtype=np.float64),
    )


def recording_of(window: Window) -> Recording:
    """`window` as it would stand in a file."""
    return Recording(
        format="controlplane.recording/1",
        bucket_s=window.bucket_s,
        services=list(window.services),
        edges=[(int(caller), int(callee)) for caller, callee in window.edges],
        incident_at=window.incident_at,
        time_s=None if window.time_s is None else window.time_s.tolist(),
        entry=EntryPoint(None if window.entry is None else window.services[window.entry], window.metric),
        service_signals={name: _rows(values) for name, values in window.service.items()},
        edge_signals={name: _rows(values) for name, values in window.edge.items()},
    )


def _array(rows: Rows, columns: int) -> Floats:
    flat = [np.nan if value is None else value for row in rows for value in row]
    return np.array(flat, dtype=np.float64).reshape(len(rows), columns)


def _rows(values: Floats) -> Rows:
    return [[None if value != value else value for value in row] for row in values.tolist()]


def _problems(recording: Recording) -> Iterator[ConfigError]:
    yield from _shape_of_graph(recording)
    buckets: int | None = None if recording.time_s is None else len(recording.time_s)
    where = "time_s"
    for group, width, what in (
        ("service_signals", len(recording.services), "services"),
        ("edge_signals", len(recording.edges), "edges"),
    ):
        signals: Mapping[str, Rows] = getattr(recording, group)
        for name, rows in signals.items():
            key = f"{group}.{name}"
            if buckets is None:
                buckets, where = len(rows), key
            if len(rows) != buckets:
                yield ConfigError(f"has {len(rows)} buckets and {where} has {buckets}; both must have as many", key=key)
                return
            yield from _values(key, name, rows, width, what)
    yield from _times(recording, buckets or 0)


def _shape_of_graph(recording: Recording) -> Iterator[ConfigError]:
    names = recording.services
    if not 1 <= len(names) <= SERVICES_MAX:
        yield ConfigError(f"has {len(names)} names; 1 to {SERVICES_MAX} are possible", key="services")
    seen: dict[str, int] = {}
    for index, name in enumerate(names):
        if not name.strip():
            yield ConfigError("is empty; a service needs a name", key=f"services[{index}]")
        if name in seen:
            yield ConfigError(f'"{name}" is also services[{seen[name]}]; each name once', key=f"services[{index}]")
        seen[name] = index
    for index, (caller, callee) in enumerate(recording.edges):
        for place, end in enumerate((caller, callee)):
            if not 0 <= end < len(names):
                reason = f"is {end}; indices of services go from 0 to {len(names) - 1}"
                yield ConfigError(reason, key=f"edges[{index}][{place}]")
    entry = recording.entry
    if entry is not None and entry.service is not None and entry.service not in seen:
        yield ConfigError(f'"{entry.service}" is not among services; name one of them, or null', key="entry.service")
    if not isfinite(recording.bucket_s):
        yield ConfigError("is not finite; it is the length of a bucket in seconds", key="bucket_s")


def _values(key: str, name: str, rows: Rows, width: int, what: str) -> Iterator[ConfigError]:
    low, high = RANGES.get(name, (-np.inf, np.inf))
    for bucket, row in enumerate(rows):
        if len(row) != width:
            yield ConfigError(f"has {len(row)} values; there are {width} {what}", key=f"{key}[{bucket}]")
            return
        for place, value in enumerate(row):
            if value is not None and not (low <= value <= high and isfinite(value)):
                reason = f"is {value:g}; {_right(low, high)}, or null where nothing is known"
                yield ConfigError(reason, key=f"{key}[{bucket}][{place}]")
                return


def _right(low: float, high: float) -> str:
    if high == 1.0:
        return "a share from 0 to 1 is right"
    return "a finite number that is not negative is right" if low == 0.0 else "a finite number is right"


def _times(recording: Recording, buckets: int) -> Iterator[ConfigError]:
    if not buckets:
        yield ConfigError("hold no bucket; at least one signal over two buckets is needed", key="service_signals")
    elif not 1 <= recording.incident_at < buckets:
        reason = f"is {recording.incident_at}; of {buckets} buckets at least one must be normal and one of the incident"
        yield ConfigError(f"{reason}: 1 to {buckets - 1}", key="incident_at")
    for index, time in enumerate(recording.time_s or ()):
        if not isfinite(time):
            yield ConfigError("is not finite; it is the bucket's start in Unix seconds", key=f"time_s[{index}]")
            return
