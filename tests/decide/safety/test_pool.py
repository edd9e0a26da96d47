"""No pool runs dry: of a service, of a zone, of a priority; guards' own ejections count."""

import msgspec
import pytest

from controlplane.decide.safety import Seen
from controlplane.model.command import Eject, Intent, Probe, Weigh
from controlplane.model.policy import ResponsePolicy
from controlplane.model.signal import Cause, Probed, Target, Tripped
from controlplane.model.topology import Topology
from controlplane.model.unit import SECOND, Nanos
from tests.decide.safety.mesh import LOOSE, NOW, holding, out, plain, refused, service

FLOOR = msgspec.structs.replace(LOOSE, healthy_floor_percent=50)
CAP = msgspec.structs.replace(LOOSE, ejected_percent_max=50)


def replaced(policy: ResponsePolicy, **fields: object) -> ResponsePolicy:
    return msgspec.structs.replace(policy, **fields)


def test_the_floor_of_a_service_holds() -> None:
    """Of four endpoints with a floor of 50 % two may go, and not the third."""
    known = Topology(services=(plain("s", 4),))
    assert refused(Target("s", "e1"), Eject(), known, FLOOR, state=holding(known, *out("e0")))[0] == ""
    reason = "1 of 4 endpoints of s would be left, 50 % must stay"
    assert refused(Target("s", "e2"), Eject(), known, FLOOR, state=holding(known, *out("e0", "e1"))) == (
        "healthy_floor",
        reason,
    )


def test_the_last_endpoint_is_never_ejected_whatever_the_floor() -> None:
    """Never empty by automation."""
    assert refused(Target("s", "e0"), Eject(), Topology(services=(plain("s", 1),)))[0] == "healthy_floor"


@pytest.mark.parametrize(("intent", "rule"), [(Probe(), "healthy_floor"), (Weigh(0), "healthy_floor"), (Weigh(50), "")])
def test_who_gets_only_probes_is_no_capacity(intent: Intent, rule: str) -> None:
    """An endpoint on probation is out of rotation like an ejected one; one with a share of traffic is not."""
    known = Topology(services=(plain("s", 2),))
    state = holding(known, (Target("s", "e0"), intent))
    assert refused(Target("s", "e1"), Eject(), known, FLOOR, state=state)[0] == rule


def test_the_same_endpoint_is_not_counted_twice() -> None:
    """A relapse ejects who is out already."""
    known = Topology(services=(plain("s", 2),))
    assert (
        refused(Target("s", "e0"), Eject(), known, FLOOR, state=holding(known, (Target("s", "e0"), Probe())))[0] == ""
    )


def test_what_guards_ejected_by_themselves_counts() -> None:
    """A reflex that no order confirmed takes an endpoint out all the same, until a probe passes or it ends."""
    known = Topology(services=(plain("s", 3),))
    seen = Seen(known)
    assert refused(Target("s", "e1"), Eject(), known, FLOOR, seen=seen)[0] == ""
    seen.note(Tripped(at=NOW, target=Target("s", "e0"), cause=Cause.ERRORS, contained=True), NOW)
    assert refused(Target("s", "e1"), Eject(), known, FLOOR, seen=seen)[1].startswith("1 of 3 endpoints of s would")
    assert refused(Target("s", "e1"), Eject(), known, FLOOR, seen=seen, now=Nanos(NOW + 30 * SECOND))[0] == ""
    seen.note(Probed(at=NOW, target=Target("s", "e0"), passed=True), NOW)
    assert refused(Target("s", "e1"), Eject(), known, FLOOR, seen=seen)[0] == ""


ZONED = Topology(
    services=(service("s", {"zone": "a"}, {"zone": "a"}, {"zone": "a"}, *({"zone": "b"} for _ in range(5))),)
)


