"""A third party dies behind its fallback: users see 200, and the plane shows what they do not see."""

from typing import Any

import pytest

from controlplane.cli import main
from tests.integration.process import Served, World, load, wait_for

pytestmark = pytest.mark.integration

BOUND_CALLS = 5 + 8 + 3  # the failures that trip the breaker, those of the clients under way, and probes until we look


def _with_risk(world: World) -> Served:
    """`orders` at the good backend, `risk` at the other one; programs can do without the latter."""
    text = world.write("penalty_s = 0.3\nramp_step_s = 0.2\nverify_s = 0.5").read_text()
    head, _, _ = text.partition("[[services]]")
    world.config.write_text(f"""{head}[[services]]
name = "orders"
endpoints = [{{ name = "orders-1", url = "{world.good.url}" }}]
[[services]]
name = "risk"
external = true
fallback = true
endpoints = [{{ name = "risk-1", url = "{world.bad.url}" }}]
""")
    return world.embed()


def _risk(served: Served) -> dict[str, Any]:
    return next(one for one in served.get("/v1/services")["services"] if one["service"] == "risk")


def test_users_see_200_and_the_plane_shows_both_sides(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """It opens within the detector's bound, is masked, and stays open until the fallback has stopped answering."""
    served, risk = _with_risk(world), world.bad
    with load(served.gateway_url) as statuses:
        wait_for("healthy traffic", lambda: len(statuses) > 100)
        assert _risk(served)["differ"] == ""
        assert served.get("/v1/incidents")["incidents"] == []
        healthy = risk.requests
        risk.failing = True
        incident = wait_for("an incident", lambda: served.get("/v1/incidents")["incidents"])[0]
        assert (incident["origin"].partition("/")[0], incident["masked"]) == ("risk", True)
        assert 5 <= risk.requests - healthy <= BOUND_CALLS
        seen = wait_for("both sides", lambda: (one := _risk(served))["users"] == "fallback" and one)
        assert seen["inside"] in ("held", "failing", "recovering")
        assert (seen["differ"], seen["incident"]) == ("a fallback answers in its place", incident["id"])
        (line,) = (one for one in served.get("/v1/status")["masked"] if one.startswith("risk: "))
        assert line.startswith("risk: users fallback, inside ")
        metrics = served.admin.get("/metrics").text
        assert '\ncontrolplane_service_users_state{service="risk",state="fallback"} 1\n' in metrics
        assert "\ncontrolplane_services_masked 1\n" in metrics
        where = ["--admin", served.admin_url, "--token-file", str(world.folder / "controlplane.token")]
        assert main(["services", *where]) == 1
        assert "a fallback answers in its place" in capsys.readouterr().out

        (world.folder / "distrusted").touch()
        risk.failing = False

        def unfinished() -> Any:
            view = served.get(f"/v1/incidents/{incident['id']}")
            return view["unfinished"].get("fallback") and view

        view = wait_for("an incident that is not over", unfinished)
        assert view["closed"] is None
        assert view["unfinished"]["fallback"] == "a fallback still answers for risk"
        assert _risk(served)["inside"] == "unfinished"
        (world.folder / "distrusted").unlink()

        def closed() -> Any:
            return served.get(f"/v1/incidents/{incident['id']}")["closed"]

        wait_for("the end", closed)
        wait_for("calm", lambda: _risk(served)["differ"] == "")
        assert served.get("/v1/status")["masked"] == []
    assert set(statuses) == {200}
