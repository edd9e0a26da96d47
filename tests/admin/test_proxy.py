"""Proxies over the admin API: what is wanted of each against what it has acknowledged."""

import anyio
import msgspec
import pytest

from controlplane.assembly import Plane
from controlplane.model.config import ProxySection
from controlplane.testing import MemoryJournal
from tests.admin.test_app import CONFIG, admin

pytestmark = pytest.mark.anyio


async def test_a_proxy_that_is_away_is_shown(tmp_path_factory: pytest.TempPathFactory) -> None:
    """In the list, in words, and in the metrics; a plane without proxies shows none."""
    away = str(tmp_path_factory.mktemp("proxy") / "none.sock")
    config = msgspec.structs.replace(CONFIG, proxies={"edge": ProxySection(kind="haproxy", socket=away)})
    async with Plane(config, seed=1, journal=MemoryJournal([])) as plane, admin(plane) as client:
        with anyio.fail_after(10):
            while not plane.proxies.planes[0].effective.trouble:
                await anyio.sleep(0.005)  # real time: a socket is tried
        (proxy,) = (await client.get("/v1/proxies")).json()["proxies"]
        assert (proxy["name"], proxy["kind"], proxy["condition"]) == ("edge", "haproxy", "unreachable")
        assert proxy["trouble"]
        metrics = (await client.get("/metrics")).text
        labels = '{proxy="edge",kind="haproxy"}'
        assert f"\ncontrolplane_proxy_up{labels} 0\n" in metrics
        assert f"\ncontrolplane_proxy_convergence_seconds_count{labels} 0\n" in metrics
        assert (await client.get("/v1/status")).json()["degraded"] == [
            f"the proxy edge is unreachable: {proxy['trouble']}"
        ]
        assert (await client.get("/readyz")).text == "ok, degraded\n"
    async with Plane(CONFIG, seed=1, journal=MemoryJournal([])) as plane, admin(plane) as client:
        assert (await client.get("/v1/proxies")).json() == {"proxies": []}
        assert "controlplane_proxy" not in (await client.get("/metrics")).text


async def test_a_proxy_that_answers_is_measured() -> None:
    """How long its acknowledgements took, as a summary."""
    config = msgspec.structs.replace(CONFIG, proxies={"edge": ProxySection(kind="haproxy", socket="/s")})
    plane = Plane(config, seed=1, journal=MemoryJournal([]))  # not entered: nobody speaks to it
    state = plane.proxies.planes[0].effective
    state.found("pid 7")
    state.histogram.record(2_000_000)
    async with admin(plane) as client:
        assert (await client.get("/v1/proxies")).json()["proxies"][0]["condition"] == "in force"
        metrics = (await client.get("/metrics")).text
    labels = '{proxy="edge",kind="haproxy"'
    assert f"\ncontrolplane_proxy_up{labels}}} 1\n" in metrics
    assert f'\ncontrolplane_proxy_convergence_seconds{labels},quantile="0.5"}} 0.002' in metrics
