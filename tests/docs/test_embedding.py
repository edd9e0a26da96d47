"""The how-to pages, run: their programs as printed, their configuration with the ports of real backends."""

import re
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import httpx
import pytest
from anyio.abc import Process
from anyio.streams.text import TextReceiveStream

from controlplane.config import parse_config
from tests.adapters.gateway.replica import Replica, serving

pytestmark = [pytest.mark.anyio, pytest.mark.integration]

PAGES = Path(__file__).parents[2] / "docs" / "how-to"
NAMES = ["embed-fastapi.md", "embed-asyncio.md", "embed-trio.md"]


@pytest.fixture
def anyio_backend() -> str:
    """One backend is enough: the programs bring their own."""
    return "asyncio"


def block(page: str, language: str) -> str:
    """The page's first fenced block of `language`."""
    found = re.search(rf"^```{language}\n(.*?)^```$", (PAGES / page).read_text(), re.MULTILINE | re.DOTALL)
    assert found is not None, f"{page} has no {language} block"
    return found[1]


def lay_out(page: str, folder: Path, *replicas: Replica) -> str:
    """Write the page's two files into `folder`; returns the program's name. Ports 9001 and up become the replicas'."""
    program = re.search(r"`(\w+\.py)`, started with", (PAGES / page).read_text())
    assert program is not None
    text = block(page, "toml")
    for number, replica in enumerate(replicas, 9001):
        text = text.replace(f"http://127.0.0.1:{number}", replica.url)
    (folder / "controlplane.toml").write_text(text)
    (folder / program[1]).write_text(block(page, "python"))
    return program[1]


async def run(page: str, folder: Path, *replicas: Replica) -> list[str]:
    """Lines that the page's program prints."""
    program = lay_out(page, folder, *replicas)
    with anyio.fail_after(60):
        done = await anyio.run_process([sys.executable, program], cwd=folder, stderr=None)
    return done.stdout.decode().splitlines()


@pytest.mark.parametrize("page", NAMES)
def test_the_configuration_is_valid_as_printed(page: str) -> None:
    """Every key of the page's TOML is known and every value is right."""
    assert parse_config(block(page, "toml")).services[0].name == "orders"


@pytest.mark.parametrize("page", NAMES)
def test_the_program_is_about_thirty_lines(page: str) -> None:
    """A page is read in a minute."""
    assert len(block(page, "python").splitlines()) <= 45


async def test_asyncio_with_healthy_replicas(tmp_path: Path) -> None:
    """All answered, by both, and no incident.

    Shares are not asserted: in the first second the process's very first call may look twice as slow as the others, and
    one in sixteen is what the replica that got it is sure of.
    """
    async with serving(Replica("orders-1"), Replica("orders-2")) as replicas:
        lines = await run("embed-asyncio.md", tmp_path, *replicas)
    counts = {line[4:]: int(line[:3]) for line in lines}
    assert set(counts) == {"200 from orders-1", "200 from orders-2"}
    assert sum(counts.values()) == 100


async def test_asyncio_with_a_failing_replica(tmp_path: Path) -> None:
    """Exactly what the page says will be printed."""
    async with serving(Replica("orders-1"), Replica("orders-2")) as (good, bad):
        bad.status = 500
        lines = await run("embed-asyncio.md", tmp_path, good, bad)
    assert lines == block("embed-asyncio.md", "text").splitlines()


async def test_trio_with_healthy_replicas(tmp_path: Path) -> None:
    """Thirty good answers and no incident."""
    async with serving(Replica("orders-1"), Replica("orders-2")) as replicas:
        lines = await run("embed-trio.md", tmp_path, *replicas)
    assert len(lines) == 30
    assert all(" 200 from orders-" in line for line in lines)


async def test_trio_with_a_hanging_replica(tmp_path: Path) -> None:
    """All thirty succeed from the other replica, some after a wait, and the incident is printed as on the page."""
    async with serving(Replica("orders-1"), Replica("orders-2")) as (good, hung):
        hung.hangs = True
        lines = await run("embed-trio.md", tmp_path, good, hung)
    assert lines[30:] == block("embed-trio.md", "text").splitlines()
    assert all(" 200 from orders-1 " in line for line in lines[:30])
    assert 5 <= sum(line.endswith("waited") for line in lines) <= 30


@asynccontextmanager
async def gateway(folder: Path, *replicas: Replica) -> AsyncIterator[httpx.AsyncClient]:
    """The FastAPI page's program as a process, and a client of it."""
    program = lay_out("embed-fastapi.md", folder, *replicas)
    process = await anyio.open_process(
        [sys.executable, program], cwd=folder, env={"PORT": "0", "PATH": ""}, stdout=None, stderr=subprocess.PIPE
    )
    try:
        with anyio.fail_after(60):
            url = await _wait_running(process)
        async with httpx.AsyncClient(base_url=url, timeout=30, trust_env=False) as client:
            yield client
    finally:
        process.terminate()
        with anyio.move_on_after(20, shield=True) as patience:
            await process.wait()
        if patience.cancelled_caught:
            process.kill()
        with anyio.CancelScope(shield=True):
            await process.aclose()


async def _wait_running(process: Process) -> str:
    """The address uvicorn says it listens on."""
    assert process.stderr is not None
    said = ""
    async for text in TextReceiveStream(process.stderr):
        said += text
        if found := re.search(r"Uvicorn running on (http://127\.0\.0\.1:\d+)", said):
            return found[1]
    raise AssertionError(f"the gateway did not start: {said}")


async def test_fastapi_contains_a_failing_replica(tmp_path: Path) -> None:
    """Healthy: both answer. Then one fails: users see nothing of it, and the incident says which and what was done.

    How many requests the verdict takes is not asserted: a replica whose first call looked slow gets one in sixteen.
    """
    names = ("orders-1", "orders-2", "suggestions-1")
    async with (
        serving(*(Replica(name) for name in names)) as (good, bad, third),
        gateway(tmp_path, good, bad, third) as users,
    ):
        answers = [(await users.get(f"/orders/{number}")).json() for number in range(20)]
        assert {answer["from"] for answer in answers} == {"orders-1", "orders-2"}
        assert {answer["suggestions"] for answer in answers} == {"ok"}
        assert (await users.get("/incidents")).json() == []
        bad.status = 500
        for number in range(400):
            assert (await users.get(f"/orders/{number}")).status_code == 200
            told = (await users.get("/incidents")).json() if number % 20 == 0 else []
            if any(re.fullmatch("orders/orders-2 errors (communication|stabilization|recovery)", one) for one in told):
                return
        pytest.fail(f"after 400 requests: {(await users.get('/incidents')).json()}")


async def test_fastapi_names_the_cause_and_lives_without_suggestions(tmp_path: Path) -> None:
    """The third party may die; when all of `orders` fails, users get 502 or 503 and the cause's name."""
    names = ("orders-1", "orders-2", "suggestions-1")
    async with (
        serving(*(Replica(name) for name in names)) as (first, second, third),
        gateway(tmp_path, first, second, third) as users,
    ):
        third.status = 500
        for number in range(10):
            assert (await users.get(f"/orders/{number}")).json()["suggestions"] == ""
        first.status = second.status = 500
        failed = [await users.get(f"/orders/{number}") for number in range(40)]
        assert {answer.status_code for answer in failed} == {502, 503}
        assert {answer.headers["controlplane-cause"] for answer in failed} == {"orders"}
        refused = next(answer for answer in failed if answer.status_code == 503)
        assert int(refused.headers["retry-after"]) >= 1
