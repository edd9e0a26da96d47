"""Guarding what is not HTTP: a decorator, a `with` block and a plain call around any function.

    @guarded(plane.guard("database"))
    async def load(key): ...

An exception is a failure (a TimeoutError a time-out), cancellation is neither, and neither is a refusal of another
guard that comes up through the function: results that guards cause are no evidence. A refused call raises `Refused`.
"""

import inspect
from collections.abc import Awaitable, Callable
from functools import wraps
from types import TracebackType
from typing import Any, ParamSpec, TypeVar, cast

from controlplane._native.guard import ERROR, TIMEOUT, ByGuard, Guard, Permit, Refused
from controlplane.adapters.gateway.refusal import retry_after_s

P = ParamSpec("P")
T = TypeVar("T")
Ring = Callable[[], None]


class permitted:  # noqa: N801 - reads as a word in `with permitted(guard):`
    """One call, as the body of `with` or `async with`; gives the permit. Raises Refused. Make a new one for every call.

    `name` is what the refusal says was called. `ring` is called when the result changed a state, from the thread that
    made the call; without it the control loop looks at its next wake-up. Reflexes do not need it.
    """

    __slots__ = ("_guard", "_name", "_permit", "_ring")

    def __init__(self, guard: Guard, *, name: str = "guarded call", ring: Ring | None = None) -> None:
        self._guard, self._name, self._ring = guard, name, ring
        self._permit: Permit | None = None

    def __enter__(self) -> Permit:
        if self._permit is not None:
            raise RuntimeError("permitted() guards one call; make a new one for the next")
        answer = self._guard.try_acquire()
        if not isinstance(answer, Permit):
            raise Refused(self._name, answer.part, retry_after_s(answer))
        self._permit = answer
        return answer

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        permit = self._permit
        assert permit is not None
        if error is None:
            changed = permit.success()
        elif not isinstance(error, Exception) or isinstance(error, ByGuard):
            changed = permit.cancel()
        else:
            changed = permit.failure(TIMEOUT if isinstance(error, TimeoutError) else ERROR)
        if changed and self._ring is not None:
            self._ring()

    async def __aenter__(self) -> Permit:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)


def call(guard: Guard, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """The value of `function(*args, **kwargs)`, guarded; an awaitable is guarded until it is done. Raises Refused."""
    return guarded(guard)(function)(*args, **kwargs)


def guarded(guard: Guard, *, name: str = "", ring: Ring | None = None) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """A decorator for functions, each call of which is guarded; where it gives an awaitable, until that is done.

    Raises Refused in the call's place.
    """

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        called = name or getattr(function, "__qualname__", "guarded call")
        if inspect.iscoroutinefunction(function):

            @wraps(function)
            async def awaiting(*args: P.args, **kwargs: P.kwargs) -> Any:
                with permitted(guard, name=called, ring=ring):
                    return await cast("Callable[P, Awaitable[Any]]", function)(*args, **kwargs)

            return cast("Callable[P, T]", awaiting)

        @wraps(function)
        def calling(*args: P.args, **kwargs: P.kwargs) -> T:
            block = permitted(guard, name=called, ring=ring)
            block.__enter__()
            try:
                value = function(*args, **kwargs)
            except BaseException as error:
                block.__exit__(type(error), error, error.__traceback__)
                raise
            if hasattr(value, "__await__"):  # it has only begun
                return cast("T", _awaited(block, cast("Awaitable[Any]", value)))
            block.__exit__(None, None, None)
            return value

        return calling

    return decorate


async def _awaited(block: permitted, value: Awaitable[Any]) -> Any:
    try:
        result = await value
    except BaseException as error:
        block.__exit__(type(error), error, error.__traceback__)
        raise
    block.__exit__(None, None, None)
    return result
