"""The deployers of a configuration as one data plane: it takes roll-backs, and tells how each of them ended."""

import logging
from collections import deque
from collections.abc import Callable, Mapping

import anyio
from anyio.abc import TaskGroup, TaskStatus

from controlplane.model.command import Command, RollBack
from controlplane.model.errors import ActuationError, StaleEpoch
from controlplane.model.signal import RolledBack, Signal
from controlplane.model.unit import CommandId, Epoch
from controlplane.ports import Clock, Deployer

logger = logging.getLogger(__name__)

STARTED_MAX = 1000  # commands remembered so that twice is once; a loop repeats none that is older


class Deployers:
    """A `ports.DataPlane` and `ports.SignalSource`. `ring` is called, on the loop's thread, when a roll-back has ended.

    `apply` returns when the roll-back has begun: it takes minutes, and the loop waits for no deployer.
    """

    def __init__(self, by_service: Mapping[str, Deployer], *, clock: Clock, ring: Callable[[], None]) -> None:
        self._by_service, self._clock, self._ring = dict(by_service), clock, ring
        self._epoch = Epoch(0)
        self._started: deque[CommandId] = deque(maxlen=STARTED_MAX)
        self._ended: deque[Signal] = deque()
        self._tasks: TaskGroup | None = None

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Carry out what is applied until cancelled. What is under way then is ended, and its end is not known."""
        async with anyio.create_task_group() as tasks:
            self._tasks = tasks
            try:
                task_status.started()
                await anyio.sleep_forever()
            finally:
                self._tasks = None

    async def apply(self, command: Command) -> None:
        """Begin the roll-back that `command` orders; nothing for every other intent. Raises ActuationError."""
        if not isinstance(command.intent, RollBack) or command.enforcement == "shadow":
            return
        if command.epoch < self._epoch:
            raise StaleEpoch(self._epoch, command.epoch)
        self._epoch = command.epoch
        if command.id in self._started:
            return
        deployer = self._by_service.get(command.target.service)
        if deployer is None:
            raise ActuationError(f"no deployer can roll {command.target.service!r} back here", retryable=False)
        if command.enforcement == "percent":
            raise ActuationError("a version is rolled back whole or not at all", retryable=False)
        if self._clock.now() >= command.lease_until:
            reason = f"{command.id} came too late: it was to begin before its lease ran out"
            raise ActuationError(reason, retryable=False)
        if self._tasks is None:
            raise ActuationError("the deployers are not running", retryable=False)
        self._started.append(command.id)
        self._tasks.start_soon(self._carry_out, deployer, command)

    async def _carry_out(self, deployer: Deployer, command: Command) -> None:
        try:
            ok, reason = await deployer.roll_back(command)
        except Exception as error:  # a mistake of ours ends this roll-back, and not the plane
            logger.exception("%s failed to roll back %s", type(deployer).__name__, command.target)
            ok, reason = False, repr(error)
        self._ended.append(RolledBack(at=self._clock.now(), command=command.id, ok=ok, reason=reason))
        self._ring()

    def drain(self) -> list[Signal]:
        """Roll-backs that have ended since the last call."""
        ended = list(self._ended)
        self._ended.clear()
        return ended

    def sample(self) -> list[Signal]:
        """Nothing: an end is a fact, not a count."""
        return []
