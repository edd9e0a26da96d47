"""What calls what: services, their endpoints and the edges between them, as declared in configuration."""

from functools import cached_property
from typing import Annotated

import msgspec


class Endpoint(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One replica of a service. `url` is scheme://host:port; `host`, `zone` and `version` are shared-cause groups.

    `weight` is its capacity beside its siblings'. Endpoints of `priority` 0 are used first, others as those fail;
    within a priority those of the caller's own zone, as far as they can bear it. `capacity_per_s` is how many requests
    a second it bears; None: not known, and it is then given no more than it has borne, and a little. `fingerprint` is
    that of the configuration it is to run with, where it differs from its service's.
    """

    name: str
    url: str
    host: str = ""
    zone: str = ""
    version: str = ""
    weight: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 1
    priority: Annotated[int, msgspec.Meta(ge=0, le=15)] = 0
    fingerprint: str = ""
    capacity_per_s: Annotated[float, msgspec.Meta(gt=0, le=1e9)] | None = None


class Service(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A service and its replicas.

    `calls` names its callees, `soft` those of them that it can answer without. `external` marks a third party: its
    headers are not believed. `fallback` says that all its callers can answer without it (a soft dependency), so its
    failure may be masked. `aliases` are other names for it, as of a load balancer in front of it. `probe_path` is what
    the standalone process asks each endpoint for; empty: no active probes. `consistency_path` is what the service is
    asked for while an incident about it recovers, which is not over before it answers 2xx. `deployer` names who can
    roll it back (`[deployers]`); empty: a person. `pool` is how many requests it works on at a time, all its endpoints
    together; 0: not known, and nobody can say when it will be full. `owner` names who answers for it (`[owners]`).
    `fingerprint` is that of the configuration which its endpoints are to run with; empty: that of their majority.
    """

    name: str
    endpoints: tuple[Endpoint, ...] = ()
    calls: tuple[str, ...] = ()
    soft: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    external: bool = False
    fallback: bool = False
    policy: str = "default"
    probe_path: str = ""
    consistency_path: str = ""
    deployer: str = ""
    owner: str = ""
    fingerprint: str = ""
    pool: Annotated[int, msgspec.Meta(ge=0)] = 0


class Topology(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """All services known to one plane. `entry` is the service in whose process the plane runs, as callers name it, and
    `zone` where that process is (empty: nowhere in particular)."""

    services: tuple[Service, ...] = ()
    entry: str = ""
    zone: str = ""

    def service(self, name: str) -> Service | None:
        """The service of that name, or None."""
        return self._by_name.get(name)

    @cached_property
    def endpoints_total(self) -> int:
        """How many endpoints all services have together."""
        return sum(len(service.endpoints) for service in self.services)

    @cached_property
    def _by_name(self) -> dict[str, Service]:
        return {service.name: service for service in reversed(self.services)}  # of two of a name the first one counts

    def edges(self) -> tuple[tuple[str, str], ...]:
        """Declared (caller, callee) pairs in file order."""
        return tuple((service.name, callee) for service in self.services for callee in service.calls)
