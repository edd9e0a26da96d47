"""The page for other people's tests: its names are there, and its data plane keeps the order it speaks of."""

import re
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from controlplane import testing
from controlplane.model.command import Command, Eject, Restore
from controlplane.model.errors import StaleCommand
from controlplane.model.signal import Target
from controlplane.model.unit import CommandId, Epoch, IncidentId, Nanos

pytestmark = pytest.mark.anyio

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "testing.md").read_text()


def test_the_page_lists_what_is_there() -> None:
    """Every public name has its line, and no other."""
    assert sorted(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)) == sorted(testing.__all__)


async def test_the_pages_data_plane_refuses_what_was_overtaken() -> None:
    """A command whose connection takes its time is refused when a later one was faster."""
    (program,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    names: dict[str, Any] = {}
    exec(program, names)
    sent: list[Command] = []
    slow = [anyio.Event()]

    class Connection:
        async def send(self, command: Command) -> None:
            sent.append(command)

    @asynccontextmanager
    async def connect() -> Any:
        if slow:
            await slow.pop().wait()
        yield Connection()

    def order(number: int, intent: Any) -> Command:
        return Command(
            id=CommandId(f"c{number}"),
            epoch=Epoch(1),
            incident=IncidentId("i1"),
            target=Target("orders", "o1"),
            intent=intent,
            lease_until=Nanos(10**15),
        )

    gate, proxy = slow[0], names["Proxy"](connect)
    async with anyio.create_task_group() as tasks:

        async def late() -> None:
            with pytest.raises(StaleCommand):
                await proxy.apply(order(1, Eject()))

        tasks.start_soon(late)
        await anyio.wait_all_tasks_blocked()
        await proxy.apply(order(2, Restore()))
        gate.set()
    assert [one.id for one in sent] == ["c2"]
