"""What must be well with a service before its recovery is complete, as far as its own guard can say.

    retry_budget    no retry is refused for want of budget; what an order forbids is not its affair
    queue           no more calls are in flight than twice what was usual
    configuration   the policy in force is the one that this process was given

Each is told when it changes, and once a second while it is not well, as long as the service is under observation. What
was told to be unwell is told to be well again, however long that takes.
"""

from collections.abc import Iterator
from typing import Final

from controlplane._native.guard import Guard
from controlplane.adapters.gateway.learn import UsualLoad
from controlplane.adapters.gateway.tally import OBSERVED_NS
from controlplane.model.policy import GuardPolicy
from controlplane.model.signal import Condition, ConditionKind
from controlplane.model.unit import MILLISECOND, SECOND, Nanos

EVERY_NS: Final = 900 * MILLISECOND  # of once a second: a sample that comes a little early tells, too
# A budget that has refused is drained until it is half full, or until it has refused nothing for as long as a floor
# needs to fill it: without a floor, and without calls, it would never be half full.
DRAINED_NS: Final = 10 * SECOND
QUEUE_FACTOR: Final = 2
QUEUE_MIN: Final = 4  # where next to nothing is usual, four calls at a time are no queue


class ConditionWatch:
    """The conditions of one service: `guard` is asked, `usual` was learned, `policy` is what was configured."""

    def __init__(self, name: str, guard: Guard, usual: UsualLoad, policy: GuardPolicy) -> None:
        self._name, self._guard, self._usual = name, guard, usual
        self._observed_until = 0
        self._unwell: dict[ConditionKind, int] = {}  # when it was told last
        self._refused = self._refusals()
        self._refused_at = 0
        self._drained = self._ordered = False
        self.configure(policy)

    def configure(self, policy: GuardPolicy) -> None:
        """`policy` is what is to be in force from now on."""
        fields = policy.native()
        if not policy.slow_s:
            del fields["slow_ns"]  # learned
        self._configured: dict[str, int] = fields

    def observe(self, now: int) -> None:
        """An incident is on: tell of conditions for a while."""
        if now >= self._observed_until:
            self._refused = self._refusals()
        self._observed_until = now + OBSERVED_NS
        self._usual.rest(self._observed_until)

    def watches(self, at: int) -> bool:
        """Whether there may be anything to tell: an incident is on, or what was told is not taken back."""
        return at < self._observed_until or bool(self._unwell)

    def sample(self, at: Nanos) -> list[Condition]:
        """What has changed, and what is still not well."""
        if not self.watches(at):
            return []
        return [told for what, reason in self._reasons(at) if (told := self._told(at, what, reason)) is not None]

    def _told(self, at: Nanos, what: ConditionKind, reason: str) -> Condition | None:
        since = self._unwell.get(what)
        if not reason:
            if since is None:
                return None
            del self._unwell[what]
            return Condition(at=at, service=self._name, what=what, well=True)
        if since is not None and at - since < EVERY_NS:
            return None
        self._unwell[what] = at
        return Condition(at=at, service=self._name, what=what, well=False, reason=reason)

    def _reasons(self, at: int) -> Iterator[tuple[ConditionKind, str]]:
        """Why each condition is not well; empty: it is."""
        state = self._guard.describe()
        yield "retry_budget", self._drain(at, state)
        yield "queue", self._queue(state["in_flight"])
        yield "configuration", self._drift()

    def _drain(self, at: int, state: dict[str, int]) -> str:
        before, self._refused = self._refused, self._refusals()
        left, most = state["retries_left"], state["retries_max"]
        ordered = state["limit"] > 0 or state["retry_cap"] >= 0
        mine, self._ordered = not (ordered or self._ordered), ordered
        filled = left >= max(1, most // 2)  # and refuses all the same while endpoints fail together: for a second
        if self._refused > before and mine and not filled:
            self._refused_at, self._drained = at, True
        elif filled or at - self._refused_at >= DRAINED_NS:
            self._drained = False
        if not self._drained:
            return ""
        return f"the retry budget of {self._name} has {left} of {most} left"

    def _queue(self, in_flight: int) -> str:
        if not self._usual.calls or in_flight <= max(QUEUE_MIN, round(QUEUE_FACTOR * self._usual.calls)):
            return ""
        return f"{in_flight} calls to {self._name} are in flight; {round(self._usual.calls)} are usual"

    def _drift(self) -> str:
        actual = self._guard.policy()
        differs = [
            f"{field} {actual[field]} instead of {value}"
            for field, value in self._configured.items()
            if actual[field] != value
        ]
        return f"the guard of {self._name} has another policy than configured: {', '.join(differs)}" if differs else ""

    def _refusals(self) -> int:
        return self._guard.refusals()["retry_budget"]
