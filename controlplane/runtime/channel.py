"""Notices on their way to one notifier that has a name: gathered by incident, held back in quiet hours, tried again.

Each group (an incident, or one notice of the plane itself) waits for itself, so that one whose notices are not taken
keeps back no other. A notifier that takes nothing at all is asked more and more rarely, and never sooner than it wants.
"""

import logging
import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import anyio

from controlplane.model.errors import NotifyError
from controlplane.model.notice import Notice
from controlplane.ports import Clock, GroupNotifier

logger = logging.getLogger(__name__)

WAITING_MAX = 256  # notices; of more the oldest that is not critical is given up
PAUSE_S, PAUSE_MAX_S = 0.5, 60.0  # before the second attempt; doubled for each further one, and up to half of it less
RETRY_AFTER_MAX_S = 3600.0  # who asks for more is asked again nevertheless
PATIENCE_S = 86_400.0  # of a notice that is not taken; what is older nobody wants to be woken by
QUIET_LOOK_S = 60.0  # the wall clock may be set: how long is left of quiet hours is looked at again
GROUPS_MAX = 1000  # whose first notice is remembered as delivered


@dataclass(frozen=True, kw_only=True)
class Channel:
    """A notifier, its name, and the manners in which it is told; see `model.escalation.NotifierSection`.

    `quiet_left_s` answers how many seconds are left of quiet hours at a Unix time in nanoseconds. `repeat_s` 0: never.
    """

    name: str
    notifier: GroupNotifier
    timeout_s: float = 10.0
    group_wait_s: float = 0.0
    repeat_s: float = 0.0
    least: Sequence[str] = ("info", "warning", "critical")
    quiet_left_s: Callable[[int], float] = field(default=lambda _: 0.0)

    def hears(self, notice: Notice) -> bool:
        """Whether it is told of such a notice at all: what ends or takes what it was told, always."""
        return notice.severity in self.least or notice.ends or notice.kind == "acknowledged"


class Settled(Protocol):
    """Called when a notice is out of the lane's hands."""

    def __call__(self, notice: Notice, reason: str) -> None:
        """`reason` empty: it was delivered."""


@dataclass
class _Group:
    """What waits about one incident: notices with the time they came, and when to try."""

    since: float
    waiting: deque[tuple[Notice, float]] = field(default_factory=deque)
    attempts: int = 0
    not_before: float = 0.0

    @property
    def urgent(self) -> bool:
        return any(notice.severity == "critical" for notice, _ in self.waiting)


