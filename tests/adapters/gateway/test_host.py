"""Attending to the other processes of a host: what one of them rings, and what a mistake of ours costs."""

from pathlib import Path

import anyio
import pytest

from controlplane.adapters.gateway import once
from controlplane.adapters.gateway.host import Host
from controlplane.model.topology import Endpoint, Service, Topology

pytestmark = pytest.mark.anyio

TOPOLOGY = Topology(
    services=(
        Service(name="gateway", calls=("orders",)),
        Service(name="orders", endpoints=(Endpoint(name="o1", url="http://127.0.0.1:1"),)),
    ),
    entry="gateway",
)


async def test_a_bug_in_what_is_heard_ends_neither_the_program_nor_the_hearing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The task runs beside the program's own: what it raised would cancel them."""
    monkeypatch.setattr(once, "_reported", set())
    one, other = (Host(str(tmp_path / "arena"), TOPOLOGY, workers=2, role="follows") for _ in range(2))
    times, heard = 0, anyio.Event()

    def hear() -> None:
        nonlocal times, heard
        times += 1
        heard.set()
        raise ZeroDivisionError("a bug")

    try:
        with anyio.fail_after(5):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(one.attend, hear, lambda _: None)
                for _ in range(2):
                    heard = anyio.Event()
                    other.ring()
                    await heard.wait()
                tasks.cancel_scope.cancel()
    finally:
        one.close()
        other.close()
    assert times == 2
