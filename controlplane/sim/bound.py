"""How few user requests could fail in a world at best: what somebody loses who knows the fault the moment it begins.

He sends every call to a replica that lives, leaves out soft dependencies that cannot answer, refuses at the entry
exactly what is too much, wastes no work, and has a user's whole patience to serve what queues. What he cannot do is to
serve a user whose request needs something that nobody can do. So it is a packing: of the requests of each route as many
as the workers of all services have time for, from the fault's begin to its end and one patience more,

    max  sum_k x_k    subject to    sum_k h_sk x_k <= W_s  for each service s,    0 <= x_k <= n_k

`x_k` served and `n_k` asked of route k; `h_sk` the worker-seconds that one request of it takes at s; `W_s` those there
are. Outside the fault only the entry's own errors are lost, as nobody tries those again.

It is a fluid: means, no chance, no queue but the one patience, no order in time within the window. Each of these
lets it serve more than anybody could, but chance itself: by luck of the draw a policy may lose a little less.
"""

from itertools import combinations
from math import cos, erf, log, pi, sqrt
from typing import Final

import numpy as np
from numpy.typing import NDArray

from controlplane.sim.mesh import Call, Node
from controlplane.sim.scenario import Scenario

Floats = NDArray[np.float64]
TINY: Final = 1e-9


def bound(scenario: Scenario) -> float:
    """User requests that fail even then."""
    entry = scenario.mesh.node(scenario.mesh.entry)
    everybody = _users(scenario, 0.0, scenario.seconds)
    lost = 0.0
    if scenario.faults:
        fault = scenario.faults[0]
        until = min(scenario.seconds, fault.ends_s + scenario.load.patience_s)
        lost = _lost(scenario, entry, fault.begins_s, until)
    return lost + (everybody - lost) * entry.errors


def _users(scenario: Scenario, begin_s: float, end_s: float) -> float:
    """How many come in that time: the day's sine, integrated, and times what a fault makes of the load."""
    load, turn = scenario.load, 2 * pi / scenario.load.period_s

    def since(at_s: float) -> float:
        return load.rate_per_s * (at_s + load.amplitude / turn * (1 - cos(turn * at_s)))

    total, factor, at_s = 0.0, 1.0, begin_s
    changes = [one for fault in scenario.faults for one in fault.changes if one.what == "load"]
    for change in sorted(changes, key=lambda one: one.at_s):
        if change.at_s <= begin_s:
            factor = change.value
        elif change.at_s < end_s:
            total += factor * (since(change.at_s) - since(at_s))
            factor, at_s = change.value, change.at_s
    return total + factor * (since(end_s) - since(at_s))


def _lost(scenario: Scenario, entry: Node, begin_s: float, end_s: float) -> float:
    asked = _users(scenario, begin_s, end_s)
    mesh = scenario.mesh
    names = [node.name for node in mesh.nodes]
    servers = {node.name: _Server(scenario, node, begin_s, end_s) for node in mesh.nodes}
    wanted, held = [], []
    for route in entry.calls:
        share, seconds, possible = route.high - route.low, dict.fromkeys(names, 0.0), True
        middle = mesh.node(route.callee)
        own_s = servers[middle.name].seconds_each(route)
        for call in middle.calls:
            if call.soft:
                continue  # whoever knows that it is in trouble leaves it out
            leaf = servers[call.callee]
            each_s = leaf.seconds_each(call)
            possible = possible and each_s < float("inf")
            share *= 1 - leaf.shard
            seconds[call.callee] += each_s
            own_s += leaf.quickest_s
        seconds[middle.name] += own_s
        seconds[entry.name] = servers[entry.name].seconds_each(route) + own_s
        if possible and own_s < float("inf"):
            wanted.append(asked * share)
            held.append([seconds[name] for name in names])
    if not wanted:
        return asked
    there = np.array([servers[name].worker_seconds for name in names])
    return asked - packed(np.array(wanted), np.array(held).T, there)


class _Server:
    """A service in that time: worker-seconds in all, and what a call takes of them."""

    def __init__(self, scenario: Scenario, node: Node, begin_s: float, end_s: float) -> None:
        self._node = node
        self.worker_seconds, self.shard = 0.0, 0.0
        self._rates: list[tuple[float, float, float]] = []  # (worker-seconds, factor on the work, share of errors)
        for number, replica in enumerate(node.replicas):
            now = {
                "workers": float(replica.workers),
                "slow": 1.0,
                "errors": 0.0,
                "down": 0.0,
                "hangs": 0.0,
                "shard": 0.0,
            }
            at_s = begin_s
            changes = [
                one
                for fault in scenario.faults
                for one in fault.changes
                if one.service == node.name and one.replica == number and one.what in now
            ]
            for change in sorted(changes, key=lambda one: one.at_s):
                if change.at_s > begin_s:
                    self._spent(now, min(change.at_s, end_s) - at_s)
                    at_s = min(change.at_s, end_s)
                now[change.what] = change.value
                self.shard = max(
                    self.shard, now["shard"] * min(1.0, (scenario.faults[0].ends_s - begin_s) / (end_s - begin_s))
                )
            self._spent(now, end_s - at_s)

    def _spent(self, now: dict[str, float], lasts_s: float) -> None:
        if lasts_s <= 0 or now["down"] or now["hangs"]:
            return
        self.worker_seconds += now["workers"] * lasts_s
        self._rates.append((now["workers"] * lasts_s, now["slow"], now["errors"]))

    @property
    def quickest_s(self) -> float:
        """Of a good answer where it is quickest."""
        return min((self._node.work_s * slow for _, slow, _ in self._rates), default=float("inf"))

    def seconds_each(self, call: Call) -> float:
        """Worker-seconds that a good answer in time takes, all replicas together, as each of them is used fully."""
        answers = 0.0
        for seconds, slow, errors in self._rates:
            mean_s = self._node.work_s * slow
            answers += seconds / mean_s * self._in_time(mean_s, call.timeout_s) * (1 - errors)
        return self.worker_seconds / answers if answers > TINY else float("inf")

    def _in_time(self, mean_s: float, timeout_s: float) -> float:
        """Share of lognormal times with that mean that end before the time-out."""
        sigma = self._node.sigma
        return 0.5 * (1 + erf((log(timeout_s / mean_s) + sigma * sigma / 2) / (sigma * sqrt(2))))


def packed(wanted: Floats, held: Floats, there: Floats) -> float:
    """The most requests that fit: at a corner of the polytope, all of which are tried (routes are few).

    Shapes  wanted (k,); held (s, k); there (s,).
    """
    routes = len(wanted)
    rows = np.vstack([held, np.eye(routes), -np.eye(routes)])
    limits = np.concatenate([there, wanted, np.zeros(routes)])
    corners = np.array(list(combinations(range(len(rows)), routes)))
    systems, sides = rows[corners], limits[corners]
    regular = np.abs(np.linalg.det(systems)) > TINY
    found = np.linalg.solve(systems[regular], sides[regular][:, :, None])[:, :, 0]
    slack = TINY * (1 + np.abs(limits))
    fits = np.all(found @ rows.T <= limits + 1e3 * slack, axis=1)
    return float(found[fits].sum(axis=1).max(initial=0.0))
