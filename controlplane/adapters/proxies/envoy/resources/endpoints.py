"""The endpoints of a service as they are wanted: who gets calls, how many of them, and in whose place.

An endpoint that is to get nothing is left out rather than marked: Envoy takes a change of membership at once, but may
hold back one of health for as long as its merge window, a second by default.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from controlplane.adapters.proxies.envoy.resources.address import Address
from controlplane.adapters.proxies.envoy.wire import message, text, uint, wrapped
from controlplane.adapters.proxies.wanted import EndpointWanted, ServiceWanted
from controlplane.model.topology import Endpoint, Service

PROBED_PERCENT: Final = 5  # of its share, or of a service's calls: a proxy cannot be told "a few at a time"
_POOL: Final = 1_000_000  # the weights of the endpoints of a priority add up to about this much
_DROPPED: Final = "controlplane"


def shares(
    service: Service, wanted: ServiceWanted, endpoints: Sequence[EndpointWanted]
) -> list[tuple[Endpoint, int, float]]:
    """(endpoint, priority from 0, share of that priority) of those that get any calls.

    Shapes  endpoints: one for each endpoint of `service`, in order.
    """
    levels = {priority: level for level, priority in enumerate(sorted({one.priority for one in service.endpoints}))}
    found = [
        (endpoint, levels[endpoint.priority], endpoint.weight * percent / 100)
        for endpoint, one in zip(service.endpoints, endpoints, strict=True)
        if (percent := _percent(one))
    ]
    if wanted.fail_over:
        found = _failed_over(found, wanted.fail_over / 100)
    totals: dict[int, float] = {}
    for _, level, weight in found:
        totals[level] = totals.get(level, 0.0) + weight
    renumbered = {level: number for number, level in enumerate(sorted(totals))}
    return [(endpoint, renumbered[level], weight / totals[level]) for endpoint, level, weight in found]


def assignment(
    name: str,
    service: Service,
    addresses: Mapping[tuple[str, str], Address],
    wanted: ServiceWanted,
    endpoints: Sequence[EndpointWanted],
) -> bytes | None:
    """A ClusterLoadAssignment for the cluster `name`; None where no endpoint that gets calls has a known address."""
    localities: dict[tuple[int, str], list[tuple[Address, int]]] = {}
    dropped = 100 - _let_through(wanted)
    # Envoy 1.40 tells its workers of another share to drop only together with a change of endpoints: all weights change
    pool = _POOL - dropped
    for endpoint, level, share in shares(service, wanted, endpoints):
        address = addresses.get((service.name, endpoint.name))
        if address is None:
            continue
        weight = max(1, round(share * pool))
        localities.setdefault((level, endpoint.zone), []).append((address, weight))
    if not localities:
        return None
    return b"".join(
        (
            text(1, name),
            *(_locality(level, zone, members) for (level, zone), members in sorted(localities.items())),
            _policy(dropped),
        )
    )


def _percent(one: EndpointWanted) -> int:
    if one.ejected:
        return 0
    return PROBED_PERCENT if one.probed else one.percent


def _let_through(wanted: ServiceWanted) -> int:
    if wanted.isolated:
        return 0
    return PROBED_PERCENT if wanted.probed else wanted.percent


def _failed_over(found: list[tuple[Endpoint, int, float]], moved: float) -> list[tuple[Endpoint, int, float]]:
    """`moved` of the first level's calls go to the second, as weights within one level; all of them: it goes first."""
    first, second = (sum(weight for _, level, weight in found if level == number) for number in (0, 1))
    if not first or not second:
        return found
    if moved >= 1:
        return [(endpoint, {0: 1, 1: 0}.get(level, level), weight) for endpoint, level, weight in found]
    parts = {0: (1 - moved) / first, 1: moved / second}
    return [(endpoint, 0, weight * parts[level]) for endpoint, level, weight in found if level in parts]


def _locality(level: int, zone: str, members: Sequence[tuple[Address, int]]) -> bytes:
    """A locality with the weight of its members: gRPC leaves out one that has no name, not even "", or no weight."""
    return message(
        2,
        message(1, text(2, zone)),
        *(message(2, _endpoint(address), wrapped(4, weight)) for address, weight in members),
        wrapped(3, sum(weight for _, weight in members)),
        uint(5, level),
    )


def _endpoint(address: Address) -> bytes:
    host, port = address
    return message(1, message(1, message(1, text(2, host), uint(3, port))))


def _policy(dropped: int) -> bytes:
    return message(4, message(2, text(1, _DROPPED), message(2, uint(1, dropped)))) if dropped else b""
