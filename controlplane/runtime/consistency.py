"""Consistency probes: the user's own question whether a service is right again, while an incident about it recovers.

Whether what a service knows is consistent, no call count tells. So the user says how to ask: a path of the service, or
a function. It is asked from the moment on at which the service has its traffic back, at most once in `interval_s`, each
question bounded by `timeout_s`, and no longer than the incident is open. Nobody asks while nothing is open: the
loop's own ticks, which are frequent then, say when to look.

Until the first answer the service counts as not well: an incident must not close because a question takes its time.
"""

import inspect
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Mapping

import anyio
from anyio.abc import TaskStatus

from controlplane.model.policy import ResponsePolicy
from controlplane.model.signal import Condition, Signal
from controlplane.model.unit import Nanos, to_nanos
from controlplane.ports import Clock

Ask = Callable[[], Awaitable[object]]
"""Raises, or answers False: not well. Anything else: well."""

REASON_MAX = 200  # characters of an exception that go on record
_ANSWERS_MAX = 1_000  # waiting for a loop that does not look; the oldest are dropped


class ConsistencyProber:
    """A signal source that asks `asks`, by service, for those that `recovering` names.

    `ring` is called after each answer. Services may be added to `asks` at any time.
    """

    def __init__(
        self,
        asks: Mapping[str, Ask],
        policy: ResponsePolicy,
        *,
        recovering: Callable[[], Collection[str]],
        ring: Callable[[], None],
        clock: Clock,
    ) -> None:
        self._asks, self._recovering, self._ring, self._clock = asks, recovering, ring, clock
        self._interval_ns, self._timeout_s = to_nanos(policy.probe_interval_s), policy.probe_timeout_s
        self._began: dict[str, Nanos] = {}  # of the services that recover: when the last question was put
        self._under_way: set[str] = set()
        self._wanted: list[str] = []
        self._more = anyio.Event()
        self._answers: deque[Signal] = deque(maxlen=_ANSWERS_MAX)

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Ask what is due until cancelled."""
        async with anyio.create_task_group() as tasks:
            task_status.started()
            while True:
                self._more = anyio.Event()
                wanted, self._wanted = self._wanted, []
                for service in wanted:
                    tasks.start_soon(self._question, service)
                if not self._wanted:
                    await self._more.wait()

    def drain(self) -> list[Signal]:
        """Answers since the last call, oldest first."""
        answers = list(self._answers)
        self._answers.clear()
        return answers

    def sample(self) -> list[Signal]:
        """Look who recovers, and have asked what is due. Of a service that has just begun to: it is not known yet."""
        now = self._clock.now()
        recovering = self._recovering() if self._asks else ()
        self._began = {service: at for service, at in self._began.items() if service in recovering}
        signals: list[Signal] = []
        for service in sorted(recovering):
            if service not in self._asks:
                continue
            began = self._began.get(service)
            if began is None:
                reason = f"the consistency probe of {service} has not answered yet"
                signals.append(Condition(at=now, service=service, what="consistency", well=False, reason=reason))
            if (began is None or now - began >= self._interval_ns) and service not in self._under_way:
                self._began[service] = now
                self._under_way.add(service)
                self._wanted.append(service)
                self._more.set()
        return signals

    async def _question(self, service: str) -> None:
        well, reason = False, f"its consistency probe did not answer within {self._timeout_s:g} s"
        with anyio.move_on_after(self._timeout_s):
            try:
                well, reason = await _answer(self._asks[service])
            except Exception as error:
                reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        reason = "" if well else f"{service}: {reason[:REASON_MAX]}"
        self._under_way.discard(service)
        at = self._clock.now()
        self._answers.append(Condition(at=at, service=service, what="consistency", well=well, reason=reason))
        self._ring()


async def _answer(ask: Ask) -> tuple[bool, str]:
    answer = ask()
    if not inspect.isawaitable(answer):
        raise TypeError("a consistency probe is an async function")
    return await answer is not False, "its consistency probe answers that it is not"
