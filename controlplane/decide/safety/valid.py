"""Nothing acts on invalid data: unknown targets, figures that cannot be, times that are not now, limits left blank."""

import math

import msgspec

from controlplane.decide.change import noted
from controlplane.decide.drift.compare import wrong_fingerprint
from controlplane.decide.safety.ask import Ask, No
from controlplane.model import signal as on
from controlplane.model.command import (
    CapRetries,
    Close,
    Eject,
    FailOver,
    Harden,
    Intent,
    Isolate,
    Limit,
    Restore,
    RollBack,
    Shed,
    Tighten,
    Weigh,
)
from controlplane.model.errors import ConfigError
from controlplane.model.policy import WHOLE_KINDS, GuardPolicy, ResponsePolicy
from controlplane.model.signal import Signal, Target
from controlplane.model.unit import SECOND, Nanos

AGE_NS_MAX = 60 * SECOND  # evidence older than a minute says nothing about now
AHEAD_NS_MAX = 1 * SECOND  # a signal from the future was stamped by another clock


def invalid_data(ask: Ask) -> No | None:
    """The target must be known and the figures possible. Taking back is always possible."""
    if isinstance(ask.intent, Restore):
        return None
    target = ask.target
    if ask.service is None:
        return No(f"{target.service} is not in the topology")
    if target.endpoint and all(one.name != target.endpoint for one in ask.service.endpoints):
        return No(f"{target} is not in the topology")
    reason = _wrong_intent(ask.intent, target)
    return No(reason) if reason else None


def _wrong_intent(intent: Intent, target: Target) -> str:
    match intent:
        case Eject() if not target.endpoint:
            return f"{target} is a service: one endpoint is ejected, a service is isolated"
        case Isolate() | Limit() | FailOver() | CapRetries() | Shed() | Tighten() | RollBack() if target.endpoint:
            return f"{target} is an endpoint: {type(intent).__name__.lower()} is about a whole service"
        case Close() | Harden() if target.endpoint:
            return f"{target} is an endpoint: {type(intent).__name__.lower()} is about a whole service"
        case Weigh() if not _within(intent.percent, 0, 100):
            return f"a weight of {intent.percent} %: it must be from 0 to 100"
        case CapRetries() if not _within(intent.percent, 0, 100):
            return f"retries of {intent.percent} %: it must be from 0 to 100"
        case FailOver() | Shed() if not _within(intent.percent, 1, 100):
            return f"{intent.percent} % of the calls: it must be from 1 to 100"
        case Limit() if not _within(intent.concurrency, 1, 1 << 31):
            return f"a limit of {intent.concurrency} calls in flight: it must be 1 or more"
        case Tighten() if not _within(intent.deadline_ms, 1, 86_400_000):
            return f"a deadline of {intent.deadline_ms} ms: it must be 1 or more"
        case RollBack() if not intent.version:
            return "a roll-back of no version"
    return ""


