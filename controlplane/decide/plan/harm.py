"""What users would see of a failure, if something were done about it: harm by service, before and after.

A share x of the origin's requests is harmed. Up each call it becomes, for requests of the caller that need the callee
with probability p (the call's traffic over the caller's requests),

    hard call      p * x                              the caller's request is harmed too
    soft call      p * (slow + cost * (x - slow))     a fallback answers what fails at once, not what is waited for
    refused call   p * 1 hard, p * cost soft          at once: nobody waits, nothing spreads on

and a caller is well when all of its calls are: harmed = 1 - (1 - exhausted) * prod(1 - passed). `exhausted` is the
mean share of the horizon in which its own pool is full of calls that wait; the time to that grows as the share of its
requests that still reaches the failure shrinks, and is without end when all of those calls are refused.

Four shares per service: harmed whatever is done (`lasting`), that and what the act itself refuses (`total`), waiting
(`slow`), and still reaching the failure (`reach`). Source: docs/concepts/containment.md, equations 2 to 4.
"""

import math
from collections.abc import Collection
from typing import NamedTuple

import msgspec

from controlplane.model.situation import Call, Situation

ROUNDS_MAX = 64  # of a cyclic call graph: longer ways round than this add less than anyone could measure
SETTLED = 1e-12
HELD_MIN = 1e-6  # of the time an answer takes: shorter than any deadline


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """How the origin answers: shares of its requests that are harmed, that are slow among them, that of these are
    answered in the end, and that an act refuses although they would have been answered in time. `held`: for how long a
    slow answer keeps its caller waiting, as a share of what it takes now."""

    failing: float
    slow: float = 0.0
    late: float = 0.0
    refused: float = 0.0
    held: float = 1.0

    @property
    def vain(self) -> float:
        """Which part of what is harmed was asked in vain: not even a late answer comes."""
        return 1 - self.late / self.failing if self.failing else 0.0


class Harm(NamedTuple):
    """Shares of one service's requests."""

    lasting: float = 0.0
    total: float = 0.0
    slow: float = 0.0
    reach: float = 0.0


UNHARMED = Harm()


class Spread:
    """The model over one situation: built once, asked for every option. `failing` is what the origin fails now.

    `entries` are the protected ones; where none are named, the callers above the origin that nobody calls, or itself.
    """

    def __init__(self, situation: Situation, failing: float) -> None:
        self.situation = situation
        self.calls = upstream(situation)
        slow = min(situation.slow or 0.0, failing)
        late = slow if situation.late is None else min(situation.late, slow)
        self.now = Answer(failing=failing, slow=slow, late=late)
        self._into: dict[str, list[Call]] = {}
        for call in self.calls:
            self._into.setdefault(call.caller, []).append(call)
        called = {call.callee for call in self.calls}
        self.entries = tuple(sorted(set(situation.entries) or self._into.keys() - called)) or (situation.origin,)
        self._order, self._cyclic = self._callees_first()
        self._place = {name: at for at, name in enumerate((situation.origin, *self._order))}
        self._rows = [
            [(self._place[call.callee], p, p * (call.fallback_cost if call.soft else 1.0)) for call, p in needed]
            for needed in ([(call, self._needed(call)) for call in self._into[name]] for name in self._order)
        ]
        self._fills = [math.inf] * len(self._order)  # seconds to a full pool, times the reach at which that holds
        self.at_once = self.harm(self.now)  # before any pool has filled
        self.before = self.at_once
        if situation.impact_s:
            times = [situation.impact_s.get(name) for name in self._order]
            reach = [self.at_once[name].reach for name in self._order]
            self._fills = [math.inf if t is None or r <= 0 else t * r for t, r in zip(times, reach, strict=True)]
            self.before = self.harm(self.now)

    def harm(self, answer: Answer, refused: Collection[tuple[str, str]] = ()) -> dict[str, Harm]:
        """Harm at the origin and every caller above it, if it answers so and the edges `refused` are cut."""
        place, horizon = self._place, self.situation.horizon_s * max(answer.held, HELD_MIN)
        cut = {(place[caller], place[callee]) for caller, callee in refused}
        found = [Harm()] * len(place)
        found[0] = Harm(answer.failing, min(1.0, answer.failing + answer.refused), answer.slow, answer.failing)
        for _ in range(ROUNDS_MAX if self._cyclic else 1):
            moved = 0.0
            for node, (row, fills) in enumerate(zip(self._rows, self._fills, strict=True), 1):
                well = whole = prompt = apart = (
                    1.0  # shares: unharmed, not refused either, not waiting, not reaching it
                )
                for callee, p, loss in row:
                    lasting, total, slow, reach = found[callee]
                    if cut and (node, callee) in cut:
                        well *= 1 - loss * lasting
                        whole *= 1 - loss
                        continue
                    waited = p * slow
                    well *= 1 - waited - loss * (lasting - slow)
                    whole *= 1 - waited - loss * (total - slow)
                    prompt *= 1 - waited
                    apart *= 1 - p * reach
                reach = 1 - apart
                left = (
                    min(1.0, fills / (reach * horizon)) if reach > 0 else 1.0
                )  # of the horizon, with room in the pool
                old, new = found[node], Harm(1 - left * well, 1 - left * whole, 1 - left * prompt, reach)
                found[node] = new
                if self._cyclic:
                    moved = max(moved, abs(new.total - old.total), abs(new.lasting - old.lasting))
            if moved < SETTLED:
                break
        return dict(zip(place, found, strict=True))

    def callers_first(self) -> tuple[str, ...]:
        """The services above the origin and the origin itself, callers before their callees as far as can be."""
        return (*reversed(self._order), self.situation.origin)

    def _needed(self, call: Call) -> float:
        """Share of the caller's requests that need the callee; of a call never measured: all of them."""
        requests = self.situation.requests.get(call.caller)
        return 1.0 if call.traffic is None or not requests else min(1.0, call.traffic / requests)

    def _callees_first(self) -> tuple[tuple[str, ...], bool]:
        """Callers in an order in which callees come first as far as there are no cycles, and whether there are any."""
        order: list[str] = []
        open_: set[str] = set()
        closed: set[str] = set()
        cyclic = False
        for root in sorted(self._into):
            stack = [(root, False)]
            while stack:
                node, done = stack.pop()
                if done:
                    open_.discard(node)
                    closed.add(node)
                    order.append(node)
                elif node in open_:
                    cyclic = True
                elif node not in closed:
                    open_.add(node)
                    stack.append((node, True))
                    below = [call.callee for call in self._into[node] if call.callee in self._into]
                    stack += [(callee, False) for callee in reversed(below)]
        return tuple(order), cyclic


def upstream(situation: Situation) -> tuple[Call, ...]:
    """The calls by which the failure can travel: those of callers above the origin, to it or to such a caller."""
    callers: dict[str, list[str]] = {}
    for call in situation.calls:
        callers.setdefault(call.callee, []).append(call.caller)
    above, front = {situation.origin}, [situation.origin]
    for name in front:
        new = dict.fromkeys(caller for caller in callers.get(name, ()) if caller not in above)
        above.update(new)
        front.extend(new)
    kept = [
        call for call in situation.calls if call.callee in above and call.caller not in (call.callee, situation.origin)
    ]
    return tuple(sorted(kept, key=lambda call: (call.caller, call.callee)))
