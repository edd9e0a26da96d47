"""A host: a gateway of several uvicorn workers and `controlplane serve` beside them, all over one arena."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec

from tests.integration.process import DEADLINE_S, Served, wait_for

ROOT = Path(__file__).parent.parent.parent


class Worker:
    """One worker, asked at its own socket."""

    def __init__(self, pid: int, where: Path) -> None:
        self.pid, self.where = pid, where
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(DEADLINE_S)
        self._socket.connect(str(where))
        self._lines = self._socket.makefile("rb")

    def ask(self, do: str, **arguments: Any) -> Any:
        """Its answer."""
        self.begin(do, **arguments)
        return self.end()

    def begin(self, do: str, **arguments: Any) -> None:
        """Ask, and do not wait."""
        self._socket.sendall(msgspec.json.encode({"do": do, **arguments}) + b"\n")

    def end(self) -> Any:
        """The answer to what was begun."""
        line = self._lines.readline()
        assert line, f"worker {self.pid} is gone"
        return msgspec.json.decode(line)

    def state(self, service: str) -> Any:
        """What the guard says there."""
        return self.ask("state", service=service)

    def kill(self) -> None:
        """kill -9, whatever it was doing."""
        os.kill(self.pid, signal.SIGKILL)
        self.where.unlink()
        self.close()

    def close(self) -> None:
        """Hang up."""
        self._lines.close()
        self._socket.close()


class Gateway:
    """`uvicorn --workers`, and its workers as they come and go."""

    def __init__(self, config: Path, folder: Path, workers: int) -> None:
        self._folder, self._count = folder, workers
        self.lines: list[str] = []
        self.workers: list[Worker] = []
        self._process = subprocess.Popen(
            [sys.executable, "-m", "uvicorn", "--workers", str(workers), "--host", "127.0.0.1", "--port", "0",
             "--no-access-log", "tests.integration.worker:app"],
            env={**os.environ, "HOST_CONFIG": str(config), "HOST_FOLDER": str(folder)},
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        try:
            self.url = wait_for("a port", self._port)
            self.refresh()
        except BaseException:
            self.close()
            raise

    def refresh(self) -> None:
        """Wait until there are as many workers as there should be, and meet the new ones."""
        wait_for(f"{self._count} workers", self._complete)
        known = {worker.where for worker in self.workers if worker.where.exists()}
        self.workers = [worker for worker in self.workers if worker.where in known]
        for where in self._sockets():
            if where not in known:
                pid = int(where.suffix[1:])
                self.workers.append(wait_for("an answer", lambda where=where, pid=pid: _met(pid, where)))

    def close(self) -> None:
        """Stop them all; whoever does not listen is killed."""
        for worker in self.workers:
            worker.close()
        self._process.terminate()
        try:
            self._process.wait(DEADLINE_S)
        except subprocess.TimeoutExpired:
            for where in self._sockets():
                os.kill(int(where.suffix[1:]), signal.SIGKILL)
            self._process.kill()
            self._process.wait()
        self._reader.join()

    def _sockets(self) -> list[Path]:
        return sorted(self._folder.glob("worker.*"))

    def _complete(self) -> bool:
        assert not any("startup failed" in line for line in self.lines), "\n".join(self.lines)
        return len(self._sockets()) == self._count

    def _port(self) -> str | None:
        if self._process.poll() is not None:
            raise AssertionError(f"it ended: {self.lines}")
        found = re.search(r"running on (http://[\d.:]+)", "\n".join(self.lines))
        return found[1] if found else None

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as output:
            for line in output:
                self.lines.append(line.rstrip("\n"))


def _met(pid: int, where: Path) -> Worker | None:
    try:
        return Worker(pid, where)
    except ConnectionRefusedError:  # bound, and not listening yet
        return None


class Host:
    """Configuration, gateway and control plane of one host; `services` is the text of its policies and services."""

    def __init__(self, folder: Path, stack: ExitStack, services: str, *, arena: Path, workers: int = 4) -> None:
        self.folder, self._stack = folder, stack
        self.config = folder / "host.toml"
        self.config.write_text(f"""
[plane]
name = "gateway"
[journal]
path = "host.db"
[admin]
listen = "127.0.0.1:0"
[arena]
path = "{arena}"
workers = 8
{services}
""")
        self.gateway = Gateway(self.config, folder, workers)
        stack.callback(self.gateway.close)

    @property
    def workers(self) -> Sequence[Worker]:
        """The gateway's."""
        return self.gateway.workers

    def serve(self, command: Sequence[str] = ("-m", "controlplane")) -> Served:
        """Start `controlplane serve` beside the gateway, and wait until it is ready."""
        served = Served([*command, "serve", "--config", str(self.config)], self.folder)
        self._stack.callback(served.close)
        return served
