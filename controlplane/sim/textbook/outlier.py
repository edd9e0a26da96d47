"""Outlier detection as Envoy does it: `consecutive_5xx` alone, and `envoy_outlier` with the success-rate sweep.

Source    Envoy, "Outlier detection" (docs: intro/arch_overview/upstream/outlier) and `config.cluster.v3
          .OutlierDetection`; "Panic threshold" and "Priority levels" of its load balancing.
Defaults  consecutive_5xx 5; base_ejection_time 30 s, times the number of ejections, max_ejection_time 300 s;
          max_ejection_percent 10, but at least one host; interval 10 s, at which hosts come back and their multiplier
          falls by one if they are in; success_rate_minimum_hosts 5, success_rate_request_volume 100,
          success_rate_stdev_factor 1900 (1.9); healthy_panic_threshold 50 %; overprovisioning factor 1.4.
With it   Envoy's default circuit breaker on retries: at most 3 at a time per caller and callee (max_retries).
          A try that is given up after its time-out is a 504, and counts.
"""

from collections.abc import Callable
from math import sqrt

from controlplane.sim.textbook.calls import Call, Client, Edge

CONSECUTIVE = 5
BASE_EJECTION_NS, MAX_EJECTION_NS = 30_000_000_000, 300_000_000_000
MAX_EJECTION_PERCENT = 10
INTERVAL_NS = 10_000_000_000
MINIMUM_HOSTS, REQUEST_VOLUME, STDEVS = 5, 100, 1.9
PANIC_PERCENT = 50
OVERPROVISION_PERCENT = 140
MAX_RETRIES = 3


class ConsecutiveEdge(Edge):
    """Five failures in a row eject a replica."""

    sweeps_rates = False

    def __init__(self, client: Client, clock: Callable[[], int], seed: int) -> None:
        super().__init__(client, clock, seed)
        size = len(self.priorities)
        self._row = [0] * size  # failures in a row
        self._requests, self._good = [0] * size, [0] * size  # in this interval
        self._times = [0] * size  # the multiplier
        self._until: dict[int, int] = {}  # ejected replicas: when the penalty is over
        self._retrying = 0
        self._levels = sorted(set(self.priorities))
        self._pools: list[tuple[float, list[int]]] = []  # (share up to here, replicas) while more than one level serves

    @property
    def ejected(self) -> frozenset[int]:
        """Replicas that are out."""
        return frozenset(self._until)

    def again(self, call: Call, avoid: int) -> Call | None:
        """Another attempt, if fewer than three retries are under way."""
        if call.made >= self.attempts or self._retrying >= MAX_RETRIES:
            return None
        self._retrying += 1
        return self._send(avoid, call.made + 1)

    def succeed(self, call: Call) -> None:
        """A success ends the row."""
        endpoint = call.endpoint
        self._active[endpoint] -= 1
        self._row[endpoint] = 0
        self._requests[endpoint] += 1
        self._good[endpoint] += 1
        if call.made > 1:
            self._retrying -= 1

    def fail(self, call: Call, kind: int) -> None:
        """The fifth failure in a row ejects."""
        endpoint = call.endpoint
        self._active[endpoint] -= 1
        self._requests[endpoint] += 1
        if call.made > 1:
            self._retrying -= 1
        self._row[endpoint] += 1
        if self._row[endpoint] >= CONSECUTIVE:
            self._row[endpoint] = 0
            self._eject(endpoint, self._clock())

    def cancel(self, call: Call) -> None:
        """The caller went away: nothing is learned."""
        super().cancel(call)
        if call.made > 1:
            self._retrying -= 1

    def sweep(self, now: int) -> None:
        """What happens every ten seconds: who has served the penalty comes back, and rates are compared."""
        for endpoint in range(len(self.priorities)):
            until = self._until.get(endpoint)
            if until is None:
                self._times[endpoint] = max(0, self._times[endpoint] - 1)
            elif until <= now:
                del self._until[endpoint]
                self._row[endpoint] = 0
        self._spread()
        if self.sweeps_rates:
            self._compare(now)
        size = len(self.priorities)
        self._requests, self._good = [0] * size, [0] * size

    def _compare(self, now: int) -> None:
        """Eject whose success rate is more than 1.9 standard deviations under the mean."""
        busy = [
            at for at, requests in enumerate(self._requests) if requests >= REQUEST_VOLUME and at not in self._until
        ]
        if len(busy) < MINIMUM_HOSTS:
            return
        rates = {at: self._good[at] / self._requests[at] for at in busy}
        mean = sum(rates.values()) / len(busy)
        stdev = sqrt(sum((rate - mean) ** 2 for rate in rates.values()) / len(busy))
        for at in busy:
            if rates[at] < mean - STDEVS * stdev:
                self._eject(at, now)

    def _eject(self, endpoint: int, now: int) -> None:
        out = len(self._until)
        if endpoint in self._until:
            return
        if out and 100 * (out + 1) > MAX_EJECTION_PERCENT * len(self.priorities):
            return
        self._times[endpoint] += 1
        self._until[endpoint] = now + min(BASE_EJECTION_NS * self._times[endpoint], MAX_EJECTION_NS)
        self._spread()

    def _spread(self) -> None:
        """Who gets calls: the healthy ones of the first level, more levels as it falls short, all of them in panic."""
        self._pools, left, self._usable = [], 1.0, []
        pools = []
        for level in self._levels:
            members = [at for at, priority in enumerate(self.priorities) if priority == level]
            healthy = [at for at in members if at not in self._until]
            pools.append((members, healthy, min(1.0, OVERPROVISION_PERCENT / 100 * len(healthy) / len(members))))
        total = min(1.0, sum(health for *_, health in pools))
        for members, healthy, health in pools:
            share = min(left, health / total if total else 1.0)
            left -= share
            if share <= 0:
                continue
            # panic: so few are healthy that the rest would be drowned, so all are used. It is looked at only
            # where the levels together cannot serve everything, as Envoy does with more than one level
            panics = len(healthy) * 100 < PANIC_PERCENT * len(members) and (len(pools) == 1 or total < 1)
            self._pools.append((1.0 - left, members if panics or not healthy else healthy))
        self._usable = self._pools[0][1]

    def _choose(self, avoid: int) -> int:
        if len(self._pools) > 1:
            drawn = self._draw()
            self._usable = next((pool for upto, pool in self._pools if drawn < upto), self._pools[-1][1])
        return super()._choose(avoid)


class OutlierEdge(ConsecutiveEdge):
    """Five in a row, and every ten seconds the success rates of the replicas compared."""

    sweeps_rates = True