class ChannelLane:
    """Delivers to one channel. `standing` answers what it has heard of that is not over, to be said again."""

    def __init__(
        self,
        channel: Channel,
        settled: Settled,
        *,
        clock: Clock,
        standing: Callable[[str], Sequence[Notice]] = lambda _: (),
    ) -> None:
        self.channel, self.name = channel, channel.name
        self.failed = self.dropped = self.failures = 0
        self._settled, self._clock, self._standing = settled, clock, standing
        self._groups: dict[str, _Group] = {}
        self._told: dict[str, None] = {}
        self._not_before = self._repeat_at = 0.0
        self._arrived = anyio.Event()
        self._random = random.Random()  # noqa: S311 - spreads attempts, keeps no secret

    def put(self, notice: Notice) -> None:
        """Queue it."""
        if sum(len(group.waiting) for group in self._groups.values()) >= WAITING_MAX:
            self._make_room()
        now = anyio.current_time()
        self._groups.setdefault(notice.group, _Group(now)).waiting.append((notice, now))
        self._arrived.set()

    async def run(self) -> None:
        """Deliver until cancelled."""
        self._repeat_at = anyio.current_time() + self.channel.repeat_s
        while True:
            self._arrived = anyio.Event()
            wait_s, name = self._next()
            if name and wait_s <= 0:
                await self._deliver(name)
            elif self.channel.repeat_s and self._repeat_at <= anyio.current_time():
                await self._repeat()
            else:
                if self.channel.repeat_s:
                    wait_s = min(wait_s, self._repeat_at - anyio.current_time())
                with anyio.move_on_after(max(wait_s, 0.001)):
                    await self._arrived.wait()

    def _next(self) -> tuple[float, str]:
        """(seconds until a group is to be delivered, its name); without one: for ever, and no name."""
        now, quiet_s = anyio.current_time(), self._quiet_s()
        found = float("inf"), ""
        for name, group in self._groups.items():
            wait_s = 0.0 if group.urgent or name not in self._told else group.since + self.channel.group_wait_s - now
            if not group.urgent:
                wait_s = max(wait_s, quiet_s)
            wait_s = max(wait_s, group.not_before - now, self._not_before - now)
            if wait_s < found[0]:
                found = wait_s, name
        return found

    def _quiet_s(self) -> float:
        return min(self.channel.quiet_left_s(self._clock.wall_ns()), QUIET_LOOK_S)

    async def _deliver(self, name: str) -> None:
        group = self._groups.pop(name)
        notices = [notice for notice, _ in group.waiting]
        # what comes meanwhile makes a new group, which is joined with this one if it is not taken
        error = await self._attempt(notices)
        now = anyio.current_time()
        if error is None:
            self._note_told(name, over=any(notice.ends for notice in notices))
            for other in self._groups.values():
                other.not_before = min(other.not_before, now)  # it listens again
            for notice in notices:
                self._settled(notice, "")
            return
        kept = [one for one in group.waiting if error.retryable and now - one[1] < PATIENCE_S]
        for notice, came_at in group.waiting:
            if (notice, came_at) not in kept:
                self.dropped += 1
                self._settled(notice, str(error))
        if not kept:
            return
        group.attempts += 1
        group.not_before = now + self._pause_s(group.attempts)
        newer = self._groups.pop(name, None)
        group.waiting = deque([*kept, *(newer.waiting if newer is not None else ())])
        self._groups[name] = group  # at the end: another one is tried first

    async def _attempt(self, notices: Sequence[Notice]) -> NotifyError | None:
        """What went wrong, if anything did."""
        try:
            with anyio.fail_after(self.channel.timeout_s):
                await self.channel.notifier.notify_group(notices)
        except NotifyError as error:
            failure = error
        except TimeoutError:
            failure = NotifyError(f"no answer within {self.channel.timeout_s:g} s", retryable=True)
        except Exception as error:  # a mistake of ours in one notifier must not silence the others
            logger.exception("the notifier %s broke", self.name)
            failure = NotifyError(repr(error), retryable=True)
        else:
            self.failures, self._not_before = 0, 0.0
            return None
        self.failed += 1
        self.failures += 1
        if self.failures == 1:  # once, not for every notice of an incident
            logger.warning("the notifier %s does not deliver: %s", self.name, failure)
        pause_s = self._pause_s(self.failures) if failure.retryable else 0.0
        asked_s = min(failure.retry_after_s, RETRY_AFTER_MAX_S)
        self._not_before = anyio.current_time() + max(pause_s, asked_s)
        return failure

    async def _repeat(self) -> None:
        """Say again what stands, where that is what keeps it standing. What is not taken is said with the next one."""
        self._repeat_at = anyio.current_time() + self.channel.repeat_s
        if self._not_before > anyio.current_time():
            return
        standing = [notice for notice in self._standing(self.name) if self.channel.hears(notice)]
        if standing:
            await self._attempt(standing)

    def _pause_s(self, attempts: int) -> float:
        whole = min(PAUSE_S * 2.0 ** min(attempts - 1, 16), PAUSE_MAX_S)
        return whole * (1 - 0.5 * self._random.random())

    def _note_told(self, name: str, *, over: bool) -> None:
        self._told.pop(name, None)
        if not over:
            self._told[name] = None
        while len(self._told) > GROUPS_MAX:
            del self._told[next(iter(self._told))]

    def _make_room(self) -> None:
        """Give up the oldest notice that is not critical; where all are, the oldest."""
        everything = [(came_at, name, notice) for name, one in self._groups.items() for notice, came_at in one.waiting]
        least = [each for each in everything if each[2].severity != "critical"] or everything
        came_at, name, notice = min(least, key=lambda each: each[0])
        self._groups[name].waiting.remove((notice, came_at))
        if not self._groups[name].waiting:
            del self._groups[name]
        self.dropped += 1
        self._settled(notice, "too many notices waited behind it")
