"""The safety rules over the admin API: what is listed, and what people may hold and set aside."""

from typing import Any

import pytest

from controlplane.assembly import Plane
from controlplane.decide.safety import NEVER, RULES
from controlplane.model.config import Config
from controlplane.model.policy import GuardPolicy, ResponsePolicy
from controlplane.model.record import OrderTaken, Record
from controlplane.model.signal import Cause, Target, Tripped
from controlplane.testing import MemoryJournal
from tests.admin.test_app import CONFIG, TOKEN, a_plane, admin, trip

pytestmark = pytest.mark.anyio


async def test_every_rule_is_listed_with_its_limits_and_refusals() -> None:
    """In the order of the table; a refusal is counted where it belongs."""
    async with a_plane() as plane, admin(plane) as client:
        listed = (await client.get("/v1/rules")).json()
        assert [one["name"] for one in listed["rules"]] == [rule.name for rule in RULES]
        assert {one["name"]: one["never"] for one in listed["rules"]} == NEVER
        assert (listed["holds"], listed["overrides"], listed["frozen"]) == ([], [], False)
        await plane.order("hold", by="ana", target=Target("orders", "b"))
        plane.submit_nowait(_tripped(plane))
        await plane.order("resume", by="test")
        listed = (await client.get("/v1/rules")).json()
        assert {one["name"]: one["refused"] for one in listed["rules"] if one["refused"]} == {"human_hold": 1}
        (incident,) = plane.state.incidents
        text = (await client.get("/metrics")).text
        assert 'controlplane_refusals_total{rule="human_hold"} 1' in text
        assert 'controlplane_refusals_total{rule="freeze"} 0' in text
        assert "controlplane_holds 1" in text
        assert (await client.get("/v1/status")).json()["holds"] == 1
        told = (await client.get(f"/v1/incidents/{incident}")).json()
        assert told["refused"] == ["human_hold: ana holds orders/b: no reason given"]
        assert any(line.startswith("Refused by human_hold: ana holds orders/b") for line in told["explanation"])


def _tripped(plane: Plane) -> Tripped:
    target = Target("orders", "b")
    return Tripped(at=plane.clock.now(), target=target, cause=Cause.ERRORS, calls=7, failures=7)


async def test_a_hold_is_on_record_listed_and_released() -> None:
    """Who, why and how long yet; a restart knows it."""
    records: list[tuple[int, Record]] = []
    async with a_plane(records) as plane, admin(plane) as client:
        body = {"target": "orders/b", "for_s": 1800, "reason": "heap dump", "by": "ana"}
        (held,) = (await client.post("/v1/hold", json=body)).json()["holds"]
        assert (held["target"], held["by"], held["reason"]) == ("orders/b", "ana", "heap dump")
        assert 1790 < held["left_s"] <= 1800
        answer = (await client.post("/v1/hold", json={"target": "*"})).json()
        assert [(one["target"], one["left_s"] is None) for one in answer["holds"]] == [("orders/b", False), ("*", True)]
    async with Plane(CONFIG, seed=1, journal=MemoryJournal(records)) as plane, admin(plane) as client:
        assert [one["target"] for one in (await client.get("/v1/rules")).json()["holds"]] == ["orders/b", "*"]
        assert (await client.post("/v1/release", json={"target": "*", "by": "bob"})).json()["holds"][0]["by"] == "ana"
        assert (await client.post("/v1/release", json={"target": "orders/b"})).json()["holds"] == []
    taken = [record for _, record in records if isinstance(record, OrderTaken)]
    assert [(one.order, str(one.target), one.until is None) for one in taken] == [
        ("hold", "orders/b", False),
        ("hold", "None", True),
        ("release", "None", True),
        ("release", "orders/b", True),
    ]


async def test_an_override_lets_one_act_through_and_is_named_with_it() -> None:
    """Frozen, and the rule set aside for one service: the order says which rule it goes against."""
    async with a_plane() as plane, admin(plane) as client:
        await client.post("/v1/freeze", json={"reason": "deploy", "by": "ana"})
        body = {"rule": "freeze", "target": "orders", "for_s": 600, "reason": "b is on fire", "by": "bob"}
        (aside,) = (await client.post("/v1/override", json=body)).json()["overrides"]
        assert (aside["rule"], aside["target"], aside["by"], aside["reason"]) == (
            "freeze", "orders", "bob", "b is on fire",
        )  # fmt: skip
        assert 590 < aside["left_s"] <= 600
        name = await trip(plane)
        told = (await client.get(f"/v1/incidents/{name}")).json()
        assert [order["overrides"] for order in told["commands"]] == ["freeze"]
        (done,) = [line for line in told["explanation"] if line.startswith("Done:")]
        assert "eject orders/b [c1]" in done
        assert "(a person set freeze aside for it)" in done
        answer = await client.post("/v1/revoke", json={"rule": "freeze", "target": "orders", "by": "bob"})
        assert answer.json()["overrides"] == []