def _within(value: object, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def wrong_signal(signal: Signal, now: Nanos) -> str:
    """Why nothing may act on `signal`; empty when something may.

    Facts about what is past by nature (an order taken, a notice delivered) are never too old.
    """
    match signal:
        case on.Tripped():
            wrong = _counts(calls=signal.calls, failures=signal.failures)
            if not wrong and signal.cause is on.Cause.ALERT:
                wrong = "an alert is no verdict"
        case on.Drifted():
            wrong = _counts(calls=signal.calls)
            if not wrong and not 0 <= signal.factor < math.inf:
                wrong = f"a factor of {signal.factor}"
        case on.CallsFinished():
            wrong = _counts(calls=signal.calls, failures=signal.failures, slow=signal.slow)
        case on.Sampled():
            wrong = _whole(
                calls=signal.calls, failures=signal.failures, slow=signal.slow, refused=signal.refused
            )  # counters that are read while others count: failures may be one ahead of calls
        case on.EntrySampled():
            parts = {"failed": signal.failed, "slow": signal.slow, "retries": signal.retries}
            wrong = _whole(requests=signal.requests, **parts)
            if not wrong and max(parts.values()) > signal.requests:
                wrong = (
                    ", ".join(f"{count} {name}" for name, count in parts.items()) + f" of {signal.requests} requests"
                )
        case on.EdgeSampled():
            wrong = _edge(signal)
        case on.FellBack() | on.Relayed():
            wrong = _whole(count=signal.count) or ("" if signal.count else "it happened 0 times")
        case on.Heartbeat():
            wrong = _whole(every_ns=signal.every_ns)
        case on.Alerted():
            wrong = _whole(for_ns=signal.for_ns) or ("" if signal.fingerprint else "it has no fingerprint")
        case on.FingerprintSeen():
            wrong = wrong_fingerprint(signal)
        case on.Changed():
            return noted.wrong(signal)
        case on.VersionsCounted():
            wrong = next((bad for _, calls, *parts in signal.rows if (bad := _row(calls, *parts))), "")
        case on.PlaneCompared():
            wrong = "" if signal.plane else "a data plane without a name"
        case on.Probed() | on.ProbeFinished() | on.Condition():
            wrong = ""
        case _:
            return ""
    if wrong:
        return wrong
    if now - signal.at > AGE_NS_MAX:
        return f"it is {(now - signal.at) / SECOND:.6g} s old; what is older than {AGE_NS_MAX // SECOND} s is not now"
    if signal.at - now > AHEAD_NS_MAX:
        return f"it is {(signal.at - now) / SECOND:.6g} s in the future: another clock stamped it"
    return ""


def _edge(signal: on.EdgeSampled) -> str:
    sends = signal.calls if signal.attempts is None else signal.attempts
    counts, sums = (signal.timed, signal.in_flight), (signal.client_latency_ns, signal.server_latency_ns)
    if any(count is not None and not 0 <= count <= on.EDGE_COUNT_MAX for count in counts):
        return f"timed or in flight not from 0 to {on.EDGE_COUNT_MAX}: {counts}"
    if any(ns is not None and not 0 <= ns <= on.EDGE_SUM_NS_MAX for ns in sums):
        return f"a latency not from 0 to {on.EDGE_SUM_NS_MAX} ns in sum: {sums}"
    if max(sends, signal.calls, signal.failures) > on.EDGE_COUNT_MAX:
        return f"more than {on.EDGE_COUNT_MAX} calls, attempts or failures: what counts so far has lost its unit"
    if not 0 < signal.window_ns <= on.EDGE_SUM_NS_MAX:
        return f"a window of {signal.window_ns} ns"
    if 0 <= signal.failures <= sends and signal.calls >= 0:
        return ""  # as nearly always, and then at once
    return _whole(sends=sends, failures=signal.failures, calls=signal.calls)  # more may fail in a window than begin


def _counts(*, calls: int, **parts: int) -> str:
    if wrong := _whole(calls=calls, **parts):
        return wrong
    for name, count in parts.items():
        if count > calls:
            return f"{count} {name} of {calls} calls"
    return ""


def _row(calls: int, failed: int, slow: int) -> str:
    return _whole(calls=calls, failures=failed, slow=slow)


def _whole(**counts: float) -> str:
    for name, count in counts.items():
        if not 0 <= count < math.inf:  # a NaN is neither
            return f"{name}: {count} is no count"
    return ""


def refuse_blank(policy: GuardPolicy | ResponsePolicy, *, key: str) -> None:
    """Raise ConfigError for the first field of `policy` that is blank or out of its bounds.

    Values that were read from a file are checked there; this is for those made in code, before anybody shares them.
    """
    fields = {field.encode_name: field.type for field in msgspec.structs.fields(type(policy))}
    for name, kind in fields.items():
        value = getattr(policy, name)
        try:
            if value == ():
                raise TypeError("it must not be empty")
            msgspec.convert(msgspec.to_builtins(value), kind, strict=True)
        except (msgspec.ValidationError, TypeError) as error:
            shown = "blank" if value in (None, "", ()) else f"{value!r}"
            raise ConfigError(f"is {shown}: {error}", key=f"{key}.{name}") from error
    for kind, share in policy.enforcement.items() if isinstance(policy, ResponsePolicy) else ():
        if kind in WHOLE_KINDS and share not in (0, 100):
            reason = f"is {share}: such an act applies to all calls or to none, 100 or 0"
            raise ConfigError(reason, key=f"{key}.enforcement.{kind}")


OFF_AT_ZERO = (
    "rate_per_s",
    "concurrency_max",
    "breaker_consecutive",
    "failure_percent",
    "slow_percent",
    "endpoint_consecutive",
    "endpoint_evidence",
    "gray_excess_s",
    "panic_percent",
)
"""Fields of `GuardPolicy` whose zero switches a protection off."""


def refuse_switched_off(old: GuardPolicy, new: GuardPolicy, service: str) -> None:
    """Raise ConfigError where `new`, put in force while calls are made, would silently end a protection of `old`.

    A zero is what a field left blank turns into on its way. Whoever means it says it at a start, when people look.
    """
    for name in OFF_AT_ZERO:
        before = getattr(old, name)
        if before and not getattr(new, name):
            reason = f"0 would switch off what is {before:g} now, in all processes; only a restart does that"
            raise ConfigError(reason, key=f"policy of {service}: {name}")
