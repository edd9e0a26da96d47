"""A limit that finds its size from how calls end, where a proxy holds it: the guard's rule, by what the proxy tells.

Each answer lets the limit of a service grow by a sixteenth of a call, or by a quarter of a call for each round of
answers where that is more; a time-out or a 429/503 takes one call from it (docs/concepts/guard.md, Limit). An order
says where it begins. A proxy is told the whole number, a few times a second.
"""

from collections.abc import Callable
from typing import Final

import anyio

from controlplane._native.guard import OVERLOAD, SUCCESS, TIMEOUT
from controlplane.adapters.proxies.wanted import Wanted
from controlplane.model.signal import Target
from controlplane.ports import CallJudge

STEP_S: Final = 0.05  # a proxy is told no oftener: an order to it costs about a millisecond
GROWTH: Final = 1 / 16  # of a call, for an answer
ROUND_GROWTH: Final = 1 / 4  # of a call, for as many answers as there are calls
CALLS_MAX: Final = 1_000.0  # a limit that nobody feels


class Pace:
    """A `ports.CallJudge` before another one, that sizes the limits in `wanted` as calls end."""

    def __init__(self, judge: CallJudge, wanted: Wanted) -> None:
        self._judge, self._wanted = judge, wanted
        self._begun: dict[str, int] = {}  # where the limit of a service began
        self._sizes: dict[str, float] = {}
        self._limited = anyio.Event()

    def ordered(self) -> None:
        """What is wanted is different: limits that are new begin where they are ordered, others are forgotten."""
        limits = self._wanted.limits()
        for service, concurrency in limits.items():
            if self._begun.get(service) != concurrency:
                self._sizes[service] = float(concurrency)
        self._begun = limits
        self._sizes = {service: size for service, size in self._sizes.items() if service in limits}
        if limits:
            self._limited.set()

    def step(self) -> list[str]:
        """Write down in `wanted` what the limits have become; the services whose limit is another one now."""
        self.ordered()
        sized = {service: int(size) for service, size in self._sizes.items()}
        before, self._wanted.sized = self._wanted.sized, sized
        return [service for service, size in sized.items() if before.get(service, self._begun[service]) != size]

    async def run(self, moved: Callable[[str], object]) -> None:
        """Tell `moved` of every service whose limit is another one, until cancelled; nothing wakes without a limit."""
        while True:
            if not self._sizes:
                self._limited = anyio.Event()
                await self._limited.wait()
            await anyio.sleep(STEP_S)
            for service in self.step():
                moved(service)

    # ports.CallJudge

    def ended(self, target: Target, outcome: int, latency_ns: int) -> None:
        """One more answer, or one less: then as the other one has it."""
        size = self._sizes.get(target.service)
        if size is not None and outcome == SUCCESS:
            self._sizes[target.service] = min(CALLS_MAX, size + max(GROWTH, ROUND_GROWTH / size))
        elif size is not None and outcome in (TIMEOUT, OVERLOAD):  # one that is overdue may still be answered in time
            self._sizes[target.service] = max(1.0, size - 1)
        self._judge.ended(target, outcome, latency_ns)

    def relayed(self, caller: str, callee: str) -> None:
        """As the other one has it."""
        self._judge.relayed(caller, callee)

    def asked(self, *, failed: bool, latency_ns: int) -> None:
        """As the other one has it."""
        self._judge.asked(failed=failed, latency_ns=latency_ns)

    def shed(self) -> None:
        """As the other one has it."""
        self._judge.shed()

    def stall_ns(self, service: str) -> int:
        """As the other one has it."""
        return self._judge.stall_ns(service)