def test_the_floor_of_a_zone_holds_while_part_of_it_is_well() -> None:
    """Callers of a zone stay in it: what is left there would get all of them."""
    state = holding(ZONED, *out("e0"))
    assert refused(Target("s", "e1"), Eject(), ZONED, FLOOR, state=state) == (
        "healthy_floor",
        "1 of 3 endpoints of s in zone a would be left, 50 % must stay",
    )
    assert refused(Target("s", "e1"), Eject(), ZONED, FLOOR)[0] == ""


def test_a_zone_that_fails_as_a_whole_may_be_emptied() -> None:
    """Then the zone is what fails, and the others must serve; the service keeps its floor."""
    seen = Seen(ZONED)
    for name in ("e0", "e1", "e2"):
        seen.verdict(Target("s", name), Cause.ERRORS, NOW)
    state = holding(ZONED, *out("e0", "e1"))
    assert refused(Target("s", "e2"), Eject(), ZONED, FLOOR, state=state, seen=seen)[0] == ""
    high = replaced(FLOOR, healthy_floor_percent=70)
    assert refused(Target("s", "e2"), Eject(), ZONED, high, state=state, seen=seen)[1].startswith(
        "5 of 8 endpoints of s would"
    )


def test_the_floor_of_a_priority_holds_while_part_of_it_is_well() -> None:
    """Those that stand by are not emptied into by and by."""
    known = Topology(services=(service("s", {}, {}, {}, *({"priority": 1} for _ in range(4))),))
    state = holding(known, *out("e0"))
    assert refused(Target("s", "e1"), Eject(), known, FLOOR, state=state) == (
        "healthy_floor",
        "1 of 3 endpoints of s of priority 0 would be left, 50 % must stay",
    )
    assert refused(Target("s", "e1"), Eject(), known, FLOOR)[0] == ""


WEIGHTED = Topology(services=(service("s", {"weight": 40}, {"weight": 20}, {"weight": 20}, {"weight": 20}),))


def test_the_cap_counts_capacity_not_heads() -> None:
    """Half of the weight is the most: 40 and 20 of 100 are too much, 20 and 20 are not."""
    assert refused(Target("s", "e0"), Eject(), WEIGHTED, CAP, state=holding(WEIGHTED, *out("e1"))) == (
        "ejection_cap",
        "60% of s by weight would be out of rotation, 50 % allowed",
    )
    assert refused(Target("s", "e2"), Eject(), WEIGHTED, CAP, state=holding(WEIGHTED, *out("e1")))[0] == ""


def test_one_endpoint_may_always_be_ejected_by_the_cap() -> None:
    """However much of the weight it has; whether the others bear it is another rule's word."""
    assert refused(Target("s", "e0"), Eject(), WEIGHTED, replaced(CAP, ejected_percent_max=10))[0] == ""


def test_the_cap_counts_what_is_weighed_down_by_its_part() -> None:
    """A ramp at 75 % keeps a quarter away; a reroute counts like an ejection, by what it takes."""
    known = Topology(services=(plain("s", 4),))
    ramping = holding(known, (Target("s", "e0"), Weigh(75)), (Target("s", "e1"), Weigh(25)))
    assert refused(Target("s", "e2"), Eject(), known, CAP, state=ramping)[0] == ""
    held = holding(known, *out("e0"), (Target("s", "e1"), Weigh(25)))
    assert refused(Target("s", "e2"), Weigh(70), known, CAP, state=held, kind="reroute") == (
        "ejection_cap",
        "51% of s by weight would be out of rotation, 50 % allowed",
    )
    assert refused(Target("s", "e2"), Weigh(75), known, CAP, state=held, kind="reroute")[0] == ""


def test_giving_back_asks_no_pool() -> None:
    """A share that grows takes nothing away, whatever is out."""
    known = Topology(services=(plain("s", 2),))
    state = holding(known, *out("e0", "e1"))
    assert refused(Target("s", "e0"), Weigh(10), known, FLOOR, state=state)[0] == ""
