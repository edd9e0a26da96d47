"""Orders, one after the other, to a proxy that is under load: when each was acknowledged, and when it was felt."""

from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import anyio
import msgspec

from controlplane._native.guard import now_ns
from controlplane._native.histogram import Histogram
from controlplane.adapters.clock import SystemClock
from controlplane.adapters.proxies.haproxy.plan import Naming
from controlplane.adapters.proxies.haproxy.proxy import HaProxy
from controlplane.bench.dataplane.haproxy import running
from controlplane.model.command import Command, Eject, Intent, Restore
from controlplane.model.signal import Target
from controlplane.model.unit import MILLISECOND, SECOND, CommandId, Epoch, IncidentId, Nanos

ENDPOINTS: Final = 4
REQUEST: Final = b"GET / HTTP/1.1\r\nhost: bench\r\n\r\n"
SETTLE_S: Final = 0.02  # after an order, until what was on its way has been answered


class Setting(msgspec.Struct, frozen=True):
    """`services` of four endpoints are loaded; `rounds` orders about one of them, under `clients` that each ask again
    `pause_s` after an answer."""

    services: int = 1
    rounds: int = 300
    clients: int = 8
    pause_s: float = 0.002


class Measured:
    """From the decision to the acknowledgement, and to the last request that was sent and still got there; ns."""

    def __init__(self) -> None:
        self.acknowledged = Histogram(1_000, 60 * SECOND, 3)
        self.rerouted = Histogram(1_000, 60 * SECOND, 3)
        self.requests = self.failed = 0


class _Nobody:
    """A judge who hears nothing: no call is judged here."""

    def ended(self, target: Target, outcome: int, latency_ns: int) -> None: ...
    def relayed(self, caller: str, callee: str) -> None: ...
    def asked(self, *, failed: bool, latency_ns: int) -> None: ...
    def shed(self) -> None: ...
    def stall_ns(self, service: str) -> int:  # noqa: ARG002 - the same for all
        return 3_600 * SECOND


class _Load:
    """Clients over one connection each; knows for every endpoint when the last request was sent that it answered."""

    def __init__(self, path: Path, measured: Measured) -> None:
        self._path, self._measured = path, measured
        self.last_sent = [0] * ENDPOINTS

    async def client(self, pause_s: float) -> None:
        async with await anyio.connect_unix(self._path) as stream:
            while True:
                sent = now_ns()
                await stream.send(REQUEST)
                answer = b""
                while b"\r\n\r\n" not in answer:
                    answer += await stream.receive()
                self._measured.requests += 1
                if answer.startswith(b"HTTP/1.1 200 "):
                    endpoint = int(answer.partition(b"served-by: ")[2][:1])
                    self.last_sent[endpoint] = max(sent, self.last_sent[endpoint])
                else:
                    self._measured.failed += 1
                await anyio.sleep(pause_s)


async def measure(setting: Setting, told: Callable[[int], None] = lambda _: None) -> Measured:
    """Eject an endpoint and give it back, as often as `setting` says. Raises NoProxy, ActuationError."""
    measured = Measured()
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(running(setting.services, ENDPOINTS))
        load = _Load(folder / "www.sock", measured)
        names = tuple(f"e{number}" for number in range(ENDPOINTS))
        services = {f"s{number}": names for number in range(setting.services)}
        proxy = HaProxy(
            "bench",
            str(folder / "admin.sock"),
            services,
            naming=Naming(services, {}, {}),
            clock=SystemClock(),
            judge=_Nobody(),
        )
        tasks = await stack.enter_async_context(anyio.create_task_group())
        tasks.start_soon(proxy.run)
        await proxy.apply(_order(0, 0, Restore()))
        for _ in range(setting.clients):
            tasks.start_soon(load.client, setting.pause_s)
        for number in range(1, setting.rounds + 1):
            endpoint = number % ENDPOINTS
            await anyio.sleep(SETTLE_S)
            decided = now_ns()
            await proxy.apply(_order(2 * number, endpoint, Eject()))
            measured.acknowledged.record(now_ns() - decided)
            await anyio.sleep(SETTLE_S)
            still = load.last_sent[endpoint] - decided
            measured.rerouted.record(max(1_000, still))
            await proxy.apply(_order(2 * number + 1, endpoint, Restore()))
            told(number)
        tasks.cancel_scope.cancel()
    return measured


def _order(number: int, endpoint: int, intent: Intent) -> Command:
    return Command(
        id=CommandId(f"c{number}"),
        epoch=Epoch(1),
        incident=IncidentId("bench"),
        target=Target("s0", f"e{endpoint}"),
        intent=intent,
        lease_until=Nanos(now_ns() + 60_000 * MILLISECOND),
    )
