"""Proxies over the admin API: what is wanted of each against what it has acknowledged."""

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
        plane.proxies.planes[0].effective.gone("nobody is there")
        (proxy,) = (await client.get("/v1/proxies")).json()["proxies"]
        assert (proxy["name"], proxy["kind"], proxy["condition"]) == ("edge", "haproxy", "unreachable")
        assert proxy["trouble"]
        metrics = (await client.get("/metrics")).text
        labels = '{proxy="edge",kind="haproxy"}'
        assert f"\ncontrolplane_proxy_up{labels} 0\n" in metrics
        assert f"\ncontrolplane_proxy_convergence_seconds_count{labels} 0\n" in metrics
        plane.proxies.planes[0].effective.found("pid 7")
        plane.proxies.planes[0].effective.histogram.record(2_000_000)
        metrics = (await client.get("/metrics")).text
        assert f"\ncontrolplane_proxy_up{labels} 1\n" in metrics
        assert f'\ncontrolplane_proxy_convergence_seconds{labels[:-1]},quantile="0.5"}} 0.002' in metrics
    async with Plane(CONFIG, seed=1, journal=MemoryJournal([])) as plane, admin(plane) as client:
        assert (await client.get("/v1/proxies")).json() == {"proxies": []}
        assert "controlplane_proxy" not in (await client.get("/metrics")).text
