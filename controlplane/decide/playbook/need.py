"""Preconditions that can never hold, whatever the state: a topology alone says so."""

from collections.abc import Iterator

from controlplane.decide.plan.capacity import UTILISATION_MAX
from controlplane.decide.playbook.place import callers_of, standbys
from controlplane.model.playbook import Playbook, Precondition
from controlplane.model.topology import Service, Topology


def unholdable(need: Precondition, playbook: Playbook, topology: Topology) -> Iterator[tuple[str, str]]:
    """(the key, why it cannot hold)."""
    name = need.service or playbook.match.service
    service = topology.service(name)
    if service is None:
        if need.service:
            yield "service", f"{name!r} is not a declared service"
        return
    here = [one for one in service.endpoints if need.zone in ("", one.zone)]
    where = f"{name} in zone {need.zone}" if need.zone else name
    if need.zone and not here:
        yield "zone", f"no endpoint of {name} is in zone {need.zone!r}"
        return
    match need.need:
        case "fallback":
            yield from _fallback(need, service, playbook, topology)
        case "floor" if need.endpoints is not None and need.endpoints > len(here):
            yield (
                "endpoints",
                f"the floor is above what there is: {where} has {len(here)} endpoints, not {need.endpoints}",
            )
        case "floor" if need.endpoints is not None and name == playbook.match.service:
            yield from _floor(need, service, playbook, where)
        case "capacity":
            yield from _capacity(need, service, where)
        case "healthy" if name == playbook.match.service:
            yield "need", f"an incident is open at {name} whenever this playbook matches"


def _fallback(
    need: Precondition, service: Service, playbook: Playbook, topology: Topology
) -> Iterator[tuple[str, str]]:
    name, origin = service.name, playbook.match.service
    key = "service" if need.service else "need"
    if name == origin:
        if not standbys(service):
            yield key, f"the fallback cannot be reached: no endpoint of {name} stands by (priority above the others')"
        return
    if not service.endpoints:
        yield key, f"the fallback cannot be reached: {name} has no endpoints"
    callers = callers_of(topology, origin)
    if not set(callers) & set(callers_of(topology, name)):
        who = f"of its callers ({', '.join(callers)})" if callers else "of its callers"
        yield key, f"the fallback cannot be reached: none {who} calls {name}"


def _floor(need: Precondition, service: Service, playbook: Playbook, where: str) -> Iterator[tuple[str, str]]:
    """When it matches, what it matches is bad already; and held back, unless a rule forbids it."""
    match = playbook.match
    if not (match.endpoint or match.zone):
        return
    bad = [
        one
        for one in service.endpoints
        if match.endpoint in ("", one.name) and match.zone in ("", one.zone) and need.zone in ("", one.zone)
    ]
    here = [one for one in service.endpoints if need.zone in ("", one.zone)]
    left = len(here) - len(bad)
    if need.endpoints is not None and left < need.endpoints:
        yield (
            "endpoints",
            (f"of {len(here)} endpoints of {where} {left} are left when this playbook matches, not {need.endpoints}"),
        )


def _capacity(need: Precondition, service: Service, where: str) -> Iterator[tuple[str, str]]:
    here = [one for one in service.endpoints if need.zone in ("", one.zone)]
    unknown = [one.name for one in here if one.capacity_per_s is None]
    if unknown:
        names = ", ".join(unknown[:4])
        yield "need", f"{names} of {where} declare no capacity_per_s, and what is not known does not hold"
        return
    most = UTILISATION_MAX * sum(one.capacity_per_s or 0.0 for one in here)
    if need.per_s is not None and most < need.per_s:
        yield "per_s", f"{where} bears {most:.4g} requests/s at 90 % of what it declares, not {need.per_s:.4g}"
