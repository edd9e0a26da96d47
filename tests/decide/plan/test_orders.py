"""From acts to orders, under the safety rules."""

import msgspec

from controlplane.decide.plan.choose import choose
from controlplane.decide.plan.orders import Orders, instruction, orders, rule_of
from controlplane.decide.state import State
from controlplane.model.command import CapRetries, Eject, FailOver, Isolate, RollBack, Shed, Tighten, Weigh
from controlplane.model.plan import Act
from controlplane.model.policy import ResponsePolicy
from controlplane.model.signal import Target
from controlplane.model.topology import Endpoint, Service, Topology
from controlplane.model.unit import Nanos
from tests.decide.situations import does, replica, situation

POLICY = ResponsePolicy()
NOW = Nanos(0)


def topology(endpoints: int, **more: str) -> Topology:
    names = [f"o{at}" for at in range(1, endpoints + 1)]
    zones = more.pop("zones", "a" * endpoints)
    pairs = zip(names, zones, strict=True)
    orders_ = Service(
        name="orders", endpoints=tuple(Endpoint(name=name, url="http://h:1", zone=zone) for name, zone in pairs), **more
    )
    return Topology(services=(Service(name="web", calls=("orders",)), orders_), entry="web")


SERVICE = Target("orders")


def test_each_act_becomes_the_order_that_carries_it_out() -> None:
    """What moves away from an endpoint is added up, and the rest of its weight stays."""
    o1 = Target("orders", "o1")
    acts = (
        Act(do="reroute", target=o1, to="o2", percent=40.0),
        Act(do="reroute", target=o1, to="o3", percent=30.0),
        Act(do="eject", target=Target("orders", "o2")),
        Act(do="cap_retries", target=SERVICE, caller="web"),
        Act(do="tighten", target=SERVICE, deadline_ms=60),
        Act(do="isolate", target=Target("db")),
    )
    found = orders(acts, topology(3), caller="web")
    assert found.ordered == (
        (o1, Weigh(30)),
        (Target("orders", "o2"), Eject()),
        (SERVICE, CapRetries()),
        (SERVICE, Tighten(60)),
        (Target("db"), Isolate()),
    )
    assert found.left == ()


def test_a_zone_is_weighed_endpoint_by_endpoint_and_never_to_nothing() -> None:
    """Weights are such that the share that was to stay stays: 10 of 100 beside 190, at equal weights of 2 to 2."""
    pool = (
        replica("o1", 50, 100, 0.9, zone="a"),
        replica("o2", 50, 100, 0.9, zone="a"),
        replica("o3", 50, 150, 0.0, zone="b"),
        replica("o4", 50, 150, 0.0, zone="b"),
    )
    asked = situation(*pool, zone="a")
    choice = choose(asked)
    assert choice.chosen is not None
    acts = [act for act in choice.chosen.acts if act.do == "reroute"] or [
        Act(do="reroute", target=SERVICE, part="zone a", to="zone b", percent=90.0, amount=90.0)
    ]
    found = orders(acts, topology(4, zones="aabb"), caller="web", situation=asked)
    assert found.ordered == ((Target("orders", "o1"), Weigh(6)), (Target("orders", "o2"), Weigh(6)))


def test_what_all_siblings_cannot_share_by_weight_is_not_moved() -> None:
    """The planner steers by room, a balancer shares by weight: the sibling with least room is the measure."""
    pool = (replica("o1", 60, 100, 1.0), replica("o2", 60, 200, 0.0), replica("o3", 60, 70, 0.0))
    asked = situation(*pool, endpoints=("o1",))
    acts = (
        Act(do="reroute", target=Target("orders", "o1"), to="o2", percent=85.0, amount=51.0),
        Act(do="reroute", target=Target("orders", "o1"), to="o3", percent=5.0, amount=3.0),
    )
    found = orders(acts, topology(3), caller="web", situation=asked)
    assert found.ordered == ((Target("orders", "o1"), Weigh(86)),)  # o3 bears 3 more, so both get 3


def test_a_sibling_that_is_no_better_gets_nothing_and_people_are_told() -> None:
    """A weight cannot leave it out: then the act is not one for this data plane."""
    pool = (replica("o1", 60, 100, 1.0), replica("o2", 60, 200, 0.0), replica("o3", 60, 200, None))
    act = Act(do="reroute", target=Target("orders", "o1"), to="o2", percent=50.0, amount=30.0)
    found = orders((act,), topology(3), caller="web", situation=situation(*pool, endpoints=("o1",)))
    assert found == Orders((), (act,))
    assert instruction(act) == "move 50 % of the traffic of orders/o1 to o2 (30 requests/s)"


