"""What the planes did about a fault, read from their records."""

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import TypeVar

import msgspec

from controlplane.decide.state import State, fold
from controlplane.demo.fault import Fault
from controlplane.model import record as on
from controlplane.model.command import Command
from controlplane.model.incident import Stage
from controlplane.model.record import Record
from controlplane.model.unit import Nanos, to_seconds

Records = Mapping[str, Sequence[Record]]  # by plane
R = TypeVar("R", bound=msgspec.Struct)


class Step(msgspec.Struct, frozen=True):
    """One stage that a contained target went through; `at_s` counts from the onset."""

    plane: str
    target: str
    stage: Stage
    percent: int
    concurrency: int
    at_s: float


class Effect(msgspec.Struct, frozen=True):
    """One act of containment, from the result that decided.

    In force: the guard has acknowledged the order, or has told of its own reflex. First request: the first that was in
    fact treated differently, by reflex or by the order; None where none came that had to be (a limit that nobody
    reached, no traffic at all).
    """

    plane: str
    target: str
    signal_s: float  # counted from the onset
    in_force_ns: int
    first_request_ns: int | None

    @property
    def effective_ns(self) -> int:
        """The earlier of the two: from then on no request is treated as before."""
        return self.in_force_ns if self.first_request_ns is None else min(self.in_force_ns, self.first_request_ns)


class Lifetime(msgspec.Struct, frozen=True, kw_only=True):
    """What one incident took: seconds as in `model.incident`, None: not known or not reached. `reached`: services in
    which it showed, `predicted` those in which the last assessment expected it."""

    plane: str
    incident: str
    origin: str
    to_detect_s: float | None
    to_contain_s: float | None
    to_stabilize_s: float | None
    to_recover_s: float | None
    children: int
    merged_into: str
    reached: tuple[str, ...]
    predicted: tuple[str, ...]


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """One run's incidents, over all planes."""

    origins: dict[str, int]  # how many incidents named which origin
    causes: tuple[str, ...]
    versions: tuple[str, ...]
    masked: bool
    signal_at: Nanos | None
    effects: tuple[Effect, ...]
    opened: int
    closed: int
    closed_at: Nanos | None
    commands: int
    steps: tuple[Step, ...]
    lifetimes: tuple[Lifetime, ...] = ()
    blamed: dict[str, int] = {}  # how many assessments by the dependency graph named which service first

    def misnamed(self, fault: Fault) -> list[str]:
        """Origins that are not the one that was broken, and the version if it was not named."""
        wrong = [origin for origin in self.origins if not _names(origin, fault)]
        service = fault.origin.partition("/")[0]
        wrong += [f"{blamed}, by the graph," for blamed in self.blamed if blamed != service]
        if fault.version and fault.version not in self.versions:
            wrong.append(f"no incident names version {fault.version}")
        return wrong


def read(records: Records, *, onset: Nanos, proxied: AbstractSet[str] = frozenset()) -> Answer:
    """The answer that `records`, those of one run, tell of. The planes `proxied` make no call themselves: a reflex of
    their guards treats none differently, and only what the proxy has acknowledged is in force."""
    opened = list(_of(records, on.IncidentOpened))
    ended = [(plane, record.incident, record.at) for plane, record in _of(records, on.IncidentClosed)]
    ended += [(plane, record.incident, record.at) for plane, record in _of(records, on.IncidentMerged)]
    known = {(plane, record.incident) for plane, record in opened}
    ends = [at for plane, name, at in ended if (plane, name) in known]  # a merged one goes on as another
    origins: dict[str, int] = {}
    named = [record.origin for _, record in opened] + [moved.origin for _, moved in _of(records, on.OriginMoved)]
    for origin in named:
        origins[str(origin)] = origins.get(str(origin), 0) + 1
    blamed: dict[str, int] = {}
    for _, assessed in _of(records, on.Assessed):
        first = assessed.analysis.origins[0].service
        blamed[first] = blamed.get(first, 0) + 1
    added = [record for _, record in _of(records, on.EvidenceAdded)]
    causes = {record.cause for _, record in opened} | {record.cause for record in added if record.cause is not None}
    return Answer(
        origins=origins,
        blamed=blamed,
        causes=tuple(sorted(map(str, causes))),
        versions=tuple(sorted({record.version for record in added if record.version})),
        masked=any(record.masked for _, record in _of(records, on.MaskChanged)),
        signal_at=min((record.signal_at for _, record in opened), default=None),
        effects=_effects(records, onset, proxied),
        lifetimes=tuple(_lifetimes(records)),
        opened=len(opened),
        closed=len(ends),
        closed_at=max(ends, default=None),
        commands=sum(1 for _ in _of(records, on.CommandIssued)),
        steps=tuple(
            Step(plane, str(record.target), record.stage, record.percent, record.concurrency, (record.at - onset) / 1e9)
            for plane, record in _of(records, on.StageChanged)
        ),
    )


