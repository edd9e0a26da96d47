"""Four uvicorn workers and `controlplane serve` on one host: one breaker, one limit, one control plane; and deaths."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from controlplane.adapters.gateway.host import TEND_EVERY_S
from tests.integration.host import Host, Worker
from tests.integration.process import Backend, load, wait_for

pytestmark = [pytest.mark.integration, pytest.mark.alone]

EFFECTIVE_NS = 50_000_000  # one trip on a machine that is shared; bench/host_trip.py measures p99 of many
LIMIT = 6
GIVEN_BACK_S = TEND_EVERY_S + 2.0  # the second number: a machine that is shared


class World:
    """A host of four workers, two backends of `orders`, and two services that always fail or always answer."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.good, self.bad, self.sick = (self._backend(stack) for _ in range(3))
        self.sick.failing = True
        self.host = Host(
            folder,
            stack,
            f"""
[response]
lease_s = 60
penalty_s = 60
[policies.default]
redrive = false
[policies.trips]
redrive = false
endpoint_consecutive = 0
endpoint_evidence = 0
breaker_consecutive = 3
open_s = 60
[policies.limited]
concurrency_max = {LIMIT}
[[services]]
name = "orders"
endpoints = [{{ name = "good", url = "{self.good.url}" }}, {{ name = "bad", url = "{self.bad.url}" }}]
[[services]]
name = "sick"
policy = "trips"
endpoints = [{{ name = "a", url = "{self.sick.url}" }}]
[[services]]
name = "other"
policy = "trips"
endpoints = [{{ name = "a", url = "{self.sick.url}" }}]
[[services]]
name = "limited"
policy = "limited"
endpoints = [{{ name = "a", url = "{self.good.url}" }}]
""",
            arena=folder / "arena",
        )

    def _backend(self, stack: ExitStack) -> Backend:
        backend = Backend()
        stack.callback(backend.close)
        return backend

    def trip(self, service: str) -> None:
        """Have one worker fail until the breaker opens: from then on nobody calls."""
        one, *others = self.host.workers
        for worker in others:
            worker.begin("watch", service=service, for_s=10)
        tripped = one.ask("get", service=service, count=4)
        assert tripped["statuses"] == [500, 500, 500, 0]
        for worker in others:
            seen = worker.end()
            assert seen["part"] == "open"
            assert seen["admitted_ns"] - tripped["now_ns"] < EFFECTIVE_NS
            assert worker.ask("get", service=service, count=1)["statuses"] == [0]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Everything that was started is gone afterwards."""
    with ExitStack() as stack:
        yield World(tmp_path, stack)


def granted(workers: list[Worker] | tuple[Worker, ...], count: int) -> int:
    """How many calls the workers may begin together, if each tries `count`. They are ended again."""
    held = sum(worker.ask("hold", service="limited", count=count)["held"] for worker in workers)
    for worker in workers:
        worker.ask("release")
    return held


def test_a_trip_in_one_worker_is_a_trip_in_all(world: World) -> None:
    """Nobody calls any more, and the control plane beside them has an incident about it."""
    served = world.host.serve()
    with load(world.host.gateway.url, clients=4) as statuses:
        world.trip("sick")
        wait_for("load", lambda: len(statuses) > 20)
    incident = wait_for("an incident", lambda: served.get("/v1/incidents?state=open")["incidents"])[0]
    assert incident["origin"] == "sick"
    assert set(statuses) == {200}
    members = world.host.workers[0].state("sick")["members"]
    assert {one["pid"] for one in members} == {served.pid, *(worker.pid for worker in world.host.workers)}
    assert [one["pid"] for one in members if one["role"] == "steers"] == [served.pid]


def test_without_the_control_plane_they_go_on_sharing(world: World) -> None:
    """kill -9 of `serve`: limits and breakers are the host's as before; the next `serve` takes over."""
    served = world.host.serve()
    world.trip("sick")
    served.kill()
    world.trip("other")
    assert granted(world.host.workers, LIMIT) == LIMIT
    assert all(worker.state("sick")["open"] for worker in world.host.workers)
    again = world.host.serve()
    wait_for("the incident goes on", lambda: again.get("/v1/incidents?state=open")["incidents"])
    assert all(worker.state("other")["open"] for worker in world.host.workers)


def test_orders_of_the_control_plane_act_in_every_worker(world: World) -> None:
    """What the workers see makes `serve` eject an endpoint for the time of its lease, in all of them."""
    served = world.host.serve()
    world.bad.failing = True
    with load(world.host.gateway.url, clients=4):
        orders = wait_for("an order in force", lambda: served.get("/v1/commands")["commands"])
        assert orders[0]["target"] == "orders/bad"
        for worker in world.host.workers:
            wait_for("it is ejected by order", lambda worker=worker: by_order(worker, "orders", 1))
    assert served.admin.post("/v1/mode", json={"mode": "observe"}).status_code == 200
    assert [worker.state("orders")["policy"]["enforced"] for worker in world.host.workers] == [0] * 4
    assert served.admin.post("/v1/mode", json={"mode": "enforce"}).status_code == 200
    assert [worker.state("orders")["policy"]["enforced"] for worker in world.host.workers] == [1] * 4


def by_order(worker: Worker, service: str, endpoint: int) -> bool:
    """Whether the endpoint is out for longer than a reflex would have it."""
    seen = worker.state(service)
    return bool(seen["endpoints"][endpoint]["until_ns"] - seen["now_ns"] > 10_000_000_000)


def test_what_a_killed_worker_held_is_given_back(world: World) -> None:
    """A limit of six is six again soon after kill -9 of one that held four, and with its successor there, too."""
    victim, *others = world.host.workers
    assert victim.ask("hold", service="limited", count=LIMIT - 2) == {"held": LIMIT - 2}
    assert granted(others, LIMIT) == 2
    victim.kill()
    killed = time.monotonic()
    wait_for("the limit is whole", lambda: granted(others, LIMIT) == LIMIT)
    assert time.monotonic() - killed < GIVEN_BACK_S
    world.host.gateway.refresh()
    assert len(world.host.workers) == 4
    assert granted(world.host.workers, LIMIT) == LIMIT
