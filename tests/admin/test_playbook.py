"""Playbooks over the admin API: asked as often as one likes, nothing is done."""

from pathlib import Path

import anyio
import msgspec
import pytest

from controlplane.admin import create_app
from controlplane.assembly import Plane
from controlplane.config import load_config
from tests.admin.test_app import TOKEN, admin

pytestmark = pytest.mark.anyio
CONFIG_TESTS = Path(__file__).parents[1] / "config"


@pytest.fixture
def plane(tmp_path: Path) -> Plane:
    """A plane of the shop of the configuration tests."""
    parts = [(CONFIG_TESTS / name).read_text() for name in ("shop.toml", "good.toml")]
    (tmp_path / "controlplane.toml").write_text("\n".join(parts))
    return Plane(load_config(tmp_path / "controlplane.toml"), seed=1)


async def test_what_would_be_done_is_told_and_not_done(plane: Plane) -> None:
    """By which playbook, what would be refused, who would be told; the state is the same byte for byte."""
    async with plane, admin(plane) as client:
        before = msgspec.msgpack.encode(plane.state)
        answer = await client.post("/v1/plan", json={"what_if": "orders fails in b"})
        assert answer.status_code == 200
        told = answer.json()
        assert told["playbooks"][0]["name"] == "zone-b-out"
        assert {one["by"] for one in told["orders"]} >= {"the first act", "playbook zone-b-out"}
        assert told["told"]
        assert msgspec.msgpack.encode(plane.state) == before
        assert plane.state.incidents == {}


async def test_many_questions_at_a_time_are_all_answered_alike(plane: Plane) -> None:
    """One after the other, beside the loop, which goes on."""
    async with plane, admin(plane) as client:
        answers = []

        async def ask() -> None:
            answers.append((await client.post("/v1/plan", json={"what_if": "orders orders-1 fails"})).json()["orders"])

        async with anyio.create_task_group() as tasks:
            for _ in range(6):
                tasks.start_soon(ask)
        assert len(answers) == 6
        assert all([one["what"] for one in each] == [one["what"] for one in answers[0]] for each in answers)


@pytest.mark.parametrize(
    ("body", "status", "detail"),
    [
        ({"what_if": "nobody fails"}, 400, "not a declared service"),
        ({"what_if": "x" * 10_000}, 400, "longer than"),
        ({"what_if": 3}, 400, "what_if"),
        ({"what": "orders fails"}, 400, "what"),
        ([], 400, "body"),
    ],
)
async def test_what_is_no_question_is_refused_in_words(plane: Plane, body: object, status: int, detail: str) -> None:
    """A problem that names what is wrong."""
    async with plane, admin(plane) as client:
        answer = await client.post("/v1/plan", json=body)
        assert answer.status_code == status
        assert detail in answer.json()["detail"]


async def test_a_drill_against_the_running_engine_orders_nothing(plane: Plane) -> None:
    """It passes for what would be done; one of a name that is not there is a 404 that lists the names."""
    async with plane, admin(plane) as client:
        answer = (await client.post("/v1/drill", json={"playbook": "zone-b-out"})).json()
        assert answer["failed"] == []
        assert answer["how"] == "live"
        assert plane.state.commands_total == 0
        refused = await client.post("/v1/drill", json={"playbook": "none"})
        assert refused.status_code == 404
        assert "zone-b-out" in refused.json()["detail"]


async def test_how_each_playbook_stands_is_listed(plane: Plane) -> None:
    """Never rehearsed, and why one cannot be relied on."""
    async with plane, admin(plane) as client:
        listed = (await client.get("/v1/playbooks")).json()["playbooks"]
        assert [one["name"] for one in listed] == ["zone-b-out", "bad-release", "payments-down"]
        assert {one["rehearsed"] for one in listed} == {"never"}
        assert {tuple(one["unreliable"]) for one in listed} == {()}


async def test_without_the_loop_no_question_is_answered(plane: Plane) -> None:
    """A process that does not steer knows no state to ask."""
    app = create_app(plane, token=TOKEN)
    async with admin(plane, app) as client:
        assert (await client.post("/v1/plan", json={"what_if": "orders fails"})).status_code == 503
        assert (await client.post("/v1/drill", json={"playbook": "zone-b-out"})).status_code == 503
