"""What fails together, and what it has in common: a host, a zone, a version, a third party.

A group explains a set of bad targets better than chance when so many of its members are bad that a random choice of as
many bad ones among all targets would rarely hit it that often. That probability is Fisher's exact test, one-sided:

    p = sum over k from bad to min(members, all bad) of C(members, k) C(others, all bad - k) / C(all, all bad)

Where nothing but the group is bad, and all of it, it explains them however few they are: of four endpoints two, both in
one zone, are no proof (p = 1/6), but it is the smallest thing to act on that explains everything.
"""

from collections.abc import Collection, Iterable
from math import comb
from typing import Literal

import msgspec

from controlplane.model.signal import Target
from controlplane.model.topology import Topology

Kind = Literal["host", "zone", "version", "third_party"]

CHANCE_MAX = 0.05  # after Bonferroni, over all groups that have a bad member: one search in twenty finds too much
BAD_MIN = 2  # one bad target has everything in common with itself


class Group(msgspec.Struct, frozen=True, order=True):
    """Targets with a cause they may share. A version is one of a service: `orders v2`."""

    kind: Kind
    name: str
    members: frozenset[Target]


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """A group that more of the bad ones are in than chance would put there.

    `bad` of its `members` are bad, and `bad_outside` of the `outside` others. `chance` is p, for this group alone.
    `exact`: the bad ones are the group, all of it and nothing else. `explains`: exact, or beyond chance.
    """

    kind: Kind
    name: str
    bad: int
    members: int
    bad_outside: int
    outside: int
    chance: float
    exact: bool
    explains: bool


def groups(topology: Topology, edges: Iterable[tuple[str, str]] = ()) -> list[Group]:
    """All groups of declared targets. `edges` beyond the declared ones say who else calls a third party.

    Endpoints belong to their host, zone and version, and to the third parties that their service calls; so does the
    service itself, and to a host or zone when all its endpoints are in it.
    """
    found: dict[tuple[Kind, str], set[Target]] = {}
    services = {service.name: service for service in topology.services}
    third = {name for name, service in services.items() if service.external}
    for service in topology.services:
        for kind in ("host", "zone"):
            named = {getattr(endpoint, kind) for endpoint in service.endpoints}
            if len(named) == 1 and named != {""}:
                found.setdefault((kind, *named), set()).add(Target(service.name))
        for endpoint in service.endpoints:
            target = Target(service.name, endpoint.name)
            version = f"{service.name} {endpoint.version}" if endpoint.version else ""
            belongs: tuple[tuple[Kind, str], ...] = (
                ("host", endpoint.host), ("zone", endpoint.zone), ("version", version),
            )  # fmt: skip
            for key in belongs:
                if key[1]:
                    found.setdefault(key, set()).add(target)
    for caller, callee in {*topology.edges(), *edges}:
        if callee in third and caller in services:
            own = {Target(caller, endpoint.name) for endpoint in services[caller].endpoints}
            found.setdefault(("third_party", callee), set()).update({Target(caller), *own})
    return sorted(Group(kind, name, frozenset(members)) for (kind, name), members in found.items())


def shared_causes(known: Iterable[Group], bad: Collection[Target], among: Collection[Target]) -> list[Finding]:
    """Groups of which a larger share is bad than of the rest of `among`, the best explanation first."""
    ill, all_of_them = set(bad) & set(among), set(among)
    tried = [(group, group.members & all_of_them) for group in known]
    tried = [(group, members) for group, members in tried if members & ill]
    findings = []
    for group, members in tried:
        inside, outside = len(members & ill), len(all_of_them) - len(members)
        bad_outside = len(ill) - inside
        if len(ill) < BAD_MIN or inside * outside <= bad_outside * len(members):
            continue  # no larger share inside
        chance = _chance(inside, len(members), len(ill), len(all_of_them))
        exact = inside == len(members) and not bad_outside
        findings.append(
            Finding(
                kind=group.kind,
                name=group.name,
                bad=inside,
                members=len(members),
                bad_outside=bad_outside,
                outside=outside,
                chance=chance,
                exact=exact,
                explains=exact or chance * len(tried) <= CHANCE_MAX,
            )
        )
    return sorted(findings, key=lambda one: (not one.exact, one.chance, one.members, one.kind, one.name))


def _chance(bad: int, members: int, all_bad: int, total: int) -> float:
    """Probability that at least `bad` of `all_bad`, drawn from `total`, are among the `members`."""
    highest = min(members, all_bad)
    ways = sum(comb(members, k) * comb(total - members, all_bad - k) for k in range(bad, highest + 1))
    return ways / comb(total, all_bad)
