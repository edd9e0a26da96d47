"""Who is near a service in the call graph: below it what its failure may come from, above it whom it may reach."""

from collections.abc import Iterable

Pairs = Iterable[tuple[str, str]]


def callees_of(edges: Pairs) -> dict[str, list[str]]:
    """Whom each service calls, in the order of `edges`: (caller, callee); callers without a name are nobody."""
    found: dict[str, list[str]] = {}
    for caller, callee in edges:
        if caller:
            found.setdefault(caller, []).append(callee)
    return found


def below(calls: dict[str, list[str]], service: str, *, services_max: int) -> list[str]:
    """`service` and all that it calls, over however many hops, the nearest first, `services_max` at most."""
    found = {service: None}
    for name in (front := [service]):
        for other in calls.get(name, ()):
            if len(found) >= services_max:
                return list(found)
            if other not in found:
                found[other] = None
                front.append(other)
    return list(found)


def near(edges: Pairs, service: str, *, services_max: int) -> list[str]:
    """What is below `service`, and what is above it: the neighbourhood of an incident there, `services_max` at most."""
    pairs = [(caller, callee) for caller, callee in edges if caller]
    down = below(callees_of(pairs), service, services_max=services_max)
    up = below(callees_of((callee, caller) for caller, callee in pairs), service, services_max=services_max)
    mixed = [name for pair in zip(down, up, strict=False) for name in pair]
    rest = (down if len(down) > len(up) else up)[len(mixed) // 2 :]
    return list(dict.fromkeys([*mixed, *rest]))[:services_max]
