"""Alerts of others that stand: by fingerprint, until they are resolved, or are not repeated in time."""

from collections import Counter
from typing import Final, NamedTuple

from controlplane.model.signal import Alerted, Target
from controlplane.model.unit import Nanos

ALERTS_MAX: Final = 10_000  # fingerprints come from outside: the one that was repeated longest ago makes room


class Standing(NamedTuple):
    """An alert that fires. `until`: it ends by itself unless it is repeated; None: it is resolved in so many words."""

    target: Target
    name: str
    until: Nanos | None


class Alerts:
    """A part of the engine's short memory: a restart learns what fires when it is repeated."""

    def __init__(self) -> None:
        self.due_at: Nanos | None = None  # when the next one ends by itself
        self._standing: dict[str, Standing] = {}
        self._about: Counter[str] = Counter()

    def fires(self, signal: Alerted) -> bool:
        """Note that it fires; whether that is news."""
        before = self._end(signal.fingerprint)
        until = Nanos(signal.at + signal.for_ns) if signal.for_ns else None
        if len(self._standing) >= ALERTS_MAX:
            self._end(next(iter(self._standing)))
        self._standing[signal.fingerprint] = Standing(signal.target, signal.name, until)
        self._about[signal.target.service] += 1
        if until is not None:
            self.due_at = until if self.due_at is None else min(self.due_at, until)
        return before is None

    def resolved(self, fingerprint: str) -> bool:
        """Note that it is over; whether it was known to fire."""
        return self._end(fingerprint) is not None

    def lapsed(self, now: Nanos) -> list[Standing]:
        """Those that have ended because nobody repeated them, once."""
        if self.due_at is None or now < self.due_at:
            return []
        over = {key: one for key, one in self._standing.items() if one.until is not None and one.until <= now}
        for key in over:
            self._end(key)
        self.due_at = min((one.until for one in self._standing.values() if one.until is not None), default=None)
        return list(over.values())

    def about(self, service: str) -> bool:
        """Whether any stands about `service` or an endpoint of it."""
        return self._about[service] > 0

    def _end(self, fingerprint: str) -> Standing | None:
        one = self._standing.pop(fingerprint, None)
        if one is not None:
            self._about[one.target.service] -= 1
        return one
