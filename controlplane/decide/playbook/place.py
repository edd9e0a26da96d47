"""Where things are in a topology: who calls whom, who serves, who stands by."""

from collections.abc import Iterator

from controlplane.model.topology import Endpoint, Service, Topology


def callers_of(topology: Topology, service: str) -> tuple[str, ...]:
    """Services that call `service` themselves, in file order."""
    return tuple(one.name for one in topology.services if service in one.calls)


def serving(service: Service) -> tuple[Endpoint, ...]:
    """The endpoints that are used first."""
    level = min((one.priority for one in service.endpoints), default=0)
    return tuple(one for one in service.endpoints if one.priority == level)


def standbys(service: Service) -> tuple[Endpoint, ...]:
    """The endpoints that are used when those fail."""
    level = min((one.priority for one in service.endpoints), default=0)
    return tuple(one for one in service.endpoints if one.priority > level)


def upstream(topology: Topology, service: str) -> Iterator[str]:
    """Everybody who calls `service`, the nearest first, each once."""
    seen, ring = {service}, [service]
    while ring:
        ring = [name for callee in ring for name in callers_of(topology, callee)]
        ring = [name for name in dict.fromkeys(ring) if name not in seen]
        seen.update(ring)
        yield from ring
