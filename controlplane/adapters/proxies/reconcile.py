"""What a proxy has acknowledged of what is wanted of it: its `effective` state, for people and for metrics.

An order waits from when it is received until the proxy says that it is in force. One that is away, slow, started again
or saying one thing and doing another is shown as such, and tried again after a pause that grows and is never the same.
"""

import random
from typing import Final, Literal

import msgspec

from controlplane._native.histogram import Histogram
from controlplane.model.signal import Target
from controlplane.model.unit import MILLISECOND, SECOND, Nanos, to_seconds

FIRST_S: Final = 0.05
MOST_S: Final = 5.0  # a proxy that comes back is found within this
SLOW_NS: Final = 100 * MILLISECOND  # an order that waits longer is late: FACTS has 3.5 ms at the 99th percentile
TROUBLES_MAX: Final = 100  # targets whose refusal is remembered
_LOWEST_NS, _HIGHEST_NS, _DIGITS = 1_000, 60 * SECOND, 3

Condition = Literal["new", "in force", "waiting", "slow", "unreachable", "lying"]


class Backoff:
    """Pauses between attempts: about twice as long each time, half of it by chance, `MOST_S` at most."""

    def __init__(self, seed: int = 1) -> None:
        self._random, self._next_s = random.Random(seed), FIRST_S  # noqa: S311 - spreads load, keeps no secret

    def pause_s(self) -> float:
        """How long to wait now."""
        pause = self._next_s * (0.5 + self._random.random() / 2)
        self._next_s = min(MOST_S, 2 * self._next_s)
        return pause

    def reset(self) -> None:
        """It went well: the next trouble is a new one."""
        self._next_s = FIRST_S


class Converged(msgspec.Struct, frozen=True, kw_only=True):
    """From an order's receipt to its acknowledgement, in seconds; all zero without one."""

    count: int = 0
    p50_s: float = 0.0
    p99_s: float = 0.0
    max_s: float = 0.0


class EffectiveView(msgspec.Struct, frozen=True, kw_only=True):
    """One proxy as it stands. `waiting` are targets whose order is not acknowledged, and for how many seconds;
    `refused` what the proxy itself said against an order; `person` what a person set there, which stays.
    """

    name: str
    kind: str
    condition: Condition
    trouble: str = ""
    instance: str = ""
    restarts: int = 0
    lost: int = 0
    corrected: int = 0
    observed: int = 0
    unread: int = 0
    dropped: int = 0
    waiting: dict[str, float] = {}
    refused: dict[str, str] = {}
    person: dict[str, str] = {}
    converged: Converged = Converged()


class EffectiveState:
    """Wanted against acknowledged, of one proxy. Whoever speaks to it says what happens; nothing here does anything.

    `restarts` counts new instances of the proxy after the first, `lost` connections that broke, `corrected` settings
    that it had acknowledged and did not keep. `observed` results of calls were heard, `unread` ones were not
    understood, `dropped` ones never came.
    """

    def __init__(self, name: str, kind: str) -> None:
        self.name, self.kind = name, kind
        self.histogram = Histogram(_LOWEST_NS, _HIGHEST_NS, _DIGITS)
        self.trouble = ""
        self.instance = ""
        self.restarts = self.lost = self.corrected = 0
        self.observed = self.unread = self.dropped = 0
        self.person: dict[str, str] = {}
        self._reached = False
        self._lying_until = Nanos(0)
        self._waiting: dict[Target, Nanos] = {}
        self._refused: dict[Target, str] = {}

    def ordered(self, target: Target, now: Nanos) -> None:
        """An order about `target` was received."""
        self._waiting.setdefault(target, now)
        self._refused.pop(target, None)

    def acknowledged(self, target: Target, now: Nanos) -> None:
        """What is wanted of `target` is in force there."""
        since = self._waiting.pop(target, None)
        self._refused.pop(target, None)
        if since is not None:
            self.histogram.record(min(now - since, _HIGHEST_NS))

    def refused(self, target: Target, reason: str) -> None:
        """The proxy would not do it, and says why."""
        self._waiting.pop(target, None)
        if len(self._refused) < TROUBLES_MAX or target in self._refused:
            self._refused[target] = reason

    def found(self, instance: str, trouble: str = "") -> None:
        """It answers, as `instance`: its process, and when that began. `trouble`: what does not fit there."""
        if self.instance and instance != self.instance:
            self.restarts += 1
        self.instance, self.trouble, self._reached = instance, trouble, True

    def gone(self, reason: str) -> None:
        """It does not answer."""
        self.lost += self._reached
        self.trouble, self._reached = reason, False

    def contradicted(self, what: str, now: Nanos) -> None:
        """It had acknowledged `what`, and does something else now, which nobody ordered. It is told again."""
        self.corrected += 1
        self.trouble, self._lying_until = what, Nanos(now + 60 * SECOND)

    @property
    def reached(self) -> bool:
        """Whether it answers."""
        return self._reached

    def condition(self, now: Nanos) -> Condition:
        """How it stands, in a word."""
        if not self._reached:
            return "unreachable" if self.trouble else "new"
        if now < self._lying_until:
            return "lying"
        if not self._waiting:
            return "in force"
        return "slow" if now - min(self._waiting.values()) > SLOW_NS else "waiting"

    def view(self, now: Nanos) -> EffectiveView:
        """Everything, as values."""
        counts = self.histogram.snapshot()
        quantile = counts.quantile
        return EffectiveView(
            name=self.name,
            kind=self.kind,
            condition=self.condition(now),
            trouble=self.trouble,
            instance=self.instance,
            restarts=self.restarts,
            lost=self.lost,
            corrected=self.corrected,
            observed=self.observed,
            unread=self.unread,
            dropped=self.dropped,
            waiting={str(target): to_seconds(now - since) for target, since in self._waiting.items()},
            refused={str(target): reason for target, reason in self._refused.items()},
            person=dict(self.person),
            converged=Converged(
                count=counts.total,
                p50_s=to_seconds(quantile(500)),
                p99_s=to_seconds(quantile(990)),
                max_s=to_seconds(counts.maximum),
            ),
        )
