"""Routes, for proxies that take them from the plane: each prefix leads to a service, contained or whole.

The entries of a prefix are tried in order, and all but the last one are off unless the runtime layer says otherwise:
refuse what is less important, bound by a deadline, lead to the contained cluster. One random number of a request
decides all of them, so that their percentages are of the same requests.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from controlplane.adapters.proxies.envoy.resources.name import (
    ROUTES,
    contained,
    deadline_key,
    led_key,
    shed_key,
    shed_route,
)
from controlplane.adapters.proxies.envoy.wire import duration, message, packed, text, uint, wrapped
from controlplane.adapters.proxies.wanted import ServiceWanted
from controlplane.model.policy import GuardPolicy
from controlplane.model.unit import MILLISECOND, SECOND, to_nanos

PRIORITY: Final = "controlplane-priority"  # the header field that says how important a request is
KEEPS: Final = ("critical", "default")
RETRY_ON: Final = "connect-failure,refused-stream,reset-before-request"  # safe whatever the method
_RATE_LIMIT: Final = "envoy.filters.http.local_ratelimit"
_RATE_LIMIT_TYPE: Final = "type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit"


def table(
    prefixes: Mapping[str, str], policies: Mapping[str, GuardPolicy], wanted: Mapping[str, ServiceWanted]
) -> bytes:
    """A RouteConfiguration; `prefixes` has a service for each, `policies` and `wanted` go by service."""
    longest_first = sorted(prefixes.items(), key=lambda item: (-len(item[0]), item[0]))
    entries = (
        entry
        for prefix, service in longest_first
        for entry in _entries(prefix, service, policies[service], wanted[service])
    )
    return text(1, ROUTES) + message(2, text(1, "all"), text(2, "*"), *(message(3, entry) for entry in entries))


def _entries(prefix: str, service: str, policy: GuardPolicy, wanted: ServiceWanted) -> Iterable[bytes]:
    for keep in KEEPS:
        match = message(1, text(1, prefix), _fraction(shed_key(service, keep)), _below(keep))
        yield match + message(7, uint(1, 503)) + text(14, shed_route(service))
    if wanted.deadline_ms:
        match = message(1, text(1, prefix), _fraction(deadline_key(service)))
        yield match + _action(contained(service), policy, wanted.deadline_ms * MILLISECOND)
    match = message(1, text(1, prefix), _fraction(led_key(service)))
    yield match + _action(contained(service), policy, to_nanos(policy.deadline_s))
    yield message(1, text(1, prefix)) + _action(service, policy, to_nanos(policy.deadline_s))


def _fraction(key: str) -> bytes:
    """Off, unless the runtime says for how many percent it is on."""
    return message(9, message(1, uint(1, 0)), text(2, key))


def _below(keep: str) -> bytes:
    """A header matcher: the request is less important than `keep`. What says nothing is of the class "default"."""
    if keep == "default":
        return message(6, text(1, PRIORITY), _is("sheddable"))
    return message(6, text(1, PRIORITY), _is("critical"), uint(8, 1), uint(14, 1))  # inverted, absent is as empty


def _is(word: str) -> bytes:
    return message(13, text(1, word), uint(6, 1))  # in whatever case


def _action(cluster: str, policy: GuardPolicy, timeout_ns: int) -> bytes:
    parts = [text(1, cluster), duration(8, timeout_ns)]
    if policy.attempts > 1:
        parts.append(
            message(
                9,
                text(1, RETRY_ON),
                wrapped(2, policy.attempts - 1),
                duration(3, min(timeout_ns, to_nanos(policy.attempt_timeout_s))),
            )
        )
    return message(2, *parts) + _rate_limit(policy)


def _rate_limit(policy: GuardPolicy) -> bytes:
    """The rate of the policy, for each proxy. It acts where the owner has put the filter in; elsewhere it does
    nothing."""
    if not policy.rate_per_s:
        return b""
    tokens = max(1, round(policy.rate_per_s / 20))  # filled twenty times a second, or as often as there is a whole one
    every = max(SECOND // 20, round(tokens / policy.rate_per_s * SECOND))
    always = message(1, uint(1, 100))
    limit = (
        text(1, "controlplane"),
        message(3, uint(1, max(tokens, policy.rate_burst)), wrapped(2, tokens), duration(3, every)),
        message(4, always),
        message(5, always),
    )
    return message(13, text(1, _RATE_LIMIT), packed(2, _RATE_LIMIT_TYPE, *limit))
