"""The shared dependency's capacity: a first-in, first-out queue with a bound before a few workers of fixed speed.

Work is done although its caller has given up, as in most real back ends: that is what makes an overload outlive its
trigger. With callers that wait `t` and try `n` times, a queue longer than `t` at full speed serves nobody, and stays so
while n x offered load exceeds the capacity (docs/concepts, metastable failures).
"""

from collections import deque

import anyio
import anyio.abc

QUEUE_FULL = 503
SERVED = 200


class _Ticket:
    __slots__ = ("done",)

    def __init__(self) -> None:
        self.done = anyio.Event()


class WorkQueue:
    """`workers` serve one request each in `service_s`; at most `bound` wait.

    Raises  ValueError when workers or bound is under 1.
    """

    def __init__(self, *, workers: int, service_s: float, bound: int) -> None:
        if workers < 1 or bound < 1:
            raise ValueError(f"workers {workers} and bound {bound} must be at least 1")
        self.workers, self.service_s, self.bound = workers, service_s, bound
        self.busy = 0
        self._waiting: deque[_Ticket] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    async def serve(self, tasks: anyio.abc.TaskGroup) -> int:
        """The status of one request's answer, when it is its turn; 503 at once where the queue is full."""
        if len(self._waiting) >= self.bound:
            return QUEUE_FULL
        ticket = _Ticket()
        self._waiting.append(ticket)
        self._start(tasks)
        await ticket.done.wait()
        return SERVED

    def resize(self, workers: int, tasks: anyio.abc.TaskGroup) -> None:
        """More or fewer workers from now on; a busy one finishes what it has."""
        self.workers = workers
        self._start(tasks)

    def _start(self, tasks: anyio.abc.TaskGroup) -> None:
        while self._waiting and self.busy < self.workers:
            self.busy += 1
            tasks.start_soon(self._work, self._waiting.popleft(), tasks)

    async def _work(self, ticket: _Ticket, tasks: anyio.abc.TaskGroup) -> None:
        await anyio.sleep(self.service_s)
        self.busy -= 1
        ticket.done.set()
        self._start(tasks)
