"""Notices on their way to people: a queue and a task per notifier, so that nobody waits for the slowest."""

import logging
from collections.abc import Sequence

import anyio
from anyio.abc import TaskGroup
from anyio.streams.memory import MemoryObjectReceiveStream

from controlplane.model.notice import Notice
from controlplane.ports import Notifier

logger = logging.getLogger(__name__)

_QUEUE_NOTICES = 256


class Herald:
    """All notifiers of one loop."""

    def __init__(self, notifiers: Sequence[Notifier]) -> None:
        self._lanes = [(notifier, *anyio.create_memory_object_stream[Notice](_QUEUE_NOTICES)) for notifier in notifiers]
        self.told = self.failed = self.dropped = 0

    def tell(self, notice: Notice) -> None:
        """Queue `notice` for everybody; whoever has a full queue misses it."""
        for _, send, _ in self._lanes:
            try:
                send.send_nowait(notice)
            except anyio.WouldBlock:
                self.dropped += 1

    def start(self, tasks: TaskGroup) -> None:
        """Deliver in `tasks` until they are cancelled."""
        for notifier, _, receive in self._lanes:
            tasks.start_soon(self._deliver, notifier, receive)

    def close(self) -> None:
        """Forget what was not delivered."""
        for _, send, receive in self._lanes:
            send.close()
            receive.close()

    async def _deliver(self, notifier: Notifier, receive: MemoryObjectReceiveStream[Notice]) -> None:
        failing = False
        while True:
            notice = await receive.receive()
            try:
                await notifier.notify(notice)
            except Exception:
                self.failed += 1
                if not failing:  # once, not for every notice of an incident
                    logger.exception("%s does not deliver notices", type(notifier).__name__)
                failing = True
            else:
                self.told += 1
                failing = False
