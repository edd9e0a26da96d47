"""What is ordered of a choice never drowns who is to help, and never empties what it takes traffic from."""

from hypothesis import given, settings
from hypothesis import strategies as st

from controlplane.decide.plan.capacity import headroom
from controlplane.decide.plan.choose import choose
from controlplane.decide.plan.orders import orders
from controlplane.model.command import Eject, FailOver, Shed, Weigh
from controlplane.model.situation import Call, Replica, Situation
from controlplane.model.topology import Endpoint, Service, Topology

SHARES = [0.0, 0.0, 0.05, 0.3, 0.6, 1.0]
CAPACITIES = [None, 20.0, 60.0, 150.0, 1000.0]
PER_WEIGHT = 25.0  # requests per second: traffic is divided by weight, as a balancer divides it


@st.composite
def situations(draw: st.DrawFn) -> Situation:
    """A service whose traffic is divided by weight, some of whose endpoints fail, and some stand by."""

    def one(at: int) -> Replica:
        standby = at > 0 and draw(st.sampled_from([False, False, True]))
        weight = draw(st.sampled_from([1.0, 1.0, 2.0, 5.0]))
        return Replica(
            name=f"r{at}",
            zone=draw(st.sampled_from("ab")),
            version=draw(st.sampled_from(["v1", "v2"])),
            priority=int(standby),
            weight=weight,
            load=0.0 if standby else PER_WEIGHT * weight,
            capacity=draw(st.sampled_from(CAPACITIES)),
            failing=draw(st.sampled_from([None, 0.0, 0.0])) if standby else draw(st.sampled_from(SHARES)),
        )

    pool = tuple(one(at) for at in range(draw(st.integers(1, 7))))
    load = sum(one.load or 0.0 for one in pool)
    bad = tuple(one.name for one in pool if (one.failing or 0.0) > 0.2)
    part = draw(st.sampled_from(["endpoints", "zone", "version", ""]))
    return Situation(
        origin="s",
        endpoints=bad if part == "endpoints" else (),
        zone="a" if part == "zone" else "",
        version="v2" if part == "version" else "",
        requests={"web": load, "s": load},
        calls=(Call(caller="web", callee="s", traffic=load),),
        entries=("web",),
        replicas=pool,
        demand=draw(st.sampled_from([(), (load * 0.2, load * 0.5, load * 0.3)])),
    )


def topology(situation: Situation) -> Topology:
    endpoints = tuple(
        Endpoint(
            name=one.name,
            url="http://h:1",
            zone=one.zone,
            version=one.version,
            weight=int(one.weight),
            priority=one.priority,
        )
        for one in situation.replicas
    )
    return Topology(services=(Service(name="web", calls=("s",)), Service(name="s", endpoints=endpoints)), entry="web")


@given(situations())
@settings(max_examples=400, deadline=None)
def test_no_destination_gets_more_than_it_bears(situation: Situation) -> None:
    """Every option that could be chosen, carried out: loads are divided by weight, and by the share that fails over."""
    level = min(one.priority for one in situation.replicas)
    rotation = [one for one in situation.replicas if one.priority == level]
    standby = [one for one in situation.replicas if one.priority != level]
    total = sum(one.load or 0.0 for one in rotation)
    for option in choose(situation).considered:
        if option.forbidden:
            continue
        found = orders(option.acts, topology(situation), caller="web", situation=situation)
        percent = {target.endpoint: intent.percent for target, intent in found.ordered if isinstance(intent, Weigh)}
        over = sum(intent.percent for _, intent in found.ordered if isinstance(intent, FailOver)) / 100
        if any(isinstance(intent, Eject | Shed) for _, intent in found.ordered):
            continue  # what an ejection leaves is shed; the guard spreads the rest
        assert all(1 <= one <= 100 for one in percent.values()), "a weight of nothing is an ejection"
        assert over <= 0.9, "what fails over leaves a share that shows when it is well again"
        weight = {one.name: one.weight * percent.get(one.name, 100) / 100 for one in rotation}
        for one in rotation:
            load = (1 - over) * total * weight[one.name] / sum(weight.values())
            room = headroom(one, in_rotation=True)
            if one.name not in percent:
                assert load <= (one.load or 0.0) + room + 1e-6, (one, found)
            else:
                assert load >= 0.0999 * (one.load or 0.0) * (1 - over), (one, found)
        for one in standby:
            near = min(each.priority for each in standby)
            beside = sum(each.weight for each in standby if each.priority == near)
            load = over * total * one.weight / beside if one.priority == near else 0.0
            assert load <= headroom(one, in_rotation=False) + 1e-6, (one, found)


@given(situations())
@settings(max_examples=200, deadline=None)
def test_orders_depend_on_no_order_of_acts_and_keep_to_the_service(situation: Situation) -> None:
    """The same acts in another order give the same orders, each about the origin and known endpoints."""
    for option in choose(situation).considered:
        there = orders(option.acts, topology(situation), caller="web", situation=situation)
        back = orders(tuple(reversed(option.acts)), topology(situation), caller="web", situation=situation)
        assert set(there.ordered) == set(back.ordered)
        assert set(there.left) == set(back.left)
        names = {"", *(one.name for one in situation.replicas)}
        assert all(target.service == "s" and target.endpoint in names for target, _ in there.ordered)
