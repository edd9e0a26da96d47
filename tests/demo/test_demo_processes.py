"""Real processes: none outlives its parent, none dies unmissed, and the whole command does what it says."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest

from controlplane.demo import pipe
from controlplane.demo.supervise import ChildDied, launch
from controlplane.model.unit import Nanos

pytestmark = [pytest.mark.integration, pytest.mark.alone]

DEADLINE_S = 20.0  # for what takes a fraction of a second on an idle machine
LOAD = {"load": "controlplane.demo.load"}
SUPERVISOR = """
import sys, anyio
from pathlib import Path
from controlplane.demo.supervise import launch

async def main():
    async with launch({"load": "controlplane.demo.load"}, Path(sys.argv[1])) as children:
        print(children["load"].process.pid, flush=True)
        await anyio.sleep_forever()

anyio.run(main)
"""


def wait_until(what: str, look: Callable[[], bool]) -> None:
    """Look again and again, until the deadline."""
    until = time.monotonic() + DEADLINE_S
    while not look():
        assert time.monotonic() < until, what
        time.sleep(0.02)  # real time: a process of the system is looked at, and nothing tells of its end


def gone(pid: int) -> bool:
    """Whether no process of that number runs; one that only waits to be reaped does not run."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].startswith("Z")
    except FileNotFoundError:
        return True


def children(pid: int) -> list[int]:
    """Process ids of the children of `pid`."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_a_child_that_dies_is_missed_by_name(tmp_path: Path) -> None:
    """The supervisor learns which process died, and takes the rest down."""
    pids: list[int] = []

    async def main() -> None:
        async with launch({**LOAD, "other": "controlplane.demo.load"}, tmp_path) as started:
            pids.extend(child.process.pid for child in started.values())
            answer = await started["load"].ask(pipe.Gather(Nanos(0), Nanos(1)), pipe.Gathered)
            assert answer.sent == []
            started["load"].process.kill()
            with anyio.fail_after(DEADLINE_S):
                await anyio.sleep_forever()

    with pytest.raises(BaseExceptionGroup) as raised:
        anyio.run(main)
    died, rest = raised.value.split(ChildDied)
    assert rest is None
    assert died is not None
    assert "load died (exit status -9)" in str(died.exceptions[0])
    assert all(gone(pid) for pid in pids)


def test_a_child_that_cannot_start_says_why(tmp_path: Path) -> None:
    """Its last words are part of the error."""

    async def main() -> None:
        async with launch({"ghost": "controlplane.demo.no_such_module"}, tmp_path) as started:
            await started["ghost"].ask(pipe.Rest(), pipe.Done)

    with pytest.raises(BaseExceptionGroup) as raised:
        anyio.run(main)
    assert "no_such_module" in str(raised.value.exceptions[0])


def test_a_supervisor_that_is_killed_leaves_nobody(tmp_path: Path) -> None:
    """`kill -9` of the parent closes the pipe, and the child stops by itself."""
    supervisor = subprocess.Popen([sys.executable, "-c", SUPERVISOR, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert supervisor.stdout is not None
    with supervisor:
        child = int(supervisor.stdout.readline())
        assert not gone(child)
        supervisor.kill()
    wait_until(f"child {child} is still there", lambda: gone(child))


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_leaves_nobody(tmp_path: Path, stop: signal.Signals) -> None:
    """Ctrl-C or SIGTERM in the middle of it: exit status 130, every process gone, the temporary directory too."""
    log = tmp_path / "progress"
    with (
        log.open("w") as progress,
        subprocess.Popen(
            [sys.executable, "-m", "controlplane", "demo", "--healthy-s", "60"],
            stderr=progress,
            stdout=subprocess.DEVNULL,
            env={**os.environ, "TMPDIR": str(tmp_path)},
        ) as demo,
    ):
        try:
            wait_until("the mesh did not start", lambda: "warming up" in log.read_text())
            mesh = children(demo.pid)
            assert len(mesh) >= 5
            demo.send_signal(stop)
            assert demo.wait(DEADLINE_S) == 130
        finally:
            demo.kill()
    assert all(gone(pid) for pid in mesh)
    assert [path.name for path in tmp_path.iterdir()] == ["progress"]


@pytest.mark.timeout(180)
def test_the_command_contains_a_real_fault(tmp_path: Path) -> None:
    """One fault through the whole command: fewer users hurt, the replica named, the incident closed by itself."""
    out = tmp_path / "result.json"
    finished = subprocess.run(
        [
            sys.executable,
            "-m",
            "controlplane",
            "demo",
            "--only",
            "replica_errors",
            "--healthy-s",
            "1",
            "--json",
            str(out),
        ],
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    said = json.loads(out.read_text())
    (fault,) = said["faults"]
    # how fast depends on the machine; the exit status reports that, and this test what must hold on any
    assert finished.returncode == bool(said["troubles"]), finished.stdout + finished.stderr
    assert fault["enforce"]["failed"] < fault["observe"]["failed"], finished.stdout
    assert "catalog/catalog-2" in fault["origins"]
    assert fault["incidents"]["opened"] == fault["incidents"]["closed"] >= 1
    assert said["healthy"]["incidents"] == said["healthy"]["commands"] == 0
    assert "replica_errors" in finished.stdout
