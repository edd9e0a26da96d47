"""Doors and boundaries, rule by rule."""

import pytest

from controlplane.decide import safety
from controlplane.decide.engine import Engine
from controlplane.decide.state import State
from controlplane.model.command import Close, Eject, FailOver, Intent, RollBack, Weigh
from controlplane.model.policy import ResponsePolicy
from controlplane.model.signal import Acted, Cause, Target, Tripped
from controlplane.model.topology import Endpoint, Service, Topology
from controlplane.model.unit import Nanos

NOW = Nanos(10**15)


def test_no_budget_leaves_the_last_of_many_dependents_open() -> None:
    """A guard of three hundred services: all are closed in one step, whatever paces other acts, and none of them keeps
    another act from its place."""
    names = tuple(f"s{index}" for index in range(300))
    services = [Service(name=name, endpoints=(Endpoint(name="e", url=f"http://{name}"),)) for name in names]
    auth = Service(name="auth", endpoints=(Endpoint(name="a", url="http://a"),), guards="audit", protects=names)
    policy = ResponsePolicy(enforcement={"close": 100}, commands_per_minute_max=5, blast_budget_percent=1)
    engine = Engine(Topology(services=(Service(name="web"), auth, *services), entry="web"), policy)
    engine.start(NOW, boot="b", wall_ns=0)
    trip = Tripped(at=NOW, target=Target("auth", "a"), cause=Cause.ERRORS, calls=5, failures=5)
    outcome = engine.step(trip, NOW)
    closed = {str(one.target) for one in outcome.commands if isinstance(one.intent, Close)}
    assert closed == set(names)
    assert len(engine.state.issued_at) <= 1
    assert engine.state.findings["auth"].exposed == ()


def test_an_order_that_no_data_plane_takes_is_exposure_and_told() -> None:
    """The door is open then; the finding says why, and people hear of it at once."""
    auth = Service(name="auth", endpoints=(Endpoint(name="a", url="http://a"),), guards="waf", protects=("orders",))
    topology = Topology(services=(Service(name="web"), auth, Service(name="orders")), entry="web")
    engine = Engine(topology, ResponsePolicy(enforcement={"close": 100}))
    engine.start(NOW, boot="b", wall_ns=0)
    trip = Tripped(at=NOW, target=Target("auth", "a"), cause=Cause.ERRORS, calls=5, failures=5)
    commands = [one for one in engine.step(trip, NOW).commands if isinstance(one.intent, Close)]
    told = engine.step(Acted(at=NOW, command=commands[0].id, ok=False, reason="nobody calls it here"), NOW)
    (exposed,) = engine.state.findings["auth"].exposed
    assert (exposed.service, exposed.why) == ("orders", "no data plane here takes the order")
    assert any(one.severity == "critical" and "open without auth" in one.text for one in told.notices)


@pytest.mark.parametrize(
    ("where", "intent", "kind"),
    [
        ("a", Eject(), "eject"),
        ("a", Weigh(20), "reroute"),
        ("", FailOver(50), "fail_over"),
        ("", RollBack("v2", "v1"), "roll_back"),
    ],
)
@pytest.mark.parametrize(
    ("trust", "validation", "forbidden"),
    [("inner", 2, False), ("inner", 3, False), ("inner", 1, True), ("outer", 2, True), ("", 2, False)],
)
def test_traffic_stays_behind_its_boundary(
    where: str, intent: Intent, kind: str, trust: str, validation: int, forbidden: bool
) -> None:
    """Whoever would get it: a sibling, a standby, the version before. Stricter checks are allowed, another zone never;
    what an endpoint does not say, its service says."""
    endpoints = (
        Endpoint(name="a", url="http://a", version="v2", trust="inner", validation=2),
        Endpoint(name="b", url="http://b", version="v1", priority=1, trust=trust, validation=validation),
    )
    topology = Topology(services=(Service(name="s", endpoints=endpoints, trust="inner"),), entry="web")
    found = safety.forbidden(
        Target("s", where), intent, state=State(), topology=topology, policy=ResponsePolicy(), now=NOW, kind=kind
    )
    assert (found is not None and found[0] == "trust_boundary") is forbidden
    if forbidden:
        (line,) = safety.explained([": ".join(found)])
        assert line.startswith("Refused by trust_boundary: traffic of s/a")
