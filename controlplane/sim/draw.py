"""Systems by chance: layers of services, some shared by many callers, with retries in several layers, some budgeted."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from controlplane.sim.fluid import Systems, Trigger

LAYERS = (2, 5)  # below the users, inclusive
WIDTH = (1, 3)  # services in a layer
UTILISATION = (0.15, 0.9)
WAIT_S = (0.1, 0.5)
USERS = (500.0, 10_000.0)  # requests per second of all users
RESTLESS = (50.0, 2000.0)  # so few that chance alone fills queues and tips systems
SERVED_PER_WAIT = (100.0, 3000.0)  # requests a service completes while a caller waits: how far it is a fluid
ATTEMPTS = (0.62, 0.23, 0.1, 0.05)  # shares of edges with 1, 2, 3, 4
BUDGET_SHARE = 0.35  # of edges, with BUDGET retries per call
BUDGET = (0.1, 0.3)
DISORDER_SHARE = 0.3  # of systems, in which callers below may wait longer than those above them
FALLBACK_SHARE = 0.1  # of edges, whose caller can do without
SHORT_QUEUE_SHARE = 0.25  # of services, which refuse rather than answer late
QUEUE_MIN = 30.0  # where chance alone seldom fills it
CAPACITY_LEFT = (0.02, 0.6)  # of the service that breaks, in half of the systems
LOAD_MORE = (1.3, 4.0)  # in the other half


def draw(
    systems: int, random: np.random.Generator, *, begin_s: float, end_s: float, users: tuple[float, float] = USERS
) -> tuple[Systems, Trigger]:
    """That many systems, and in each of them something that happens from `begin_s` to `end_s`."""
    parts, services = [], 0
    for number in range(systems):
        part = _one(number, services, users, random)
        services += len(part["load"])
        parts.append(part)
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    capacity, load = joined.pop("capacity_left"), joined.pop("load_more")
    return Systems(**joined), Trigger(begin_s=begin_s, end_s=end_s, capacity=capacity, load=load)


def _one(number: int, offset: int, users: tuple[float, float], random: np.random.Generator) -> dict[str, NDArray[Any]]:
    layers = [[0]]
    for _ in range(int(random.integers(LAYERS[0], LAYERS[1] + 1))):
        first = layers[-1][-1] + 1
        layers.append(list(range(first, first + int(random.integers(WIDTH[0], WIDTH[1] + 1)))))
    pairs = _pairs(layers, random)
    services, edges = layers[-1][-1] + 1, len(pairs)
    caller, callee = pairs[:, 0], pairs[:, 1]
    calls = random.choice([0.3, 0.6, 1.0, 1.0, 1.0, 2.0], size=edges)
    calls[caller == 0] = 1.0 / np.sum(caller == 0)
    load = np.zeros(services)
    load[0] = _between(users, 1, random)[0]
    arrives = load.copy()
    for k in range(edges):  # pairs are in the order of their callers
        arrives[callee[k]] += arrives[caller[k]] * calls[k]
    capacity = arrives / random.uniform(*UTILISATION, size=services)
    wait = _between(SERVED_PER_WAIT, services, random) / capacity
    wait = np.clip(wait, *WAIT_S)
    if random.random() >= DISORDER_SHARE:
        wait = np.sort(wait)[::-1]  # services are numbered from the users down
    short = random.random(services) < SHORT_QUEUE_SHARE
    queue = capacity * wait * np.where(short, random.uniform(0.1, 0.7, services), random.uniform(1.2, 2.5, services))
    capacity[0], queue[0] = np.inf, 1.0
    queue = np.maximum(queue, QUEUE_MIN)
    soft = (random.random(edges) < FALLBACK_SHARE) & (caller > 0)
    left, more = np.ones(services), np.ones(services)
    if random.random() < 0.5:
        left[int(random.integers(1, services))] = random.uniform(*CAPACITY_LEFT)
    else:
        more[0] = random.uniform(*LOAD_MORE)
    return {
        "system": np.full(services, number),
        "load": load,
        "capacity": capacity,
        "queue": queue,
        "caller": caller + offset,
        "callee": callee + offset,
        "calls": calls,
        "attempts": random.choice([1, 2, 3, 4], p=ATTEMPTS, size=edges),
        "budget": np.where(random.random(edges) < BUDGET_SHARE, random.uniform(*BUDGET, size=edges), np.inf),
        "need": np.where(soft, 0.0, np.minimum(calls, 1.0)),
        "wait": np.clip(wait[callee] * random.uniform(0.8, 1.25, edges), *WAIT_S),
        "pause": random.uniform(0.01, 0.1, edges),
        "capacity_left": left,
        "load_more": more,
    }


def _pairs(layers: list[list[int]], random: np.random.Generator) -> NDArray[np.int64]:
    """Edges from each layer to the next, sometimes past it; every service but the users has a caller."""
    found = set()
    for depth, layer in enumerate(layers[1:], 1):
        above = layers[depth - 1]
        for service in layer:
            found.add((int(random.choice(above)), service))
        for caller in above:
            found.add((caller, int(random.choice(layer))))
            if depth + 1 < len(layers) and caller > 0 and random.random() < 0.2:
                found.add((caller, int(random.choice(layers[depth + 1]))))
    return np.array(sorted(found), dtype=np.int64)


def _between(bounds: tuple[float, float], size: int, random: np.random.Generator) -> NDArray[np.float64]:
    """Numbers whose logarithms are spread evenly."""
    return np.exp(random.uniform(np.log(bounds[0]), np.log(bounds[1]), size))
