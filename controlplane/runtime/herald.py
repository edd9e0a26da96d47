"""Notices on their way to people: a queue and a task per notifier, so that nobody waits for the slowest.

A notifier that fails is asked again, later each time, and keeps the order of its notices meanwhile. When every notifier
has a notice or has given up on it, the engine is told, and its outbox is rid of it; of a notifier with a name
(`runtime.channel`) it is told at once, so that a restart does not tell that one again.
"""

import logging
from collections import deque
from collections.abc import Callable, Sequence

import anyio
from anyio.abc import TaskGroup

from controlplane.model.escalation import LOG
from controlplane.model.notice import Notice
from controlplane.model.signal import Told
from controlplane.ports import Clock, Notifier
from controlplane.runtime.channel import Channel, ChannelLane, Settled

logger = logging.getLogger(__name__)

QUEUE_NOTICES = 256  # per notifier; of more the oldest is given up
ATTEMPTS_MAX = 10  # over about four minutes
PAUSE_S, PAUSE_MAX_S = 0.5, 60.0  # before the second attempt; doubled for each further one
NOTIFY_TIMEOUT_S = 10.0


class _Delivery:
    """One notice, and for whom it still waits: notifiers without a name are told of together, those with one apart."""

    def __init__(self, notice: Notice, lanes: int, unnamed: int) -> None:
        self.notice = notice
        self.waiting, self.unnamed = lanes, unnamed
        self.by: list[str] = []
        self.reasons: list[str] = []


class Herald:
    """All notifiers of one loop. `tell_engine` takes the answers, `standing` gives what a channel is told again."""

    def __init__(
        self,
        notifiers: Sequence[Notifier],
        *,
        clock: Clock,
        tell_engine: Callable[[Told], None],
        channels: Sequence[Channel] = (),
        standing: Callable[[str], Sequence[Notice]] = lambda _: (),
    ) -> None:
        self._clock, self._tell_engine = clock, tell_engine
        self._lanes = [_Lane(notifier, self._settled) for notifier in notifiers]
        self._channels = [
            ChannelLane(one, self._settled_by(one.name), clock=clock, standing=standing) for one in channels
        ]
        self._all: list[_Lane | ChannelLane] = [*self._lanes, *self._channels]
        self._open: dict[str, _Delivery] = {}  # by id, those that a channel has not settled

    @property
    def failed(self) -> int:
        """Attempts that failed."""
        return sum(lane.failed for lane in self._all)

    @property
    def dropped(self) -> int:
        """Notices given up by some notifier: they were refused, or too old, or too many waited behind them."""
        return sum(lane.dropped for lane in self._all)

    @property
    def failing(self) -> list[str]:
        """Notifiers whose last attempt failed."""
        return [lane.name for lane in self._all if lane.failures]

    def tell(self, notice: Notice) -> None:
        """Queue `notice` for those it is for, and for every notifier without a name."""
        channels = self._addressed(notice)
        delivery = _Delivery(notice, len(self._lanes) + len(channels), len(self._lanes))
        if not delivery.waiting:
            self._answer(notice, by="nobody")
            return
        if channels:
            self._open[notice.id] = delivery
        for lane in self._lanes:
            lane.put(delivery)
        for channel in channels:
            channel.put(notice)

    def start(self, tasks: TaskGroup) -> None:
        """Deliver in `tasks` until they are cancelled."""
        for lane in self._all:
            tasks.start_soon(lane.run)

    def _addressed(self, notice: Notice) -> list[ChannelLane]:
        """Whom it is for and who has not had it. Names that nobody has any more: everybody, rather than nobody."""
        chosen = self._channels
        if notice.to is not None:
            chosen = [lane for lane in self._channels if lane.name in notice.to]
            if notice.to and not chosen and LOG not in notice.to:
                chosen = self._channels
        return [lane for lane in chosen if lane.name not in notice.had and lane.channel.hears(notice)]

    def _settled_by(self, name: str) -> Settled:
        def settled(notice: Notice, reason: str) -> None:
            delivery = self._open.get(notice.id)
            if delivery is None:
                return
            delivery.waiting -= 1
            last = not delivery.waiting and not delivery.unnamed
            self._answer(notice, by=name, reason=f"{name}: {reason}" if reason else "", last=last)
            if not delivery.waiting:
                del self._open[notice.id]
                if delivery.unnamed:
                    self._answer_unnamed(delivery)

        return settled

    def _settled(self, delivery: _Delivery) -> None:
        delivery.waiting -= 1
        if not delivery.waiting:
            self._open.pop(delivery.notice.id, None)
            self._answer_unnamed(delivery)

    def _answer_unnamed(self, delivery: _Delivery) -> None:
        self._answer(delivery.notice, by=", ".join(delivery.by) or "nobody", reason="; ".join(delivery.reasons))

    def _answer(self, notice: Notice, *, by: str, reason: str = "", last: bool = True) -> None:
        self._tell_engine(Told(at=self._clock.now(), key=notice.key, by=by, ok=not reason, reason=reason, last=last))


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
