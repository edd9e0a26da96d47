"""pybreaker as the probes see it. It guards plain functions under a lock of its own: each call is a thread."""

import threading
import time
from collections.abc import Callable

from controlplane.bench.conformance.subject import FAILURES, OPEN_S, Breaker, Call, Sick

ENTRY_S = 0.05  # a call that has not begun by then, and was not refused, waits for the lock of another
END_S = 5.0


class _Threaded(Call):
    """One call in its thread; the protected function waits for the probe's word."""

    def __init__(self, guarded: Callable[[Callable[[], None]], object], refusal: type[BaseException]) -> None:
        self.begun = threading.Event()
        self._ending = threading.Event()
        self._error: BaseException | None = None
        self.over = threading.Event()
        self.refused = False
        self._guarded, self._refusal = guarded, refusal
        threading.Thread(target=self._run, daemon=True).start()
        end = time.monotonic() + ENTRY_S
        while time.monotonic() < end and not self.over.is_set() and not self.begun.wait(0.001):
            continue

    def _run(self) -> None:
        try:
            self._guarded(self._body)
        except BaseException as error:
            self.refused = isinstance(error, self._refusal) and not self.begun.is_set()
        finally:
            self.over.set()

    def _body(self) -> None:
        self.begun.set()
        self._ending.wait(END_S)
        if self._error is not None:
            raise self._error

    def _end(self, error: BaseException | None) -> None:
        self._error = error
        self._ending.set()
        self.over.wait(END_S)

    def give_up(self) -> None:
        """Nobody waits for it any more; should it still begin, the backend is sick."""
        self._error = Sick()
        self._ending.set()

    def success(self) -> None:
        self._end(None)

    def failure(self) -> None:
        self._end(Sick())

    def cancel(self) -> None:
        self._end(None)  # a plain function cannot be cancelled; this is for probes that clear up after themselves


class Pybreaker(Breaker):
    """One breaker. A call that neither begins nor is refused is not admitted: it waits, and so does its caller."""

    cancellable = False

    def __init__(self) -> None:
        from pybreaker import CircuitBreaker, CircuitBreakerError

        self._breaker = CircuitBreaker(fail_max=FAILURES, reset_timeout=OPEN_S, throw_new_error_on_trip=False)
        self._refusal = CircuitBreakerError

    def admit(self) -> Call | None:
        call = _Threaded(self._breaker.call, self._refusal)
        if call.begun.is_set():
            return call
        if not call.over.is_set():
            call.give_up()
        return None

    def retune(self) -> bool:
        self._breaker.reset_timeout = OPEN_S * 10
        return True
