"""Made-up incidents: fleets of 40 to 50 services with one fault each, or none, as windows with a known truth.

Written to be unlike any recording at hand: random call graphs in layers with load balancers, fallbacks and retries,
traffic that spans four orders of magnitude and follows the day, 5-minute buckets, heavy-tailed noise, missing data.
Requests, failures and times follow from the graph, bucket by bucket; failures are then counted, times are noisy.
"""

import msgspec
import numpy as np

from controlplane.decide.analysis.window import Floats, Window
from controlplane.model.recording import EdgeSignal, Metric, ServiceSignal

FAULTS = ("errors", "slow", "processor", "network", "crash", "slow with time-outs", "quiet errors")
BUCKET_S = 300.0


class Case(msgspec.Struct, frozen=True):
    """One made-up incident; `truth` is the faulty service's index, None: there is no fault."""

    window: Window
    fault: str
    truth: int | None


class _Fleet(msgspec.Struct):
    edges: np.ndarray
    calls: Floats
    relays: Floats  # share of a callee's failures that become the caller's; 0: a fallback
    timeout_s: Floats
    self_s: Floats
    base_errors: Floats
    jitter: Floats
    front: np.ndarray  # load balancers


def case(seed: int, *, rich: bool, fault: str | None) -> Case:
    """A case of `seed`. `rich`: with edge signals, self time and saturation, else requests, errors and latency only."""
    random = np.random.default_rng(seed)
    services = int(random.integers(40, 51))
    fleet = _fleet(random, services)
    normal, incident = int(random.choice([12, 24, 60, 144, 288])), int(random.integers(1, 7))
    rates = _rates(random, fleet, services, normal + incident)
    truth = None if fault is None else _victim(random, fleet, rates, fault)
    signals, edges = _signals(random, fleet, rates, normal, truth, fault or "")
    metric: Metric = (
        "availability" if fault in ("errors", "crash", "slow with time-outs", "quiet errors") else "latency"
    )
    if fault is None:
        metric = "availability" if random.random() < 0.5 else "latency"
    named = random.random()
    kept: dict[ServiceSignal, Floats] = (
        signals if rich else {k: signals[k] for k in ("requests", "error_ratio", "latency_s")}
    )
    _forget(random, kept, normal, truth)
    order = random.permutation(services)  # an index means nothing
    place = np.argsort(order)
    window = Window(
        bucket_s=BUCKET_S,
        services=tuple(f"s{index:02}" for index in range(services)),
        edges=place[fleet.edges],
        incident_at=normal,
        service={name: values[:, order] for name, values in kept.items()},
        edge=edges if rich else {},
        entry=int(place[0]) if named < 0.8 else None,
        metric=metric if named < 0.6 else None,
    )
    return Case(window, fault or "none", None if truth is None else int(place[truth]))


def _fleet(random: np.random.Generator, services: int) -> _Fleet:
    layer = np.sort(np.r_[0, random.integers(1, 6, services - 1)])
    pairs: set[tuple[int, int]] = set()
    for callee in range(1, services):
        above = np.flatnonzero(layer < layer[callee])
        wanted = 1 + random.binomial(3, 0.2)
        near = np.exp(-(layer[callee] - layer[above] - 1.0))
        for caller in random.choice(above, size=min(len(above), wanted), replace=False, p=near / near.sum()):
            pairs.add((int(caller), callee))
    edges = np.array(sorted(pairs))
    out, into = np.bincount(edges[:, 0], minlength=services), np.bincount(edges[:, 1], minlength=services)
    front = np.array(
        [
            out[v] == 1 and v > 0 and into[edges[edges[:, 0] == v][0, 1]] == 1 and random.random() < 0.7
            for v in range(services)
        ]
    )
    calls = np.exp(random.normal(-0.7, 1.2, len(edges))).clip(0.003, 8.0)
    calls[front[edges[:, 0]]] = 1.0
    relays = np.where(random.random(len(edges)) < 0.2, 0.0, random.uniform(0.5, 1.0, len(edges)))
    relays[front[edges[:, 0]]] = 1.0
    self_s = np.exp(random.normal(np.log(0.01), 1.0, services))
    self_s[front] = 0.0003
    base = np.where(random.random(services) < 0.3, 10 ** random.uniform(-4, -2, services), 0.0)
    base[front] = 0.0
    return _Fleet(
        edges,
        calls,
        relays,
        random.uniform(0.5, 3.0, len(edges)),
        self_s,
        base,
        random.uniform(0.02, 0.15, services),
        front,
    )


def _rates(random: np.random.Generator, fleet: _Fleet, services: int, buckets: int) -> Floats:
    clock = random.uniform(0, 2 * np.pi) + np.arange(buckets) * 2 * np.pi * BUCKET_S / 86_400
    entry = 10 ** random.uniform(3, 4.7) * (1 + 0.4 * np.sin(clock)) * np.exp(random.normal(0, 0.05, buckets))
    rates = np.zeros((buckets, services))
    rates[:, 0] = np.round(entry)
    mix = np.exp(random.normal(0, 0.05, (buckets, len(fleet.edges))))
    for index, (caller, callee) in enumerate(fleet.edges):  # sorted by caller: layers are in order
        mixed = 1.0 if fleet.front[caller] else mix[:, index]
        rates[:, callee] += rates[:, caller] * fleet.calls[index] * mixed
    return random.poisson(rates).astype(float)


