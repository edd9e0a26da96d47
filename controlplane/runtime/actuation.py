"""Commands on their way to the data planes: in order on each, and no data plane waits for another.

Those that act at once, as guards in this process, are simply called. Each other one has a lane, a queue with a task.
What is carried out next waits for the lanes that are prompt, `PATIENCE_S` at most: one that hangs costs that once, and
later only its own commands, until it has answered again.
"""

import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

import anyio
import msgspec
from anyio.abc import TaskGroup

from controlplane.model.command import Command
from controlplane.model.errors import ActuationError, NotHere
from controlplane.model.signal import Acted
from controlplane.ports import Clock, DataPlane

logger = logging.getLogger(__name__)

PATIENCE_S = 0.1  # ten times what a proxy needs to acknowledge; the next decision waits no longer for a slow one


class Answer(NamedTuple):
    """What one data plane says to one command; not `here`: no traffic of the target passes it, it is for another."""

    acted: Acted
    here: bool = True


class Group:
    """Commands that were put on record together. `answers` when `done`: one per command, in order."""

    def __init__(self, commands: Sequence[Command], on_done: Callable[["Group"], None]) -> None:
        self.commands = tuple(commands)
        self.answers: list[Acted] = []
        self.done = False
        self._on_done = on_done
        self._by_lane: list[list[Answer]] = []
        self._open = self._awaited = 0
        self._prompt = anyio.Event()

    def begin(self, lanes: int, *, awaited: int, given: Sequence[list[Answer]]) -> list[list[Answer]]:
        """Expect an answer of so many lanes; `awaited` of them keep `wait_prompt`. Others have `given` theirs."""
        by_lane: list[list[Answer]] = [[] for _ in range(lanes)]
        self._by_lane = [*given, *by_lane]
        self._open, self._awaited = lanes, awaited
        if not awaited:
            self._prompt.set()
        return by_lane

    def lane_done(self, *, was_awaited: bool) -> None:
        """One lane has answered every command."""
        self._open -= 1
        self._awaited -= was_awaited
        if not self._open:
            self.finish(merged(self._by_lane))
        if not self._awaited:
            self._prompt.set()

    def finish(self, answers: list[Acted]) -> None:
        """Every command has its answer."""
        self.answers, self.done = answers, True
        self._on_done(self)

    async def wait_prompt(self) -> None:
        """Return when every lane that was awaited has answered."""
        await self._prompt.wait()


class Lane:
    """One data plane: its commands in order, one at a time. `slow`: it was waited for in vain, and nobody does."""

    def __init__(self, data_plane: DataPlane, *, clock: Clock, apply_timeout_s: float) -> None:
        self.data_plane, self.slow, self.busy = data_plane, False, False
        self.name: str = getattr(data_plane, "name", "") or type(data_plane).__name__  # there may be several of a kind
        self._clock, self._apply_timeout_s = clock, apply_timeout_s
        self._queue: deque[tuple[Group, list[Answer], bool]] = deque()
        self._arrived = anyio.Event()
        self._stopped = False

    def put(self, group: Group, answers: list[Answer]) -> None:
        """Queue the commands of `group`; each answer is added to `answers`."""
        self._queue.append((group, answers, not self.slow))
        self.busy = True
        self._arrived.set()

    async def run(self) -> None:
        """Work until `stop`, not until cancelled: what was decided is carried out, and the time-outs bound that."""
        with anyio.CancelScope(shield=True):
            while self._queue or not self._stopped:
                await self._arrived.wait()
                self._arrived = anyio.Event()
                await self._work()

    def stop(self) -> None:
        """End `run` when the queue is empty."""
        self._stopped = True
        self._arrived.set()

    async def _work(self) -> None:
        """Everything in the queue; a data plane that hangs is not asked again about what waits by then."""
        hung = False
        while self._queue:
            group, answers, was_awaited = self._queue.popleft()
            for command in group.commands:
                answer = None if hung else await self._ask(command)
                hung = answer is None
                late = ActuationError(f"no answer within {self._apply_timeout_s} s", retryable=True)
                answers.append(answer or _failed(self._clock, command, late, self.name))
            group.lane_done(was_awaited=was_awaited)
        self.slow, self.busy = hung, False

    async def _ask(self, command: Command) -> Answer | None:
        with anyio.move_on_after(self._apply_timeout_s):
            try:
                await self.data_plane.apply(command)
            except Exception as error:
                return _failed(self._clock, command, error, self.name)
            return Answer(Acted(at=self._clock.now(), command=command.id, ok=True))
        return None


