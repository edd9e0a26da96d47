"""Active probes keep their rhythm, whatever their endpoints do."""

from collections import Counter
from typing import Any

import anyio
import pytest
import trio.testing

from controlplane.model.policy import ResponsePolicy
from controlplane.model.signal import ProbeFinished, Target
from controlplane.model.topology import Endpoint, Service, Topology
from controlplane.runtime.probe import Get, Prober
from controlplane.testing import VirtualClock

pytestmark = pytest.mark.anyio

TOPOLOGY = Topology(
    services=(
        Service(
            name="orders",
            probe_path="/livez",
            endpoints=(
                Endpoint(name="orders-1", url="http://127.0.0.1:1001"),
                Endpoint(name="orders-2", url="http://127.0.0.1:1002/"),
                Endpoint(name="orders-3", url="http://127.0.0.1:1003"),
            ),
        ),
        Service(name="quiet", endpoints=(Endpoint(name="quiet-1", url="http://127.0.0.1:1004"),)),
    )
)
POLICY = ResponsePolicy(probe_interval_s=2.0, probe_timeout_s=0.5)


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "trio", {"clock": trio.testing.MockClock(autojump_threshold=0)}


async def probe_for(seconds: float, get: Get, *, seed: int = 7) -> list[ProbeFinished]:
    rings: list[int] = []
    prober = Prober(TOPOLOGY, POLICY, get=get, ring=lambda: rings.append(1), clock=VirtualClock(), seed=seed)
    async with anyio.create_task_group() as tasks:
        await tasks.start(prober.run)
        await anyio.sleep(seconds)
        tasks.cancel_scope.cancel()
    results = [signal for signal in prober.drain() if isinstance(signal, ProbeFinished)]
    assert prober.drain() == prober.sample() == []
    assert len(rings) == len(results)
    return results


async def test_every_endpoint_is_asked_in_every_interval() -> None:
    """Services with a probe path, and no others, are asked about once per interval at the right address."""
    asked: list[str] = []

    async def get(url: str) -> int:
        asked.append(url)
        return 204

    results = await probe_for(200, get)
    counts = Counter(asked)
    assert set(counts) == {f"http://127.0.0.1:100{number}/livez" for number in (1, 2, 3)}
    assert all(95 <= count <= 105 for count in counts.values())
    assert all(result.ok for result in results)


async def test_a_dead_endpoint_delays_nobody() -> None:
    """One hangs until its time-out, one refuses, one answers: each in its own rhythm, each with its own result."""

    async def get(url: str) -> int:
        if "1001" in url:
            await anyio.sleep_forever()
        if "1002" in url:
            raise ConnectionRefusedError
        return 200

    results = await probe_for(100, get)
    counts = Counter((result.target.endpoint, result.ok) for result in results)
    assert set(counts) == {("orders-1", False), ("orders-2", False), ("orders-3", True)}
    assert all(45 <= count <= 55 for count in counts.values())
    hung = [result.latency_ns for result in results if result.target == Target("orders", "orders-1")]
    assert all(latency == pytest.approx(0.5e9) for latency in hung)


@pytest.mark.parametrize(("status", "ok"), [(200, True), (302, True), (429, False), (404, False), (503, False)])
async def test_what_counts_as_an_answer(status: int, ok: bool) -> None:
    """Success and redirection do; refusals and failures do not."""

    async def get(url: str) -> int:
        return status

    assert {result.ok for result in await probe_for(5, get)} == {ok}


async def test_probes_do_not_synchronise_and_repeat_by_seed() -> None:
    """No two probes fall on the same time; the same seed gives the same times, another seed others."""

    async def get(url: str) -> int:
        return 200

    first = [result.at for result in await probe_for(100, get)]
    again = [result.at for result in await probe_for(100, get)]
    other = [result.at for result in await probe_for(100, get, seed=8)]
    assert len(set(first)) == len(first)
    assert first == pytest.approx(again, abs=10)
    assert first != pytest.approx(other, abs=10)
