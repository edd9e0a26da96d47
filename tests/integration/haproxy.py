"""The real HAProxy, with the configuration of the how-to page, in front of backends that fail on demand."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest

from tests.integration.process import DEADLINE_S, Backend, Served, wait_for

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "how-to" / "haproxy.md"
NAMES = ("orders-1", "orders-2", "orders-3")


def binary() -> str:
    """Where HAProxy is, installed first where that is possible; a test that needs it fails without it."""
    found = subprocess.run([ROOT / ".ci" / "haproxy"], capture_output=True, text=True, check=False)
    if found.returncode:
        pytest.fail(found.stderr)
    return found.stdout.strip()


def block(language: str) -> str:
    """The page's first fenced block of `language`."""
    found = re.search(rf"^```{language}\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert found is not None, f"no {language} block"
    return found[1]


def free_port(kind: socket.SocketKind) -> int:
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class HaproxyWorld:
    """Three backends, HAProxy and its configuration as printed, and a control plane for it."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder, self._stack = folder, stack
        self.backends = {name: Backend() for name in NAMES}
        for backend in self.backends.values():
            stack.callback(backend.close)
        self.socket = folder / "admin.sock"
        self.port, self.log_port = free_port(socket.SOCK_STREAM), free_port(socket.SOCK_DGRAM)
        self.url = f"http://127.0.0.1:{self.port}"
        script = [sys.executable, "-m", "controlplane", "script", "haproxy"]
        (folder / "controlplane.lua").write_bytes(subprocess.run(script, capture_output=True, check=True).stdout)
        (folder / "controlplane.map").write_text("")
        (folder / "haproxy.cfg").write_text(self._here(block("haproxy")))
        self.config = folder / "controlplane.toml"
        self.write()
        self._master: subprocess.Popen[bytes] | None = None

    def write(self, response: str = "") -> None:
        """The page's configuration of the control plane; `response` goes into [response]."""
        admin = '[admin]\nlisten = "127.0.0.1:0"\n'
        self.config.write_text(f"{self._here(block('toml'))}\n{admin}[response]\n{response}\n")

    def _here(self, text: str) -> str:
        """The page's paths and ports as they are in this test."""
        text = text.replace("/etc/haproxy/", f"{self.folder}/").replace("/run/haproxy/", f"{self.folder}/")
        text = text.replace("127.0.0.1:5514", f"127.0.0.1:{self.log_port}")
        text = text.replace("127.0.0.1:8080", f"127.0.0.1:{self.port}")
        for number, backend in enumerate(self.backends.values(), 9001):
            text = text.replace(f"127.0.0.1:{number}", backend.url.removeprefix("http://"))
        return text

    def start(self) -> None:
        """Start HAProxy, master and worker, and wait until it serves."""
        command = [binary(), "-W", "-db", "-f", str(self.folder / "haproxy.cfg")]
        self._master = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._stack.callback(self.stop)
        wait_for("HAProxy serves", self._serves)

    def _serves(self) -> bool:
        assert self._master is not None
        assert self._master.poll() is None, "HAProxy ended"
        try:
            return httpx.get(self.url, timeout=5).status_code == 200
        except httpx.TransportError:
            return False

    def reload(self) -> None:
        """A new worker takes over, as `systemctl reload` has it."""
        assert self._master is not None
        os.kill(self._master.pid, signal.SIGUSR2)

    def stop(self) -> None:
        """End HAProxy at once, all of it."""
        if self._master is not None and self._master.poll() is None:
            self._master.terminate()
            self._master.wait(DEADLINE_S)

    def serve(self, *arguments: str) -> Served:
        """Start `controlplane serve` and wait until it is ready."""
        served = Served(["-m", "controlplane", "serve", "--config", str(self.config), *arguments], self.folder)
        self._stack.callback(served.close)
        return served

    def ask(self, command: str) -> str:
        """What HAProxy's runtime API answers, to a person."""
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(DEADLINE_S)
            line.connect(str(self.socket))
            line.sendall(command.encode() + b"\n")
            answer = b""
            while chunk := line.recv(65536):
                answer += chunk
        return answer.decode().strip()

    def holds(self) -> dict[str, int]:
        """What is held in HAProxy, by name: percent of its weight."""
        words = [line.split() for line in self.ask("controlplane list").splitlines()]
        return {word[1]: int(word[3]) for word in words if word}

    def status(self, name: str) -> str:
        """UP, DOWN, MAINT and their like."""
        rows = [line.split(",") for line in self.ask("show stat -1 4 -1").splitlines()]
        at = rows[0].index("status")
        return next(row[at] for row in rows if row[1] == name)

    @contextmanager
    def load(self, clients: int = 6) -> Iterator[list[tuple[float, int]]]:
        """Users' requests from several clients for as long as the body lasts: when each was answered, and how."""
        answers: list[tuple[float, int]] = []
        stop = threading.Event()

        def run() -> None:
            with httpx.Client(timeout=10) as client:
                while not stop.is_set():
                    try:
                        status = client.get(self.url).status_code
                    except httpx.TransportError:
                        status = 0
                    answers.append((time.monotonic(), status))
                    stop.wait(0.005)

        threads = [threading.Thread(target=run) for _ in range(clients)]
        for thread in threads:
            thread.start()
        try:
            yield answers
        finally:
            stop.set()
            for thread in threads:
                thread.join()


def counted(answers: list[tuple[float, int]]) -> Counter[int]:
    """How many answers of each status."""
    return Counter(status for _, status in answers)