def _lifetimes(records: Records) -> Iterator[Lifetime]:
    """Folded as a restart would fold them: the times are the planes' own."""
    for plane, kept in records.items():
        state = State()
        for record in kept:
            fold(state, record)
        for one in state.incidents.values():
            yield Lifetime(
                plane=plane,
                incident=one.id,
                origin=str(one.origin),
                to_detect_s=_seconds(one.to_detect_ns),
                to_contain_s=_seconds(one.to_contain_ns),
                to_stabilize_s=_seconds(one.to_stabilize_ns),
                to_recover_s=_seconds(one.to_recover_ns),
                children=len(one.children),
                merged_into=one.merged_into,
                reached=tuple(sorted(one.reached)),
                predicted=tuple(one.predicted),
            )


def _seconds(taken_ns: int | None) -> float | None:
    return None if taken_ns is None else to_seconds(taken_ns)


def _effects(records: Records, onset: Nanos, proxied: AbstractSet[str]) -> tuple[Effect, ...]:
    """One effect per plane, target and deciding signal: that of the order with which a hold began.

    What recovery orders later carries the same signal and is no response to it. A failed probe only prolongs a hold:
    nothing had been readmitted that could be treated differently.
    """
    issued: dict[tuple[str, str | None], Command] = {
        (plane, record.command.id): record.command for plane, record in _of(records, on.CommandIssued)
    }
    holds: dict[tuple[str, str], tuple[str, str, Nanos]] = {}
    in_force: dict[tuple[str, str, Nanos], int] = {}
    stood: dict[tuple[str, str], Stage] = {}
    for plane, record in _of(records, on.StageChanged):
        before, stood[plane, str(record.target)] = stood.get((plane, str(record.target))), record.stage
        if before in (Stage.HOLD, Stage.PROBE):
            continue
        command = issued.get((plane, record.command))
        if record.stage is Stage.HOLD and command is not None:
            key = holds[plane, command.id] = (plane, str(command.target), command.signal_at)
            if command.reflex and plane not in proxied:  # in force before it was ordered: the guard said so with it
                in_force.setdefault(key, record.at - command.signal_at)
    for plane, ack in _of(records, on.CommandAcknowledged):
        held = holds.get((plane, ack.command))
        if ack.ok and held is not None:
            in_force.setdefault(held, ack.at - held[2])
    treated: dict[tuple[str, str, Nanos], int] = {}
    for plane, first in _of(records, on.BecameEffective):
        if plane in proxied:
            continue
        treated.setdefault((plane, str(first.target), first.signal_at), first.at - first.signal_at)
    return tuple(
        Effect(key[0], key[1], (key[2] - onset) / 1e9, after_ns, treated.get(key)) for key, after_ns in in_force.items()
    )


def _of(records: Records, kind: type[R]) -> Iterator[tuple[str, R]]:
    for plane, kept in records.items():
        for record in kept:
            if isinstance(record, kind):
                yield plane, record


def _names(origin: str, fault: Fault) -> bool:
    """A fault of one replica must be pinned on that replica, one of a whole service on that service."""
    if "/" in fault.origin:
        return origin == fault.origin
    return origin == fault.origin or origin.startswith(f"{fault.origin}/")
