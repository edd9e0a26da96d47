"""The contained cluster of a service, for proxies whose owner has not declared one.

It speaks plain HTTP/1.1. An owner whose services want TLS or HTTP/2 declares `NAME.contained` beside `NAME`, with the
same transport, and takes only endpoints from here: Envoy keeps a cluster of its own file over one of ours.
"""

from typing import Final

from controlplane.adapters.proxies.envoy.resources.name import contained
from controlplane.adapters.proxies.envoy.wire import double, duration, message, text, uint, wrapped
from controlplane.model.policy import GuardPolicy
from controlplane.model.topology import Service
from controlplane.model.unit import SECOND

_EDS: Final = 3
_V3: Final = 2
_UNLIMITED: Final = 1 << 30
INITIAL_FETCH_NS: Final = 2 * SECOND  # a plane that is gone does not hold up the start of a proxy for longer


def ads() -> bytes:
    """A ConfigSource: whatever serves the rest."""
    return message(3) + duration(4, INITIAL_FETCH_NS) + uint(6, _V3)


def cluster(service: Service, policy: GuardPolicy) -> bytes:
    """A Cluster that takes its endpoints from the plane."""
    return b"".join(
        (
            text(1, contained(service.name)),
            uint(2, _EDS),
            message(3, message(1, ads())),
            message(10, message(1, *_thresholds(policy))),
            message(27, duration(4, 0)),  # no merge window: weights change when they are said to
            uint(32, 1),  # an endpoint that is left out gets nothing, whatever a health check says of it
        )
    )


def _thresholds(policy: GuardPolicy) -> tuple[bytes, ...]:
    most = policy.concurrency_max or _UNLIMITED
    return (
        wrapped(2, _UNLIMITED),
        wrapped(3, most),
        wrapped(4, most),
        message(8, message(1, double(1, policy.retry_percent)), wrapped(2, policy.retry_floor_per_s)),
    )
