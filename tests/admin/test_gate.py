"""The gate over HTTP, asked as Flagger and Argo Rollouts ask."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import httpx
import pytest

from controlplane.admin import create_app
from controlplane.assembly import Plane
from controlplane.config import parse_config
from controlplane.model.signal import Cause, Target, Tripped

pytestmark = pytest.mark.anyio

ADMIN, OWN = "an-admin-token-of-length", "a-gate-token-of-length"
FLAGGER = {"name": "cart", "namespace": "shop", "phase": "Progressing", "checksum": "85d5", "metadata": {"team": "a"}}


def config_of(tmp_path: Path, *, share: int = 100) -> str:
    token = tmp_path / "gate.token"
    token.write_text(f"{OWN}\n")
    token.chmod(0o600)
    endpoints = "".join(
        f'    {{ name = "c{at}", url = "http://127.0.0.1:{at}", version = "{version}" }},\n'
        for at, version in enumerate(["v1", "v1", "v1", "v2"], 1)
    )
    return f"""
[plane]
name = "gateway"
[response]
enforcement = {{ roll_back = {share} }}
penalty_s = 60
[deployers.flagger]
kind = "gate"
token_file = "{token}"
[[services]]
name = "cart"
deployer = "flagger"
endpoints = [
{endpoints}]
[[services]]
name = "stock"
endpoints = [{{ name = "s1", url = "http://127.0.0.1:9" }}]
"""


@asynccontextmanager
async def asking(plane: Plane) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=create_app(plane, token=ADMIN))
    headers = {"authorization": f"Bearer {OWN}"}
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost", headers=headers) as client:
        yield client


async def wait_withdrawn(plane: Plane) -> None:
    with anyio.fail_after(30):
        while "cart" not in plane.state.withdrawn:
            await anyio.sleep(0.01)  # real time: the engine looks again a second after the verdict


def fail(plane: Plane) -> None:
    plane.submit_nowait(
        Tripped(at=plane.clock.now(), target=Target("cart", "c4"), cause=Cause.ERRORS, calls=5, failures=5)
    )


async def test_a_rollout_goes_on_is_halted_and_is_rolled_back(tmp_path: Path) -> None:
    """All three answers in their order, and the gate that has told the deployer has rolled back."""
    async with Plane(parse_config(config_of(tmp_path)), seed=1) as plane, asking(plane) as client:
        answer = await client.post("/v1/gates/cart", json=FLAGGER)
        assert (answer.status_code, answer.json()["answer"]) == (200, "go")
        assert (await client.post("/v1/gates/cart?ask=rollback", json=FLAGGER)).status_code == 403
        fail(plane)
        await wait_withdrawn(plane)
        halted = await client.get("/v1/gates/cart")
        assert (halted.status_code, halted.json()["answer"]) == (403, "halt, roll back")
        assert "version v2 was withdrawn by i1" in halted.json()["reasons"]
        assert (await client.post("/v1/gates/cart?ask=rollback", json=FLAGGER)).status_code == 200
        verdict = await client.get("/v1/gates/cart?ask=verdict")
        assert (verdict.status_code, verdict.json()["go"], verdict.json()["roll_back"]) == (200, False, True)
        with anyio.fail_after(30):
            while plane.state.withdrawn["cart"].ok is None:
                await anyio.sleep(0.01)  # real time: the end of the roll-back comes back as a signal
        assert plane.state.withdrawn["cart"].ok


async def test_another_version_is_told_apart(tmp_path: Path) -> None:
    """In the query or in Flagger's metadata: the open incident halts it, and nothing tells it to go back."""
    async with Plane(parse_config(config_of(tmp_path)), seed=1) as plane, asking(plane) as client:
        fail(plane)
        await wait_withdrawn(plane)
        assert (await client.get("/v1/gates/cart?version=v3&ask=rollback")).status_code == 403
        named = FLAGGER | {"metadata": {"version": "v3"}}
        assert (await client.post("/v1/gates/cart?ask=rollback", json=named)).status_code == 403
        same = FLAGGER | {"metadata": {"version": "v2"}}
        assert (await client.post("/v1/gates/cart?ask=rollback", json=same)).status_code == 200


async def test_in_shadow_everything_goes_on(tmp_path: Path) -> None:
    """The reasons say what it would have been."""
    async with Plane(parse_config(config_of(tmp_path, share=0)), seed=1) as plane, asking(plane) as client:
        fail(plane)
        with anyio.fail_after(30):
            while not plane.state.open_incidents():
                await anyio.sleep(0.01)  # real time: the verdict is taken in by the loop
        answer = await client.get("/v1/gates/cart")
        assert answer.status_code == 200
        assert answer.json()["reasons"] == ["it would halt: i1 is open: cart/c4 errors"]


async def test_a_gates_own_token_opens_that_gate_and_nothing_else(tmp_path: Path) -> None:
    """As a bearer, or in the URL as Basic, since Flagger's webhooks carry no headers of ours."""
    plane = Plane(parse_config(config_of(tmp_path)), seed=1)
    async with asking(plane) as client:
        assert (await client.get("/v1/gates/cart")).status_code == 200
        for path in ("/v1/gates/stock", "/v1/status", "/v1/incidents"):
            assert (await client.get(path)).status_code == 401
        basic = httpx.BasicAuth("gate", OWN)
        assert (await client.get("/v1/gates/cart", auth=basic)).status_code == 200
        for wrong in (httpx.BasicAuth("gate", "guess-of-some-length"), httpx.BasicAuth(OWN, "")):
            assert (await client.get("/v1/gates/cart", auth=wrong)).status_code == 401
        ours = {"authorization": f"Bearer {ADMIN}"}
        assert (await client.get("/v1/gates/stock", headers=ours)).status_code == 200
        broken = {"authorization": "Basic !!"}
        assert (await client.get("/v1/gates/cart", headers=broken)).status_code == 401


async def test_questions_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    """A stranger, another question; a body that is none is no version, and no error."""
    plane = Plane(parse_config(config_of(tmp_path)), seed=1)
    transport = httpx.ASGITransport(app=create_app(plane, token=None))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        assert (await client.get("/v1/gates/nobody")).status_code == 404
        assert (await client.get("/v1/gates/cart?ask=why")).status_code == 400
        assert (await client.post("/v1/gates/cart", content=b"\xff{")).status_code == 200
        assert (await client.post("/v1/gates/cart", content=b"x" * 70_000)).status_code == 413


async def test_what_is_withdrawn_shows_in_the_topology(tmp_path: Path) -> None:
    """Until somebody releases it: whoever wonders why a version gets so little looks there."""
    async with Plane(parse_config(config_of(tmp_path)), seed=1) as plane, asking(plane) as client:
        fail(plane)
        await wait_withdrawn(plane)
        answer = await client.get("/v1/topology", headers={"authorization": f"Bearer {ADMIN}"})
        withdrawn = {service["name"]: service["withdrawn"] for service in answer.json()["services"]}
        assert withdrawn["cart"] == "v2"
        assert withdrawn["stock"] is None
