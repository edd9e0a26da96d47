"""`adaptive_throttling`: a client refuses by itself what an overloaded callee would refuse anyway.

Source    Google, Site Reliability Engineering (2016), chapter 21 "Handling Overload": client-side throttling and
          "Deciding to retry".
Defaults  requests and accepts of the last two minutes; a call is refused with probability
          max(0, (requests - K accepts) / (requests + 1)), K = 2; requests are counted before the throttle. At most
          three attempts per request, and retries stay under 10 % of the requests of the same two minutes.
With it   What counts as not accepted is what libraries that ship the rule count (go-kratos/aegis `circuitbreaker/sre`):
          every 5xx and every time-out, not only 429 and 503. The book's own reading would never throttle on a callee
          that hangs. And like that library (its WithRequest(100)) nothing is refused on fewer than a hundred requests:
          by the bare formula the second call of a process meets one of two chances to be refused.
"""

from collections.abc import Callable

from controlplane.sim.textbook.calls import Call, Client, Edge
from controlplane.sim.textbook.ratio import Window

WINDOW_BUCKETS, BUCKET_NS = 120, 1_000_000_000
K = 2
REQUESTS_MIN = 100
RETRY_PERCENT = 10


class ThrottleEdge(Edge):
    """Refuses in proportion to what the callee does not accept."""

    def __init__(self, client: Client, clock: Callable[[], int], seed: int) -> None:
        super().__init__(client, clock, seed)
        self._attempted = Window(WINDOW_BUCKETS, BUCKET_NS)  # good: first attempts; bad: retries
        self._accepted = Window(WINDOW_BUCKETS, BUCKET_NS)

    def refusal_probability(self, now: int) -> float:
        """That of the next call at `now`."""
        self._attempted.look(now)
        self._accepted.look(now)
        requests = self._attempted.good + self._attempted.bad
        if requests < REQUESTS_MIN:
            return 0.0
        return max(0.0, (requests - K * self._accepted.good) / (requests + 1))

    def begin(self, priority: int, deadline_ns: int | None) -> Call | None:
        """The first attempt, unless the draw refuses it."""
        return self._admit(-1, 1)

    def again(self, call: Call, avoid: int) -> Call | None:
        """A retry within the budget, unless the draw refuses it."""
        if call.made >= self.attempts:
            return None
        attempted = self._attempted
        attempted.look(self._clock())
        if (attempted.bad + 1) * 100 > RETRY_PERCENT * attempted.good:
            return None
        return self._admit(avoid, call.made + 1)

    def succeed(self, call: Call) -> None:
        """Accepted."""
        self._active[call.endpoint] -= 1
        self._accepted.add(self._clock(), 1, 0)

    def cancel(self, call: Call) -> None:
        """The caller went away: as if the callee had accepted, since nobody knows."""
        super().cancel(call)
        self._accepted.add(self._clock(), 1, 0)

    def _admit(self, avoid: int, made: int) -> Call | None:
        now = self._clock()
        refused = self.refusal_probability(now)
        if made == 1:
            self._attempted.add(now, 1, 0)
        else:
            self._attempted.add(now, 0, 1)
        if refused > 0.0 and self._draw() < refused:
            return None
        return self._send(avoid, made)
