"""How long a real Envoy takes to do what was decided, and to tell of a call: `python -m bench.envoy --help`.

Two Envoys: one is four replicas that answer by themselves, so that nobody slow stands behind the other, which is the
proxy. The clients, the plane and its judge are this process; on cores that are busy, much of every figure is the wait
for a turn.
"""

import argparse
import json
import sys
import time
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import anyio
import httpx

from controlplane._native.histogram import Histogram
from controlplane.bench import result
from controlplane.bench.result import Result
from controlplane.model.command import Eject, Restore
from controlplane.model.signal import Target
from controlplane.model.unit import SECOND
from tests.integration.envoy_world import (
    Answers,
    Envoy,
    Judge,
    ask,
    bootstrap,
    declared,
    envoy,
    order,
    plane_of,
    serving,
    until,
)

ENDPOINTS: Final = 4
SETTLE_S: Final = 0.02  # after an order, until what was on its way has been answered


def histogram() -> Histogram:
    return Histogram(1_000, 60 * SECOND, 3)


def replicas() -> str:
    """The configuration of an Envoy with four listeners, each of which answers 200 and says its name."""
    extensions = "type.googleapis.com/envoy.extensions.filters."
    connections = extensions + "network.http_connection_manager.v3.HttpConnectionManager"
    router = {"@type": extensions + "http.router.v3.Router"}
    listeners = []
    for number in range(ENDPOINTS):
        said = [{"header": {"key": "x-replica", "value": f"o{number}"}}]
        route = {"match": {"prefix": "/"}, "direct_response": {"status": 200}, "response_headers_to_add": said}
        config = {
            "@type": connections,
            "stat_prefix": "o",
            "http_filters": [{"name": "router", "typed_config": router}],
            "route_config": {"virtual_hosts": [{"name": "o", "domains": ["*"], "routes": [route]}]},
        }
        listeners.append(
            {
                "name": f"o{number}",
                "address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}},
                "filter_chains": [{"filters": [{"name": "http", "typed_config": config}]}],
            }
        )
    admin = {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}}}
    return json.dumps({"admin": admin, "static_resources": {"listeners": listeners}})


async def ports_of(running: Envoy) -> dict[str, int]:
    """The port of each listener, by its name."""
    await running.ready()
    async with httpx.AsyncClient() as client:
        found = (await client.get(f"http://{running._admin.read_text().strip()}/listeners?format=json")).json()
    listeners = found["listener_statuses"]
    return {one["name"]: one["local_address"]["socket_address"]["port_value"] for one in listeners}


class Told(Judge):
    """When the access log told of calls; ns."""

    def __init__(self) -> None:
        super().__init__()
        self.times: list[int] = []

    def ended(self, target: Target, outcome: int, latency_ns: int) -> None:
        self.times.append(time.monotonic_ns())


async def measure(services: int, rounds: int, api: str) -> dict[str, Histogram]:
    """From the decision to the acknowledgement, and until the last request was sent that still got there."""
    acknowledged, rerouted = histogram(), histogram()
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="controlplane-bench-")))
        ports = await ports_of(stack.enter_context(envoy(replicas(), folder)))
        names = [f"s{number}" for number in range(services)]
        plane = plane_of(*(declared(name, ports) for name in names))
        port = await stack.enter_async_context(serving(plane))
        proxy = stack.enter_context(envoy(bootstrap(port, dict.fromkeys(names, ports), api=api, log="none"), folder))
        listen, answers = await proxy.ready(), Answers()
        async with anyio.create_task_group() as tasks:
            for _ in range(8):
                tasks.start_soon(partial(ask, listen, answers, pause_s=0.002))
            for number in range(rounds):
                victim = f"o{number % ENDPOINTS}"
                await anyio.sleep(SETTLE_S)
                decided = time.monotonic_ns()
                await plane.apply(order(Eject(), "s0", victim))
                acknowledged.record(time.monotonic_ns() - decided)
                await anyio.sleep(SETTLE_S)
                still = [asked for asked, _, _, replica in answers.got[-2000:] if replica == victim]
                rerouted.record(max(1_000, max(still, default=decided) - decided))
                await plane.apply(order(Restore(), "s0", victim))
                print(f"\rorder {number + 1} of {rounds}", end="", file=sys.stderr, flush=True)
            print(f"; {len(answers.got)} requests, {len(answers.failed())} failed", file=sys.stderr)
            tasks.cancel_scope.cancel()
    return {"acknowledged": acknowledged, "rerouted": rerouted}


async def listen_to(buffer: int | None, calls: int) -> Histogram:
    """From a call's answer until the access log has told of it; `buffer` None: Envoy's own default."""
    told, judge = histogram(), Told()
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="controlplane-bench-")))
        ports = await ports_of(stack.enter_context(envoy(replicas(), folder)))
        plane = plane_of(declared("orders", ports), judge=judge)
        port = await stack.enter_async_context(serving(plane))
        proxy = stack.enter_context(envoy(bootstrap(port, {"orders": ports}, log="calls", log_buffer=buffer), folder))
        listen, answers = await proxy.ready(), Answers()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(partial(ask, listen, answers, pause_s=0.005))
            await until("calls are told", lambda: len(judge.times) >= calls, deadline_s=120)
            tasks.cancel_scope.cancel()
    for (_, answered, _, _), at in zip(answers.got, judge.times, strict=False):  # one client: they come in order
        told.record(max(1_000, at - answered))
    return told


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.envoy", description=__doc__)
    parser.add_argument("--services", type=int, default=1, help="loaded, of four endpoints each (default: 1)")
    parser.add_argument("--rounds", type=int, default=300, help="orders (default: 300)")
    parser.add_argument("--api", choices=("GRPC", "DELTA_GRPC"), default="DELTA_GRPC", help="(default: DELTA_GRPC)")
    parser.add_argument("--logs", action="store_true", help="measure the access log instead of orders")
    parser.add_argument("--loop", choices=("uvloop", "trio"), default="uvloop", help="(default: uvloop)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="join the figures to that file's, by name")
    args = parser.parse_args()
    options: dict[str, Any] = {"backend": "trio"}
    if args.loop == "uvloop":
        options = {"backend": "asyncio", "backend_options": {"use_uvloop": True}}
    if args.logs:
        buffers = {"at_once": 0, "buffered": None}
        figures = {f"log.{name}": anyio.run(listen_to, size, args.rounds, **options) for name, size in buffers.items()}
    else:
        figures = anyio.run(measure, args.services, args.rounds, args.api, **options)
    many = f"{args.services}." if args.services > 1 else ""
    results = []
    for name, counts in figures.items():
        p50_ms, p99_ms = counts.quantile(500) / 1e6, counts.quantile(990) / 1e6
        print(f"dataplane.envoy.{many}{name:<16} {counts.total:>6}", end=" ")
        print(f"p50 {p50_ms:8.3f}  p99 {p99_ms:8.3f}  max {counts.maximum / 1e6:8.3f} ms")
        results.append(Result(f"dataplane.envoy.{many}{name}", p50_ms, "ms", p50_ms=p50_ms, p99_ms=p99_ms))
    if args.json:
        result.join(args.json, results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
