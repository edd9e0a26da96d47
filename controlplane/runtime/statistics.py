"""What the loop tells about itself."""

import msgspec

from controlplane._native.histogram import Histogram
from controlplane.model.command import Command
from controlplane.model.signal import Target
from controlplane.model.unit import Nanos

_LOWEST_NS, _HIGHEST_NS, _DIGITS = 1_000, 60_000_000_000, 3  # a microsecond to a minute; slower counts as a minute


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """Quantiles of one HDR histogram, in nanoseconds; all zero without a value."""

    count: int = 0
    p50_ns: int = 0
    p99_ns: int = 0
    max_ns: int = 0


class LoopStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """Totals since the loop began, and where it stands now.

    The latencies are those of the first command that answers a deciding signal; shadow commands are among them.
    Renewals, the stages of a recovery and what a restart orders again answer no new signal: its age says nothing.
    """

    steps: int = 0
    records: int = 0  # on record
    lost: int = 0  # decided and acted on, but not on record
    last_number: int = 0  # of the newest record; 0: nothing was written yet
    journal_lag_ns: int = 0  # how long the newest append took
    journal_ok: bool = True
    commands: int = 0
    commands_failed: int = 0
    inbox: int = 0  # signals that wait now
    inbox_refused: int = 0
    engine_errors: int = 0
    source_errors: int = 0
    notices: int = 0
    notices_failed: int = 0
    notices_dropped: int = 0
    degraded: tuple[str, ...] = ()  # what does not work now, in words; containment goes on without it
    decided: Latency = Latency()
    journaled: Latency = Latency()
    applied: Latency = Latency()


class Stopwatch:
    """Three histograms, from the deciding signal to the decision, to the journal, and to the last data plane."""

    def __init__(self) -> None:
        self.decided = Histogram(_LOWEST_NS, _HIGHEST_NS, _DIGITS)
        self.journaled = Histogram(_LOWEST_NS, _HIGHEST_NS, _DIGITS)
        self.applied = Histogram(_LOWEST_NS, _HIGHEST_NS, _DIGITS)
        self._answered: dict[Target, Nanos] = {}  # the newest signal about each; as many as the topology has

    def answered(self, command: Command) -> bool:
        """Whether `command` answers no newer signal about its target than those before it. It is remembered."""
        if command.signal_at <= self._answered.get(command.target, 0):
            return True
        self._answered[command.target] = command.signal_at
        return False

    def record(self, command: Command, *, decided: Nanos, journaled: Nanos | None, applied: Nanos) -> None:
        """Count one command; `journaled` is None where the journal did not take it."""
        if self.answered(command):
            return
        _count(self.decided, decided - command.signal_at)
        _count(self.applied, applied - command.signal_at)
        if journaled is not None:
            _count(self.journaled, journaled - command.signal_at)


def latency(histogram: Histogram) -> Latency:
    """Quantiles of `histogram`."""
    return Latency(
        count=histogram.total,
        p50_ns=histogram.quantile(500),
        p99_ns=histogram.quantile(990),
        max_ns=histogram.maximum,
    )


def _count(histogram: Histogram, elapsed_ns: int) -> None:
    histogram.record(min(max(elapsed_ns, _LOWEST_NS), _HIGHEST_NS))
