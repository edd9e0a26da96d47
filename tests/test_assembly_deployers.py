"""A plane with a deployer: from the verdict to the process that rolls back, and to the end on record."""

import os
import signal
import sys
from pathlib import Path

import anyio
import msgspec
import pytest

from controlplane.adapters.stores.sqlite import SqliteJournal
from controlplane.assembly import Plane
from controlplane.config import parse_config
from controlplane.model.config import Config
from controlplane.model.signal import Cause, Target, Tripped

pytestmark = [pytest.mark.anyio, pytest.mark.integration]

PATIENT_S = 60.0


def config_text(tmp_path: Path, code: str) -> str:
    argv = msgspec.json.encode([sys.executable, "-c", code, str(tmp_path / "said"), "{service}", "{version}", "{to}"])
    endpoints = ", ".join(
        f'{{ name = "c{at}", url = "http://127.0.0.1:{at}", version = "{"v2" if at == 4 else "v1"}" }}'
        for at in range(1, 5)
    )
    return f"""
[response]
enforcement = {{ roll_back = 100 }}
penalty_s = 60
[deployers.ci]
kind = "command"
command = {argv.decode()}
[[services]]
name = "cart"
deployer = "ci"
endpoints = [{endpoints}]
"""


def config(tmp_path: Path, code: str) -> Config:
    return parse_config(config_text(tmp_path, code))


def fail(plane: Plane) -> None:
    target = Target("cart", "c4")
    plane.submit_nowait(Tripped(at=plane.clock.now(), target=target, cause=Cause.ERRORS, calls=5, failures=5))


async def wait_ended(plane: Plane) -> bool:
    """Whether the roll-back is done, once it has ended."""
    with anyio.fail_after(PATIENT_S):
        while (held := plane.state.withdrawn.get("cart")) is None or held.ok is None:
            await anyio.sleep(0.01)  # real time: a process does it
    return held.ok


async def test_a_canary_is_rolled_back_by_its_deployer_once(tmp_path: Path) -> None:
    """The command runs once, with what it needs to know, and how it ended is on record."""
    code = "import sys; open(sys.argv[1], 'a').write(' '.join(sys.argv[2:]) + '\\n')"
    async with Plane(config(tmp_path, code), seed=1) as plane:
        fail(plane)
        assert await wait_ended(plane)
        assert not plane.state.incidents["i1"].escalated
    assert (tmp_path / "said").read_text() == "cart v2 v1\n"


async def test_a_deployer_that_fails_calls_a_person(tmp_path: Path) -> None:
    """With its last words in the timeline."""
    async with Plane(config(tmp_path, "import sys; sys.exit('no such revision')"), seed=1) as plane:
        fail(plane)
        assert not await wait_ended(plane)
        lines = [moment.what for moment in plane.state.incidents["i1"].timeline]
        assert "roll-back failed: exit status 1: no such revision" in lines
        assert plane.state.incidents["i1"].escalated


async def test_a_plane_that_stops_meanwhile_starts_nothing_twice(tmp_path: Path) -> None:
    """The command is ended with the plane; the next one on the same journal calls a person, and runs nothing."""
    code = "import sys, signal; open(sys.argv[1], 'a').write('began\\n'); signal.pause()"
    settings, said = config(tmp_path, code), tmp_path / "said"
    async with Plane(settings, journal=SqliteJournal(str(tmp_path / "journal")), seed=1) as plane:
        fail(plane)
        with anyio.fail_after(PATIENT_S):
            while not said.exists() or said.read_text() != "began\n":
                await anyio.sleep(0.01)  # real time: a process begins
    async with Plane(settings, journal=SqliteJournal(str(tmp_path / "journal")), seed=1) as plane:
        assert plane.state.withdrawn["cart"].ok is False
        assert plane.state.incidents["i1"].escalated
        assert said.read_text() == "began\n"


KILLED = """
import anyio, sys
from controlplane.adapters.stores.sqlite import SqliteJournal
from controlplane.assembly import Plane
from controlplane.config import load_config
from controlplane.model.signal import Cause, Target, Tripped

async def run():
    async with Plane(load_config(sys.argv[1]), journal=SqliteJournal(sys.argv[2]), seed=1) as plane:
        target = Target("cart", "c4")
        plane.submit_nowait(Tripped(at=plane.clock.now(), target=target, cause=Cause.ERRORS, calls=5, failures=5))
        await anyio.sleep_forever()

anyio.run(run)
"""


async def test_a_plane_that_is_killed_meanwhile_starts_nothing_twice(tmp_path: Path) -> None:
    """`kill -9` while the deployer works: it is on record, its end is not, and a person is called instead."""
    code = "import os, sys, signal; open(sys.argv[1], 'a').write(f'{os.getpid()}\\n'); signal.pause()"
    text, said, journal = config_text(tmp_path, code), tmp_path / "said", str(tmp_path / "journal")
    (tmp_path / "c.toml").write_text(text)
    words = [sys.executable, "-c", KILLED, str(tmp_path / "c.toml"), journal]
    async with await anyio.open_process(words, stdout=None, stderr=None) as process:
        with anyio.fail_after(PATIENT_S):
            while not said.exists() or not said.read_text().endswith("\n"):
                await anyio.sleep(0.01)  # real time: another process begins
        process.kill()
        await process.wait()
    os.killpg(int(said.read_text()), signal.SIGKILL)  # the deployer outlives who started it: its group is its own
    async with Plane(parse_config(text), journal=SqliteJournal(journal), seed=1) as plane:
        assert plane.state.withdrawn["cart"].ok is False
        assert plane.state.incidents["i1"].escalated
        with anyio.move_on_after(1.5):
            await anyio.sleep_forever()  # real time: long enough for the engine to look again
    assert len(said.read_text().splitlines()) == 1
