"""A recorded incident as it stands in a file: the wire form of `controlplane.recording/1`.

Data that is missing is null, never zero. What the numbers mean once read is in `controlplane.decide.analysis.window`.
"""

from typing import Annotated, Literal

import msgspec

FORMAT = "controlplane.recording/1"

Rows = list[list[float | None]]
"""T x N or T x E values, row by row in time; None: nothing is known."""

ServiceSignal = Literal["requests", "error_ratio", "error_logs", "latency_s", "self_time_s", "saturation"]
EdgeSignal = Literal["requests", "error_ratio", "client_latency_s", "server_latency_s", "attempts"]
Metric = Literal["availability", "latency"]


class EntryPoint(msgspec.Struct, frozen=True):
    """Where users see the incident, and as what; None: nobody wrote it down."""

    service: str | None = None
    metric: Metric | None = None


class Recording(msgspec.Struct, frozen=True, kw_only=True):
    """One incident: buckets before `incident_at` are normal operation, those from it on are the incident.

    `edges` are pairs of indices into `services`: caller, callee. Keys that are not named here are ignored.
    """

    format: Literal["controlplane.recording/1"]
    bucket_s: Annotated[float, msgspec.Meta(gt=0)]
    services: list[str]
    edges: list[tuple[int, int]]
    incident_at: Annotated[int, msgspec.Meta(ge=0)]
    time_s: list[float] | None = None
    entry: EntryPoint | None = None
    service_signals: dict[ServiceSignal, Rows] = {}
    edge_signals: dict[EdgeSignal, Rows] = {}
