"""Real processes on loopback: backends that fail on demand, and `controlplane serve` in front of them."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeVar

import httpx

T = TypeVar("T")

EMBEDDING = Path(__file__).with_name("embedding.py")
DEADLINE_S = 20.0  # for what takes a fraction of a second on an idle machine


def wait_for(what: str, look: Callable[[], T | None], deadline_s: float = DEADLINE_S) -> T:
    """The first truthy answer of `look`, asked again and again until the deadline."""
    until = time.monotonic() + deadline_s
    while time.monotonic() < until:
        if found := look():
            return found
        time.sleep(0.02)  # real time: another process is asked, twenty times a second at most
    raise AssertionError(f"not within {deadline_s} s: {what}")


class _Quiet(ThreadingHTTPServer):
    """Says nothing about clients that hang up, as health checks do."""

    def handle_error(self, *_: object) -> None:
        pass


class Backend:
    """An HTTP server in a thread of this process, whose health the test decides."""

    def __init__(self) -> None:
        self.failing = False
        self.delay_s = 0.0
        self.keeps = True  # connections, after an answer
        self.requests = 0
        self.arrived = threading.Event()
        self.released = threading.Event()
        self.released.set()
        backend = self

        class Answer(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                backend.requests += 1
                backend.arrived.set()
                backend.released.wait(DEADLINE_S)
                time.sleep(backend.delay_s)  # real time: a backend that has become slow
                self.send_response(500 if backend.failing else 200)
                self.send_header("content-length", "2")
                if not backend.keeps:
                    self.send_header("connection", "close")
                self.end_headers()
                self.wfile.write(b"ok")

            def log_message(self, *_: object) -> None:
                pass

        self._server = _Quiet(("127.0.0.1", 0), Answer)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def close(self) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class Served:
    """A running gateway, `controlplane serve` or a program that embeds the library, known by what it printed."""

    def __init__(self, command: list[str], folder: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        try:
            self.wait_line("ready")
            self.admin_url = self._address("admin")
            self.gateway_url = self._address("gateway")
        except BaseException:
            self.kill()
            raise
        token = (folder / "controlplane.token").read_text().strip()
        self.admin = httpx.Client(base_url=self.admin_url, headers={"authorization": f"Bearer {token}"}, timeout=10)
        self.gateway = httpx.Client(base_url=self.gateway_url, timeout=30)

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait_line(self, beginning: str) -> str:
        def look() -> str | None:
            found = next((line for line in self.lines if line.startswith(beginning)), None)
            if found is None and self._process.poll() is not None and not self._reader.is_alive():
                raise AssertionError(f"it ended: {self.lines}")
            return found

        return wait_for(f"a line that begins with {beginning!r} in {self.lines}", look)

    def get(self, path: str) -> Any:
        answer = self.admin.get(path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def send(self, signal: int) -> None:
        self._process.send_signal(signal)

    def wait_exit(self) -> int:
        status = self._process.wait(DEADLINE_S)
        self._reader.join()
        return status

    def kill(self) -> None:
        """kill -9, whatever it was doing."""
        self._process.kill()
        self._process.wait()
        self._reader.join()

    def close(self) -> None:
        self.kill()
        self.admin.close()
        self.gateway.close()

    def _address(self, name: str) -> str:
        """Where it listens, as it printed it; empty: it does not."""
        return next((line.split()[1] for line in self.lines if line.startswith(f"{name} ")), "")

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as output:
            for line in output:
                self.lines.append(line.rstrip("\n"))


class World:
    """Two backends behind one gateway, and the folder where its configuration, journal and token lie."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder, self._stack = folder, stack
        self.good, self.bad = self._backend(), self._backend()
        self.config = folder / "controlplane.toml"

    def _backend(self) -> Backend:
        backend = Backend()
        self._stack.callback(backend.close)
        return backend

    def write(self, response: str = "", *, name: str = "controlplane.toml") -> Path:
        """Put a configuration down; `response` goes into [response]."""
        path = self.folder / name
        path.write_text(f"""
[plane]
name = "gateway"
[journal]
path = "controlplane.db"
[admin]
listen = "127.0.0.1:0"
[gateway]
listen = "127.0.0.1:0"
routes = {{ "/orders" = "orders" }}
[response]
{response}
[policies.default]
redrive = false
[[services]]
name = "orders"
endpoints = [
    {{ name = "good", url = "{self.good.url}" }},
    {{ name = "bad", url = "{self.bad.url}" }},
]
""")
        return path

    def serve(self, *arguments: str, config: Path | None = None) -> Served:
        """Start `controlplane serve` and wait until it is ready."""
        config = config or self.config
        return self._started(["-m", "controlplane", "serve", "--config", str(config), *arguments])

    def embed(self) -> Served:
        """Start a program that embeds the library and wait until it is ready."""
        return self._started([str(EMBEDDING), str(self.config)])

    def _started(self, command: list[str]) -> Served:
        served = Served(command, self.folder)
        self._stack.callback(served.close)
        return served


@contextmanager
def load(url: str, clients: int = 8, *, path: str = "/orders/1") -> Iterator[list[int]]:
    """Requests from several clients at once for as long as the body lasts; gives the statuses, as they come."""
    statuses: list[int] = []
    stop = threading.Event()

    def run() -> None:
        with httpx.Client(timeout=10) as client:
            while not stop.is_set():
                try:
                    statuses.append(client.get(f"{url}{path}").status_code)
                except httpx.TransportError:
                    statuses.append(0)
                stop.wait(0.01)

    threads = [threading.Thread(target=run) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield statuses
    finally:
        stop.set()
        for thread in threads:
            thread.join()