def test_traffic_that_fails_over_is_taken_from_who_fails() -> None:
    """A share of all calls goes over, and the weight of the bad one goes down, so that its siblings keep theirs."""
    pool = (replica("o1", 60, 100, 1.0), replica("o2", 60, 60, 0.0), replica("s1", 0, 40, 0.0, priority=1))
    act = Act(do="fail_over", target=Target("orders", "o1"), to="s1", percent=60.0, amount=36.0)
    found = orders((act,), topology(3), caller="web", situation=situation(*pool, endpoints=("o1",)))
    assert found.ordered == ((Target("orders", "o1"), Weigh(40)), (SERVICE, FailOver(30)))


def test_a_part_never_loses_all_of_its_traffic() -> None:
    """Where all of it could go over, a tenth stays."""
    pool = (replica("o1", 100, 100, 1.0), replica("s1", 0, 400, 0.0, priority=1))
    act = Act(do="fail_over", target=SERVICE, to="s1", percent=100.0, amount=100.0)
    assert orders((act,), topology(2), situation=situation(*pool)).ordered == ((SERVICE, FailOver(90)),)


def test_load_is_shed_by_class_and_critical_requests_are_left() -> None:
    """The share is of the classes that may be refused; what is critical no order refuses."""

    def act(part: str, amount: float) -> Act:
        return Act(do="shed", target=SERVICE, part=part, percent=amount, amount=amount)

    demand = situation(demand=(20.0, 50.0, 30.0))
    few = orders((act("sheddable", 10),), topology(1), caller="web", situation=demand)
    assert few == Orders(((SERVICE, Shed("default", 50)),), ())
    more = orders((act("sheddable", 20), act("default", 15)), topology(1), caller="web", situation=demand)
    assert more == Orders(((SERVICE, Shed("critical", 50)),), ())
    most = (act("sheddable", 20), act("default", 50), act("critical", 5))
    assert orders(most, topology(1), caller="web", situation=demand) == Orders(
        ((SERVICE, Shed("critical", 100)),), (most[2],)
    )
    blind = orders((act("", 35.5),), topology(1), caller="web", situation=situation())
    assert blind.ordered == ((SERVICE, Shed("critical", 35)),)


def test_a_roll_back_is_ordered_where_somebody_can_do_it() -> None:
    """A service that names its deployer; all others are people's."""
    act = Act(do="roll_back", target=SERVICE, part="version v2", to="version v1")
    assert orders((act,), topology(1, deployer="ci")).ordered == ((SERVICE, RollBack("v2", "v1")),)
    unknown = msgspec.structs.replace(act, to="the version before")
    assert orders((unknown,), topology(1, deployer="ci")).ordered == ((SERVICE, RollBack("v2", "")),)
    assert orders((act,), topology(1)) == Orders((), (act,))


def test_acts_of_other_callers_are_left_with_an_instruction() -> None:
    """This process cannot refuse another one's calls; somebody is told to, in one sentence."""
    acts = (
        Act(do="isolate", target=SERVICE, caller="app"),
        Act(do="cap_retries", target=SERVICE, caller="app"),
        Act(do="shed", target=Target("web"), percent=20.0, amount=20.0),
    )
    assert orders(acts, topology(1), caller="web").left == acts
    assert [instruction(act) for act in acts] == [
        "in app, refuse the calls to orders at once",
        "in app, stop the retries of calls to orders",
        "at web, refuse 20 % of the requests (20 requests/s), the least important first",
    ]


def test_acts_of_one_option_are_judged_together() -> None:
    """Each of two ejections of four leaves enough; both and a third do not."""
    rule = rule_of(State(), topology(4), ResponsePolicy(blast_budget_percent=100), NOW)
    eject = [Act(do="eject", target=Target("orders", f"o{at}")) for at in (1, 2, 3)]
    assert rule(tuple(eject[:2])) is None
    refused = rule(tuple(eject))
    assert refused is not None
    assert refused[0] == "healthy_floor"


def test_a_rule_of_safety_decides_what_is_chosen() -> None:
    """The floor forbids the ejection: traffic is steered instead."""
    pool = (replica("o1", 40, 80, 1.0), replica("o2", 30, 80, 0.0), replica("o3", 30, 80, 0.0))
    policy = ResponsePolicy(healthy_floor_percent=90)
    choice = choose(situation(*pool, endpoints=("o1",)), forbidden=rule_of(State(), topology(3), policy, NOW))
    assert does(choice) == ["reroute", "reroute"]
    assert choice.runner_up is not None
    assert choice.runner_up.forbidden == "healthy_floor"


def test_nothing_is_asked_of_a_frozen_plane_or_about_strangers() -> None:
    """Also for acts that no data plane here could carry out."""
    act = Act(do="roll_back", target=Target("nobody"), to="version v1")
    strange = rule_of(State(), topology(3), POLICY, NOW)((act,))
    assert strange == ("invalid_data", "nobody is not in the topology")
    frozen = rule_of(State(frozen=True), topology(3), POLICY, NOW)((act,))
    assert frozen is not None
    assert frozen[0] == "freeze"
