"""Proxies as the admin API tells them: what is wanted of each against what it has acknowledged."""

from collections.abc import Iterator

import msgspec

from controlplane.adapters.proxies.reconcile import EffectiveView
from controlplane.assembly import Plane

Sample = tuple[str, dict[str, str], float]
Family = tuple[str, str, str, list[Sample]]
"""Name, kind, text, and samples: suffix of the name, labels, value."""

_COUNTERS = (
    ("restarts", "Times that another process of the proxy answered."),
    ("lost", "Connections to the proxy that broke."),
    ("corrected", "Settings that it had acknowledged and did not keep."),
    ("observed", "Results of calls that were heard from it."),
    ("unread", "Results of calls that were not in a form that is understood."),
    ("dropped", "Results of calls that were lost on the way here."),
)


class ProxyList(msgspec.Struct, frozen=True, kw_only=True):
    """Every proxy of the configuration."""

    proxies: list[EffectiveView]


def proxies(plane: Plane) -> ProxyList:
    """How each stands now."""
    return ProxyList(proxies=plane.proxies.views())


def families(plane: Plane) -> Iterator[Family]:
    """The same for Prometheus; nothing where there is no proxy."""
    views = plane.proxies.views()
    if not views:
        return
    up: list[Sample] = [("", _labels(one), one.condition not in ("unreachable", "new")) for one in views]
    yield "proxy_up", "gauge", "1 while the proxy answers.", up
    settled: list[Sample] = [("", _labels(one), one.condition == "in force") for one in views]
    yield "proxy_in_force", "gauge", "1 while it has acknowledged all that is wanted.", settled
    waiting: list[Sample] = [("", _labels(one), len(one.waiting)) for one in views]
    yield "proxy_orders_waiting", "gauge", "Targets whose order it has not acknowledged.", waiting
    for name, text in _COUNTERS:
        samples: list[Sample] = [("", _labels(one), getattr(one, name)) for one in views]
        yield f"proxy_{name}_total", "counter", text, samples
    latencies: list[Sample] = []
    for one in views:
        seen = one.converged
        if seen.count:
            for quantile, value in (("0.5", seen.p50_s), ("0.99", seen.p99_s), ("1", seen.max_s)):
                latencies.append(("", {**_labels(one), "quantile": quantile}, value))
        latencies.append(("_count", _labels(one), seen.count))
    yield "proxy_convergence_seconds", "summary", "From an order's receipt to its acknowledgement.", latencies


def _labels(one: EffectiveView) -> dict[str, str]:
    return {"proxy": one.name, "kind": one.kind}
