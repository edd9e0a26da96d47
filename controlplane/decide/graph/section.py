"""What is asked of the graph while something is wrong: names and what they mean, and the arrays of a part of it.

The cost follows the part that is asked about, not the graph.
"""

from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from controlplane.decide.graph.alias import relays
from controlplane.decide.graph.bucket import (
    ATTEMPTS,
    CALLS,
    CLIENT_NS,
    FAILURES,
    HEARD_NS,
    TIMED,
    WORDS,
    Bucket,
    Buckets,
)
from controlplane.decide.graph.frame import Frame, frame_of
from controlplane.decide.graph.portrait import is_soft
from controlplane.decide.graph.register import Register
from controlplane.model.graph import Alias
from controlplane.model.topology import Service
from controlplane.model.unit import Nanos

TOLD_BUCKETS = 2  # the newest one, which may be a second old, and the one before
CALM_SHARE, CALM_FACTOR = 0.01, 1.5  # of failures, of usual latency: less cannot be why a caller is found bad


class Section:
    """A reader of the graph's `register` and `buckets`; `alias` and `declared` are what configuration says of names."""

    def __init__(
        self,
        register: Register,
        buckets: Buckets,
        *,
        declared: Mapping[str, Service],
        alias: Mapping[str, str],
        entry: str,
        fade_ns: int,
    ) -> None:
        self._register, self._buckets = register, buckets
        self._declared, self._alias, self._entry, self._fade_ns = declared, alias, entry, fade_ns
        self._place = {name: place for place, name in enumerate(declared)}

    def names(self) -> list[str]:
        """All services: declared ones in their order, then the others by name."""
        learned = sorted(name for name in self._register.number if name and name not in self._declared)
        return [*self._declared, *learned]

    def _in_order(self, names: Collection[str]) -> list[str]:
        """The known ones of `names`, in the order of all of them."""
        known = [name for name in set(names) if name and name in self._register.number]
        return sorted(known, key=lambda name: (self._place.get(name, len(self._place)), name))

    def kept(self, now: Nanos | None) -> list[Bucket]:
        """Buckets that are not too old to say anything."""
        if now is None:
            return self._buckets.all
        oldest = (self._buckets.incident_at(now) or now) - self._fade_ns
        return [bucket for bucket in self._buckets.all if bucket.end > oldest]

    def total(self, buckets: Sequence[Bucket]) -> NDArray[np.int64]:
        """What all edges counted in `buckets`: (edges, WORDS)."""
        sums = np.zeros((len(self._register.origin), WORDS), dtype=np.int64)
        for bucket in buckets:
            known = min(len(sums), len(bucket.words))
            sums[:known] += bucket.words[:known]
        return sums

    def relays(self, now: Nanos | None = None, only: Collection[str] | None = None) -> list[Alias]:
        """Services that merely relay to one other; `only` these are looked at, else all."""
        kept = self.kept(now)
        names = self._register.number if only is None else only
        return relays(self._register, names, _sums_over(kept), _sums_over(kept[-2:]), self._declared)

    def means(self, name: str) -> str:
        """The service that `name` means: itself, or what it is an alias of."""
        seen = {name}
        while other := self._alias.get(name) or next((one.service for one in self.relays(only=(name,))), ""):
            if other in seen:
                break
            seen.add(name := other)
        return name

    def frame(
        self, now: Nanos, incident_at: Nanos | None, *, counted: bool = True, only: Collection[str] | None = None
    ) -> Frame:
        """The arrays of all services, or of `only` these and the edges into them; not `counted`: without counts."""
        register = self._register
        around = None if only is None else {*only, *(name for one in only for name in register.into.get(one, ()))}
        means = {alias.name: alias.service for alias in self.relays(now, around)}
        wanted = self.names() if only is None else self._in_order(only)
        names = [name for name in wanted if name not in means]
        index = {name: position for position, name in enumerate(names)}
        index[""] = -1
        for _ in range(len(means).bit_length()):  # a balancer before a balancer; each round looks twice as far
            means = {name: means.get(service, service) for name, service in means.items()}
        members = register.number if only is None else [*names, *(one for one, of in means.items() if of in index)]
        ends = [
            (edge, index.get(means.get(caller, caller), -1), index.get(means.get(callee, callee), -1))
            for callee in members
            for caller, edge in register.into.get(callee, {}).items()
        ]
        begins = incident_at if incident_at is not None else self._buckets.incident_at(now)
        kept = self.kept(now)
        if begins is None:
            begins = Nanos(kept[-1].start) if kept else now
        rows = [bucket for bucket in kept if not bucket.held or bucket.end > begins] if counted else []
        soft = {
            (one, other) for _, one, other in ends if one >= 0 and is_soft(self._declared, names[one], names[other])
        }
        return frame_of(
            rows,
            names=names,
            ends=[(edge, caller, callee) for edge, caller, callee in ends if callee >= 0 and caller != callee],
            soft=soft,
            entry=index.get(self._entry),
            bucket_ns=self._buckets.width_ns,
            incident_row=sum(bucket.end <= begins for bucket in rows),
            now=now,
        )

    def told_of(self, service: str) -> bool:
        """Whether anybody has lately told of calls that `service` makes."""
        edges = self._register.out.get(service, {}).values()
        return any(
            edge < len(bucket.words) and bucket.words[edge, HEARD_NS]
            for bucket in self._buckets.all[-TOLD_BUCKETS:]
            for edge in edges
        )

    def calm_below(self, service: str) -> bool:
        """Whether the calls that `service` makes go as usual, as far as anybody has lately told of them: hardly any
        fails, and answers take no longer than before."""
        edges = [*self._register.out.get(service, {}).values()]
        newest, before = _sums_over(self._buckets.all[-TOLD_BUCKETS:]), _sums_over(self._buckets.all[:-TOLD_BUCKETS])
        for now, usual in zip(newest(edges).tolist(), before(edges).tolist(), strict=True):
            if now[FAILURES] > CALM_SHARE * max(now[CALLS], now[ATTEMPTS]):
                return False
            if now[TIMED] and (not usual[TIMED] or _mean_ns(now) > CALM_FACTOR * _mean_ns(usual)):
                return False
        return True


def _mean_ns(words: Sequence[int]) -> float:
    return words[CLIENT_NS] / words[TIMED]


def _sums_over(buckets: Sequence[Bucket]) -> Callable[[Sequence[int]], NDArray[np.int64]]:
    """What edges counted in all of `buckets`."""

    def sums(edges: Sequence[int]) -> NDArray[np.int64]:
        numbers = np.array(edges, dtype=np.int64)
        total = np.zeros((len(numbers), WORDS), dtype=np.int64)
        for bucket in buckets:
            there = numbers < len(bucket.words)
            total[there] += bucket.words[numbers[there]]
        return total

    return sums
