"""What the bad ones have in common: by an exact test, or because they are the group."""

from itertools import combinations
from math import comb

import pytest

from controlplane.decide.graph.group import Group, groups, shared_causes
from controlplane.model.signal import Target
from controlplane.model.topology import Endpoint, Service, Topology


def endpoint(name: str, zone: str, host: str = "", version: str = "") -> Endpoint:
    return Endpoint(name=name, url=f"http://{name}:1", zone=zone, host=host, version=version)


TOPOLOGY = Topology(
    services=(
        Service(name="shop", calls=("orders", "stock", "pay")),
        Service(
            name="orders",
            calls=("card",),
            endpoints=tuple(endpoint(f"o{n}", "ab"[n % 2], f"h{n // 2}", f"v{1 + (n == 3)}") for n in range(4)),
        ),
        Service(name="stock", endpoints=tuple(endpoint(f"s{n}", "ab"[n % 2], f"h{n // 2}") for n in range(6))),
        Service(name="pay", calls=("card",), endpoints=(endpoint("p", "b"),)),
        Service(name="card", external=True),
    ),
    entry="shop",
)
ENDPOINTS = [Target(service.name, one.name) for service in TOPOLOGY.services for one in service.endpoints]
IN_ZONE_B = [target for target in ENDPOINTS if target.endpoint in {"o1", "o3", "s1", "s3", "s5", "p"}]


def test_every_bad_endpoint_in_one_zone_and_no_good_one() -> None:
    """The zone is named first, and nothing else explains it as well."""
    found = shared_causes(groups(TOPOLOGY), IN_ZONE_B, ENDPOINTS)
    best = found[0]
    assert (best.kind, best.name, best.exact, best.explains) == ("zone", "b", True, True)
    assert (best.bad, best.members, best.bad_outside, best.outside) == (6, 6, 0, 5)
    assert best.chance == pytest.approx(1 / comb(11, 6))
    assert [one.name for one in found if one.explains] == ["b"]


def test_most_of_a_zone_is_beyond_chance_though_not_exact() -> None:
    """One is still well, one elsewhere is bad for its own reason: p says how likely that is by chance."""
    topology = Topology(
        services=(Service(name="s", endpoints=tuple(endpoint(f"e{n:02}", "ab"[n < 10]) for n in range(40))),)
    )
    every = [Target("s", f"e{n:02}") for n in range(40)]
    found = shared_causes(groups(topology), [*every[:9], every[20]], every)
    assert [(one.name, one.exact, one.explains) for one in found] == [("b", False, True)]
    assert found[0].chance < 1e-6


def test_bad_ones_all_over_the_place_have_nothing_in_common() -> None:
    """As many in each zone: no group is named as the explanation."""
    bad = [Target("orders", "o0"), Target("stock", "s1"), Target("stock", "s4"), Target("pay", "p")]
    assert not any(one.explains for one in shared_causes(groups(TOPOLOGY), bad, ENDPOINTS))


def test_the_chance_is_that_of_drawing_so_many() -> None:
    """Against counting every possible draw."""
    members = ENDPOINTS[:4]
    group = [Group("zone", "x", frozenset(members))]
    bad = [*ENDPOINTS[:3], ENDPOINTS[8]]
    draws = list(combinations(ENDPOINTS, 4))
    as_many = sum(len(set(draw) & set(members)) >= 3 for draw in draws)
    assert shared_causes(group, bad, ENDPOINTS)[0].chance == pytest.approx(as_many / len(draws))


def test_one_bad_endpoint_is_no_group() -> None:
    """It shares everything with itself."""
    assert shared_causes(groups(TOPOLOGY), ENDPOINTS[:1], ENDPOINTS) == []


def test_services_that_call_one_third_party_share_it() -> None:
    """Two of three services are bad, and they are those that call it."""
    services = [Target("orders"), Target("pay"), Target("stock")]
    best = shared_causes(groups(TOPOLOGY), services[:2], services)[0]
    assert (best.kind, best.name, best.exact) == ("third_party", "card", True)


def test_a_caller_that_was_only_heard_belongs_to_the_third_party_it_calls() -> None:
    """Learned edges count like declared ones."""
    third = next(one for one in groups(TOPOLOGY, [("stock", "card")]) if one.kind == "third_party")
    assert Target("stock") in third.members


def test_a_version_is_one_of_its_own_service() -> None:
    """`v1` of one service has nothing to do with `v1` of another."""
    assert {one.name for one in groups(TOPOLOGY) if one.kind == "version"} == {"orders v1", "orders v2"}


def test_hosts_are_groups_across_services() -> None:
    """Endpoints of two services on one machine may fail together."""
    host = next(one for one in groups(TOPOLOGY) if (one.kind, one.name) == ("host", "h1"))
    assert host.members == {
        Target("orders", "o2"),
        Target("orders", "o3"),
        Target("stock", "s2"),
        Target("stock", "s3"),
    }
