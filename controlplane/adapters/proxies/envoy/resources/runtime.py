"""The runtime layer: what leads calls to a contained cluster, and what limits it. Nothing else of ours expires.

Source  envoyproxy.io, "Runtime" of clusters and of the route table
"""

from collections.abc import Mapping
from typing import Final

from controlplane.adapters.proxies.envoy.resources.name import (
    LAYER,
    contained,
    deadline_key,
    led_key,
    shed_key,
)
from controlplane.adapters.proxies.envoy.wire import double, message, text
from controlplane.adapters.proxies.wanted import ServiceWanted

USUAL_RETRY_PERCENT: Final = 20  # of Envoy's own retry budget, and of ours, where calls keep their retries


def keys(service: str, wanted: ServiceWanted, *, interfered: bool) -> dict[str, float]:
    """What the layer says about `service`; `interfered`: something is wanted of it, or of an endpoint of it."""
    if not interfered:
        return {}
    found: dict[str, float] = {led_key(service): 100}
    thresholds = f"circuit_breakers.{contained(service)}.default."
    if wanted.isolated:
        found[thresholds + "max_requests"] = found[thresholds + "max_pending_requests"] = 0
    elif wanted.concurrency:
        found[thresholds + "max_requests"] = found[thresholds + "max_pending_requests"] = wanted.concurrency
    if wanted.concurrency or (wanted.retries == 0 and wanted.retries_share == 100):
        # a budget of nothing: Envoy takes `max_retries` only where there is no budget
        found[thresholds + "retry_budget.budget_percent"] = found[thresholds + "retry_budget.min_retry_concurrency"] = 0
        found[thresholds + "max_retries"] = 0
    elif wanted.retries is not None:
        share = wanted.retries_share
        percent = (wanted.retries * share + USUAL_RETRY_PERCENT * (100 - share)) / 100
        found[thresholds + "retry_budget.budget_percent"] = percent
        found[thresholds + "retry_budget.min_retry_concurrency"] = 0
    if wanted.shed:
        found[shed_key(service, wanted.keep)] = wanted.shed
    if wanted.deadline_ms:
        found[deadline_key(service)] = wanted.deadline_share
    return found


def layer(values: Mapping[str, float]) -> bytes:
    """A Runtime with the layer of `values`."""
    fields = (message(1, text(1, key), message(2, double(2, value))) for key, value in sorted(values.items()))
    return text(1, LAYER) + message(2, *fields)
