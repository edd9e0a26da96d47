"""The published formulas, as dumb as they were published: each fails in the test that is named after the failure.

Written from the descriptions in their documentation and issue threads; parameters are their defaults. They have `limit`
and `learn` as ours has, and see the same calls in the same world.
"""

import math

from tests.native.queue_simulation import MILLISECOND, SECOND, SUCCESS


class Gradient2:
    """Netflix: long over short latency, plus a queue; every ending counts as a latency (Netflix/concurrency-limits)."""

    def __init__(self, *, queue: int = 4, tolerance: float = 1.5, limit_max: int = 200) -> None:
        self.estimate, self.queue, self.tolerance, self.limit_max = 20.0, queue, tolerance, limit_max
        self.opened_ns = self.sum_ns = self.calls = self.in_flight_max = 0
        self.long_ns = 0.0

    @property
    def limit(self) -> int:
        """Whole calls."""
        return int(self.estimate)

    def learn(self, start_ns: int, now_ns: int, latency_ns: int, outcome: int, in_flight: int, /) -> None:
        """A window of a second and ten calls, then the formula."""
        del start_ns, outcome
        self.opened_ns = self.opened_ns or now_ns
        self.sum_ns += latency_ns
        self.calls += 1
        self.in_flight_max = max(self.in_flight_max, in_flight)
        if now_ns - self.opened_ns < SECOND or self.calls < 10:
            return
        short_ns, in_flight_max = self.sum_ns / self.calls, self.in_flight_max
        self.opened_ns, self.sum_ns, self.calls, self.in_flight_max = now_ns, 0, 0, 0
        self.long_ns += (short_ns - self.long_ns) * (2 / 601) if self.long_ns else short_ns
        if self.long_ns > 2 * short_ns:
            self.long_ns *= 0.95
        if in_flight_max < self.estimate / 2:
            return
        gradient = max(0.5, min(1.0, self.tolerance * self.long_ns / short_ns))
        wanted = self.estimate * gradient + self.queue
        self.estimate = max(20.0, min(float(self.limit_max), 0.8 * self.estimate + 0.2 * wanted))


class Vegas:
    """TCP Vegas on the least latency; `probe_calls` > 0 forgets it now and then and takes the next one (Netflix)."""

    def __init__(self, *, probe_calls: int = 0, limit_max: int = 1000) -> None:
        self.estimate, self.probe_calls, self.limit_max = 20.0, probe_calls, limit_max
        self.least_ns, self.calls = 0.0, 0
        self.opened_ns = self.sum_ns = self.window_calls = 0

    @property
    def limit(self) -> int:
        """Whole calls."""
        return int(self.estimate)

    def learn(self, start_ns: int, now_ns: int, latency_ns: int, outcome: int, in_flight: int, /) -> None:
        """A window of a tenth of a second, then the formula with alpha 3, beta 6 and steps of log10, as published."""
        del start_ns
        if outcome != SUCCESS:
            self.estimate = max(1.0, self.estimate - 1)
            return
        self.calls += 1
        self.opened_ns = self.opened_ns or now_ns
        self.sum_ns += latency_ns
        self.window_calls += 1
        if now_ns - self.opened_ns < SECOND // 10 or self.window_calls < 10:
            return
        latency = self.sum_ns / self.window_calls
        self.opened_ns, self.sum_ns, self.window_calls = now_ns, 0, 0
        if not self.least_ns or latency < self.least_ns or (self.probe_calls and self.calls >= self.probe_calls):
            self.least_ns, self.calls = latency, 0
            return
        step = max(1.0, math.log10(self.estimate))
        queue = math.ceil(self.estimate * (1 - self.least_ns / latency))
        if 2 * in_flight < self.estimate:
            return
        if queue <= step:
            self.estimate += 6 * step
        elif queue < 3 * step:
            self.estimate += step
        elif queue > 6 * step:
            self.estimate -= step
        self.estimate = max(1.0, min(float(self.limit_max), self.estimate))


class EnvoyGradient:
    """Envoy: (1 + buffer) x minRTT over latency, plus a root; minRTT from `probe` calls at `limit_min` in flight.

    `old_epoch` counts calls from before the measurement, as it did before envoyproxy/envoy#11579.
    """

    def __init__(
        self, *, limit_min: int = 3, buffer: float = 0.25, probe: int = 50, every_s: int = 10, old_epoch: bool = False
    ) -> None:
        self.estimate, self.limit_min, self.buffer = 20.0, limit_min, buffer
        self.probe, self.old_epoch = probe, old_epoch
        self.every_ns = every_s * SECOND
        self.least_ns = 0.0
        self.measuring, self.since_ns, self.next_ns = True, 0, 0
        self.opened_ns = self.epoch_ns = 0
        self.latencies: list[int] = []
        self.least_seen: list[float] = []

    @property
    def limit(self) -> int:
        """Whole calls; while minRTT is measured, the least."""
        return self.limit_min if self.measuring else int(self.estimate)

    def learn(self, start_ns: int, now_ns: int, latency_ns: int, outcome: int, in_flight: int, /) -> None:
        """Medians: of `probe` calls while measuring, of a tenth of a second else."""
        del in_flight
        if outcome != SUCCESS or (start_ns < self.epoch_ns and not self.old_epoch):
            return
        self.latencies.append(latency_ns)
        self.opened_ns = self.opened_ns or now_ns
        if self.measuring:
            if len(self.latencies) >= self.probe:
                self.least_ns = self.median()
                self.least_seen.append(self.least_ns)
                self.measuring, self.next_ns, self.opened_ns = False, now_ns + self.every_ns, now_ns
        elif now_ns - self.opened_ns >= SECOND // 10:
            gradient = max(0.5, min(2.0, self.least_ns * (1 + self.buffer) / self.median()))
            wanted = self.estimate * gradient
            self.estimate = max(float(self.limit_min), min(1000.0, wanted + math.sqrt(wanted)))
            self.opened_ns = now_ns
            if now_ns >= self.next_ns:
                self.measuring, self.epoch_ns = True, now_ns

    def median(self) -> int:
        """Of what was gathered, which is then forgotten."""
        middle = sorted(self.latencies)[len(self.latencies) // 2]
        self.latencies = []
        return max(middle, MILLISECOND // 1000)
