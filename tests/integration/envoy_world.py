"""A real Envoy on loopback, the replicas behind it and its clients: what the Envoy tests are made of."""

import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import anyio
import httpx
import msgspec
from anyio.abc import SocketAttribute, SocketStream, TaskGroup

from controlplane.adapters.clock import SystemClock
from controlplane.adapters.proxies.envoy.plane import EnvoyPlane
from controlplane.model.command import Command, Intent
from controlplane.model.policy import GuardPolicy
from controlplane.model.signal import Target
from controlplane.model.topology import Endpoint, Service
from controlplane.model.unit import SECOND, CommandId, Epoch, IncidentId, Nanos

ROOT = Path(__file__).parent.parent.parent
DEADLINE_S = 20.0


@cache
def peers() -> tuple[Path, Path]:
    """The folders of Envoy and of the gRPC client, brought by the project's own command. Fails where they cannot be
    had."""
    done = subprocess.run([ROOT / ".ci" / "envoy"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, (
        f"the real Envoy cannot be had here, and these tests are about nothing else:\n{done.stderr}"
    )
    envoy, grpc = done.stdout.split()
    return ROOT / envoy, ROOT / grpc


class Judge:
    """Notes what it is told: a `ports.CallJudge`."""

    def __init__(self, stall_s: float = 0.2) -> None:
        self.results: list[tuple[Target, int, int]] = []
        self.users: list[bool] = []  # failed or not
        self.refused = 0
        self.relays: list[tuple[str, str]] = []
        self.told = anyio.Event()
        self._stall_ns = round(stall_s * SECOND)

    def has(self, target: Target, outcome: int, count: int, *, after: int) -> bool:
        """Whether so many results like that came after the first `after` results."""
        return [one[:2] for one in self.results[after:]].count((target, outcome)) >= count

    def ended(self, target: Target, outcome: int, latency_ns: int) -> None:
        self.results.append((target, outcome, latency_ns))
        self.told.set()

    def relayed(self, caller: str, callee: str) -> None:
        self.relays.append((caller, callee))
        self.told.set()

    def asked(self, *, failed: bool, latency_ns: int) -> None:
        self.users.append(failed)
        self.told.set()

    def shed(self) -> None:
        self.refused += 1
        self.told.set()

    def stall_ns(self, service: str) -> int:
        return self._stall_ns


class Replica:
    """An HTTP server that says its name. `arrivals` are CLOCK_MONOTONIC ns, `busy_max` is the most requests at a time;
    `status`, `headers` and `delay_s` are the test's."""

    def __init__(self, name: str) -> None:
        self.name, self.status, self.delay_s = name, 200, 0.0
        self.arrivals: list[int] = []
        self.busy = self.busy_max = 0
        self.headers: dict[str, str] = {}
        self.port = 0
        self._listener: Any = None
        self._scope = anyio.CancelScope()

    async def start(self, tasks: TaskGroup) -> None:
        """Listen, on the port of before if there was one."""
        self._listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=self.port, reuse_port=True)
        self.port = self._listener.extra(SocketAttribute.local_port)
        tasks.start_soon(self._serve)

    async def _serve(self) -> None:
        async with self._listener:
            with self._scope:
                await self._listener.serve(self._answer)

    def stop(self) -> None:
        """Nobody listens any more, and what is connected is cut off."""
        self._scope.cancel()

    async def _answer(self, stream: SocketStream) -> None:
        async with stream:
            waiting = b""
            try:
                while True:
                    waiting += await stream.receive()
                    while b"\r\n\r\n" in waiting:
                        waiting = waiting.partition(b"\r\n\r\n")[2]
                        self.arrivals.append(time.monotonic_ns())
                        self.busy += 1
                        self.busy_max = max(self.busy, self.busy_max)
                        try:
                            if self.delay_s:
                                await anyio.sleep(self.delay_s)  # real time: a replica that is slow
                        finally:
                            self.busy -= 1
                        more = "".join(f"{key}: {value}\r\n" for key, value in self.headers.items())
                        head = (
                            f"HTTP/1.1 {self.status} Any\r\nx-replica: {self.name}\r\n{more}content-length: 0\r\n\r\n"
                        )
                        await stream.send(head.encode())
            except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
                pass


class Answers:
    """What a client got: (asked at, answered at, status, replica), times in CLOCK_MONOTONIC ns."""

    def __init__(self) -> None:
        self.got: list[tuple[int, int, int, str]] = []

    def failed(self) -> list[tuple[int, int, int, str]]:
        return [one for one in self.got if one[2] != 200]

    def since(self, at: int) -> list[tuple[int, int, int, str]]:
        """Those that were asked for after `at`."""
        return [one for one in self.got if one[0] > at]


async def ask(port: int, answers: Answers, *, path: str = "/", pause_s: float = 0.0, headers: str = "") -> None:
    """Ask through the proxy on one connection, again and again; a connection that breaks is a status of 0, and the
    end."""
    request = f"GET {path} HTTP/1.1\r\nhost: any\r\n{headers}\r\n".encode()
    async with await anyio.connect_tcp("127.0.0.1", port) as stream:
        while True:
            asked = time.monotonic_ns()
            try:
                await stream.send(request)
                status, replica = await _answer(stream)
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                answers.got.append((asked, time.monotonic_ns(), 0, ""))
                return
            answers.got.append((asked, time.monotonic_ns(), status, replica))
            await anyio.sleep(pause_s)  # real time: a user who thinks


async def _answer(stream: SocketStream) -> tuple[int, str]:
    """Status and replica of an answer, whose body is read, too."""
    head = b""
    while b"\r\n\r\n" not in head:
        head += await stream.receive()
    lines, _, body = head.partition(b"\r\n\r\n")
    fields = dict(line.split(": ", 1) for line in lines.decode().split("\r\n")[1:])
    missing = int(fields.get("content-length", "0")) - len(body)
    while missing > 0:
        missing -= len(await stream.receive())
    return int(lines.split(b" ", 2)[1]), fields.get("x-replica", "")


class Envoy:
    """A running Envoy. Its admin endpoint says on which ports it listens."""

    def __init__(self, bootstrap: str, folder: Path, *, concurrency: int = 1) -> None:
        self._folder = Path(tempfile.mkdtemp(dir=folder))
        (self._folder / "envoy.yaml").write_text(bootstrap)
        self._concurrency = concurrency
        self.process = self._start()

    def _start(self) -> "subprocess.Popen[bytes]":
        binary = peers()[0] / "envoy" / "_bin" / "envoy"
        self._admin = self._folder / "admin"
        self._admin.unlink(missing_ok=True)
        command: list[str | Path] = [binary, "-c", self._folder / "envoy.yaml", "--admin-address-path", self._admin]
        command += ["--use-dynamic-base-id", "--concurrency", str(self._concurrency), "-l", "warn"]
        with (self._folder / "log").open("ab") as log:
            return subprocess.Popen(command, stdout=log, stderr=log)

    async def ready(self) -> int:
        """The port of the listener, once it takes calls."""
        async with httpx.AsyncClient() as client:
            with anyio.fail_after(DEADLINE_S):
                while True:
                    assert self.process.poll() is None, (self._folder / "log").read_text()
                    if self._admin.exists() and (address := self._admin.read_text().strip()):
                        try:
                            if (await client.get(f"http://{address}/ready")).status_code == 200:
                                found = (await client.get(f"http://{address}/listeners?format=json")).json()
                                return int(
                                    found["listener_statuses"][0]["local_address"]["socket_address"]["port_value"]
                                )
                        except (httpx.TransportError, KeyError, IndexError):
                            pass
                    await anyio.sleep(0.02)  # real time: another process is asked, fifty times a second at most

    async def runtime(self) -> Mapping[str, str]:
        """The runtime keys in force, and their values."""
        async with httpx.AsyncClient() as client:
            answer = (await client.get(f"http://{self._admin.read_text().strip()}/runtime?format=json")).json()
        return {key: one["final_value"] for key, one in answer["entries"].items()}

    async def stats(self, pattern: str) -> dict[str, int]:
        """Counters and gauges whose name matches."""
        async with httpx.AsyncClient() as client:
            answer = await client.get(f"http://{self._admin.read_text().strip()}/stats?filter={pattern}&format=json")
        return {one["name"]: one["value"] for one in answer.json()["stats"] if "value" in one}

    async def restart(self) -> int:
        """End it at once and start it again; the port of its listener then."""
        self.process.kill()
        self.process.wait()
        self.process = self._start()
        return await self.ready()

    def close(self) -> None:
        self.process.kill()
        self.process.wait()


class PlaneProcess:
    """`envoy_plane` in a process of its own, on a port that stays the same when it is started again."""

    def __init__(self, ports: Mapping[str, int], *, ttl_s: float) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self._command = [
            sys.executable, "-m", "tests.integration.envoy_plane", str(self.port), str(ttl_s),
            *(f"{name}={port}" for name, port in ports.items()),
        ]  # fmt: skip
        self.start()

    def start(self) -> None:
        """Run it; on return it listens."""
        self._process = subprocess.Popen(self._command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        self.wait_said("ready")

    def wait_said(self, line: str) -> None:
        """Return when it has printed `line`."""
        assert self._process.stdout is not None
        for said in self._process.stdout:
            if said.strip() == line:
                return
        raise AssertionError(f"it ended without having said {line!r}")

    def kill(self) -> None:
        """End it as a crash does."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


@contextmanager
def plane_process(ports: Mapping[str, int], *, ttl_s: float) -> Iterator[PlaneProcess]:
    """A control plane in a process of its own, which is gone afterwards."""
    running = PlaneProcess(ports, ttl_s=ttl_s)
    try:
        yield running
    finally:
        running.kill()


@contextmanager
def envoy(bootstrap: str, folder: Path, *, concurrency: int = 1) -> Iterator[Envoy]:
    """A running Envoy, which is gone afterwards."""
    running = Envoy(bootstrap, folder, concurrency=concurrency)
    try:
        yield running
    finally:
        running.close()


_numbers = iter(range(1, 1_000_000))


def order(intent: Intent, service: str, endpoint: str = "", *, lease_s: float = 60.0, **more: Any) -> Command:
    """A command whose number is later than that of every one before."""
    return Command(
        id=CommandId(f"c{next(_numbers)}"),
        epoch=Epoch(1),
        incident=IncidentId("i1"),
        target=Target(service, endpoint),
        intent=intent,
        lease_until=Nanos(time.monotonic_ns() + round(lease_s * SECOND)),
        **more,
    )


def declared(name: str, ports: Mapping[str, int], **more: Any) -> Service:
    """A service whose endpoints are on those ports of loopback."""
    endpoints = (Endpoint(name=one, url=f"http://127.0.0.1:{port}") for one, port in ports.items())
    return Service(name=name, endpoints=tuple(endpoints), **more)


@asynccontextmanager
async def serving(plane: EnvoyPlane) -> AsyncIterator[int]:
    """`plane`, served on a free port, which is what this gives."""
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0)
    port = listener.extra(SocketAttribute.local_port)
    async with anyio.create_task_group() as tasks:
        await tasks.start(plane.run, listener)
        yield port
        tasks.cancel_scope.cancel()


def plane_of(
    *services: Service, judge: Judge | None = None, policy: GuardPolicy | None = None, **more: Any
) -> EnvoyPlane:
    """A plane over `services`."""
    policies = {service.name: policy or GuardPolicy() for service in services}
    return EnvoyPlane("edge", services, policies, clock=SystemClock(), judge=judge or Judge(), **more)


async def until(what: str, condition: Any, *, deadline_s: float = DEADLINE_S) -> None:
    """Return when `condition()`, which may be asynchronous, is true."""
    with anyio.move_on_after(deadline_s):
        while True:
            answer = condition()
            if answer is True or (not isinstance(answer, bool) and await answer):
                return
            await anyio.sleep(0.005)  # real time: another process is asked, two hundred times a second at most
    raise AssertionError(f"not within {deadline_s} s: {what}")


def bootstrap(
    plane_port: int, services: Mapping[str, Mapping[str, int]], *, api: str = "GRPC", node: str = "edge-1",
    log: str = "both", log_buffer: int | None = 0, routes: str = "own", asks: bool = False,
) -> str:  # fmt: skip
    """The configuration of an owner who had `services` and lets the plane contain. Each has a prefix, the first "/".
    `asks`: it asks endpoints how they are on the plane's behalf."""
    own = routes == "own"
    http2 = {"@type": _HTTP2, "explicit_http_config": {"http2_protocol_options": {}}}
    ads = {"resource_api_version": "V3", "initial_fetch_timeout": "2s", "ads": {}}
    clusters: list[Any] = [
        {
            "name": "controlplane",
            "type": "STATIC",
            "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": http2},
            "load_assignment": _assignment("controlplane", [plane_port]),
        }
    ]
    table: list[Any] = []
    for number, (name, ports) in reversed([*enumerate(services.items())]):
        match: dict[str, Any] = {"prefix": f"/{name}" if number else "/"}
        led = {"default_value": {"numerator": 0}, "runtime_key": f"controlplane.{name}.contained"}
        table.append({"match": {**match, "runtime_fraction": led}, "route": {"cluster": f"{name}.contained"}})
        table.append({"match": match, "route": {"cluster": name}})
        clusters.append({"name": name, "type": "STATIC", "load_assignment": _assignment(name, ports.values())})
        if own:
            clusters.append({"name": f"{name}.contained", "type": "EDS", "eds_cluster_config": {"eds_config": ads}})
    sink = lambda name: {  # noqa: E731
        "@type": _ALS,
        "common_config": {
            "log_name": name,
            "transport_api_version": "V3",
            "grpc_service": {"envoy_grpc": {"cluster_name": "controlplane"}},
            **({} if log_buffer is None else {"buffer_size_bytes": log_buffer}),
        },
        "additional_response_headers_to_log": ["controlplane-cause", "controlplane-refused"],
    }
    calls, whole = ([{"name": name, "typed_config": sink(name)}] for name in ("controlplane", "controlplane.requests"))
    router: dict[str, Any] = {"@type": _ROUTER}
    connections: dict[str, Any] = {"@type": _MANAGER, "stat_prefix": "in"}
    if log == "both":
        router |= {"upstream_log": calls, "upstream_log_options": {"upstream_log_flush_interval": "0.1s"}}
        connections["access_log"] = whole
    elif log == "calls":
        connections |= {"access_log": calls, "access_log_options": {"access_log_flush_interval": "0.1s"}}
    rate_limit = {"@type": _RATE_LIMIT, "stat_prefix": "in"}
    connections["http_filters"] = [
        {"name": "envoy.filters.http.local_ratelimit", "typed_config": rate_limit},
        {"name": "router", "typed_config": router},
    ]
    if own:
        connections["route_config"] = {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": table}]}
    else:
        connections["rds"] = {"route_config_name": "controlplane", "config_source": ads}
    dynamic: dict[str, Any] = {
        "ads_config": {
            "api_type": api,
            "transport_api_version": "V3",
            "grpc_services": [
                {
                    "envoy_grpc": {
                        "cluster_name": "controlplane",
                        "retry_policy": {"retry_back_off": {"base_interval": "0.1s", "max_interval": "1s"}},
                    }
                }
            ],
        }
    }
    if not own:
        dynamic["cds_config"] = ads
    listener = {
        "name": "in",
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}},
        "filter_chains": [{"filters": [{"name": "in", "typed_config": connections}]}],
    }
    hds = {"hds_config": {key: dynamic["ads_config"][key] for key in ("transport_api_version", "grpc_services")}}
    return msgspec.json.encode(
        {
            **(hds | {"hds_config": {"api_type": "GRPC", **hds["hds_config"]}} if asks else {}),
            "node": {"id": node, "cluster": "edge"},
            "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}}},
            "layered_runtime": {
                "layers": [
                    {"name": "own", "static_layer": {}},
                    {"name": "controlplane", "rtds_layer": {"name": "controlplane", "rtds_config": ads}},
                ]
            },
            "dynamic_resources": dynamic,
            "static_resources": {"clusters": clusters, "listeners": [listener]},
        }
    ).decode()


def _assignment(name: str, ports: Any) -> dict[str, Any]:
    return {
        "cluster_name": name,
        "endpoints": [
            {
                "lb_endpoints": [
                    {"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": port}}}}
                    for port in ports
                ]
            }
        ],
    }


_TYPES = "type.googleapis.com/envoy.extensions."
_HTTP2 = _TYPES + "upstreams.http.v3.HttpProtocolOptions"
_ALS = _TYPES + "access_loggers.grpc.v3.HttpGrpcAccessLogConfig"
_ROUTER = _TYPES + "filters.http.router.v3.Router"
_RATE_LIMIT = _TYPES + "filters.http.local_ratelimit.v3.LocalRateLimit"
_MANAGER = _TYPES + "filters.network.http_connection_manager.v3.HttpConnectionManager"
