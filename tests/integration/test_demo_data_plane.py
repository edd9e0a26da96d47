"""The demo through real proxies: a replica of the mesh fails, and the proxy that users meet stops asking it."""

from pathlib import Path

import anyio
import msgspec
import pytest

from controlplane.demo import drill
from controlplane.demo.fault import FAULTS
from controlplane.demo.progress import Progress
from controlplane.demo.result import Run
from controlplane.testbed.bed import ProxyKind
from tests.integration.envoy_world import peers
from tests.integration.haproxy import binary

pytestmark = pytest.mark.integration

ERRORS = msgspec.structs.replace(FAULTS[0], lasts_s=1.5, window_s=1.5)  # at 17 requests a second five are 0.3 s


async def drilled(kind: ProxyKind, directory: Path) -> Run:
    async with drill.running(directory, rate=200, seed=7, progress=Progress(), data_plane=kind) as mesh:
        healthy = await mesh.healthy(0.5)
        assert (healthy.failed, healthy.incidents, healthy.commands) == (0, 0, 0)
        return await mesh.run(ERRORS, "enforce", seed=8)


@pytest.mark.parametrize("kind", ["haproxy", "envoy"])
def test_a_real_proxy_stops_asking_a_replica_of_the_mesh_that_fails(
    kind: ProxyKind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is named, and taken out by an order that the proxy has acknowledged."""
    monkeypatch.setattr(drill, "SETTLE_S", 0.5)
    monkeypatch.setattr(drill, "RECOVER_S", 0.0)  # recovery through proxies has tests of its own
    assert binary() if kind == "haproxy" else peers()
    run = anyio.run(drilled, kind, tmp_path, backend="asyncio", backend_options={"use_uvloop": True})
    assert run.answer.origins == {"catalog/catalog-2": 1}
    assert 4 <= run.users.failed <= 15  # of some 30 that it would have answered
    (effect,) = run.answer.effects
    assert (effect.plane, effect.target, effect.first_request_ns) == ("gateway", "catalog/catalog-2", None)
    assert 0 < effect.in_force_ns < 500_000_000
