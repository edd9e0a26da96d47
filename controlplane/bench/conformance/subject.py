"""What a probe sees: calls that begin, are refused, and end one way or another, in whatever order the probe likes."""

import asyncio
import sys
import time
import types
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from enum import StrEnum

import msgspec

FAILURES = 5  # consecutive failures that open every breaker here
OPEN_S = 0.06  # how long each stays open: long against a scheduler's delay, short for whoever waits for the page
LAPSED_S = OPEN_S * 1.3
LIMIT = 20
WINDOW_S = 1.0  # the shortest that all of the libraries offer


class Sick(Exception):
    """What a sick backend raises."""


class Verdict(StrEnum):
    """How a probe ended."""

    HOLDS = "holds"
    FAILS = "fails"
    UNASKED = "-"


class Finding(msgspec.Struct, frozen=True):
    """The answer of one probe, in a few words that a table can hold."""

    verdict: Verdict
    seen: str


def found(holds: bool, seen: str) -> Finding:
    """A judged finding."""
    return Finding(Verdict.HOLDS if holds else Verdict.FAILS, seen)


class Call(ABC):
    """One admitted call under way. It ends once."""

    @abstractmethod
    def success(self) -> None:
        """The backend answered."""

    @abstractmethod
    def failure(self) -> None:
        """The backend failed."""

    @abstractmethod
    def cancel(self) -> None:
        """The caller gave up: neither success nor failure."""


class Breaker(ABC):
    """A breaker of FAILURES consecutive failures that opens for OPEN_S and closes on one success, where it can be told.

    `probes_max`: calls it is to let through half open, at most. `cancellable`: the calls it guards can be cancelled.
    """

    probes_max: int = 1
    cancellable: bool = True

    @abstractmethod
    def admit(self) -> Call | None:
        """Begin a call; None: it was refused."""

    def nested(self, inner: "Breaker") -> bool:  # noqa: ARG002
        """Begin and end a call whose body is a call through `inner`, which refuses. False: cannot be asked."""
        return False

    def retune(self) -> bool:
        """Change how long it stays open, live, to ten times as long. False: it offers no way to."""
        return False


class Limiter(ABC):
    """A limit of LIMIT calls per WINDOW_S. `promise`: calls that any window of that length may see at most, as its
    own documentation has it. `keyed`: it keeps a limit per key."""

    promise: int = LIMIT
    keyed: bool = False

    @abstractmethod
    def admit(self, key: str = "a") -> bool:
        """Take one; False: refused."""

    def retune(self) -> bool:
        """Halve the rate, live. False: it offers no way to."""
        return False


@types.coroutine
def _outcome() -> Generator[None, None, None]:
    yield


async def body() -> None:
    """The protected call: waits until the probe says how it ends."""
    await _outcome()


class Driven(Call):
    """A coroutine that a probe drives by hand: no loop decides what happens when."""

    def __init__(self, coroutine: Coroutine[None, None, None]) -> None:
        self._coroutine = coroutine

    def success(self) -> None:
        try:
            self._coroutine.send(None)
        except StopIteration:
            return
        raise AssertionError("the protected call did not end")

    def failure(self) -> None:
        self._throw(Sick())

    def cancel(self) -> None:
        self._throw(asyncio.CancelledError())

    def _throw(self, error: BaseException) -> None:
        try:
            self._coroutine.throw(error)
        except (Exception, asyncio.CancelledError):
            return  # what was thrown, the library's own words for it, or the end
        raise AssertionError("the protected call did not end")


class Wrapped(Breaker):
    """A breaker that wraps async functions; `wrap(function)` gives the guarded one, `refusals` is what it raises."""

    def __init__(
        self,
        wrap: Callable[[Callable[[], Awaitable[None]]], Callable[[], Coroutine[None, None, None]]],
        refusals: tuple[type[BaseException], ...],
    ) -> None:
        self.refusals = refusals
        self._wrap = wrap
        self._guarded = wrap(body)

    def admit(self) -> Call | None:
        coroutine = self._guarded()
        try:
            coroutine.send(None)
        except self.refusals:
            return None
        except StopIteration:
            raise AssertionError("the protected call ended before it began") from None
        return Driven(coroutine)

    def nested(self, inner: Breaker) -> bool:
        if not isinstance(inner, Wrapped):
            return False
        try:
            self._wrap(inner._guarded)().send(None)
        except Exception:
            return True
        raise AssertionError("the inner breaker let the call through")


@contextmanager
def stepped_wall_clock(seconds: float, packages: tuple[str, ...]) -> Iterator[None]:
    """The wall clock of Python code reads `seconds` more; the monotonic one goes on. Compiled code is not reached.

    A library that took the function or the class by name at its import is reached through its own modules.
    """
    real_time, real_datetime = time.time, datetime

    class Stepped(datetime):
        """Today, elsewhere."""

        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
            return real_datetime.now(tz) + timedelta(seconds=seconds)  # type: ignore[arg-type]

        @classmethod
        def utcnow(cls) -> datetime:  # type: ignore[override]
            return real_datetime.now(UTC).replace(tzinfo=None) + timedelta(seconds=seconds)

    replacements = {
        id(real_time): lambda: real_time() + seconds,
        id(time.time_ns): (lambda real: lambda: real() + int(seconds * 1e9))(time.time_ns),
        id(real_datetime): Stepped,
    }
    changed = []
    modules = [module for name, module in list(sys.modules.items()) if name.split(".")[0] in packages]
    for module in (time, *modules):
        for name, value in list(vars(module).items()):
            if id(value) in replacements:
                changed.append((module, name, value))
                setattr(module, name, replacements[id(value)])
    try:
        yield
    finally:
        for module, name, value in changed:
            setattr(module, name, value)
