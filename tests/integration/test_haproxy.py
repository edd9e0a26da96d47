"""The real HAProxy, configured as the how-to page prints it, with `controlplane serve` beside it."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.integration.haproxy import HaproxyWorld, counted
from tests.integration.process import Served, wait_for

pytestmark = [pytest.mark.integration, pytest.mark.alone]

BAD = "orders/orders-2"
SOON = "penalty_s = 3.0\nramp_step_s = 0.3\nverify_s = 0.5\nprobe_interval_s = 0.2"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[HaproxyWorld]:
    """HAProxy in front of three backends; everything that was started is gone afterwards."""
    with ExitStack() as stack:
        world = HaproxyWorld(tmp_path, stack)
        world.start()
        yield world


def wait_held(world: HaproxyWorld, name: str = BAD) -> None:
    """Until no request goes there."""
    wait_for(f"{name} is held", lambda: world.holds().get(name) == 0)


def warm(answers: list[tuple[float, int]], requests: int = 300) -> None:
    """Until there was traffic enough to know what is normal."""
    so_far = len(answers)
    wait_for(f"{requests} requests", lambda: len(answers) > so_far + requests)


@pytest.mark.parametrize("loop", ["uvloop", "trio"])
def test_a_failing_replica_is_taken_out_and_comes_back(world: HaproxyWorld, loop: str) -> None:
    """A handful of users see a 500, then none; well again, it is given back in steps, and the incident closes."""
    world.write(SOON)
    served = world.serve("--loop", loop)
    with world.load() as answers:
        warm(answers)
        world.backends["orders-2"].failing = True
        wait_held(world)
        wait_for("its last answer", lambda: world.status("orders-2") == "DOWN")
        seen = len(answers)
        warm(answers, 200)
        assert counted(answers[seen + 10 :])[500] <= 2  # a probe, where 200 requests take longer than the penalty
        assert counted(answers)[500] <= 12  # the fifth in a row decides; the rest was on its way
        world.backends["orders-2"].failing = False
        wait_for("the incident is closed", lambda: closed(served), 60)
        assert world.holds() == {}
        assert world.status("orders-2") == "UP"
        before = world.backends["orders-2"].requests
        warm(answers, 200)
        assert world.backends["orders-2"].requests > before


def closed(served: Served) -> bool:
    incidents = served.get("/v1/incidents?state=all")["incidents"]
    return bool(incidents) and all(one["closed"] for one in incidents)


def test_a_slow_replica_is_taken_out(world: HaproxyWorld) -> None:
    """Without a single error: answers that come much later than the others' are enough."""
    world.serve()
    with world.load() as answers:
        warm(answers, 3_000)
        world.backends["orders-2"].delay_s = 0.4
        wait_held(world)
        assert set(counted(answers)) == {200}


def test_a_hanging_replica_is_taken_out(world: HaproxyWorld) -> None:
    """It answers nothing, so nothing is logged: what it owes is counted, long before HAProxy gives up."""
    world.serve()
    with world.load(clients=12) as answers:
        warm(answers, 3_000)
        world.backends["orders-2"].released.clear()
        try:
            wait_held(world)
            assert set(counted(answers)) == {200}
        finally:
            world.backends["orders-2"].released.set()


def test_a_dead_replica_is_taken_out(world: HaproxyWorld) -> None:
    """Its connections are refused and tried elsewhere, so that no user and no log line tells of it; counters do."""
    served = world.serve()
    with world.load() as answers:
        for backend in world.backends.values():
            backend.keeps = False  # else those that are connected go on
        warm(answers)
        world.backends["orders-2"].close()
        opened = wait_for("an incident", lambda: served.get("/v1/incidents")["incidents"])
        assert opened[0]["origin"] == BAD
        assert len(answers) - counted(answers)[200] <= 3  # were with it when it died


