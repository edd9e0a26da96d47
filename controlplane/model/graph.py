"""What the dependency graph says of one edge and one service, and how much it holds."""

from typing import Literal

import msgspec

from controlplane.model.unit import Nanos

Origin = Literal["declared", "imported", "learned"]


class Alias(msgspec.Struct, frozen=True):
    """`name` means `service`, as declared, or as it behaves."""

    name: str
    service: str
    by: Literal["declared", "inferred"]


class Edge(msgspec.Struct, frozen=True, kw_only=True):
    """What is known about one edge: sums over the newest buckets, which last `over_ns`; None: nothing is known."""

    caller: str
    callee: str
    origin: Origin
    soft: bool
    heard_at: Nanos | None
    over_ns: int
    calls: int | None
    attempts: int | None
    failures: int | None
    timed: int | None
    client_latency_ns: int | None
    served: int | None
    server_latency_ns: int | None
    in_flight: int | None
    source: str | None


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """What is known about one service. `virtual`: it is only ever called, and nobody has said what it is."""

    name: str
    declared: bool
    external: bool
    virtual: bool


class GraphStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """How much is held, and what was not: `refused` samples found no place, `late` ones came too late to be counted;
    `evicted` edges made place for others, `faded` ones were not heard of any more."""

    services: int
    edges: int
    buckets: int
    evicted: int
    faded: int
    refused: int
    late: int
