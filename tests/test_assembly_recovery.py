"""Consistency probes of a whole plane: an incident about a service waits for the user's own answer."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest
from anyio.abc import SocketStream

from controlplane.assembly import Plane
from controlplane.config import parse_config
from controlplane.model.record import ConditionChanged, IncidentClosed, Record
from controlplane.model.signal import Relayed

pytestmark = pytest.mark.anyio

SHOP = """
[plane]
name = "shop"
[response]
verify_s = 0.2
probe_interval_s = 0.05
[[services]]
name = "orders"
{path}
endpoints = [{{ name = "a", url = "http://127.0.0.1:{port}" }}]
"""


async def seen_of_incident(plane: Plane) -> list[Record]:
    """Conditions and closing of the one incident that is opened here: failures relayed, and then no more."""
    seen: list[Record] = []
    with anyio.fail_after(20):
        async with plane, plane.follow() as records:
            plane.submit_nowait(Relayed(at=plane.clock.now(), caller="shop", callee="orders", count=5))
            async for _, record in records:
                if isinstance(record, ConditionChanged | IncidentClosed):
                    seen.append(record)
                if isinstance(record, IncidentClosed):
                    break
    return seen


async def test_an_incident_waits_for_the_function_that_was_registered() -> None:
    """It is asked until it no longer raises; why it did is on record."""
    answers = [*[ValueError("3 orders are missing")] * 8, None]  # four times a second, for longer than it is quiet

    async def complete() -> None:
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if answer is not None:
            raise answer

    plane = Plane(parse_config(SHOP.format(path="", port=1)))
    plane.consistency_probe("orders", complete)
    with pytest.raises(KeyError, match="declared: shop, orders"):
        plane.consistency_probe("nobody", complete)
    seen = await seen_of_incident(plane)
    assert answers == [None]
    assert isinstance(seen[-1], IncidentClosed)
    changes = [(record.what, record.well) for record in seen if isinstance(record, ConditionChanged)]
    assert changes == [("consistency", False), ("consistency", True)]
    assert "orders" in next(record.reason for record in seen if isinstance(record, ConditionChanged))


@asynccontextmanager
async def backend(statuses: list[int], paths: list[str]) -> AsyncIterator[int]:
    """A server on loopback that answers with each of `statuses` in turn, and with the last one from then on."""

    async def serve(stream: SocketStream) -> None:
        async with stream:
            head = await stream.receive()
            paths.append(head.split(b" ")[1].decode())
            status = statuses.pop(0) if len(statuses) > 1 else statuses[0]
            await stream.send(b"HTTP/1.1 %d X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n" % status)

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, serve)
        yield listener.extra(anyio.abc.SocketAttribute.local_port)
        tasks.cancel_scope.cancel()
    await listener.aclose()


async def test_an_incident_waits_for_the_path_of_the_configuration() -> None:
    """The service is asked through its guard; 409 is not well, 200 is."""
    paths: list[str] = []
    async with backend([*[409] * 8, 200], paths) as port:
        path = 'consistency_path = "/consistency"'
        plane = Plane(parse_config(SHOP.format(path=path, port=port)))
        seen = await seen_of_incident(plane)
        asked = plane.guard("orders").describe()["calls"]
    assert isinstance(seen[-1], IncidentClosed)
    assert set(paths) == {"/consistency"}
    assert len(paths) >= 9
    assert asked >= 9
    changes = [record.well for record in seen if isinstance(record, ConditionChanged)]
    assert changes == [False, True]
