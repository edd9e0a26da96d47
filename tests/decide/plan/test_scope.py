"""What the failing endpoints have in common."""

from controlplane.decide.plan.scope import narrowed, shared
from controlplane.model.topology import Endpoint, Service

SERVICE = Service(
    name="s",
    endpoints=tuple(
        Endpoint(name=f"e{at}", url="http://h:1", zone=zone, version=version)
        for at, (zone, version) in enumerate([("a", "v1"), ("a", "v2"), ("b", "v2"), ("b", "v1")])
    ),
)


def test_a_version_or_zone_explains_only_what_others_do_not_share() -> None:
    """e1 and e2 run v2 and stand in two zones; e0 and e1 the other way round."""
    assert shared(SERVICE, {"e1", "e2"}, "version") == "v2"
    assert shared(SERVICE, {"e1", "e2"}, "zone") == ""
    assert shared(SERVICE, {"e0", "e1"}, "zone") == "a"
    assert shared(SERVICE, {"e0", "e1", "e2", "e3"}, "zone") == ""


def test_the_part_that_fails_is_named_as_narrowly_as_it_can_be() -> None:
    """A version before a zone before single names; the whole service is no part."""
    assert narrowed(SERVICE, {"e1", "e2"}) == {"version": "v2"}
    assert narrowed(SERVICE, {"e0", "e1"}) == {"zone": "a"}
    assert narrowed(SERVICE, {"e3", "e1"}) == {"endpoints": ("e1", "e3")}
    assert narrowed(SERVICE, {"e1"}) == {"endpoints": ("e1",)}
    assert narrowed(SERVICE, {"e0", "e1", "e2", "e3"}) == {}
    assert narrowed(SERVICE, set()) == {}
