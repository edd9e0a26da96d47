"""Who is near a service in the call graph: below it what its failure may come from, above it whom it may reach."""

from collections.abc import Iterable, Mapping

Ends = Mapping[str, Iterable[str]]
"""The services at the other ends of the edges of each; the empty name is nobody's."""


def below(calls: Ends, service: str, *, services_max: int) -> list[str]:
    """`service` and all that it calls, over however many hops, the nearest first, `services_max` at most."""
    found = {service: None}
    for name in (front := [service]):
        for other in calls.get(name, ()):
            if len(found) >= services_max:
                return list(found)
            if other and other not in found:
                found[other] = None
                front.append(other)
    return list(found)


def near(calls: Ends, callers: Ends, service: str, *, services_max: int) -> list[str]:
    """What is below `service`, and what is above it: the neighbourhood of an incident there, `services_max` at most."""
    down = below(calls, service, services_max=services_max)
    up = below(callers, service, services_max=services_max)
    mixed = [name for pair in zip(down, up, strict=False) for name in pair]
    rest = (down if len(down) > len(up) else up)[len(mixed) // 2 :]
    return list(dict.fromkeys([*mixed, *rest]))[:services_max]
