"""Commands on their way to the data planes: in order on each, and no data plane waits for another."""

import logging
from collections.abc import Sequence

import anyio
import msgspec

from controlplane.model.command import Command
from controlplane.model.errors import ActuationError
from controlplane.model.signal import Acted
from controlplane.ports import Clock, DataPlane

logger = logging.getLogger(__name__)


class Actuation:
    """Every data plane of one loop."""

    def __init__(self, data_planes: Sequence[DataPlane], *, clock: Clock, apply_timeout_s: float) -> None:
        self._data_planes, self._clock = tuple(data_planes), clock
        self._apply_timeout_s = apply_timeout_s

    async def apply(self, commands: Sequence[Command]) -> list[Acted]:
        """One answer per command, in order; ok when every data plane took it. Never raises but for cancellation."""
        answers: list[list[Acted]] = [[] for _ in self._data_planes]
        if len(answers) == 1:
            await self._drive(self._data_planes[0], commands, answers[0])
        else:
            async with anyio.create_task_group() as tasks:
                for data_plane, answer in zip(self._data_planes, answers, strict=True):
                    tasks.start_soon(self._drive, data_plane, commands, answer)
        return [self._merged(command, [answer[at] for answer in answers]) for at, command in enumerate(commands)]

    async def _drive(self, data_plane: DataPlane, commands: Sequence[Command], answers: list[Acted]) -> None:
        """Apply one after the other; a hanging data plane is not asked again in this outcome: it costs one time-out."""
        hung = False
        for command in commands:
            answer = None if hung else await self._ask(data_plane, command)
            hung = answer is None
            answers.append(answer or self._failed(command, f"no answer within {self._apply_timeout_s} s", True))

    async def _ask(self, data_plane: DataPlane, command: Command) -> Acted | None:
        with anyio.move_on_after(self._apply_timeout_s):
            try:
                await data_plane.apply(command)
            except ActuationError as error:
                return self._failed(command, str(error), error.retryable, error.rule)
            except Exception as error:
                logger.exception("%s failed to apply %s", type(data_plane).__name__, command.id)
                return self._failed(command, repr(error), False)
            return Acted(at=self._clock.now(), command=command.id, ok=True)
        return None

    def _failed(self, command: Command, reason: str, retryable: bool, rule: str = "") -> Acted:
        now = self._clock.now()
        return Acted(at=now, command=command.id, ok=False, reason=reason, retryable=retryable, rule=rule)

    def _merged(self, command: Command, answers: list[Acted]) -> Acted:
        if not answers:
            return self._failed(command, "there is no data plane", False)
        failed = [answer for answer in answers if not answer.ok]
        if not failed:
            return answers[-1]
        return msgspec.structs.replace(
            failed[-1],
            reason="; ".join(answer.reason for answer in failed),
            retryable=all(answer.retryable for answer in failed),
            rule=next((answer.rule for answer in failed if answer.rule), ""),
        )
