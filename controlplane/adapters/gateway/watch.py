"""The stall watch: silence becomes evidence before anything times out, unless it was we who were not listening.

A process that is stopped, or whose loop is blocked, sees every answer late. So the watch measures itself: it wakes at
least every BEAT_S while anything is in flight, and how late it wakes is how late everything else is noticed. What was
measured across such a gap is unknown, and unknown is never evidence.
"""

from typing import Final

import anyio
from anyio.abc import TaskStatus

from controlplane.adapters.gateway.inflight import InFlight
from controlplane.adapters.gateway.once import report_once

BEAT_S: Final = 0.05  # twenty wake-ups a second, and only under load: less than a thousandth of a core
LATE_MIN_S: Final = 0.02  # two scheduling slices of a busy host; below it lateness is ordinary
LAGGED_S: Final = 0.05  # a time-out noticed so late may be ours
_NEVER: Final = float("inf")


class StallWatch:
    """One per plane, on the loop that makes the calls. Without it running nothing stalls, and all else works.

    `lagged_s` is the lateness of the loop from which on its time-outs are no evidence.
    """

    def __init__(self) -> None:
        self.inflight = InFlight(self._entered)
        self.lagged_s = LAGGED_S
        self._planned = _NEVER
        self._lagged_at = -_NEVER
        self._woken = anyio.Event()
        self._running = False

    async def watch(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Run until cancelled."""
        self._running = True
        task_status.started()
        try:
            while True:
                await self._wait_planned()
                try:
                    self._look(anyio.current_time())
                except Exception:
                    report_once("the stall watch")
        finally:
            self._running, self._planned = False, _NEVER

    def lagged_since(self, started: float, now: float, limit: float = _NEVER) -> bool:
        """Whether this loop, between `started` and `now`, was so late that time-outs may be its own.

        A deadline at `limit` that is noticed only `now` says so by itself, even while the watch does not run.
        """
        return self._lagged_at >= started or now - min(self._planned, limit) > self.lagged_s

    def _entered(self, due: float) -> None:
        if due < self._planned and self._running:
            self._woken.set()

    async def _wait_planned(self) -> None:
        """Return at the earliest possible stall, a beat later at most; with nothing in flight, when something is."""
        self._woken = anyio.Event()
        now = anyio.current_time()
        due = min((lane.due() for lane in self.inflight.lanes()), default=_NEVER)
        self._planned = max(now, min(due, now + BEAT_S)) if self.inflight.total else _NEVER
        with anyio.CancelScope(deadline=self._planned):
            await self._woken.wait()

    def _look(self, now: float) -> None:
        """Judge what is overdue at `now`, unless this wake-up came too late to judge anything."""
        late = now - self._planned
        if late > self.lagged_s:
            self._lagged_at = now
        for lane in tuple(self.inflight.lanes()):
            if late > max(LATE_MIN_S, lane.service.stall_s / 2):
                lane.recount(now)
            if (attempt := lane.stalled(now)) is not None:
                lane.service.stall(attempt.permit)
