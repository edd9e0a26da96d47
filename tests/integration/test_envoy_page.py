"""Envoy in 5 minutes, as printed: the page's two configurations, `controlplane serve`, and a replica that fails."""

import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest

from tests.integration.envoy_world import ROOT, peers
from tests.integration.process import Backend, Served, wait_for

pytestmark = [pytest.mark.integration, pytest.mark.alone]

PAGE = ROOT / "docs" / "how-to" / "envoy.md"


def block(language: str) -> str:
    """The page's first fenced block of `language` that is a file."""
    found = re.search(rf"^```{language}\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert found is not None, f"no {language} block"
    return found[1]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port


class PageWorld:
    """Three replicas, Envoy and a control plane, all as printed but for the ports."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder, self._stack = folder, stack
        self.backends = [Backend() for _ in range(3)]
        for backend in self.backends:
            stack.callback(backend.close)
        self.listen, self.admin, self.port = free_port(), free_port(), free_port()
        self.config = folder / "controlplane.toml"
        self.config.write_text(self._here(block("toml")) + '[admin]\nlisten = "127.0.0.1:0"\n')
        (folder / "envoy.yaml").write_text(self._here(block("yaml")))

    def _here(self, text: str) -> str:
        for printed, ours in ((18000, self.port), (8080, self.listen), (9901, self.admin)):
            text = text.replace(f"127.0.0.1:{printed}", f"127.0.0.1:{ours}")
            text = text.replace(f"port_value: {printed} ", f"port_value: {ours} ")
        for number, backend in enumerate(self.backends, 9001):
            port = backend.url.rpartition(":")[2]
            text = text.replace(f"127.0.0.1:{number}", f"127.0.0.1:{port}")
            text = text.replace(f"port_value: {number} ", f"port_value: {port} ")
        return text

    def serve(self) -> Served:
        """`controlplane serve`, ready."""
        served = Served(["-m", "controlplane", "serve", "--config", str(self.config)], self.folder)
        self._stack.callback(served.close)
        return served

    def start(self) -> None:
        """Envoy, answering."""
        binary = peers()[0] / "envoy" / "_bin" / "envoy"
        command = [binary, "-c", self.folder / "envoy.yaml", "--use-dynamic-base-id", "--concurrency", "1"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._stack.callback(process.wait)
        self._stack.callback(process.kill)
        wait_for("Envoy answers", lambda: self.ask() == 200)

    def ask(self) -> int:
        """The status of a user's request; 0: no answer."""
        try:
            return httpx.get(f"http://127.0.0.1:{self.listen}", timeout=5).status_code
        except httpx.TransportError:
            return 0

    def runtime(self) -> dict[str, str]:
        """Runtime keys in force."""
        entries = httpx.get(f"http://127.0.0.1:{self.admin}/runtime?format=json").json()["entries"]
        return {key: one["final_value"] for key, one in entries.items()}


@contextmanager
def users(world: PageWorld, count: int = 6) -> Iterator[list[float]]:
    """Users who ask without pause for as long as the body lasts: how long each answer took, in seconds."""
    stop, took = threading.Event(), list[float]()

    def ask() -> None:
        with httpx.Client(timeout=30) as client:
            while not stop.is_set():
                began = time.monotonic()
                client.get(f"http://127.0.0.1:{world.listen}")
                took.append(time.monotonic() - began)

    threads = [threading.Thread(target=ask) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield took
    finally:
        stop.set()
        for backend in world.backends:
            backend.released.set()
        for thread in threads:
            thread.join()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[PageWorld]:
    """Everything that was started is gone afterwards."""
    with ExitStack() as stack:
        yield PageWorld(tmp_path, stack)


def test_the_page_works_as_printed(world: PageWorld) -> None:
    """A replica that answers 500 is out within a few calls, `proxies` shows who acknowledged, users see no more."""
    check = [sys.executable, "-m", "controlplane", "check", str(world.config)]
    assert "proxy      edge (envoy at " in subprocess.run(check, capture_output=True, text=True, check=True).stdout
    served = world.serve()
    world.start()
    assert any(line.startswith("proxy edge envoy 127.0.0.1:") for line in served.lines)
    for _ in range(30):
        assert world.ask() == 200
    world.backends[1].failing = True
    failed = 0
    for _ in range(300):
        failed += world.ask() != 200
        if world.runtime():
            break
    assert world.runtime() == {"controlplane.orders.contained": "100"}
    before = world.backends[1].requests
    assert [world.ask() for _ in range(50)] == [200] * 50
    assert world.backends[1].requests - before <= 3  # probes, perhaps
    assert failed <= 20
    (shown,) = served.get("/v1/proxies")["proxies"]
    assert (shown["name"], shown["kind"], shown["condition"]) == ("edge/edge-1", "envoy", "in force")
    assert shown["observed"] > 30
    assert shown["converged"]["count"] >= 1


@pytest.mark.parametrize("fault", ["hang", "slow"])
def test_what_envoy_does_not_see_is_contained(world: PageWorld, fault: str) -> None:
    """A replica that takes calls and does not answer, or answers late without an error, is out before any time-out."""
    world.serve()
    world.start()
    bad = world.backends[1]
    with users(world) as took:
        wait_for("traffic enough to know what is normal", lambda: len(took) > 600)
        if fault == "hang":
            bad.released.clear()
        else:
            bad.delay_s = 0.3
        wait_for("it is contained", lambda: "controlplane.orders.contained" in world.runtime())
        before, answered = bad.requests, len(took)
        wait_for("others answer", lambda: len(took) > answered + 200)
        assert bad.requests - before <= 12  # those that were on their way, and probes
        bad.delay_s = 0.0
