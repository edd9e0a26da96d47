"""Changes and fingerprints over HTTP: JSON and CloudEvents in, bounded and validated, the same twice is one."""

from typing import Any

import anyio
import httpx
import pytest

from controlplane.assembly import Plane
from controlplane.testing import MemoryJournal
from tests.admin.test_app import CONFIG, admin

pytestmark = pytest.mark.anyio

SERVICE = CONFIG.services[0].name
ENDPOINT = CONFIG.services[0].endpoints[0].name
EVENT = {"specversion": "1.0", "id": "814", "source": "/ci/orders", "type": "com.example.deployed"}


async def until_known(client: httpx.AsyncClient, count: int) -> list[dict[str, Any]]:
    with anyio.fail_after(10):
        while True:
            known: list[dict[str, Any]] = (await client.get("/v1/changes")).json()["changes"]
            if len(known) >= count:
                return known
            await anyio.sleep(0.005)  # real time: the loop takes it in


async def post(
    client: httpx.AsyncClient, content: str, kind: str = "application/json", **headers: str
) -> httpx.Response:
    return await client.post("/v1/changes", content=content, headers={"content-type": kind} | headers)


async def test_one_curl_tells_of_a_deploy_and_the_same_twice_is_one() -> None:
    """The id tells changes apart; who, what and when are shown."""
    async with Plane(CONFIG, seed=1, journal=MemoryJournal([])) as plane, admin(plane) as client:
        told = {"id": "d1", "service": SERVICE, "version": "v2", "by": "alice"}
        first = await client.post("/v1/changes", json=told)
        assert (first.status_code, first.json()) == (202, {"accepted": 1, "known": 0, "ids": ["d1"]})
        (known,) = await until_known(client, 1)
        assert (known["service"], known["version"], known["by"], known["kind"]) == (SERVICE, "v2", "alice", "deploy")
        again = await client.post("/v1/changes", json=told)
        assert again.json()["known"] == 1
        await client.post("/v1/changes", json={"id": "d2", "service": SERVICE, "kind": "config"})
        assert len(await until_known(client, 2)) == 2


async def test_cloud_events_in_all_three_modes() -> None:
    """Structured, binary and batch: known by source and id, of the service that the subject names."""
    async with Plane(CONFIG, seed=1, journal=MemoryJournal([])) as plane, admin(plane) as client:
        data = f'{{"service":"{SERVICE}","version":"v2"}}'
        structured = (
            '{"specversion":"1.0","id":"1","source":"/ci","type":"t","datacontenttype":"application/json",'
            f'"someextension":"x","data":{data}}}'
        )
        batch = (
            f'[{{"specversion":"1.0","id":"2","source":"/ci","type":"t","subject":"{SERVICE}",'
            '"data":{"version":"v2"}}]'
        )
        binary = {f"ce-{name}": value for name, value in EVENT.items()}
        for answer in (
            await post(client, structured, "application/cloudevents+json; charset=utf-8"),
            await post(client, batch, "application/cloudevents-batch+json"),
            await post(client, data, **binary),
            await post(client, data, **binary),
        ):
            assert answer.status_code == 202, answer.text
        known = await until_known(client, 3)
        assert {one["id"] for one in known} == {"/ci 1", "/ci 2", "/ci/orders 814"}


@pytest.mark.parametrize(
    ("content", "kind", "status", "named"),
    [
        ('{"service":"nobody","version":"v2"}', "application/json", 400, "'nobody' is not a declared service"),
        (f'{{"service":"{SERVICE}"}}', "application/json", 400, "a deploy brings a version"),
        (f'{{"service":"{SERVICE}","version":"v2","endpoints":["x"]}}', "application/json", 400, "'x' is not"),
        (f'{{"service":"{SERVICE}","version":"v2","at":"2001-01-01T00:00:00Z"}}', "application/json", 400, "last day"),
        (f'{{"service":"{SERVICE}","version":"v2","at":"2001-01-01T00:00:00"}}', "application/json", 400, "time zone"),
        (f'{{"service":"{SERVICE}","version":"{"v" * 201}"}}', "application/json", 400, "version"),
        (f'{{"service":"{SERVICE}","version":"v2","color":"red"}}', "application/json", 400, "color"),
        ("[" * 5000, "application/json", 400, "body is not right"),
        ("[]", "application/json", 400, "0 changes"),
        ("not json", "application/json", 400, "body is not right"),
        ("service=orders", "application/x-www-form-urlencoded", 415, "application/cloudevents+json"),
        ('{"specversion":"0.3","id":"1","source":"/","type":"t"}', "application/cloudevents+json", 400, "0.3"),
        ('{"specversion":"1.0","id":"1","source":"/","type":"t"}', "application/cloudevents+json", 400, "service"),
        ('{"specversion":"1.0","id":"1","type":"t"}', "application/cloudevents+json", 400, "source"),
    ],
)
async def test_what_is_wrong_is_named_and_nothing_is_taken(content: str, kind: str, status: int, named: str) -> None:
    """The answer says which field, and what would be right."""
    async with Plane(CONFIG, seed=1, journal=MemoryJournal([])) as plane, admin(plane) as client:
        answer = await post(client, content, kind)
        assert answer.status_code == status, answer.text
        assert named in answer.json()["detail"]
        assert (await client.get("/v1/changes")).json() == {"changes": []}


async def test_too_many_and_too_large_are_refused() -> None:
    """201 changes, and more than a megabyte."""
    async with Plane(CONFIG, seed=1, journal=MemoryJournal([])) as plane, admin(plane) as client:
        many = [{"service": SERVICE, "version": "v2"}] * 201
        assert (await client.post("/v1/changes", json=many)).status_code == 400
        assert (await post(client, " " * (1 << 20) + "{}")).status_code == 413


async def test_a_fingerprint_that_differs_from_the_declared_one_is_shown_once_it_has_stood() -> None:
    """Taken in, compared, and listed; names that nobody declared are refused."""
    async with Plane(CONFIG, seed=1, journal=MemoryJournal([])) as plane, admin(plane) as client:
        told = {"service": SERVICE, "endpoint": ENDPOINT, "fingerprint": "a1", "parts": {"flag": "on"}}
        assert (await client.post("/v1/fingerprints", json=[told])).status_code == 202
        with anyio.fail_after(10):
            while (await client.get("/v1/drift")).json()["fingerprints"] != 1:
                await anyio.sleep(0.005)  # real time: the loop takes it in
        assert (await client.get("/v1/drift")).json()["drifted"] == []
        assert (await client.get("/v1/status")).json()["drifted"] == []
        wrong = await client.post("/v1/fingerprints", json=[told | {"endpoint": "nobody"}])
        assert wrong.status_code == 400
        assert ENDPOINT in wrong.json()["detail"]
        assert (await client.post("/v1/fingerprints", json=[told | {"fingerprint": ""}])).status_code == 400
