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


class WorkQueue:
    """`workers` serve one request each in `service_s`, which may change at any time; at most `bound` requests wait.

    Raises  ValueError when workers or bound is under 1.
    """

    def __init__(self, tasks: anyio.abc.TaskGroup, *, workers: int, service_s: float, bound: int) -> None:
        if workers < 1 or bound < 1:
            raise ValueError(f"workers {workers} and bound {bound} must be at least 1")
        self.workers, self.service_s, self.bound = workers, service_s, bound
        self.busy = 0
        self._tasks = tasks
        self._waiting: deque[anyio.Event] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    async def serve(self) -> int:
        """The status of one request's answer, when it is its turn; 503 at once where the queue is full."""
        if len(self._waiting) >= self.bound:
            return QUEUE_FULL
        done = anyio.Event()
        self._waiting.append(done)
        if self.busy < self.workers:
            self.busy += 1
            self._tasks.start_soon(self._work)
        await done.wait()
        return SERVED

    async def _work(self) -> None:
        """One worker, as long as there is work: nobody takes a request back once it waits."""
        while self._waiting:
            done = self._waiting.popleft()
            await anyio.sleep(self.service_s)
            done.set()
        self.busy -= 1
