"""What calls what: services, their endpoints and the edges between them, as declared in configuration."""

from collections.abc import Mapping
from functools import cached_property
from typing import Annotated

import msgspec

from controlplane.model.posture import GuardKind, Sensitive, Validation


class Endpoint(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One replica of a service. `url` is scheme://host:port; `host`, `zone` and `version` are shared-cause groups.

    `weight` is its capacity beside its siblings'. Endpoints of `priority` 0 are used first, others as those fail;
    within a priority those of the caller's own zone, as far as they can bear it. `capacity_per_s` is how many requests
    a second it bears; None: not known, and it is then given no more than it has borne, and a little. `fingerprint` is
    that of the configuration it is to run with, `trust` and `validation` its own, where they are not its service's.
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
    trust: str = ""
    validation: Validation | None = None


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

    `guards` makes it a guard, of that kind, of the services that it `protects` and of those that say that they are
    `guarded_by` it: while it is degraded they fail closed. `trust` names the zone of trust that it is in (empty: none
    in particular), `validation` how strictly it checks what it is sent; traffic goes to no other trust, and to no
    weaker validation.
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
    guards: GuardKind = ""
    protects: tuple[str, ...] = ()
    guarded_by: tuple[str, ...] = ()
    trust: str = ""
    validation: Validation = 0

    @property
    def dispensable(self) -> bool:
        """Whether its callers can answer without it. Nobody can without a guard, whatever was declared."""
        return self.fallback and not self.guards

    def standard(self, endpoint: Endpoint) -> tuple[str, int]:
        """(zone of trust, strength of validation) that requests to `endpoint` meet."""
        return endpoint.trust or self.trust, self.validation if endpoint.validation is None else endpoint.validation


class Topology(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """All services known to one plane. `entry` is the service in whose process the plane runs, as callers name it, and
    `zone` where that process is (empty: nowhere in particular). `sensitive`: routes of that process that meet
    stricter limits while a guard is degraded."""

    services: tuple[Service, ...] = ()
    entry: str = ""
    zone: str = ""
    sensitive: tuple[Sensitive, ...] = ()

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

    @cached_property
    def guarded(self) -> Mapping[str, tuple[str, ...]]:
        """The guards of each service that has any, by either side's word, in file order."""
        found: dict[str, dict[str, None]] = {}
        for service in self.services:
            for name in service.protects if service.guards else ():
                found.setdefault(name, {})[service.name] = None
            for name in service.guarded_by:
                if (guard := self.service(name)) is not None and guard.guards:
                    found.setdefault(service.name, {})[name] = None
        return {name: tuple(guards) for name, guards in found.items() if self.service(name) is not None}

    @cached_property
    def protected(self) -> Mapping[str, tuple[str, ...]]:
        """The services that each guard protects; only guards that protect any."""
        found: dict[str, list[str]] = {}
        for name, guards in self.guarded.items():
            for guard in guards:
                found.setdefault(guard, []).append(name)
        return {guard: tuple(names) for guard, names in found.items()}

    def edges(self) -> tuple[tuple[str, str], ...]:
        """Declared (caller, callee) pairs in file order."""
        return tuple((service.name, callee) for service in self.services for callee in service.calls)
