"""What calls what: services, their endpoints and the edges between them, as declared in configuration."""

import msgspec


class Endpoint(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One replica of a service. `url` is scheme://host:port; `zone` and `version` are shared-cause groups."""

    name: str
    url: str
    zone: str = ""
    version: str = ""


class Service(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A service and its replicas.

    `calls` names its callees. `external` marks a third party: its headers are not believed. `fallback` says that its
    callers can answer without it (a soft dependency), so its failure may be masked. `probe_path` is what the standalone
    process asks each endpoint for; empty: no active probes.
    """

    name: str
    endpoints: tuple[Endpoint, ...] = ()
    calls: tuple[str, ...] = ()
    external: bool = False
    fallback: bool = False
    policy: str = "default"
    probe_path: str = ""


class Topology(msgspec.Struct, frozen=True, kw_only=True):
    """All services known to one plane. `entry` is the service in whose process the plane runs, as callers name it."""

    services: tuple[Service, ...] = ()
    entry: str = ""

    def service(self, name: str) -> Service | None:
        """The service of that name, or None."""
        return next((service for service in self.services if service.name == name), None)

    def edges(self) -> tuple[tuple[str, str], ...]:
        """Declared (caller, callee) pairs in file order."""
        return tuple((service.name, callee) for service in self.services for callee in service.calls)
