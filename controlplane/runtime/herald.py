"""Notices on their way to people: a queue and a task per notifier, so that nobody waits for the slowest.

A notifier that fails is asked again, later each time, and keeps the order of its notices meanwhile. When every notifier
has a notice or has given up on it, the engine is told, and its outbox is rid of it.
"""

import logging
from collections import deque
from collections.abc import Callable, Sequence

import anyio
from anyio.abc import TaskGroup

from controlplane.model.notice import Notice
from controlplane.model.signal import Told
from controlplane.ports import Clock, Notifier

logger = logging.getLogger(__name__)

QUEUE_NOTICES = 256  # per notifier; of more the oldest is given up
ATTEMPTS_MAX = 10  # over about four minutes
PAUSE_S, PAUSE_MAX_S = 0.5, 60.0  # before the second attempt; doubled for each further one
NOTIFY_TIMEOUT_S = 10.0


class _Delivery:
    """One notice, and which notifiers it still waits for."""

    def __init__(self, notice: Notice, lanes: int) -> None:
        self.notice = notice
        self.waiting = lanes
        self.by: list[str] = []
        self.reasons: list[str] = []


class Herald:
    """All notifiers of one loop. `tell_engine` takes the answers."""

    def __init__(self, notifiers: Sequence[Notifier], *, clock: Clock, tell_engine: Callable[[Told], None]) -> None:
        self._clock, self._tell_engine = clock, tell_engine
        self._lanes = [_Lane(notifier, self._settled) for notifier in notifiers]

    @property
    def failed(self) -> int:
        """Attempts that failed."""
        return sum(lane.failed for lane in self._lanes)

    @property
    def dropped(self) -> int:
        """Notices given up by some notifier: their attempts were used up, or too many waited behind them."""
        return sum(lane.dropped for lane in self._lanes)

    @property
    def failing(self) -> list[str]:
        """Notifiers whose last attempt failed."""
        return [lane.name for lane in self._lanes if lane.failures]

    def tell(self, notice: Notice) -> None:
        """Queue `notice` for everybody."""
        if not self._lanes:
            self._tell_engine(Told(at=self._clock.now(), key=notice.key, by="nobody"))
            return
        delivery = _Delivery(notice, len(self._lanes))
        for lane in self._lanes:
            lane.put(delivery)

    def start(self, tasks: TaskGroup) -> None:
        """Deliver in `tasks` until they are cancelled."""
        for lane in self._lanes:
            tasks.start_soon(lane.run)

    def _settled(self, delivery: _Delivery) -> None:
        delivery.waiting -= 1
        if not delivery.waiting:
            self._tell_engine(
                Told(
                    at=self._clock.now(),
                    key=delivery.notice.key,
                    by=", ".join(delivery.by) or "nobody",
                    ok=not delivery.reasons,
                    reason="; ".join(delivery.reasons),
                )
            )


class _Lane:
    """One notifier: its notices in order, one at a time."""

    def __init__(self, notifier: Notifier, settled: Callable[[_Delivery], None]) -> None:
        self.name = type(notifier).__name__
        self.failed = self.dropped = self.failures = 0  # failures: in a row, until one attempt succeeds
        self._notifier, self._settled = notifier, settled
        self._queue: deque[_Delivery] = deque()
        self._arrived = anyio.Event()

    def put(self, delivery: _Delivery) -> None:
        if len(self._queue) >= QUEUE_NOTICES:
            self._give_up(self._queue.popleft(), "too many notices waited behind it")
        self._queue.append(delivery)
        self._arrived.set()

    async def run(self) -> None:
        while True:
            while self._queue:
                await self._deliver(self._queue.popleft())
            self._arrived = anyio.Event()
            await self._arrived.wait()

    async def _deliver(self, delivery: _Delivery) -> None:
        reason = ""
        for attempt in range(ATTEMPTS_MAX):
            if attempt or self.failures:
                await anyio.sleep(min(PAUSE_S * 2.0 ** (min(self.failures, 16) - 1), PAUSE_MAX_S))
            try:
                with anyio.fail_after(NOTIFY_TIMEOUT_S):
                    await self._notifier.notify(delivery.notice)
            except Exception as error:
                self.failed += 1
                self.failures += 1
                reason = f"no answer within {NOTIFY_TIMEOUT_S:g} s" if isinstance(error, TimeoutError) else repr(error)
                if self.failures == 1:  # once, not for every notice of an incident
                    logger.exception("%s does not deliver notices", self.name)
            else:
                self.failures = 0
                delivery.by.append(self.name)
                self._settled(delivery)
                return
        self._give_up(delivery, reason)

    def _give_up(self, delivery: _Delivery, reason: str) -> None:
        self.dropped += 1
        delivery.reasons.append(f"{self.name}: {reason}")
        self._settled(delivery)