def test_a_persons_word_stands(world: HaproxyWorld) -> None:
    """A server in maintenance stays there through an incident, and the last one that is left is never taken out."""
    world.write("lease_s = 3.0")
    world.ask("set server orders/orders-1 state maint")
    served = world.serve()
    with world.load() as answers:
        warm(answers)
        world.backends["orders-2"].failing = True
        wait_held(world)
        world.ask("set server orders/orders-2 state drain")  # while it is held
        world.backends["orders-3"].failing = True
        wait_for("it was refused", lambda: "healthy_floor" in str(served.get("/v1/commands")) + refusals(served))
        assert world.holds() == {BAD: 0}
        assert world.status("orders-3") == "UP"
        person = served.get("/v1/proxies")["proxies"][0]["person"]
        assert person == {"orders/orders-1": "MAINT"}
    served.kill()
    wait_for("nothing is held any more", lambda: not world.holds())
    assert world.status("orders-1") == "MAINT"
    assert world.status("orders-2").startswith("DRAIN")


def refusals(served: Served) -> str:
    return "".join(
        served.admin.get(f"/v1/incidents/{one['id']}").text for one in served.get("/v1/incidents")["incidents"]
    )


def test_what_was_ordered_ends_when_the_control_plane_dies(world: HaproxyWorld) -> None:
    """Killed in the middle of an incident, it leaves HAProxy serving, and nothing held beyond the lease."""
    world.write("lease_s = 3.0")
    served = world.serve()
    with world.load() as answers:
        warm(answers)
        world.backends["orders-2"].failing = True
        wait_held(world)
        served.kill()
        killed = time.monotonic()
        world.backends["orders-2"].failing = False
        seen = len(answers)
        wait_for("the hold has ended", lambda: not world.holds())
        assert 0.5 < time.monotonic() - killed < 5.0
        wait_for("it is up", lambda: world.status("orders-2") == "UP")
        warm(answers, 100)
        assert set(counted(answers[seen + 10 :])) == {200}


def test_a_reload_does_not_let_it_back(world: HaproxyWorld) -> None:
    """A new worker knows no orders; within a second it does."""
    served = world.serve()
    with world.load() as answers:
        warm(answers)
        world.backends["orders-2"].failing = True
        wait_held(world)
        before = world.ask("show info").split("Pid: ")[1].split("\n")[0]
        world.reload()
        wait_for("another worker", lambda: world.ask("show info").split("Pid: ")[1].split("\n")[0] != before)
        reloaded = time.monotonic()
        wait_held(world)
        assert time.monotonic() - reloaded < 1.0
        proxy = served.get("/v1/proxies")["proxies"][0]
        assert (proxy["condition"], proxy["restarts"]) == ("in force", 1)


def test_a_restart_of_the_control_plane_does_not_flap(world: HaproxyWorld) -> None:
    """Killed and started again, it finds what it had ordered in force, and no request reaches the bad replica."""
    world.write("penalty_s = 120.0")  # no probe meanwhile, however busy the machine is
    served = world.serve()
    with world.load() as answers:
        warm(answers)
        world.backends["orders-2"].failing = True
        wait_held(world)
        wait_for("its last answer", lambda: world.status("orders-2") == "DOWN")
        seen = len(answers)
        warm(answers, 20)
        requests = world.backends["orders-2"].requests
        served.kill()
        again = world.serve()
        wait_for("it is in force again", lambda: again.get("/v1/proxies")["proxies"][0]["converged"]["count"] > 0)
        assert world.holds() == {BAD: 0}
        assert world.backends["orders-2"].requests == requests
        assert set(counted(answers[seen + 10 :])) == {200}


def test_a_proxy_that_is_away_is_shown_and_gets_its_orders_when_it_is_back(world: HaproxyWorld) -> None:
    """HAProxy dies in an incident and starts again: it is told what is in force."""
    served = world.serve()
    with world.load() as answers:
        warm(answers)
        world.backends["orders-2"].failing = True
        wait_held(world)
        world.stop()
        gone = wait_for("it is shown", lambda: condition(served) == "unreachable")
        assert gone
        assert "out of reach" in " ".join(served.lines)
        world.start()
        wait_held(world)
    assert os.path.exists(world.socket)  # noqa: PTH110 - a socket is no file
    served.send(signal.SIGTERM)
    assert served.wait_exit() == 0


def condition(served: Served) -> str:
    return str(served.get("/v1/proxies")["proxies"][0]["condition"])
