"""Commands on their way to the data planes: in order on each, and no data plane waits for another.

Each data plane has a lane, a queue with a task. The loop waits for the lanes that are prompt, `PATIENCE_S` at most, and
then goes on deciding: one that hangs costs that once, and later only its own commands, until it has answered again.
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

    def begin(self, lanes: Sequence["Lane"], *, awaited: int) -> list[list[Answer]]:
        """Expect an answer of each lane; `awaited` of them keep `wait_prompt`."""
        self._by_lane = [[] for _ in lanes]
        self._open, self._awaited = len(lanes), awaited
        if not awaited:
            self._prompt.set()
        return self._by_lane

    def lane_done(self, *, was_awaited: bool) -> None:
        """One lane has answered every command."""
        self._open -= 1
        self._awaited -= was_awaited
        if not self._open:
            self.finish([_merged(each) for each in zip(*self._by_lane, strict=True)])
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
                answers.append(answer or self._failed(command, f"no answer within {self._apply_timeout_s} s", True))
            group.lane_done(was_awaited=was_awaited)
        self.slow, self.busy = hung, False

    async def _ask(self, command: Command) -> Answer | None:
        with anyio.move_on_after(self._apply_timeout_s):
            try:
                await self.data_plane.apply(command)
            except NotHere as error:
                return Answer(self._failed(command, str(error), False).acted, here=False)
            except ActuationError as error:
                return self._failed(command, str(error), error.retryable, error.rule)
            except Exception as error:
                logger.exception("%s failed to apply %s", self.name, command.id)
                return self._failed(command, repr(error), False)
            return Answer(Acted(at=self._clock.now(), command=command.id, ok=True))
        return None

    def _failed(self, command: Command, reason: str, retryable: bool, rule: str = "") -> Answer:
        now = self._clock.now()
        return Answer(Acted(at=now, command=command.id, ok=False, reason=reason, retryable=retryable, rule=rule))


class Actuation:
    """Every data plane of one loop."""

    def __init__(self, data_planes: Sequence[DataPlane], *, clock: Clock, apply_timeout_s: float) -> None:
        self._clock = clock
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
        if not self._lanes:
            reason = "there is no data plane"
            now = self._clock.now()
            group.finish([Acted(at=now, command=each.id, ok=False, reason=reason) for each in commands])
            return
        prompt = [lane for lane in self._lanes if not lane.slow]
        for lane, answers in zip(self._lanes, group.begin(self._lanes, awaited=len(prompt)), strict=True):
            lane.put(group, answers)
        with anyio.move_on_after(PATIENCE_S) as patience:
            await group.wait_prompt()
        if patience.cancelled_caught:
            for lane in prompt:
                lane.slow = lane.slow or lane.busy


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
