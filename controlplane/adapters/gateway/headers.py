"""Header fields that carry control between processes, read as what they are: words of strangers.

    controlplane-refused: <part>           a guard refused; the answer is no evidence against who relays it
    controlplane-cause: <service>          the answer is a failure of that service, relayed
    controlplane-deadline-ms: <n>          the caller waits no longer than this
    controlplane-priority: <class>         critical, default or sheddable
    controlplane-attempt: <n>              somewhere above, this is the n-th attempt at one request; absent: the first

A value that does not parse is as good as absent: a hostile field must neither raise nor grow anything.
"""

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import IntEnum
from typing import Final

REFUSED: Final = "controlplane-refused"
CAUSE: Final = "controlplane-cause"
DEADLINE_MS: Final = "controlplane-deadline-ms"
PRIORITY: Final = "controlplane-priority"
ATTEMPT: Final = "controlplane-attempt"
ENVOY_ATTEMPT: Final = "x-envoy-attempt-count"  # the same, where Envoy's `include_request_attempt_count` is set
PUSHBACK: Final = "grpc-retry-pushback-ms"

_SERVICE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")  # longer names are not names of ours
_MILLISECONDS = re.compile(r"[0-9]{1,9}")  # 11 days; more digits are an attack or a mistake
_GRPC_TIMEOUT = re.compile(r"([0-9]{1,8})([HMSmun])")  # at most 8 digits: the gRPC protocol's own bound
_GRPC_UNIT_S = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
_RETRY_AFTER_MAX_S = 86_400.0
_ATTEMPT = re.compile(r"[0-9]{1,3}")


class Priority(IntEnum):
    """How late a request is shed: the higher, the later."""

    SHEDDABLE = 0
    DEFAULT = 1
    CRITICAL = 2


_PRIORITIES = {priority.name.lower(): priority for priority in Priority}


def service_name(value: str | None) -> str | None:
    """The service a `controlplane-cause` field names, None where it cannot be one."""
    return value if value is not None and _SERVICE.fullmatch(value) else None


def priority(value: str) -> Priority:
    """The priority class named; DEFAULT for what is none."""
    return _PRIORITIES.get(value.strip().lower(), Priority.DEFAULT)


def milliseconds_s(value: str) -> float | None:
    """Seconds of a whole number of milliseconds."""
    return int(value) / 1e3 if _MILLISECONDS.fullmatch(value) else None


def grpc_timeout_s(value: str) -> float | None:
    """Seconds of a `grpc-timeout` field, as in `100m`."""
    match = _GRPC_TIMEOUT.fullmatch(value)
    return int(match[1]) * _GRPC_UNIT_S[match[2]] if match else None


def retry_after_s(value: str | None, wall_s: float) -> float | None:
    """Seconds to wait by a `Retry-After` field (seconds, or an HTTP-date against `wall_s`); None: it says nothing."""
    if not value or len(value) > 64:
        return None
    value = value.strip()
    if value.isascii() and value.isdigit():
        return min(float(value), _RETRY_AFTER_MAX_S)
    try:
        date = parsedate_to_datetime(value)
        if date.tzinfo is None:  # "-0000" and obsolete forms: HTTP-dates are always UTC
            date = date.replace(tzinfo=UTC)
        wait_s = (date - datetime.fromtimestamp(wall_s, UTC)).total_seconds()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return min(max(wait_s, 0.0), _RETRY_AFTER_MAX_S)


def attempt(value: str) -> int:
    """Which attempt a request is, by a field that says so; 1 for what says nothing."""
    return max(1, int(value)) if _ATTEMPT.fullmatch(value) else 1


def pushback_s(value: str | None) -> float | None:
    """Seconds to wait by gRPC's push-back; below zero: not to be tried again; None: it says nothing.

    As gRPC has it (proposal A6), what is negative or does not parse asks for no further attempt.
    """
    if value is None:
        return None
    return min(int(value) / 1e3, _RETRY_AFTER_MAX_S) if _MILLISECONDS.fullmatch(value) else -1.0
