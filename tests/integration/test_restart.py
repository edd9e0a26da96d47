"""kill -9 in the middle of an incident: nothing is forgotten, and nothing lasts longer than it was meant to."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.integration.process import Served, World, load, wait_for

pytestmark = [pytest.mark.integration, pytest.mark.alone]  # it starts again within the penalty


def contained(served: Served, world: World) -> tuple[str, dict[str, Any]]:
    """Break a backend under load until it is ejected; its incident and the order in force."""
    world.bad.failing = True
    with load(served.gateway_url):
        orders = wait_for("an order in force", lambda: served.get("/v1/commands")["commands"])
        incident = wait_for("an open incident", lambda: served.get("/v1/incidents?state=open")["incidents"])[0]
    assert orders[0]["target"] == "orders/bad"
    assert incident["origin"] == "orders/bad"
    return incident["id"], orders[0]


@pytest.mark.parametrize("start", [World.serve, World.embed], ids=["standalone", "embedding gateway"])
def test_an_incident_outlives_kill_9(world: World, start: Callable[[World], Served]) -> None:
    """After the restart the same incident is open, its order acts, no lease grew; and it recovers by itself."""
    world.write(
        "penalty_s = 4\nlease_s = 10\nramp_percent = [50]\nramp_step_s = 0.3\nramp_calls_min = 2\nverify_s = 0.5"
    )
    first = start(world)
    incident, order = contained(first, world)
    first.kill()

    second = start(world)
    shown = second.get(f"/v1/incidents/{incident}")
    assert shown["phase"] != "closed"
    assert second.get("/v1/status")["epoch"] == 2
    renewed = second.get("/v1/commands")["commands"]
    assert [(one["id"], one["target"], one["intent"]) for one in renewed] == [
        (order["id"], order["target"], order["intent"])
    ]
    assert 0 < renewed[0]["lease_remaining_s"] <= order["lease_remaining_s"]

    before = world.bad.requests
    statuses = [second.gateway.get("/orders/1").status_code for _ in range(40)]
    held = second.get(f"/v1/incidents/{incident}")["internal"]["containments"][0]
    if (held["stage"], held["relapses"]) == ("hold", 0):  # else it was probed meanwhile: the machine is slow
        assert (statuses, world.bad.requests) == ([200] * 40, before)

    world.bad.failing = False
    with load(second.gateway_url, clients=4):
        wait_for(
            "the incident is closed",
            lambda: second.get(f"/v1/incidents/{incident}")["phase"] == "closed",
            deadline_s=40,
        )
    assert world.bad.requests > before
    assert second.get("/v1/commands")["commands"] == []


def test_a_lease_that_ran_out_while_nobody_was_there_is_gone(world: World) -> None:
    """No order is eternal: what lapsed between kill and restart is not put in force again; the incident is open yet."""
    world.write("lease_s = 1\npenalty_s = 60")
    first = world.serve()
    incident, order = contained(first, world)
    first.kill()
    left_s = order["lease_remaining_s"] + 0.1
    time.sleep(left_s)  # real time: a lease runs out by the clock, and nobody is there to be asked

    second = world.serve()
    assert second.get(f"/v1/incidents/{incident}")["phase"] != "closed"
    assert all(one["id"] != order["id"] or one["intent"] != "eject" for one in second.get("/v1/commands")["commands"])
    timeline = [line["what"] for line in second.get(f"/v1/incidents/{incident}")["timeline"]]
    assert any("lease ran out" in line for line in timeline)


def test_a_freeze_outlives_kill_9(world: World) -> None:
    """A person's order is on record before it is acknowledged."""
    first = world.serve()
    assert first.admin.post("/v1/freeze", json={"reason": "deploy", "by": "ana"}).status_code == 200
    first.kill()
    status = world.serve().get("/v1/status")
    assert (status["frozen"], status["frozen_reason"]) == (True, "deploy")


def test_the_mode_last_ordered_outlives_kill_9(world: World) -> None:
    """Observe means observe, also after a restart, whatever the file says."""
    first = world.serve()
    assert first.admin.post("/v1/mode", json={"mode": "observe"}).json()["mode"] == "observe"
    first.kill()
    second = world.serve()
    assert second.get("/v1/status")["mode"] == "observe"
    world.bad.failing = True
    with load(second.gateway_url):
        incident = wait_for("an incident", lambda: second.get("/v1/incidents")["incidents"])[0]
        before = world.bad.requests
        wait_for("traffic to the bad backend goes on", lambda: world.bad.requests > before + 50)
    assert incident["shadow"]
    assert second.get("/v1/commands")["commands"] == []
