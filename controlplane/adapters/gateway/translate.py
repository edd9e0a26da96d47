"""Rows of the native event ring, as signals."""

from typing import Final

import numpy as np

from controlplane._native import guard as native
from controlplane.adapters.gateway.gray import Finding
from controlplane.adapters.gateway.service import DISTURBED_NS, EDGE, ServiceGuard
from controlplane.model.signal import Cause, Drifted, Effective, Probed, Signal, Target, Tripped
from controlplane.model.unit import Nanos

CAUSES: Final = {
    native.BY_CONSECUTIVE: Cause.ERRORS,
    native.BY_ERRORS: Cause.ERRORS,
    native.BY_SLOW: Cause.SLOW,
    native.BY_STALLED: Cause.STALLED,
    native.BY_OVERLOAD: Cause.OVERLOAD,
}
TRIPS: Final = frozenset({native.ENDPOINT_TRIPPED, native.ENDPOINT_CAPPED, native.EDGE_OPENED})
PROBES: Final = {
    native.ENDPOINT_PROBE_PASSED: True,
    native.EDGE_PROBE_PASSED: True,
    native.ENDPOINT_PROBE_FAILED: False,
    native.EDGE_PROBE_FAILED: False,
}

Row = tuple[int, int, int, int, int, int, int, int]  # seq, kind, endpoint, t_ns, a, b, c, d


class RingReader:
    """Empties the rings of guards; keeps the buffer into which rows are copied."""

    def __init__(self) -> None:
        self._rows = np.zeros((native.EVENTS_MAX, native.EVENT_WORDS), dtype=np.int64)
        self._view = self._rows.reshape(-1).data

    def read(self, service: ServiceGuard) -> list[Signal]:
        """What the guard of `service` has written since the last time, oldest first."""
        signals: list[Signal] = []
        while count := service.guard.drain(self._view):
            for row in self._rows[:count].tolist():
                if row[1] in TRIPS:
                    service.disturb(row[3] + DISTURBED_NS)
                signal = translate(service, tuple(row))
                if signal is not None:
                    signals.append(signal)
            if count < native.EVENTS_MAX:
                break
        return signals


def translate(service: ServiceGuard, row: Row) -> Signal | None:
    """The signal that a row states; None for rows that only concern the guard itself, as an order that lapsed."""
    _, kind, endpoint, at, a, b, c, d = row
    target = Target(service.name, "" if endpoint == EDGE else service.endpoints[endpoint])
    if kind in TRIPS:
        capped = kind == native.ENDPOINT_CAPPED
        return Tripped(
            at=Nanos(at),
            target=target,
            cause=CAUSES.get(a, Cause.ERRORS),
            calls=b,
            failures=c,
            contained=bool(service.enforced) and not capped,
            capped=capped,
            began_at=Nanos(d) if d else None,
        )
    if kind in PROBES:
        return Probed(at=Nanos(at), target=target, passed=PROBES[kind])
    if kind == native.EFFECTIVE:
        return Effective(at=Nanos(at), target=target, signal_at=Nanos(a))
    return None


def told(service: ServiceGuard, finding: Finding, at: Nanos) -> Signal:
    """The signal that a look at latencies gives: a verdict, which the engine answers, or news."""
    target = Target(service.name, service.endpoints[finding.endpoint])
    if finding.gray:
        return Tripped(at=at, target=target, cause=Cause.SLOW, calls=finding.calls, failures=finding.late)
    return Drifted(at=at, target=target, factor=round(finding.factor, 2), calls=finding.calls, alone=finding.alone)