@pytest.mark.parametrize(
    ("path", "body", "says"),
    [
        ("/v1/hold", {}, "missing required field `target`"),
        ("/v1/hold", {"target": ""}, "length >= 1"),
        ("/v1/hold", {"target": "nobody"}, "$.target: 'nobody' is not a declared service"),
        ("/v1/hold", {"target": "orders/z"}, "$.target: 'z' is not an endpoint of 'orders'"),
        ("/v1/hold", {"target": "orders", "for_s": -1}, "`float` >= 0"),
        ("/v1/hold", {"target": "orders", "for_s": 1e9}, "`float` <= 2592000"),
        ("/v1/hold", {"target": "orders", "for": "30m"}, "unknown field `for`"),
        (
            "/v1/override",
            {"rule": "freeze", "target": "*", "for_s": 60, "by": "ana"},
            "missing required field `reason`",
        ),
        ("/v1/override", {"rule": "freeze", "target": "*", "for_s": 60, "reason": "x"}, "missing required field `by`"),
        (
            "/v1/override",
            {"rule": "freeze", "target": "*", "reason": "x", "by": "ana"},
            "missing required field `for_s`",
        ),
        (
            "/v1/override",
            {"rule": "freeze", "target": "*", "for_s": 3601, "reason": "x", "by": "ana"},
            "`float` <= 3600",
        ),
        (
            "/v1/override",
            {"rule": "invalid_data", "target": "*", "for_s": 60, "reason": "x", "by": "ana"},
            "$.rule: invalid_data is never set aside: what is not there cannot be acted on",
        ),
        ("/v1/revoke", {"rule": "floor", "target": "*"}, "$.rule: 'floor' is not a safety rule; the rules: freeze"),
    ],
)
async def test_an_order_that_makes_no_sense_changes_nothing(path: str, body: dict[str, Any], says: str) -> None:
    """400 that names the field and what would be right; nothing is on record."""
    async with a_plane() as plane, admin(plane) as client:
        before = plane.statistics().last_number
        refused = await client.post(path, json=body)
        assert refused.status_code == 400
        assert says in refused.json()["detail"]
        assert (plane.state.standing.holds, plane.state.standing.overrides) == ({}, {})
        assert plane.statistics().last_number == before


@pytest.mark.parametrize("path", ["/v1/hold", "/v1/release", "/v1/override", "/v1/revoke"])
async def test_orders_want_the_token(path: str) -> None:
    """As every order does."""
    async with a_plane() as plane, admin(plane) as client:
        assert (await client.post(path, json={}, headers={"authorization": ""})).status_code == 401
        assert (await client.post(path, json={}, headers={"authorization": f"Bearer {TOKEN}x"})).status_code == 401
        assert not plane.state.standing.holds


async def test_what_acts_in_shadow_would_have_done_is_told() -> None:
    """By kind of act, and by guard: who only reports, and how often it would have refused."""
    config = Config(
        plane=CONFIG.plane,
        services=CONFIG.services,
        response=ResponsePolicy(enforcement={"eject": 0}),
        policies={"default": GuardPolicy(enforced_percent=20)},
    )
    async with Plane(config, seed=1, journal=MemoryJournal()) as plane, admin(plane) as client:
        plane.submit_nowait(_tripped(plane))
        await plane.order("resume", by="test")
        report = (await client.get("/v1/shadow")).json()
        kinds = {one["kind"]: one for one in report["kinds"]}
        assert (report["mode"], kinds["eject"]["percent"], kinds["eject"]["orders"]) == ("enforce", 0, 1)
        assert kinds["eject"]["targets"] == ["orders/b"]
        (would,) = kinds["eject"]["latest"]
        assert (would["order"], would["avoids_per_s"]) == ("eject orders/b [c1]", None)
        assert would["ended"].startswith("it goes on (")
        assert "isolate" not in kinds
        assert [(one["service"], one["percent"], one["shadowed"]) for one in report["guards"]] == [
            ("orders", 20, 0),
            ("mail", 20, 0),
        ]
        assert not plane.guard("orders").is_ejected(1)
