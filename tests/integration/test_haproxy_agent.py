"""Why nothing is ordered by an agent check: what the real HAProxy makes of an agent that said something and died."""

import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.integration.haproxy import binary, free_port
from tests.integration.process import DEADLINE_S, Backend, wait_for

pytestmark = pytest.mark.integration

INTERVAL_MS = 50
LONG_S = 1.5  # thirty questions of the agent check, which nobody answers

CONFIG = """
global
    stats socket {folder}/admin.sock mode 600 level admin
defaults
    mode http
    timeout connect 1s
    timeout client 5s
    timeout server 5s
    timeout check 10s
backend orders
    option httpchk GET /
    default-server check inter 500ms fall 20 weight 100
    server one {one} agent-check agent-addr 127.0.0.1 agent-port {agent} agent-inter {ms}ms
    server two {two}
frontend in
    bind 127.0.0.1:{port}
    default_backend orders
"""


class Agent:
    """Answers every agent check with one line, until it dies."""

    def __init__(self, port: int, says: str) -> None:
        self.says = says
        self._listener = socket.create_server(("127.0.0.1", port))
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                line, _ = self._listener.accept()
            except OSError:
                return
            with line, suppress(OSError):  # HAProxy may have gone meanwhile
                line.sendall(f"{self.says}\n".encode())

    def die(self) -> None:
        """Nobody listens any more, as after kill -9."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(DEADLINE_S)


class Asked:
    """HAProxy before two good servers, of which the first has an agent."""

    def __init__(self, folder: Path, agent_port: int) -> None:
        self.socket, self.agent_port = folder / "admin.sock", agent_port

    def row(self, server: str) -> dict[str, str]:
        """What HAProxy says of a server."""
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(DEADLINE_S)
            line.connect(str(self.socket))
            line.sendall(b"show stat -1 4 -1\n")
            answer = b""
            while chunk := line.recv(65536):
                answer += chunk
        rows = [one.split(",") for one in answer.decode().strip().splitlines()]
        found = next(one for one in rows if one[1] == server)
        return dict(zip(rows[0], found, strict=False))

    def state(self) -> tuple[str, str]:
        """State and weight in per cent of the server with an agent."""
        row = self.row("one")
        return row["status"].split()[0], row["uweight"]


@contextmanager
def asked(folder: Path) -> Iterator[Asked]:
    backends = Backend(), Backend()
    world = Asked(folder, free_port(socket.SOCK_STREAM))
    one, two = (backend.url.removeprefix("http://") for backend in backends)
    text = CONFIG.format(
        folder=folder, one=one, two=two, agent=world.agent_port, port=free_port(socket.SOCK_STREAM), ms=INTERVAL_MS
    )
    (folder / "haproxy.cfg").write_text(text)
    process = subprocess.Popen(
        [binary(), "-db", "-f", str(folder / "haproxy.cfg")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_for("HAProxy answers", lambda: world.socket.exists() and world.row("two")["status"].startswith("UP"))
        yield world
    finally:
        process.kill()
        process.wait(DEADLINE_S)
        for backend in backends:
            backend.close()


@pytest.mark.parametrize(
    ("says", "becomes"),
    [("down", ("DOWN", "100")), ("drain", ("DRAIN", "100")), ("maint", ("MAINT", "100")), ("10%", ("UP", "10"))],
)
def test_what_an_agent_said_outlives_it(tmp_path: Path, says: str, becomes: tuple[str, str]) -> None:
    """The server passes every check all the while: an order given so ends with nobody, should its giver die."""
    with asked(tmp_path) as world:
        agent = Agent(world.agent_port, says)
        wait_for(f"the agent's {says!r} is in force", lambda: world.state() == becomes)
        agent.die()
        until = time.monotonic() + LONG_S
        while time.monotonic() < until:
            assert world.state() == becomes
            time.sleep(0.1)  # real time: HAProxy asks its dead agent twice meanwhile
        if says != "maint":  # of what is under maintenance HAProxy does not ask how it is
            assert world.row("one")["check_status"].removeprefix("* ") == "L7OK"
        again = Agent(world.agent_port, "up ready 100%")  # only who speaks again takes it back
        wait_for("it is taken back", lambda: world.state() == ("UP", "100"))
        again.die()


def test_an_agent_that_was_never_there_changes_nothing(tmp_path: Path) -> None:
    """An agent that was never there changes nothing: not the beginning of an order is the trouble, but its end."""
    with asked(tmp_path) as world:
        until = time.monotonic() + LONG_S / 3
        while time.monotonic() < until:
            assert world.state() == ("UP", "100")
            time.sleep(0.1)  # real time: HAProxy asks nobody twice meanwhile
