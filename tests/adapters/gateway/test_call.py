"""Guarding any function: decorator, block and plain call."""

import anyio
import pytest

from controlplane._native.guard import Guard, Refused
from controlplane.adapters.gateway.call import call, guarded, permitted
from controlplane.adapters.gateway.refusal import RefusedError


@pytest.fixture
def guard() -> Guard:
    """A guard whose breaker opens at the third failure in a row."""
    return Guard(breaker_consecutive=3, concurrency_max=2)


def settled(guard: Guard) -> tuple[int, int, int, int]:
    described = guard.describe()
    return described["calls"], described["failures"], described["cancelled"], described["in_flight"]


def test_a_function_is_guarded(guard: Guard) -> None:
    """Its value comes back, its name and docstring stay."""

    @guarded(guard)
    def double(number: int) -> int:
        """Twice."""
        return 2 * number

    assert (double(4), double.__name__, double.__doc__) == (8, "double", "Twice.")
    assert settled(guard) == (1, 0, 0, 0)


def test_exceptions_are_failures_until_calls_are_refused(guard: Guard) -> None:
    """The third failure opens; the refusal names the function and when to come back, and the loop is rung once."""
    rings: list[int] = []

    @guarded(guard, ring=lambda: rings.append(1))
    def load() -> None:
        raise TimeoutError

    for _ in range(3):
        with pytest.raises(TimeoutError):
            load()
    with pytest.raises(Refused) as caught:
        load()
    assert (caught.value.part, "load" in caught.value.service) == ("open", True)
    assert 0 < caught.value.retry_after_s <= 10
    assert rings == [1]


def test_cancellation_and_refusals_of_others_are_no_evidence(guard: Guard) -> None:
    """KeyboardInterrupt, generator exit, and what another guard caused: the slot comes back, nothing is counted."""
    for error in (KeyboardInterrupt(), GeneratorExit(), Refused("db", "open"), RefusedError("db", "open")):
        with pytest.raises(type(error)), permitted(guard):
            raise error
    assert settled(guard)[1:] == (0, 4, 0)


@pytest.mark.anyio
async def test_coroutines_are_guarded_until_they_are_done(guard: Guard) -> None:
    """In flight while it waits; cancelled, it is neither success nor failure."""
    inside = anyio.Event()

    @guarded(guard)
    async def wait(event: anyio.Event) -> str:
        inside.set()
        await event.wait()
        return "done"

    go = anyio.Event()
    go.set()
    assert await wait(go) == "done"
    async with anyio.create_task_group() as tasks:
        inside = anyio.Event()
        tasks.start_soon(wait, anyio.Event())
        await inside.wait()
        assert guard.in_flight == 1
        tasks.cancel_scope.cancel()
    assert settled(guard)[1:] == (0, 1, 0)


@pytest.mark.anyio
async def test_blocks_are_guarded(guard: Guard) -> None:
    """`with` and `async with` give the permit; each guards one call."""
    with permitted(guard) as permit:
        assert guard.in_flight == 1
        assert permit.endpoint == -1
    async with permitted(guard):
        assert guard.in_flight == 1
    again = permitted(guard)
    with again:
        pass
    with pytest.raises(RuntimeError, match="make a new one"), again:
        pass
    assert settled(guard) == (3, 0, 0, 0)


@pytest.mark.anyio
async def test_a_plain_call_is_guarded(guard: Guard) -> None:
    """Arguments go through; a coroutine function is awaited under guard."""

    async def add(left: int, *, right: int) -> int:
        assert guard.in_flight == 1
        return left + right

    assert call(guard, divmod, 7, 2) == (3, 1)
    assert await call(guard, add, 1, right=2) == 3
    assert settled(guard) == (2, 0, 0, 0)


def test_the_limit_refuses_by_exception(guard: Guard) -> None:
    """Two at a time: the third is told which part refused."""
    with permitted(guard), permitted(guard), pytest.raises(Refused) as caught, permitted(guard, name="backup"):
        pass
    assert (caught.value.part, caught.value.service, caught.value.retry_after_s) == ("concurrency", "backup", 0.0)


@pytest.mark.anyio
async def test_whatever_can_be_awaited_is_guarded_until_it_is_done(guard: Guard) -> None:
    """A lambda, a partial, an object: what they give is the call, and its end the result; given up, it is neither."""

    async def load(error: Exception | None) -> int:
        assert guard.in_flight == 1
        if error is not None:
            raise error
        return 7

    assert await call(guard, lambda: load(None)) == 7
    assert settled(guard) == (1, 0, 0, 0)
    with pytest.raises(TimeoutError):
        await call(guard, lambda: load(TimeoutError()))
    assert settled(guard) == (2, 1, 0, 0)
    begun = load(None)
    never = call(guard, lambda: begun)
    assert guard.in_flight == 1
    never.close()
    del never
    begun.close()
    assert settled(guard) == (2, 1, 1, 0)
