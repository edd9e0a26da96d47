"""Many systems of services at once, as fluids in queues: what an overload does, and whether it ends with its trigger.

A service is one first-in, first-out queue with a bound before a server of fixed speed. What is in the queue is served
although its caller may have left, and calls its own callees then. A caller waits so long for an answer, tries again
after a pause, as often as it may and as its retry budget allows. What users send and what servers complete fluctuates
as independent events do; the rest follows. News of callees reaches callers a step later: a failure goes a hop a step.
"""

import msgspec
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]

TOKENS_S = 1.0  # a retry budget saves up as many retries as one second of calls earns
UNLIMITED = 1e9  # retries per call that no caller makes


class Systems(msgspec.Struct, frozen=True, kw_only=True):
    """Systems side by side in one graph without edges between them.

    Shapes  services (n,), edges (E,); `users` services are those that take load from outside and have no queue.
    Units   load requests/s; capacity requests/s; queue requests; calls per request; wait and pause seconds;
            budget retries per call; need share of the caller's requests.
    """

    system: Whole  # of each service
    load: Floats
    capacity: Floats
    queue: Floats
    caller: Whole
    callee: Whole
    calls: Floats
    attempts: Whole
    budget: Floats
    need: Floats
    wait: Floats
    pause: Floats


class Trigger(msgspec.Struct, frozen=True, kw_only=True):
    """What happens from `begin_s` to `end_s`: capacity and load of each service, as factors."""

    begin_s: float
    end_s: float
    capacity: Floats
    load: Floats


class Course(msgspec.Struct, frozen=True, kw_only=True):
    """Failing share of the attempts that arrive at each service: (n,), means over the stretch that the name says.

    backlog  (n,) requests in each service's queue as the trigger ends.
    """

    before: Floats
    triggered: Floats
    after: Floats
    backlog: Floats


def simulate(
    systems: Systems, trigger: Trigger, *, end_s: float, look_s: float, step_s: float, random: np.random.Generator
) -> Course:
    """What is seen in the last `look_s` before the trigger, of the trigger, and before the end."""
    world = _World(systems, step_s, random)
    steps, backlog = round(end_s / step_s), world.queue
    marks = {"before": trigger.begin_s, "triggered": trigger.end_s, "after": end_s}
    seen = {name: np.zeros((2, len(systems.load))) for name in marks}
    for number in range(steps):
        now = number * step_s
        on = trigger.begin_s <= now < trigger.end_s
        arrived, failed = world.step(
            systems.capacity * trigger.capacity if on else systems.capacity,
            systems.load * trigger.load if on else systems.load,
        )
        if on:
            backlog = world.queue
        for name, until in marks.items():
            if until - look_s <= now < until:
                seen[name] += arrived, failed
    shares = {
        name: np.minimum(1.0, np.divide(failed, arrived, out=np.zeros(len(arrived)), where=arrived > 0.0))
        for name, (arrived, failed) in seen.items()
    }
    return Course(**shares, backlog=backlog)


