"""From acts to orders, under the safety rules."""

from controlplane.decide.plan.choose import choose
from controlplane.decide.plan.orders import orders, rule_of
from controlplane.decide.state import State
from controlplane.model.command import Eject, Isolate, Limit, Weigh
from controlplane.model.plan import Act
from controlplane.model.policy import ResponsePolicy
from controlplane.model.signal import Target
from controlplane.model.topology import Endpoint, Service, Topology
from controlplane.model.unit import Nanos
from tests.decide.situations import does, replica, situation

POLICY = ResponsePolicy()
NOW = Nanos(0)


def topology(endpoints: int) -> Topology:
    names = [f"o{at}" for at in range(1, endpoints + 1)]
    orders_ = Service(name="orders", endpoints=tuple(Endpoint(name=name, url="http://h:1") for name in names))
    return Topology(services=(Service(name="web", calls=("orders",)), orders_), entry="web")


def test_each_act_becomes_the_order_that_carries_it_out() -> None:
    """What moves away from an endpoint is added up, and the rest of its weight stays."""
    o1, service = Target("orders", "o1"), Target("orders")
    acts = (
        Act(do="reroute", target=o1, to="o2", percent=40.0),
        Act(do="reroute", target=o1, to="o3", percent=30.0),
        Act(do="eject", target=Target("orders", "o2")),
        Act(do="cap_retries", target=service, caller="web"),
        Act(do="isolate", target=Target("db")),
    )
    found = orders(acts, POLICY, caller="web")
    assert found.ordered == (
        (o1, Weigh(30)),
        (Target("orders", "o2"), Eject()),
        (service, Limit(POLICY.overload_concurrency)),
        (Target("db"), Isolate()),
    )
    assert found.left == ()


def test_acts_of_other_callers_and_whole_zones_are_left_to_others() -> None:
    """This process can neither refuse another one's calls nor weigh a zone."""
    acts = (
        Act(do="isolate", target=Target("orders"), caller="app"),
        Act(do="reroute", target=Target("orders"), part="zone a", to="zone b", percent=90.0),
        Act(do="roll_back", target=Target("orders"), to="version v1"),
    )
    assert orders(acts, POLICY, caller="web").left == acts


def test_acts_of_one_option_are_judged_together() -> None:
    """Each of two ejections of four leaves enough; both and a third do not."""
    rule = rule_of(State(), topology(4), ResponsePolicy(blast_budget_percent=100), NOW)
    eject = [Act(do="eject", target=Target("orders", f"o{at}")) for at in (1, 2, 3)]
    assert rule(tuple(eject[:2])) is None
    refused = rule(tuple(eject))
    assert refused is not None
    assert refused[0] == "healthy_floor"


def test_a_rule_of_safety_decides_what_is_chosen() -> None:
    """The blast budget forbids the ejection: traffic is steered instead."""
    pool = (replica("o1", 40, 80, 1.0), replica("o2", 30, 80, 0.0), replica("o3", 30, 80, 0.0))
    policy = ResponsePolicy(blast_budget_percent=10)
    choice = choose(situation(*pool, endpoints=("o1",)), forbidden=rule_of(State(), topology(3), policy, NOW))
    assert does(choice) == ["reroute", "reroute"]
    assert choice.runner_up is not None
    assert choice.runner_up.forbidden == "blast_budget"


def test_nothing_is_asked_of_a_frozen_plane_or_about_strangers() -> None:
    """Also for acts that no data plane here could carry out."""
    act = Act(do="roll_back", target=Target("nobody"), to="version v1")
    strange = rule_of(State(), topology(3), POLICY, NOW)((act,))
    assert strange == ("invalid_data", "nobody is not in the topology")
    frozen = rule_of(State(frozen=True), topology(3), POLICY, NOW)((act,))
    assert frozen is not None
    assert frozen[0] == "freeze"
