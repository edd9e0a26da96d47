"""Evidence from nothing happening: a heartbeat that is missing, traffic that stopped.

Each function gives nats, minus the logarithm of the chance that a healthy service is silent for so long, so that one
dial serves them all: silent is what reaches `silent_nats(false_alarm)`. Every call, beat or gap is one such question,
so the rate of false alarms is per call here too. Time is an argument. docs/concepts/detection.md derives the formulas.
"""

import math

import msgspec

GAPS_MIN = 32  # before so many gaps the rate of arrivals is a guess
GAP_STEP = 1 / 64  # the last 64 gaps have about two thirds of the say


def silent_nats(false_alarm: float) -> float:
    """The nats that make a silence a verdict."""
    return math.log(1 / false_alarm)


def heartbeat_nats(age_ns: int, period_ns: int, *, loss: float = 0.01) -> float:
    """How unlikely all beats of the last `age_ns` were lost on the way, each with chance `loss`."""
    return max(0, age_ns // period_ns) * math.log(1 / loss)


class Arrivals(msgspec.Struct):
    """When calls arrive at one place, learned from the gaps between them: has the traffic stopped?

    A Poisson stream of rate lambda has a gap longer than t with chance exp(-lambda t). Bursts make long gaps common:
    the rate is divided by the squared coefficient of variation of the gaps where that is above 1, which is a bound for
    mixtures of exponentials. A gap that was silent by that measure is believed as far as it would have been a verdict.
    """

    last_ns: int = -1
    gaps: int = 0
    mean_ns: float = 0.0
    square_ns2: float = 0.0

    def arrived(self, now_ns: int, false_alarm: float) -> None:
        """A call arrives."""
        if self.last_ns >= 0:
            gap = float(max(0, now_ns - self.last_ns))
            rate = self.rate_per_ns()
            if rate > 0:
                gap = min(gap, silent_nats(false_alarm) / rate)
            self.gaps += 1
            step = max(GAP_STEP, 1 / self.gaps)
            self.mean_ns += step * (gap - self.mean_ns)
            self.square_ns2 += step * (gap * gap - self.square_ns2)
        self.last_ns = max(now_ns, self.last_ns)

    def rate_per_ns(self) -> float:
        """The rate that the tail of the gaps falls off with; 0: not known yet."""
        if self.gaps < GAPS_MIN or self.mean_ns <= 0:
            return 0.0
        variation = self.square_ns2 / self.mean_ns**2 - 1
        return 1 / (self.mean_ns * max(1.0, variation))

    def nats(self, now_ns: int) -> float:
        """How unlikely the present gap is."""
        return self.rate_per_ns() * max(0, now_ns - self.last_ns)

    def silent_at_ns(self, false_alarm: float) -> int | None:
        """When the present gap becomes a verdict, if nothing arrives; None: not known."""
        rate = self.rate_per_ns()
        return self.last_ns + math.ceil(silent_nats(false_alarm) / rate) if rate > 0 else None
