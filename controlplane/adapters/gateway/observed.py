"""Calls that somebody else's proxy made, folded into the guards of this process: a `ports.CallJudge`.

A guard does not ask who made a call. So the replica that fails behind a proxy is found by the same test, at the same
call, as one that fails behind this process, and what several proxies see of one service is one evidence.
"""

from typing import Final

from controlplane.adapters.gateway.guards import GuardSet
from controlplane.model.signal import Target
from controlplane.model.unit import to_nanos

LATENCY_MAX_NS: Final = 86_400_000_000_000  # a day: a log may say anything


class ObservedCalls:
    """The guards, as those who judge what others saw. A user's request is slow after `slow_s`; `strangers` counts the
    results of endpoints that nobody declared."""

    def __init__(self, guards: GuardSet, *, slow_s: float = 1.0) -> None:
        self.strangers = 0
        self._guards, self._slow_ns = guards, to_nanos(slow_s)

    def ended(self, target: Target, outcome: int, latency_ns: int) -> None:
        """A call ended: evidence about its endpoint and its edge."""
        service = self._guards.services.get(target.service)
        index = None if service is None else service.index(target.endpoint)
        if service is None or index is None:
            self.strangers += 1
            return
        service.observe(index, outcome, min(max(0, latency_ns), LATENCY_MAX_NS))

    def relayed(self, caller: str, callee: str) -> None:
        """The answer passed on a failure of `callee`: no evidence about `caller`."""
        self._guards.relayed(caller, callee)

    def asked(self, *, failed: bool, latency_ns: int) -> None:
        """A user's request was answered."""
        self._guards.entry.ended(failed=failed, slow=not failed and latency_ns >= self._slow_ns)

    def shed(self) -> None:
        """A user's request was refused by order."""
        self._guards.entry.shed()

    def stall_ns(self, service: str) -> int:
        """As learned, or as its policy says; an hour where nobody declared it."""
        guarded = self._guards.services.get(service)
        return to_nanos(3600.0 if guarded is None else guarded.stall_s)
