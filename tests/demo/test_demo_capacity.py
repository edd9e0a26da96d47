"""The shared dependency's queue against a simulation that is too simple to be wrong."""

from typing import Any

import anyio
import pytest
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from controlplane.demo.capacity import QUEUE_FULL, SERVED, WorkQueue


def simulated(arrivals_ms: list[int], *, workers: int, service_ms: int, bound: int) -> list[tuple[int, int]]:
    """(status, time of the answer) by brute force: who is in service, who waits, one millisecond after the other."""
    free_at = [0] * workers
    waiting: list[int] = []
    answers = [(0, 0)] * len(arrivals_ms)
    for now in range(max(arrivals_ms) + service_ms * (len(arrivals_ms) + 1)):
        for worker, free in enumerate(free_at):
            if waiting and free <= now:
                number = waiting.pop(0)
                free_at[worker] = now + service_ms
                answers[number] = (SERVED, now + service_ms)
        for number, at in enumerate(arrivals_ms):
            if at != now:
                continue
            idle = [worker for worker, free in enumerate(free_at) if free <= now]
            if idle and not waiting:
                free_at[idle[0]] = now + service_ms
                answers[number] = (SERVED, now + service_ms)
            elif len(waiting) >= bound:
                answers[number] = (QUEUE_FULL, now)
            else:
                waiting.append(number)
    return answers


@settings(max_examples=30, deadline=None)
@given(
    gaps=st.lists(st.integers(1, 40), min_size=1, max_size=25),
    workers=st.integers(1, 3),
    service_ms=st.sampled_from([7, 30, 95]),
    bound=st.integers(1, 5),
)
def test_the_queue_serves_as_the_simulation_does(gaps: list[int], workers: int, service_ms: int, bound: int) -> None:
    """First come, first served, by so many workers, with so many waiting: each answer and its time agree."""
    arrivals = [sum(gaps[: index + 1]) for index in range(len(gaps))]
    # an arrival at the very time at which a worker comes free may be seen on either side of it: a quarter of a
    # millisecond on top of each service keeps them apart
    answers: dict[int, tuple[int, float]] = {}

    async def main() -> None:
        began = anyio.current_time()

        async def arrive(number: int, at_ms: int) -> None:
            await anyio.sleep_until(began + at_ms / 1e3)
            status = await queue.serve()
            answers[number] = (status, (anyio.current_time() - began) * 1e3)

        async with anyio.create_task_group() as tasks:
            queue = WorkQueue(tasks, workers=workers, service_s=(service_ms + 0.25) / 1e3, bound=bound)
            for number, at in enumerate(arrivals):
                tasks.start_soon(arrive, number, at)

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    # the simulation on a grid of quarter milliseconds
    expected = simulated([4 * at for at in arrivals], workers=workers, service_ms=4 * service_ms + 1, bound=bound)
    assert [answers[number][0] for number in range(len(arrivals))] == [status for status, _ in expected]
    for number, (_, at) in enumerate(expected):
        assert answers[number][1] == pytest.approx(at / 4, abs=0.01)


class TestQueue:
    """On every event loop."""

    pytestmark = pytest.mark.anyio

    async def test_work_is_done_although_its_caller_has_gone(self) -> None:
        """A caller that gives up leaves its request in the queue: the next one waits for it all the same."""
        async with anyio.create_task_group() as tasks:
            queue = WorkQueue(tasks, workers=1, service_s=0.03, bound=5)
            began = anyio.current_time()
            with anyio.move_on_after(0.001):
                await queue.serve()
            assert await queue.serve() == SERVED
            assert anyio.current_time() - began >= 0.055

    async def test_a_full_queue_answers_at_once(self) -> None:
        """Beyond the bound the answer is 503 and costs no work."""
        async with anyio.create_task_group() as tasks:
            queue = WorkQueue(tasks, workers=1, service_s=60.0, bound=1)
            for _ in range(2):  # one is served, one waits
                tasks.start_soon(queue.serve)
                await anyio.wait_all_tasks_blocked()
            assert len(queue) == 1
            assert await queue.serve() == QUEUE_FULL
            tasks.cancel_scope.cancel()


@pytest.mark.parametrize("wrong", [{"workers": 0}, {"bound": 0}])
def test_a_queue_without_workers_or_places_is_refused(wrong: dict[str, Any]) -> None:
    """The message names what was wrong."""
    with pytest.raises(ValueError, match="at least 1"):
        WorkQueue(None, **{"workers": 1, "service_s": 0.01, "bound": 1, **wrong})  # type: ignore[arg-type]