class _World:
    """Queues, calls that wait to be made again, and what callers know of callees."""

    def __init__(self, systems: Systems, step_s: float, random: np.random.Generator) -> None:
        self.systems, self.step_s, self.random = systems, step_s, random
        services, edges = len(systems.load), len(systems.caller)
        self.retries = int(systems.attempts.max(initial=1)) - 1
        longest = float(np.max(systems.wait + systems.pause, initial=0.0))
        self.slots = int(np.ceil(longest / step_s)) + 2
        self.now = 0
        self.users = np.flatnonzero(systems.load > 0.0)
        self.queue = np.zeros(services)
        self.due = np.zeros((self.slots, self.retries, edges))  # tries by when they are made; [k]: the (k + 2)th
        self.passed = np.zeros((self.slots, edges))  # calls by when they end well
        self.lost = np.zeros((self.slots, edges))  # calls by when they are given up
        self.budget = np.minimum(systems.budget, UNLIMITED)
        self.tokens = np.zeros(edges)
        self.served = np.zeros(services)
        self.failing = np.zeros(services)  # share of a service's requests that fail by its callees
        self.took = np.zeros(edges)  # seconds a try lasts
        self.retried = np.zeros(edges)  # share of calls that need more than one
        self.first, self.below = _ways(systems)  # every edge, with each edge of its callee: a request goes on that way
        self.lost_share = np.zeros(edges)
        self.final = [np.flatnonzero(systems.attempts == k + 1) for k in range(self.retries + 1)]  # k: tries before
        self.more = [np.flatnonzero(systems.attempts > k + 1) for k in range(self.retries + 1)]

    def step(self, capacity: Floats, load: Floats) -> tuple[Floats, Floats]:
        """Attempts that arrived at each service, and those of them that will have failed."""
        s, slot = self.systems, self.now % self.slots
        self.served[self.users] = self.random.poisson(load[self.users] * self.step_s)
        first = s.calls * self.served[s.caller]
        again = self.due[slot]
        again *= self._granted(first, again.sum(axis=0), slot)
        wanted = np.maximum(0.0, first + again.sum(axis=0))
        arrived = _sums(s.callee, wanted, len(s.load))
        refused = self._serve(capacity, arrived)
        failed = self._end(first, again, refused[s.callee], (self.queue / capacity)[s.callee], slot)
        self.due[slot] = 0.0
        self._learn(first, wanted, slot)
        self.now += 1
        return arrived, _sums(s.callee, failed, len(s.load))

    def _granted(self, first: Floats, again: Floats, slot: int) -> Floats:
        """Share of the tries due now that the retry budget allows; calls whose try it refuses are lost."""
        most = np.maximum(1.0, first / self.step_s * TOKENS_S) * self.budget
        self.tokens = np.minimum(self.tokens + self.budget * first, most)
        share = np.minimum(1.0, np.divide(self.tokens, again, out=np.ones(len(again)), where=again > 0.0))
        self.tokens = np.maximum(0.0, self.tokens - share * again)
        self.lost[slot] += (1.0 - share) * again
        return share

    def _serve(self, capacity: Floats, arrived: Floats) -> Floats:
        """Move the queues on; the share of arrivals that found no room."""
        able = np.where(np.isinf(capacity), np.inf, 0.0)
        able[np.isfinite(capacity)] = self.random.poisson(capacity[np.isfinite(capacity)] * self.step_s)
        room = self.systems.queue - self.queue + able
        taken = np.minimum(arrived, np.maximum(room, 0.0))
        self.served = np.minimum(able, self.queue + taken)
        self.queue = np.maximum(0.0, self.queue + taken - self.served)
        refused = np.zeros(len(arrived))
        np.divide(arrived - taken, arrived, out=refused, where=arrived > 0.0)
        return refused

    def _end(self, first: Floats, again: Floats, refused: Floats, waits: Floats, slot: int) -> Floats:
        """Decide how the tries of this step end, and when that is known; the amount that fails."""
        s, to = self.systems, self.systems.callee
        late, lasts = self._late(waits)
        worse = (1.0 - late) * self.failing[to]
        answered = np.minimum(waits + lasts, s.wait)
        shares = (refused, (1.0 - refused) * late, (1.0 - refused) * worse)
        known = (np.zeros(len(first)), s.wait, answered)
        tries = np.concatenate([first[None], again])
        for share, seconds in zip(shares, known, strict=True):
            if not share.any():
                continue
            when = (slot + 1 + self._steps(seconds)) % self.slots
            later = (slot + 1 + self._steps(seconds + s.pause)) % self.slots
            for k, (final, more) in enumerate(zip(self.final, self.more, strict=True)):
                self.lost[when[final], final] += share[final] * tries[k, final]
                if len(more):
                    self.due[later[more], k, more] += share[more] * tries[k, more]
        failing = np.minimum(1.0, shares[0] + shares[1] + shares[2])
        when = (slot + 1 + self._steps(answered)) % self.slots
        self.passed[when, np.arange(len(when))] += (1.0 - failing) * tries.sum(axis=0)
        self.took = answered
        failed: Floats = failing * tries.sum(axis=0)
        return failed

    def _late(self, waits: Floats) -> tuple[Floats, Floats]:
        """Per edge: share of tries whose answer comes too late, and seconds that the callee's own calls take."""
        s, size = self.systems, len(waits)
        way, took = self.first, self.took[self.below]
        room = (s.wait - waits)[way]
        again = np.where(2.0 * took + s.pause[self.below] > room, self.retried[self.below], 0.0)
        share = np.minimum(s.calls[self.below], 1.0) * np.where(took > room, 1.0, again)
        in_time = np.exp(_sums(way, np.log(np.maximum(1e-12, 1.0 - share)), size))
        lasts = np.zeros(size)
        np.maximum.at(lasts, way, np.where(s.calls[self.below] >= 0.5, took, 0.0))
        return np.where(waits > s.wait, 1.0, 1.0 - in_time), lasts

    def _steps(self, seconds: Floats) -> Whole:
        steps: Whole = np.rint(seconds / self.step_s).astype(np.int64)
        return steps

    def _learn(self, first: Floats, wanted: Floats, slot: int) -> None:
        """What callers now know: how their calls ended in this step, and how long they take."""
        s, size = self.systems, len(self.systems.load)
        passed, lost = self.passed[slot], self.lost[slot]
        ended = passed + lost
        self.lost_share = np.where(ended > 0.0, lost / np.where(ended > 0.0, ended, 1.0), self.lost_share)
        passed[:] = 0.0
        lost[:] = 0.0
        kept = np.maximum(1e-12, 1.0 - s.need * self.lost_share)
        log = _sums(s.caller, np.maximum(1.0, s.calls) * np.log(kept), size)
        self.failing = 1.0 - np.exp(log)
        often = np.clip(np.divide(wanted, first, out=np.ones(len(first)), where=first > 0.0) - 1.0, 0.0, None)
        self.retried = np.minimum(1.0, often)


def _sums(place: Whole, amounts: Floats, size: int) -> Floats:
    return np.bincount(place, weights=amounts, minlength=size).astype(np.float64)


def _ways(systems: Systems) -> tuple[Whole, Whole]:
    """Pairs of edges of which the second begins where the first ends."""
    by_caller: dict[int, list[int]] = {}
    for edge, caller in enumerate(systems.caller.tolist()):
        by_caller.setdefault(caller, []).append(edge)
    pairs = [
        (first, below) for first, callee in enumerate(systems.callee.tolist()) for below in by_caller.get(callee, ())
    ]
    ways = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    return ways[:, 0], ways[:, 1]
