"""`ratio_breaker`: one circuit breaker per caller and callee that opens when half of its calls fail.

Source    Netflix Hystrix, "How it works" and "Configuration" (wiki), HystrixCircuitBreaker.java; resilience4j's
          CircuitBreaker has the same rule under other names.
Defaults  metrics.rollingStats 10 s in 10 buckets; requestVolumeThreshold 20; errorThresholdPercentage 50;
          sleepWindowInMilliseconds 5000; then one call at a time tries, the first success closes the breaker and
          clears the window, a failure opens it for another sleep window.
With it   Three attempts per call around the breaker, each of which it sees. What it refuses itself is no failure to it.
          A probe whose end is never told (cancelled) makes room for the next one.
"""

from collections.abc import Callable

from controlplane.sim.textbook.calls import Call, Client, Edge

WINDOW_BUCKETS, BUCKET_NS = 10, 1_000_000_000
VOLUME, ERROR_PERCENT = 20, 50
SLEEP_NS = 5_000_000_000


class Window:
    """Good and bad results of the last so many buckets of time, as running sums."""

    __slots__ = ("_bad", "_bucket_ns", "_good", "_number", "_size", "bad", "good")

    def __init__(self, buckets: int, bucket_ns: int) -> None:
        self.good = self.bad = 0
        self._size, self._bucket_ns, self._number = buckets, bucket_ns, 0
        self._good, self._bad = [0] * buckets, [0] * buckets

    def add(self, now: int, good: int, bad: int) -> None:
        """Count at `now`; what is too old by then is forgotten."""
        number = now // self._bucket_ns
        if number != self._number:
            self.forget(number)
        slot = number % self._size
        self._good[slot] += good
        self._bad[slot] += bad
        self.good += good
        self.bad += bad

    def look(self, now: int) -> None:
        """Forget what is too old at `now`."""
        number = now // self._bucket_ns
        if number != self._number:
            self.forget(number)

    def forget(self, number: int) -> None:
        """Empty every bucket between the newest one and `number`, and that one."""
        for passed in range(max(self._number + 1, number - self._size + 1), number + 1):
            slot = passed % self._size
            self.good -= self._good[slot]
            self.bad -= self._bad[slot]
            self._good[slot] = self._bad[slot] = 0
        self._number = number

    def clear(self) -> None:
        """Forget everything."""
        self.good = self.bad = 0
        self._good, self._bad = [0] * self._size, [0] * self._size


class RatioEdge(Edge):
    """Closed, open, half open."""

    def __init__(self, client: Client, clock: Callable[[], int], seed: int) -> None:
        super().__init__(client, clock, seed)
        self._window = Window(WINDOW_BUCKETS, BUCKET_NS)
        self._opened_at: int | None = None
        self._probe: Call | None = None

    @property
    def is_open(self) -> bool:
        """Whether calls are refused, but for the probe."""
        return self._opened_at is not None

    def begin(self, priority: int, deadline_ns: int | None) -> Call | None:
        """The first attempt, unless the breaker is open."""
        return self._admit(-1, 1)

    def again(self, call: Call, avoid: int) -> Call | None:
        """Another attempt, unless the breaker is open by now."""
        if call.made >= self.attempts:
            return None
        return self._admit(avoid, call.made + 1)

    def succeed(self, call: Call) -> None:
        """Counted; that of the probe closes the breaker."""
        self._active[call.endpoint] -= 1
        if call is self._probe:
            self._probe = self._opened_at = None
            self._window.clear()
            return
        if self._opened_at is None:
            self._window.add(self._clock(), 1, 0)

    def fail(self, call: Call, kind: int) -> None:
        """Counted; that of the probe opens the breaker anew."""
        self._active[call.endpoint] -= 1
        now = self._clock()
        if call is self._probe:
            self._probe, self._opened_at = None, now
            return
        if self._opened_at is not None:
            return
        window = self._window
        window.add(now, 0, 1)
        calls = window.good + window.bad
        if calls >= VOLUME and window.bad * 100 >= ERROR_PERCENT * calls:
            self._opened_at = now

    def cancel(self, call: Call) -> None:
        """Nothing is learned; a probe is given back."""
        super().cancel(call)
        if call is self._probe:
            self._probe = None

    def _admit(self, avoid: int, made: int) -> Call | None:
        opened_at = self._opened_at
        if opened_at is None:
            return self._send(avoid, made)
        if self._probe is not None or self._clock() < opened_at + SLEEP_NS:
            return None
        self._probe = self._send(avoid, made)
        return self._probe
