"""Signals from others: strict, bounded, and stamped with this host's clock."""

import re
from typing import Any

import anyio
import msgspec

from controlplane.admin.problem import Problem
from controlplane.assembly import Plane
from controlplane.model.signal import (
    EDGE_SUM_NS_MAX,
    CallsFinished,
    EdgeSampled,
    FellBack,
    Heartbeat,
    ProbeFinished,
    Target,
)

SIGNALS_MAX = 1000  # per request
COUNT_MAX = 1_000_000_000  # calls summed over a short time; more is a mistake in units
WINDOW_MAX_NS = 3_600_000_000_000  # of one sample of an edge; a longer one says nothing about now
BEAT_NS = (100_000_000, 3_600_000_000_000)  # faster is traffic of its own, slower says nothing about now
AGE_MAX_NS = 60_000_000_000  # evidence older than a minute says nothing about now

SERVICE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")  # as in configuration

Reported = CallsFinished | EdgeSampled | ProbeFinished | FellBack | Heartbeat
"""What others may report. Everything else is for the guards and the engine to say."""


class Accepted(msgspec.Struct, frozen=True):
    """How many signals were taken in."""

    accepted: int


def take_signals(plane: Plane, raw: list[dict[str, Any]]) -> Accepted:
    """Hand all of `raw` to the engine, or none when one of them is wrong. Raises Problem."""
    if len(raw) > SIGNALS_MAX:
        raise Problem(400, f"{len(raw)} signals in one request; at most {SIGNALS_MAX} are taken")
    now = plane.clock.now()
    try:
        signals = msgspec.convert([{"at": now, **one} for one in raw], list[Reported])
    except msgspec.ValidationError as error:
        raise Problem(400, f"body was understood but is not right: {error}") from error
    for index, signal in enumerate(signals):
        if reason := _wrong(plane, signal, now):
            raise Problem(400, f"body was understood but is not right: $[{index}]{reason}")
    for index, signal in enumerate(signals):
        try:
            plane.submit_nowait(signal)
        except (anyio.WouldBlock, RuntimeError) as error:
            raise Problem(
                503,
                f"{'the inbox is full' if isinstance(error, anyio.WouldBlock) else error}; "
                f"the first {index} of {len(signals)} signals were taken, send the rest again",
                headers={"retry-after": "1"},
                accepted=index,
            ) from error
    return Accepted(accepted=len(signals))


def _wrong(plane: Plane, signal: Reported, now: int) -> str:
    """What is wrong with `signal` beyond its types, or nothing."""
    if not now - AGE_MAX_NS <= signal.at <= now:
        # a time from another host's monotonic clock would look like a leap into the future
        return ".at: is not within the last 60 s of this host's CLOCK_MONOTONIC; leave it out to mean now"
    match signal:
        case FellBack():
            if plane.topology.service(signal.service) is None:
                return f".service: {signal.service!r} is not a declared service"
            if not 1 <= signal.count <= COUNT_MAX:
                return f".count: {signal.count} is not from 1 up to {COUNT_MAX}"
        case ProbeFinished():
            if signal.latency_ns < 0:
                return f".latency_ns: {signal.latency_ns} is negative"
            return _wrong_target(plane, signal.target)
        case Heartbeat():
            if signal.every_ns and not BEAT_NS[0] <= signal.every_ns <= BEAT_NS[1]:
                return f".every_ns: {signal.every_ns} is not from {BEAT_NS[0]} up to {BEAT_NS[1]}, nor 0 to leave"
            return _wrong_target(plane, signal.target)
        case CallsFinished():
            if not 0 <= signal.calls <= COUNT_MAX:
                return f".calls: {signal.calls} is not from 0 up to {COUNT_MAX}"
            for name in ("failures", "slow"):
                if not 0 <= getattr(signal, name) <= signal.calls:
                    return f".{name}: {getattr(signal, name)} is not from 0 up to calls, {signal.calls}"
            if signal.caller and plane.topology.service(signal.caller) is None:
                return f".caller: {signal.caller!r} is not a declared service"
            return _wrong_target(plane, signal.target)
        case EdgeSampled():
            return _wrong_edge(signal)
    return ""


def _wrong_edge(signal: EdgeSampled) -> str:
    """What is wrong with a sample of an edge. Its ends need not be declared: the graph is there to learn them."""
    for key in ("caller", "callee"):
        name = getattr(signal, key)
        if not SERVICE_NAME.fullmatch(name) and not (key == "caller" and not name):
            right = "letters, digits, dots, dashes and underscores, 128 at most"
            return f".{key}: {name[:40]!r} is not a service's name, which has {right}"
    if signal.caller == signal.callee:
        return f".callee: {signal.callee!r} is the caller, too"
    sends = signal.calls if signal.attempts is None else signal.attempts
    latency = (0, EDGE_SUM_NS_MAX, "")
    for key, (low, high, name) in {
        "window_ns": (1, WINDOW_MAX_NS, ""),
        "calls": (0, COUNT_MAX, ""),
        "attempts": (0, COUNT_MAX, ""),
        "failures": (0, sends, "calls" if signal.attempts is None else "attempts"),
        "timed": (0, sends, "calls" if signal.attempts is None else "attempts"),
        "client_latency_ns": latency,
        "server_latency_ns": latency,
        "in_flight": (0, COUNT_MAX, ""),
    }.items():
        value = getattr(signal, key)
        if value is not None and not low <= value <= high:
            return f".{key}: {value} is not from {low} up to {name and name + ', '}{high}"
    return ""


def _wrong_target(plane: Plane, target: Target) -> str:
    service = plane.topology.service(target.service)
    if service is None:
        return f".target.service: {target.service!r} is not a declared service"
    if target.endpoint and all(endpoint.name != target.endpoint for endpoint in service.endpoints):
        return f".target.endpoint: {target.endpoint!r} is not an endpoint of {target.service!r}"
    return ""