class Actuation:
    """Every data plane of one loop; those `at_once` have no lane: their `apply` waits for nothing."""

    def __init__(
        self,
        data_planes: Sequence[DataPlane],
        *,
        clock: Clock,
        apply_timeout_s: float,
        at_once: Sequence[DataPlane] = (),
    ) -> None:
        self._clock, self._at_once = clock, tuple(at_once)
        self._lanes = [Lane(each, clock=clock, apply_timeout_s=apply_timeout_s) for each in data_planes]

    def start(self, tasks: TaskGroup) -> None:
        """Work in `tasks`, which do not end before `stop`."""
        for lane in self._lanes:
            tasks.start_soon(lane.run)

    def stop(self) -> None:
        """Nothing more will be put: end when everything has its answer."""
        for lane in self._lanes:
            lane.stop()

    @property
    def stalled(self) -> list[str]:
        """Data planes that hang now."""
        return [lane.name for lane in self._lanes if lane.slow]

    async def apply(self, commands: Sequence[Command], on_done: Callable[[Group], None]) -> None:
        """Have `commands` applied in order on every data plane; return when the prompt ones have answered.

        `on_done` is called once every data plane has answered every command, which may be later.
        """
        group = Group(commands, on_done)
        given = [[apply_at_once(each, command, self._clock) for command in commands] for each in self._at_once]
        if not self._lanes:
            reason, now = "there is no data plane", self._clock.now()
            nobody = [[Answer(Acted(at=now, command=each.id, ok=False, reason=reason)) for each in commands]]
            group.finish(merged(given or nobody))
            return
        prompt = [lane for lane in self._lanes if not lane.slow]
        by_lane = group.begin(len(self._lanes), awaited=len(prompt), given=given)
        for lane, answers in zip(self._lanes, by_lane, strict=True):
            lane.put(group, answers)
        with anyio.move_on_after(PATIENCE_S) as patience:
            await group.wait_prompt()
        if patience.cancelled_caught:
            for lane in prompt:
                lane.slow = lane.slow or lane.busy


def apply_at_once(data_plane: DataPlane, command: Command, clock: Clock) -> Answer:
    """The answer of a data plane whose `apply` waits for nothing; one that waits all the same has not taken it."""
    work = data_plane.apply(command)
    try:
        work.send(None)
    except StopIteration:
        return Answer(Acted(at=clock.now(), command=command.id, ok=True))
    except Exception as error:
        return _failed(clock, command, error, type(data_plane).__name__)
    work.close()
    waits = ActuationError(f"{type(data_plane).__name__} waits, and was to act at once", retryable=False)
    return _failed(clock, command, waits, type(data_plane).__name__)


def _failed(clock: Clock, command: Command, error: Exception, name: str) -> Answer:
    retryable, rule, reason = False, "", str(error)
    if isinstance(error, ActuationError):
        retryable, rule = error.retryable, error.rule
    else:
        reason = repr(error)
        logger.error("%s failed to apply %s", name, command.id, exc_info=error)
    acted = Acted(at=clock.now(), command=command.id, ok=False, reason=reason, retryable=retryable, rule=rule)
    return Answer(acted, here=not isinstance(error, NotHere))


def merged(answers: Sequence[Sequence[Answer]]) -> list[Acted]:
    """One answer for each command, of those of each data plane."""
    return [_merged(each) for each in zip(*answers, strict=True)]


def _merged(answers: Sequence[Answer]) -> Acted:
    """Ok when every data plane that the target's traffic passes took it, and then as late as the last of them."""
    asked = [answer.acted for answer in answers if answer.here] or [answer.acted for answer in answers]
    failed = [acted for acted in asked if not acted.ok]
    if not failed:
        return max(asked, key=lambda acted: acted.at)
    return msgspec.structs.replace(
        failed[-1],
        reason="; ".join(answer.reason for answer in failed),
        retryable=all(answer.retryable for answer in failed),
        rule=next((answer.rule for answer in failed if answer.rule), ""),
    )
