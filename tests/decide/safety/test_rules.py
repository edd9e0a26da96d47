"""Every rule that stands before a command, by its name."""

from controlplane.decide.safety import charge, forbidden
from controlplane.decide.state import State
from controlplane.model.command import Command, Eject, Intent, Isolate, Restore
from controlplane.model.policy import ResponsePolicy
from controlplane.model.signal import Target
from controlplane.model.topology import Endpoint, Service, Topology
from controlplane.model.unit import CommandId, Epoch, IncidentId, Nanos

NOW = Nanos(1_000_000_000_000)


def topology(*counts: int) -> Topology:
    return Topology(
        services=tuple(
            Service(name=f"s{n}", endpoints=tuple(Endpoint(name=f"e{i}", url="http://h:1") for i in range(count)))
            for n, count in enumerate(counts)
        )
    )


def held(target: Target, known: Topology) -> Command:
    return Command(
        id=CommandId("c"),
        epoch=Epoch(1),
        incident=IncidentId("i"),
        target=target,
        intent=Eject(),
        lease_until=Nanos(NOW + 1),
        charge=charge(Eject(), known),
    )


def rule(target: Target, intent: Intent, known: Topology, policy: ResponsePolicy, **state: object) -> str | None:
    refused = forbidden(target, intent, state=State(**state), topology=known, policy=policy, now=NOW)
    return refused[0] if refused else None


def test_freeze_forbids_everything_even_taking_back() -> None:
    """A frozen plane leaves things as they are until leases end or a person resumes."""
    known = topology(3)
    assert rule(Target("s0", "e0"), Eject(), known, ResponsePolicy(), frozen=True) == "freeze"
    assert rule(Target("s0", "e0"), Restore(), known, ResponsePolicy(), frozen=True) == "freeze"


def test_the_healthy_floor_holds() -> None:
    """Of three endpoints with a floor of 50 %, one may go and the second may not."""
    known, policy = topology(3), ResponsePolicy(healthy_floor_percent=50, blast_budget_percent=100)
    assert rule(Target("s0", "e0"), Eject(), known, policy) is None
    in_force = {"s0/e0": held(Target("s0", "e0"), known)}
    assert rule(Target("s0", "e1"), Eject(), known, policy, in_force=in_force) == "healthy_floor"


def test_the_last_endpoint_is_never_ejected_whatever_the_floor() -> None:
    """Never empty by automation."""
    policy = ResponsePolicy(healthy_floor_percent=1, blast_budget_percent=100)
    assert rule(Target("s0", "e0"), Eject(), topology(1), policy) == "healthy_floor"


def test_the_blast_budget_counts_all_services() -> None:
    """Half of the endpoints are out already: no further one, in another service either."""
    known, policy = topology(3, 3), ResponsePolicy(healthy_floor_percent=1, blast_budget_percent=34)
    in_force = {f"s0/e{n}": held(Target("s0", f"e{n}"), known) for n in range(2)}
    assert rule(Target("s1", "e0"), Eject(), known, policy, in_force=in_force) == "blast_budget"


def test_the_velocity_limit_counts_the_last_minute() -> None:
    """Old commands do not count."""
    policy = ResponsePolicy(commands_per_minute_max=2)
    old, new = Nanos(NOW - 61_000_000_000), Nanos(NOW - 1)
    assert rule(Target("s0"), Isolate(), topology(3), policy, issued_at=[old, new]) is None
    assert rule(Target("s0"), Isolate(), topology(3), policy, issued_at=[new, new]) == "velocity_limit"


def test_giving_traffic_back_is_not_limited() -> None:
    """A storm of ejections must not block the way back."""
    policy = ResponsePolicy(commands_per_minute_max=1)
    assert rule(Target("s0"), Restore(), topology(3), policy, issued_at=[NOW, NOW]) is None


def test_what_is_not_in_the_topology_is_not_acted_on() -> None:
    """Invalid data never leads to an act."""
    assert rule(Target("nobody"), Isolate(), topology(3), ResponsePolicy()) == "invalid_data"
    assert rule(Target("s0", "nobody"), Eject(), topology(3), ResponsePolicy()) == "invalid_data"
