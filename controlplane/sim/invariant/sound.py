"""What makes a signal invalid: it speaks of what is not there, or its numbers cannot be."""

from collections.abc import Container

from controlplane.model import signal as on
from controlplane.model.signal import Signal, Target
from controlplane.model.topology import Topology


def unsound(signal: Signal, topology: Topology, commands: Container[str]) -> str:
    """Why nothing may be done because of `signal`; empty: it may be believed. `commands`: ids that were issued."""
    match signal:
        case on.Sampled():  # of counters that are read while others count: what went badly may be ahead of the calls
            calls = max(signal.calls, signal.failures, signal.slow)
            return _unknown(signal.target, topology) or _impossible(calls, signal.failures, signal.slow)
        case on.Tripped() | on.CallsFinished():
            slow = getattr(signal, "slow", 0)
            bad = isinstance(signal, on.Tripped) and signal.cause is on.Cause.ALERT
            wrong = _impossible(signal.calls, signal.failures, slow) or ("an alert for a verdict" if bad else "")
            return _unknown(signal.target, topology) or wrong
        case on.Probed() | on.Drifted() | on.ProbeFinished() | on.Heartbeat():
            bad = isinstance(signal, on.Heartbeat) and signal.every_ns < 0
            return _unknown(signal.target, topology) or ("a beat every negative time" if bad else "")
        case on.Alerted():
            bad = signal.for_ns < 0 or not signal.fingerprint
            return _unknown(signal.target, topology) or ("an alert without name or end" if bad else "")
        case on.FingerprintSeen():
            wrong = "" if signal.fingerprint and signal.target.endpoint else "a fingerprint of nothing"
            return _unknown(signal.target, topology) or wrong
        case on.Relayed():
            if topology.service(signal.callee) is None or topology.service(signal.caller) is None:
                return f"{signal.caller} or {signal.callee} is no service"
            return "" if signal.count > 0 else f"{signal.count} relays"
        case on.FellBack():
            if topology.service(signal.service) is None:
                return f"{signal.service} is no service"
            return "" if signal.count > 0 else f"{signal.count} fallbacks"
        case on.EntrySampled():
            return _impossible(signal.requests, signal.failed, signal.slow)
        case on.EdgeSampled():
            return _edge(signal)
        case on.Acted() | on.RolledBack():
            return "" if signal.command in commands else f"{signal.command} was never issued"
        case on.Condition():
            return "" if topology.service(signal.service) is not None else f"{signal.service} is no service"
        case _:
            return ""


def _unknown(target: Target, topology: Topology) -> str:
    service = topology.service(target.service)
    if service is None:
        return f"{target.service} is no service"
    if target.endpoint and all(target.endpoint != endpoint.name for endpoint in service.endpoints):
        return f"{target} is no endpoint"
    return ""


def _impossible(calls: int, failures: int, slow: int) -> str:
    if min(calls, failures, slow) < 0:
        return f"a negative count among {calls}, {failures}, {slow}"
    if failures > calls or slow > calls:
        return f"{max(failures, slow)} of {calls} calls"
    return ""


def _edge(signal: on.EdgeSampled) -> str:
    counts = (signal.calls, signal.failures, signal.attempts or 0, signal.timed or 0, signal.in_flight or 0)
    if min(counts) < 0:
        return "a negative count"
    return "" if signal.window_ns > 0 else f"a window of {signal.window_ns} ns"