def _victim(random: np.random.Generator, fleet: _Fleet, rates: Floats, fault: str) -> int:
    """A service that the entry feels, in proportion to nothing: small ones break as often as large ones."""
    reach = np.zeros(rates.shape[1])
    reach[0] = 1.0
    for index, (caller, callee) in enumerate(fleet.edges):
        felt = 1.0 if fault in ("slow", "processor", "network") else float(fleet.relays[index] > 0)
        reach[callee] += reach[caller] * fleet.calls[index] * felt
    able = (reach > (0.002 if fault == "quiet errors" else 0.02)) & ~fleet.front & (np.median(rates, axis=0) > 30)
    able[0] = False
    return int(random.choice(np.flatnonzero(able)))


def _signals(
    random: np.random.Generator, fleet: _Fleet, rates: Floats, normal: int, truth: int | None, fault: str
) -> tuple[dict[ServiceSignal, Floats], dict[EdgeSignal, Floats]]:
    buckets, services = rates.shape
    spikes = np.where(random.random(rates.shape) < 0.01, random.uniform(1.2, 3.0, rates.shape), 1.0)
    own_s = fleet.self_s * np.exp(random.normal(0, 1, rates.shape) * fleet.jitter) * spikes
    own_s *= 1 + np.exp(random.normal(0, 0.3, rates.shape)) / np.sqrt(np.maximum(rates, 1.0))
    own_errors = fleet.base_errors * np.exp(random.normal(0, 0.5, rates.shape))
    cpu = (
        rates
        / rates.max(axis=0).clip(1)
        * random.uniform(0.1, 0.6, services)
        * np.exp(random.normal(0, 0.08, rates.shape))
    )
    wire = 0.0005 * np.exp(random.normal(0, 0.1, (buckets, len(fleet.edges))))
    bad = slice(normal, None)
    if truth is not None:
        entry_s = float(fleet.self_s.sum())
        if fault in ("slow", "processor", "slow with time-outs"):
            own_s[bad, truth] = own_s[bad, truth] * random.uniform(3, 15) + random.uniform(0.2, 1.0) * entry_s
        if fault == "slow with time-outs":
            own_s[bad, truth] += random.uniform(0.5, 2.5)
        if fault in ("errors", "crash"):
            own_errors[bad, truth] += 1.0 if fault == "crash" else random.uniform(0.05, 0.7)
        if fault == "quiet errors":
            own_errors[bad, truth] += random.uniform(0.01, 0.05) + 8 * float(fleet.base_errors[truth])
        if fault == "processor":
            cpu[bad, truth] = cpu[bad, truth] * random.uniform(2, 5)
        if fault == "network":
            wire[bad, fleet.edges[:, 1] == truth] += random.uniform(0.05, 0.5)
    took = own_s.copy()
    failed = own_errors.clip(0, 1)
    edge_failed = np.zeros_like(wire)
    for index in range(len(fleet.edges) - 1, -1, -1):  # callees before their callers
        caller, callee = fleet.edges[index]
        waited = took[:, callee] + wire[:, index]
        late = (
            np.clip((waited - fleet.timeout_s[index] * 0.5) / fleet.timeout_s[index], 0, 1)
            if fault.endswith("outs")
            else 0.0
        )
        edge_failed[:, index] = 1 - (1 - failed[:, callee]) * (1 - late)
        meets = np.minimum(1.0, fleet.calls[index])
        failed[:, caller] = 1 - (1 - failed[:, caller]) * (1 - meets * fleet.relays[index] * edge_failed[:, index])
        took[:, caller] += fleet.calls[index] * np.minimum(waited, fleet.timeout_s[index])
    counted = random.binomial(rates.astype(int), failed.clip(0, 1))
    asked = np.where(rates > 0, rates, np.nan)
    edge_rates = random.poisson(rates[:, fleet.edges[:, 0]] * fleet.calls).astype(float)
    edge_counted = random.binomial(edge_rates.astype(int), edge_failed.clip(0, 1))
    some = np.where(edge_rates > 0, edge_rates, np.nan)
    server = took[:, fleet.edges[:, 1]] * np.exp(random.normal(0, 0.02, wire.shape))
    signals: dict[ServiceSignal, Floats] = {
        "requests": asked,
        "error_ratio": counted / asked,
        "latency_s": np.where(rates > 0, took, np.nan),
        "self_time_s": np.where(rates > 0, own_s, np.nan),
        "saturation": cpu,
    }
    if fault == "crash":
        for name in ("requests", "latency_s", "error_ratio", "self_time_s", "saturation"):
            signals[name][bad, truth] = np.nan
    edges: dict[EdgeSignal, Floats] = {
        "requests": edge_rates,
        "error_ratio": edge_counted / some,
        "client_latency_s": np.where(edge_rates > 0, server + wire, np.nan),
        "server_latency_s": np.where(edge_rates > 0, server, np.nan),
    }
    return signals, edges


def _forget(random: np.random.Generator, signals: dict[ServiceSignal, Floats], normal: int, truth: int | None) -> None:
    """Up to a tenth of the values are missing, and of one or two services everything."""
    share = random.choice([0.0, 0.02, 0.1])
    for name, values in signals.items():
        gone = random.random(values.shape) < share
        signals[name] = np.where(gone, np.nan, values)
    for blind in random.integers(1, next(iter(signals.values())).shape[1], size=2):
        if blind != truth:
            for values in signals.values():
                values[:, blind] = np.nan
