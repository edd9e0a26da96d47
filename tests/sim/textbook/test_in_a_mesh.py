"""What each textbook policy is known for, in a mesh of two services: each helps where its source says it does."""

from collections.abc import Callable

import pytest

from controlplane.sim.textbook.fleet import POLICIES, Fleet
from tests.sim.driver import MILLISECOND, SECOND, Mesh, Service
from tests.sim.textbook.client import Client


class Impatient(Client):
    """Gives up after a quarter of a second."""

    def __init__(self, replicas: int) -> None:
        super().__init__(replicas)
        self.attempt_timeout_ns = 250 * MILLISECOND


def lived(policy: str, break_: Callable[[Mesh], None], *, per_s: float = 200.0, seconds: float = 12.0) -> Mesh:
    """Users call web, web calls db; `break_` happens after two seconds."""
    services = [
        Service("web", replicas=4, workers=16, room=32, work_ns=5 * MILLISECOND, calls=("db",)),
        Service("db", replicas=6, workers=4, room=16, work_ns=10 * MILLISECOND, calls=()),
    ]
    mesh = Mesh(services, seed=5)
    replicas = {service.name: len(service.replicas) for service in services}
    mesh.fleet = Fleet(policy, lambda caller, callee: Impatient(replicas[callee]), seed=3, clock=mesh)
    mesh.load("web", per_s, seconds)
    mesh.at(2 * SECOND, lambda: break_(mesh))
    mesh.run()
    return mesh


def down(mesh: Mesh) -> None:
    """A replica of db is gone."""
    mesh.services["db"].replicas[2].down = True


def hanging(mesh: Mesh) -> None:
    """A replica of db takes calls and never answers."""
    mesh.services["db"].replicas[2].hangs = True


def failing(mesh: Mesh) -> None:
    """Every db answers two of three calls with an error."""
    for replica in mesh.services["db"].replicas:
        replica.errors = 0.67


def slow(mesh: Mesh) -> None:
    """Every db takes a hundred times as long."""
    for replica in mesh.services["db"].replicas:
        replica.slow = 100.0


@pytest.mark.parametrize("policy", POLICIES)
def test_all_is_well_where_nothing_is_wrong(policy: str) -> None:
    """No user sees an error, nobody is tried twice, and every request ends."""
    mesh = lived(policy, lambda mesh: None)
    assert (mesh.served, mesh.failed) == (2_400, 0)
    assert mesh.attempts == 4_800


@pytest.mark.parametrize("policy", ["consecutive_5xx", "envoy_outlier"])
def test_ejection_keeps_calls_off_what_is_dead(policy: str) -> None:
    """A dead replica gets five calls, a hanging one not many more; without ejection it goes on getting them."""
    for break_ in (down, hanging):
        most = lived("plain", break_).services["db"].replicas[2].arrived
        arrived = lived(policy, break_).services["db"].replicas[2].arrived
        assert arrived < most
    assert lived(policy, down).attempts < lived("plain", down).attempts


def test_a_breaker_spares_a_callee_that_fails() -> None:
    """With two of three calls failing at db, it gets a fraction of the attempts."""
    plain, breaker = (lived(policy, failing) for policy in ("plain", "ratio_breaker"))
    arrived = [sum(replica.arrived for replica in mesh.services["db"].replicas) for mesh in (plain, breaker)]
    assert arrived[1] < arrived[0] / 2


@pytest.mark.parametrize("policy", ["ratio_breaker", "adaptive_throttling"])
def test_a_slow_callee_is_not_drowned(policy: str) -> None:
    """Retries of time-outs triple the load of a slow db; who throttles or breaks sends less than its users ask."""
    plain, careful = lived("plain", slow, seconds=20.0), lived(policy, slow, seconds=20.0)
    arrived = [sum(replica.arrived for replica in mesh.services["db"].replicas) for mesh in (plain, careful)]
    assert arrived[1] < arrived[0] / 2


@pytest.mark.parametrize("policy", POLICIES)
def test_a_world_is_reproducible(policy: str) -> None:
    """Twice the same seed, twice the same world."""
    first, second = lived(policy, slow, seconds=4.0), lived(policy, slow, seconds=4.0)
    assert (first.served, first.failed, first.attempts) == (second.served, second.failed, second.attempts)
