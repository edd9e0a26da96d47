"""A second, independent client of the discovery service: gRPC's own, which takes endpoints and never a runtime."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from controlplane.model.command import Eject, FailOver, Isolate, Restore
from controlplane.model.topology import Endpoint, Service
from tests.integration.envoy_world import ROOT, order, peers, plane_of, serving, until

pytestmark = [pytest.mark.anyio, pytest.mark.integration, pytest.mark.alone]


@pytest.fixture(
    params=[pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop"), pytest.param(("trio", {}), id="trio")]
)
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    """Two loops of three."""
    return request.param


class Client:
    """The process of `grpc_peer`. `answers` are (when, who) in CLOCK_MONOTONIC ns."""

    def __init__(self, names: list[str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, ROOT / "tests" / "integration" / "grpc_peer.py", *names],
            env={**os.environ, "PYTHONPATH": str(peers()[1])},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        ports = self._process.stdout.readline().split()
        assert len(ports) == len(names), "grpcio does not start; its standard error says why"
        self.ports = dict(zip(names, map(int, ports), strict=True))
        self.answers: list[tuple[int, str]] = []
        self._reader = threading.Thread(target=self._read)

    def start(self, plane: str) -> None:
        """Ask, from now on."""
        assert self._process.stdin is not None
        self._process.stdin.write(plane + "\n")
        self._process.stdin.flush()
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            at, _, who = line.strip().partition(" ")
            self.answers.append((int(at), who))

    async def next(self, count: int = 100) -> set[str]:
        """Who answers the next `count` calls."""
        since = time.monotonic_ns() + 20_000_000  # calls that are under way end
        await until("calls are answered", lambda: len([at for at, _ in self.answers if at > since]) >= count)
        return {who for at, who in self.answers if at > since}

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        if self._reader.is_alive():
            self._reader.join()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()


@contextmanager
def client(*names: str) -> Iterator[Client]:
    """A running client and its servers, gone afterwards."""
    running = Client([*names])
    try:
        yield running
    finally:
        running.close()


async def test_grpc_takes_endpoints_from_the_plane() -> None:
    """`xds:///orders` is found; ejected endpoints get nothing, restored ones get calls, an isolated service is
    refused."""
    with client("o0", "o1", "o2") as grpc:
        endpoints = tuple(
            Endpoint(name=name, url=f"http://127.0.0.1:{port}", zone="a", priority=int(name == "o2"))
            for name, port in grpc.ports.items()
        )
        plane = plane_of(Service(name="orders", endpoints=endpoints))
        async with serving(plane) as port:
            grpc.start(f"127.0.0.1:{port}")
            assert await grpc.next() == {"o0", "o1"}
            await plane.apply(order(Eject(), "orders", "o0"))
            assert await grpc.next() == {"o1"}
            await plane.apply(order(FailOver(100), "orders"))
            assert await grpc.next() == {"o2"}
            await plane.apply(order(Restore(), "orders"))
            await plane.apply(order(Restore(), "orders", "o0"))
            assert await grpc.next() == {"o0", "o1"}
            assert [who for _, who in grpc.answers if who.startswith("failed")] == []
            await plane.apply(order(Isolate(), "orders"))
            (failed,) = await grpc.next(20)
            assert "UNAVAILABLE" in failed
            await plane.apply(order(Restore(), "orders"))
            assert await grpc.next() == {"o0", "o1"}
            (view,) = plane.views()
            assert (view.name, view.condition, view.refused) == ("edge/grpc-1", "in force", {})
