"""Endpoint choice as the documentation states it, slowly and in fractions: who gets which share of the calls."""

from fractions import Fraction
from typing import NamedTuple


class Site(NamedTuple):
    """One endpoint."""

    weight: int = 1
    priority: int = 0
    locality: int = 0
    percent: int = 100
    usable: bool = True


class Policy(NamedTuple):
    """What the shares depend on besides the sites; `local` None: no preference."""

    overprovision_percent: int = 140
    panic_percent: int = 50
    local: int | None = None
    local_percent: int = 0
    fail_over_percent: int = 0


def available(site: Site) -> Fraction:
    """Capacity that can be had."""
    return Fraction(site.weight * site.percent, 100) if site.usable else Fraction(0)


def health(sites: list[Site], policy: Policy) -> Fraction:
    """How much of its traffic a set of sites can bear, at most all."""
    capacity = sum(site.weight for site in sites)
    return min(Fraction(1), policy.overprovision_percent * sum(map(available, sites)) / 100 / capacity)


def loads(levels: dict[int, list[Site]], policy: Policy) -> tuple[dict[int, Fraction], set[int]]:
    """The share of each level, and the levels in panic."""
    bears = {level: health(sites, policy) for level, sites in levels.items()}
    whole = sum(bears.values())
    if whole >= 1:
        left, taken = Fraction(1), {}
        for level in sorted(levels):
            taken[level] = min(bears[level], left)
            left -= taken[level]
        fail_over(taken, bears, levels, policy)
        return taken, set()
    panics = {
        level
        for level, sites in levels.items()
        if 100 * sum(site.weight for site in sites if site.usable)
        < policy.panic_percent * sum(site.weight for site in sites)
    }
    if panics == set(levels):
        capacity = {level: sum(site.weight for site in sites) for level, sites in levels.items()}
        return {level: Fraction(own, sum(capacity.values())) for level, own in capacity.items()}, panics
    if not whole:
        return dict.fromkeys(levels, Fraction(0)), panics
    return {level: own / whole for level, own in bears.items()}, panics


def fail_over(
    taken: dict[int, Fraction], bears: dict[int, Fraction], levels: dict[int, list[Site]], policy: Policy
) -> None:
    """Move what is ordered from the first level that takes anything, the next one first, as far as there is room."""
    first = min(level for level in levels if taken[level])
    made_for = sum(site.weight for site in levels[first])
    wanted = taken[first] * policy.fail_over_percent / 100
    for level in sorted(other for other in levels if other > first):
        stretched = policy.overprovision_percent * sum(map(available, levels[level])) / 100 / made_for
        moved = max(Fraction(0), min(wanted, min(bears[level], stretched) - taken[level]))
        taken[first] -= moved
        taken[level] += moved
        wanted -= moved


def split(sites: list[Site], policy: Policy) -> dict[int, Fraction]:
    """The share of each locality of a level that is not in panic."""
    zones: dict[int, list[Site]] = {}
    for site in sites:
        zones.setdefault(site.locality, []).append(site)
    bears = {zone: health(own, policy) * sum(site.weight for site in own) for zone, own in zones.items()}
    whole = sum(bears.values())
    if not whole:
        return dict.fromkeys(zones, Fraction(0))
    shares = {zone: own / whole for zone, own in bears.items()}
    local = policy.local
    if local not in zones or len(zones) == 1:
        return shares
    callers = Fraction(policy.local_percent, 100) if policy.local_percent else Fraction(1, len(zones))
    if callers == 1:
        return shares
    if shares[local] >= callers:
        return {zone: Fraction(zone == local) for zone in zones}
    elsewhere = (1 - callers) / (len(zones) - 1)
    spare = {zone: max(Fraction(0), share - elsewhere) for zone, share in shares.items() if zone != local}
    stays = shares[local] / callers
    return {local: stays} | {zone: (1 - stays) * own / sum(spare.values()) for zone, own in spare.items()}


def expected(sites: list[Site], policy: Policy) -> list[Fraction]:
    """Each site's share of the calls; all zero where none may be drawn."""
    if not any(map(available, sites)):
        sites = [site._replace(percent=100) for site in sites]
    levels: dict[int, list[Site]] = {}
    for site in sites:
        levels.setdefault(site.priority, []).append(site)
    load, panics = loads(levels, policy)
    zones = {level: split(own, policy) for level, own in levels.items()}

    def share(site: Site) -> Fraction:
        level = levels[site.priority]
        if site.priority in panics:
            return load[site.priority] * Fraction(site.weight, sum(other.weight for other in level))
        own = sum(available(other) for other in level if other.locality == site.locality)
        return load[site.priority] * zones[site.priority][site.locality] * available(site) / own if own else Fraction(0)

    return [share(site) for site in sites]
