"""The first act, ordered on a verdict alone, and the choice that is weighed: where figures are plain they agree."""

import msgspec
import pytest

from controlplane.decide.plan.choose import choose
from controlplane.decide.plan.first_act import plan
from controlplane.decide.plan.neighbourhood import replicas_of
from controlplane.decide.plan.orders import orders
from controlplane.decide.plan.scope import narrowed
from controlplane.model.command import Intent
from controlplane.model.policy import ResponsePolicy
from controlplane.model.signal import Cause, Target, Tripped
from controlplane.model.situation import Call, Situation
from controlplane.model.topology import Endpoint, Service, Topology
from controlplane.model.unit import Nanos

POLICY = ResponsePolicy()
NOW = Nanos(100_000_000_000)
LOAD, CAPACITY = 10.0, 30.0


def service(*versions: str, fallback: bool = False) -> Service:
    endpoints = tuple(Endpoint(name=f"e{n}", url=f"http://h:{n}", version=v) for n, v in enumerate(versions, 1))
    return Service(name="s", endpoints=endpoints, fallback=fallback)


def first(asked: Service, bad: list[str], cause: Cause) -> set[tuple[Target, Intent]]:
    trip = Tripped(at=NOW, target=Target("s", bad[-1]), cause=cause, capped=len(bad) > 1)
    return set(plan(trip, asked, dict.fromkeys(bad, NOW), POLICY).acts)


def weighed(asked: Service, bad: list[str], *, slow: bool, failing: float) -> set[tuple[Target, Intent]]:
    names = [one.name for one in asked.endpoints]
    total = LOAD * len(names)
    situation = Situation(
        origin="s",
        slow=failing * len(bad) / len(names) if slow else None,
        requests={"web": total, "s": total},
        calls=(Call(caller="web", callee="s", traffic=total, soft=asked.fallback),),
        replicas=replicas_of(
            asked,
            load=dict.fromkeys(names, LOAD),
            failing={name: failing if name in bad else 0.0 for name in names},
            capacity=dict.fromkeys(names, CAPACITY),
        ),
    )
    part = narrowed(asked, bad)
    choice = choose(msgspec.structs.replace(situation, **part))  # type: ignore[arg-type]
    topology = Topology(services=(Service(name="web", calls=("s",)), asked), entry="web")
    return set(orders(choice.chosen.acts if choice.chosen else (), topology, caller="web").ordered)


@pytest.mark.parametrize(
    ("asked", "bad", "cause", "failing"),
    [
        (service("v1", "v1", "v1"), ["e2"], Cause.ERRORS, 1.0),
        (service("v1", "v1", "v1"), ["e2"], Cause.SLOW, 0.9),
        (service("v1", "v1", "v2", "v2"), ["e3", "e4"], Cause.ERRORS, 0.6),
        (service("v1", "v1"), ["e1", "e2"], Cause.ERRORS, 1.0),
        (service("v1", "v1", fallback=True), ["e1", "e2"], Cause.STALLED, 0.9),
        (service("v1", "v1"), ["e1", "e2"], Cause.SLOW, 1.0),
    ],
    ids=["one-bad", "one-slow", "a-version", "all-dead", "all-stalled-with-fallback", "all-slow"],
)
def test_the_first_act_is_what_would_be_chosen(asked: Service, bad: list[str], cause: Cause, failing: float) -> None:
    """Eject one, eject a version, isolate what is dead or can be done without, leave alone what is only slow."""
    slow = cause in (Cause.SLOW, Cause.STALLED)
    assert first(asked, bad, cause) == weighed(asked, bad, slow=slow, failing=failing)
