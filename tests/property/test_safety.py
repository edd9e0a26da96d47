"""Whatever is asked for, in whatever order, what the safety rules let through keeps every pool from running dry."""

from hypothesis import given, settings
from hypothesis import strategies as st

from controlplane.decide.kind import share_out
from controlplane.decide.safety import Seen, charge, forbidden
from controlplane.decide.state import State
from controlplane.model.command import Eject, Intent, Probe, Restore, Weigh
from controlplane.model.policy import ResponsePolicy
from controlplane.model.signal import Cause, Target, Tripped
from controlplane.model.topology import Endpoint, Service, Topology
from controlplane.model.unit import SECOND, Nanos
from tests.decide.safety.mesh import NOW, command

endpoints = st.lists(
    st.builds(
        Endpoint,
        name=st.just(""),
        url=st.just("http://h:1"),
        zone=st.sampled_from(["", "a", "b"]),
        weight=st.sampled_from([1, 1, 1, 5, 20]),
        priority=st.sampled_from([0, 0, 1]),
    ),
    min_size=1,
    max_size=9,
).map(
    lambda made: Service(
        name="s",
        endpoints=tuple(
            Endpoint(name=f"e{n}", url=f"http://h:{n + 1}", zone=one.zone, weight=one.weight, priority=one.priority)
            for n, one in enumerate(made)
        ),
    )
)
intents = st.sampled_from([Eject(), Eject(), Eject(), Probe(), Weigh(10), Weigh(50), Restore()])
steps = st.lists(st.tuples(st.integers(0, 8), intents, st.sampled_from(["ask", "ask", "ask", "reflex"])), max_size=40)
policies = st.builds(
    ResponsePolicy,
    healthy_floor_percent=st.sampled_from([1, 1, 50, 80]),
    ejected_percent_max=st.sampled_from([10, 67, 100, 100]),
    blast_budget_percent=st.sampled_from([20, 20, 100]),
    stretch_percent_max=st.sampled_from([250, 1000, 1000]),
    commands_per_minute_max=st.just(1000),
    service_commands_per_minute_max=st.just(1000),
)


def _out(state: State, reflexes: set[str]) -> dict[str, float]:
    """By brute force: what is kept from each endpoint by orders and by reflexes."""
    out = dict.fromkeys(reflexes, 1.0)
    for order in state.in_force.values():
        out[order.target.endpoint] = share_out(order.intent)
    return {name: share for name, share in out.items() if share > 0}


def _bounded(service: Service, policy: ResponsePolicy, out: dict[str, float]) -> None:
    """The bounds of the service as a whole, told as plainly as can be."""
    left = [one for one in service.endpoints if out.get(one.name, 0) < 1]
    assert left, "emptied"
    assert len(left) * 100 >= policy.healthy_floor_percent * len(service.endpoints)
    gone = sum(one.weight * out.get(one.name, 0) for one in service.endpoints)
    if len(out) > 1:
        assert gone * 100 <= policy.ejected_percent_max * sum(one.weight for one in service.endpoints) + 1e-6


def _zones_bounded(
    service: Service, policy: ResponsePolicy, out: dict[str, float], bad: set[str], mine: Endpoint
) -> None:
    """A zone or priority keeps its floor, too, unless all of it is bad."""
    for pool in (
        [one for one in service.endpoints if mine.zone and one.zone == mine.zone],
        [one for one in service.endpoints if one.priority == mine.priority],
    ):
        left = [one for one in pool if out.get(one.name, 0) < 1]
        spoilt = all(one.name in bad or one.name in out for one in pool)
        assert not pool or spoilt or len(left) * 100 >= policy.healthy_floor_percent * len(pool)


@given(endpoints, policies, steps)
@settings(max_examples=400, deadline=None)
def test_what_is_let_through_keeps_every_bound(
    service: Service, policy: ResponsePolicy, asked: list[tuple[int, Intent, str]]
) -> None:
    """After each act that no rule forbade, floor, cap and budget hold by a count that knows nothing of the rules."""
    known = Topology(services=(service, Service(name="t", endpoints=service.endpoints)))
    state, seen, reflexes, now = State(), Seen(known), set[str](), NOW
    bad: dict[str, int] = {}
    for number, intent, how in asked:
        now = Nanos(now + SECOND // 10)
        one = service.endpoints[number % len(service.endpoints)]
        target = Target("s", one.name)
        if how == "reflex":
            seen.note(Tripped(at=now, target=target, cause=Cause.ERRORS, contained=True), now)
            if str(target) not in state.in_force:
                reflexes.add(one.name)
            continue
        if isinstance(intent, Eject):
            seen.verdict(target, Cause.ERRORS, now)
            bad[one.name] = now
        if forbidden(target, intent, state=state, topology=known, policy=policy, now=now, seen=seen) is not None:
            assert isinstance(intent, Eject), "giving back was forbidden"
            continue
        if isinstance(intent, Restore):
            state.in_force.pop(str(target), None)
            continue
        if not isinstance(intent, Eject) and str(target) not in state.in_force:
            continue  # only what is held is given back
        state.in_force[str(target)] = command(target, intent, known)
        if isinstance(intent, Eject):
            out = _out(state, reflexes)
            _bounded(service, policy, out)
            _zones_bounded(service, policy, out, set(bad), one)
            if len(state.in_force) > 1:
                held = sum(share_out(order.intent) for order in state.in_force.values())
                assert held * 100 <= policy.blast_budget_percent * known.endpoints_total + 1e-6
            assert charge(intent, known, target=target) > 0
