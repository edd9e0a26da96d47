"""One order, several data planes: what each of them answers is one answer to the engine."""

from collections.abc import Sequence

import anyio
import pytest

from controlplane.model.command import Command
from controlplane.model.errors import ActuationError, NotHere
from controlplane.model.signal import Acted
from controlplane.runtime.actuation import Actuation
from controlplane.testing import VirtualClock
from tests.runtime.scripted import command

pytestmark = pytest.mark.anyio


class Answering:
    """A data plane with one answer."""

    def __init__(self, answer: Exception | None) -> None:
        self._answer = answer

    async def apply(self, command: Command) -> None:
        if self._answer is not None:
            raise self._answer


async def answer(*planes: Exception | None) -> Acted:
    """What the engine hears when data planes answer so."""
    actuation = Actuation([Answering(each) for each in planes], clock=VirtualClock(), apply_timeout_s=1.0)
    heard: list[Sequence[Acted]] = []
    async with anyio.create_task_group() as tasks:
        actuation.start(tasks)
        await actuation.apply([command("c1")], lambda group: heard.append(group.answers))
        actuation.stop()
    ((acted,),) = heard
    return acted


ELSEWHERE = NotHere("no calls to 'orders' pass here")


async def test_a_data_plane_without_the_target_does_not_count() -> None:
    """Where another one took the order, it is done; where another one failed, that is the reason, and the only one."""
    assert (await answer(ELSEWHERE, None)).ok
    failed = await answer(ELSEWHERE, ActuationError("the proxy is away", retryable=True))
    assert (failed.ok, failed.reason, failed.retryable) == (False, "the proxy is away", True)


async def test_an_order_that_nobody_carries_out_is_not_done() -> None:
    """Where the target's traffic passes no data plane at all, the engine is told so."""
    failed = await answer(ELSEWHERE, ELSEWHERE)
    assert not failed.ok
    assert "no calls to 'orders' pass here" in failed.reason
