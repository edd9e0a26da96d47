"""Nobody who is told slows containment down: response times beside receivers that stall, and without any."""

import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from controlplane.assembly import Plane
from controlplane.config import parse_config
from controlplane.model.signal import Cause, Target, Tripped
from tests.adapters.notify.receiver import Receiver

pytestmark = [pytest.mark.anyio, pytest.mark.integration]

SERVICES, ROUNDS = 40, 3
# Both are measured in turns in one process. Telling people costs a task that runs some time after; what it may add to a
# response is less than what two measurements of the same differ by.
RATIO_MAX, SLACK_S = 1.5, 0.002


@pytest.fixture
def anyio_backend() -> str:
    """The loop of `controlplane serve` is one of asyncio's."""
    return "asyncio"


@pytest.fixture
def stalling() -> Iterator[Receiver]:
    """Takes every request and answers none."""
    one = Receiver()
    one.stall()
    yield one
    one.close()


def text(folder: Path, notifiers: str) -> str:
    services = "".join(
        f'[[services]]\nname = "s{number}"\nendpoints = ['
        + ", ".join(f'{{ name = "e{n}", url = "http://127.0.0.1:{number * 10 + n + 1}" }}' for n in range(4))
        + "]\n"
        for number in range(SERVICES)
    )
    policy = "[response]\nblast_budget_percent = 100\ncommands_per_minute_max = 10000\n"
    return f'[journal]\npath = "{folder / "journal.db"}"\n{notifiers}{policy}{services}'


async def responses(folder: Path, notifiers: str) -> list[float]:
    """Seconds from a verdict until it is decided, on record and in force, for one endpoint of each service."""
    folder.mkdir()
    found = []
    async with Plane(parse_config(text(folder, notifiers))) as plane:
        for number in range(SERVICES):
            began = time.perf_counter()
            signal = Tripped(
                at=plane.clock.now(), target=Target(f"s{number}", "e0"), cause=Cause.ERRORS, calls=9, failures=9
            )
            await plane._loop.execute(signal)
            found.append(time.perf_counter() - began)
            await anyio.sleep(0.005)  # real time: notices leave meanwhile, in both cases
        assert len(plane.state.in_force) == SERVICES  # each was contained
    return found


async def test_receivers_that_stall_change_no_response_time(tmp_path: Path, stalling: Receiver) -> None:
    """The median beside three receivers that stall is that without any, and none of the slowest waits for one."""
    three = "".join(
        f'[notifiers.n{n}]\nkind = "webhook"\nurl = "{stalling.url}"\ngroup_wait_s = 0\ntimeout_s = 5\n'
        for n in range(3)
    )
    alone: list[float] = []
    beside: list[float] = []
    for number in range(ROUNDS):
        alone += await responses(tmp_path / f"alone{number}", "")
        beside += await responses(tmp_path / f"beside{number}", three)
    assert len(stalling.requests) >= 3 * ROUNDS  # they were asked indeed
    quiet, loud = statistics.median(alone), statistics.median(beside)
    print(f"\nresponse: median {quiet * 1e3:.2f} ms alone, {loud * 1e3:.2f} ms beside receivers that stall;", end=" ")
    print(
        f"p95 {statistics.quantiles(alone, n=20)[-1] * 1e3:.2f} and {statistics.quantiles(beside, n=20)[-1] * 1e3:.2f}"
    )
    assert loud <= RATIO_MAX * quiet + SLACK_S
    assert statistics.quantiles(beside, n=20)[-1] < 0.5  # a time-out of theirs is ten times that
