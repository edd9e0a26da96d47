"""A thread of its own for work that blocks, one job after the other, answered on whichever event loop asked."""

import queue
import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import anyio

from controlplane.from_thread import soon

T = TypeVar("T")

_STOP_S = 0.1  # blocks the event loop, but an idle thread ends within microseconds


class _Job(Generic[T]):
    def __init__(self, work: Callable[[], T]) -> None:
        self.work = work
        self.answered = anyio.Event()
        self.soon = soon()
        self.withdrawn = False
        self.result: T
        self.error: BaseException | None = None

    def run(self) -> None:
        if self.withdrawn:
            return  # whoever asked was cancelled before the work began
        try:
            self.result = self.work()
        except BaseException as error:  # it belongs to the task that asked
            self.error = error
        self.soon(self.answered.set)


class Worker:
    """Runs jobs in order. Not AnyIO's worker threads: a SQLite connection belongs to one thread, and a full thread
    limiter of the host must not hold up the journal.

    The thread is a daemon: a program that forgets to close its journal still ends, and a transaction that this cuts in
    half is rolled back by the next opener. `settle` is called when the queue is empty; it returns the seconds after
    which it wants to be called again, or None when there is nothing left to do.
    """

    def __init__(self, name: str, *, settle: Callable[[], float | None]) -> None:
        self._settle = settle
        self._jobs: queue.SimpleQueue[_Job[Any] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    async def call(self, work: Callable[[], T]) -> T:
        """The result of `work`, done in the thread. Cancelling withdraws work that has not begun, and no other."""
        job = _Job(work)
        self._jobs.put(job)
        try:
            await job.answered.wait()
        except BaseException:
            job.withdrawn = True
            raise
        if job.error is not None:
            raise job.error
        return job.result

    def stop(self) -> None:
        """End the thread after the jobs before this. It has ended on return, unless it hangs in one of them."""
        self._jobs.put(None)
        self._thread.join(_STOP_S)

    def _run(self) -> None:
        pause_s: float | None = None
        while True:
            try:
                job = self._jobs.get(timeout=pause_s)
            except queue.Empty:
                pass
            else:
                if job is None:
                    return
                job.run()
            pause_s = self._settle() if self._jobs.empty() else 0.0
