"""What the real Envoy finds when it asks endpoints on the plane's behalf: probes, told as they come."""

from pathlib import Path
from typing import Any

import anyio
import pytest

from controlplane.model.signal import ProbeFinished, Target
from tests.integration.envoy_world import Replica, bootstrap, declared, envoy, plane_of, serving, until

pytestmark = [pytest.mark.anyio, pytest.mark.integration]

EVERY_S = 0.2


@pytest.fixture(
    params=[pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop"), pytest.param(("trio", {}), id="trio")]
)
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    """Two loops of three: what is shown here is Envoy's part."""
    return request.param


async def test_envoy_asks_on_the_planes_behalf_and_tells_what_it_found(tmp_path: Path) -> None:
    """A good endpoint is well; one that answers badly, then not at all, is not, and is well again when it is; a
    service without a path to ask is left alone."""
    good, bad, quiet = Replica("o0"), Replica("o1"), Replica("q0")
    found: list[ProbeFinished] = []
    async with anyio.create_task_group() as tasks:
        for replica in (good, bad, quiet):
            await replica.start(tasks)
        ports = {"orders": {"o0": good.port, "o1": bad.port}, "quiet": {"q0": quiet.port}}
        plane = plane_of(
            declared("orders", ports["orders"], probe_path="/health"),
            declared("quiet", ports["quiet"]),
            probe_interval_s=EVERY_S,
            probe_timeout_s=EVERY_S,
        )

        def last(endpoint: str, *, ok: bool) -> bool:
            """Whether the newest two results of `endpoint` since the last look are `ok`."""
            found.extend(one for one in plane.drain() if isinstance(one, ProbeFinished))
            newest = [one.ok for one in found if one.target == Target("orders", endpoint)][-2:]
            return newest == [ok, ok]

        async with serving(plane) as port:
            with envoy(bootstrap(port, ports, asks=True), tmp_path) as proxy:
                await proxy.ready()
                await until("both are well", lambda: last("o0", ok=True) and last("o1", ok=True))
                bad.status = 500
                await until("one is not", lambda: last("o1", ok=False))
                assert last("o0", ok=True)
                bad.status = 200
                await until("it is again", lambda: last("o1", ok=True))
                bad.delay_s = 5 * EVERY_S
                await until("it hangs", lambda: last("o1", ok=False))
                bad.delay_s = 0
                await until("it answers", lambda: last("o1", ok=True))
                bad.stop()
                await until("nobody listens there", lambda: last("o1", ok=False))
                asked = len(good.arrivals)
                told = len([one for one in found if one.target.endpoint == "o0"])
        assert quiet.arrivals == []
        assert {one.target.service for one in found} == {"orders"}
        assert told <= asked + 2  # no answer is told twice
        assert plane.health.malformed == 0
        tasks.cancel_scope.cancel()
