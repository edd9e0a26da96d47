"""An option before it is weighed: acts, what they make of the origin and of the calls to it, and what forbids them."""

import msgspec

from controlplane.decide.plan.harm import Answer
from controlplane.model.plan import Act
from controlplane.model.signal import Target
from controlplane.model.situation import Replica, Situation

TIE = 0.01  # figures that are closer than this share of their measure are equal: none of them is better known

Edge = tuple[str, str]
"""(caller, callee)"""


class Proposal(msgspec.Struct, frozen=True, kw_only=True):
    """`answer`: how the origin answers afterwards, None where that is not known; `refused`: edges cut by it.

    `delay_s` passes before it works; `relief` is calls in vain per second that it spares (`spared`). `heals`: it takes
    away the cause and leaves the load, which is no use while R >= 1. `rule` forbids it, for the reason `why`.
    """

    acts: tuple[Act, ...]
    answer: Answer | None = None
    refused: tuple[Edge, ...] = ()
    delay_s: float = 0.0
    relief: float = 0.0
    heals: bool = False
    why: str = ""
    rule: str = ""


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """The origin in figures: which endpoints are bad and which are not, its load and what fails now."""

    situation: Situation
    now: Answer
    bad: tuple[Replica, ...]
    good: tuple[Replica, ...]
    load: float | None
    part: str = ""

    @property
    def name(self) -> str:
        """The service."""
        return self.situation.origin

    def target(self) -> Target:
        """The one bad endpoint, or the service whose `part` is bad."""
        return Target(self.name, self.bad[0].name) if len(self.bad) == 1 and self.good else Target(self.name)

    def bad_load(self) -> float | None:
        """Requests per second that the bad endpoints get; None if any of them is unknown."""
        return load_of(self.bad)

    def bad_failing(self) -> float | None:
        """Share of those requests that is harmed: their own figures, else what the others do not account for."""
        load = self.bad_load()
        if not load:
            return None
        if all(one.failing is not None for one in self.bad):
            return sum((one.load or 0.0) * (one.failing or 0.0) for one in self.bad) / load
        if self.load is None or any(one.failing is None or one.load is None for one in self.good):
            return None
        others = sum((one.load or 0.0) * (one.failing or 0.0) for one in self.good)
        return min(1.0, max(0.0, self.now.failing * self.load - others) / load)

    def answer(self, failing: float, refused: float = 0.0) -> Answer:
        """The origin's answers with `failing` in place of what fails now; slow shrinks with it."""
        failing = min(1.0, max(0.0, failing))
        ratio = failing / self.now.failing if self.now.failing else 0.0
        slow, late = min(failing, self.now.slow * ratio), min(failing, self.now.late * ratio)
        return Answer(failing=failing, slow=slow, late=late, refused=min(1 - failing, refused))


def origin_of(situation: Situation, now: Answer) -> Origin:
    """Split the endpoints of the origin by what narrows the failure down; nothing: all of them are bad."""
    named, zone, version = set(situation.endpoints), situation.zone, situation.version
    replicas = tuple(sorted(situation.replicas, key=lambda one: one.name))

    def bad(one: Replica) -> bool:
        return (
            (not named or one.name in named)
            and (not zone or one.zone == zone)
            and (not version or one.version == version)
        )

    load = load_of(replicas)
    if load is None:
        load = situation.requests.get(situation.origin)
    narrowed = [*sorted(named)] if named else [f"zone {zone}"] * bool(zone) + [f"version {version}"] * bool(version)
    return Origin(
        situation=situation,
        now=now,
        bad=tuple(one for one in replicas if bad(one)),
        good=tuple(one for one in replicas if not bad(one)),
        load=load,
        part=", ".join(narrowed),
    )


def spared(calls: float, vain: float) -> float:
    """Refused calls per second of which a share `vain` would get no answer; none where also others are refused."""
    return calls * vain if 1 - vain <= TIE else 0.0


def load_of(replicas: tuple[Replica, ...]) -> float | None:
    """Their load together; None if there are none, or any is unknown."""
    loads = [one.load for one in replicas]
    known = [load for load in loads if load is not None]
    return sum(known) if replicas and len(known) == len(loads) else None
