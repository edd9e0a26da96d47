"""Rounds of faults, each on a plane of its own, and the times that its records tell.

    effective  the guard treated a request differently, told the loop of its reflex, or acknowledged the order, whatever
               came first (decision 0006)
    ordered    the order was decided, on record and acknowledged: what every answer of the engine takes
    first      the first request that was treated differently: its caller's pace is in it

All from the result that decided (`signal_at`), on CLOCK_MONOTONIC. A fault without an effect in time counts as one that
took `WAIT_S`: none is left out.
"""

import tempfile
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from pathlib import Path
from typing import Final, Literal

import anyio
import msgspec

from controlplane._native.histogram import Histogram
from controlplane.adapters.stores.sqlite import SqliteJournal
from controlplane.assembly import Plane
from controlplane.bench.response.load import Load
from controlplane.bench.response.mesh import OWN, Fault, Kind, config, faults
from controlplane.model import record as on
from controlplane.model.config import OtlpSection
from controlplane.model.signal import CallsFinished, Target
from controlplane.model.unit import SECOND, CommandId, Nanos

Point = Literal["effective", "ordered", "first"]
POINTS: Final[tuple[Point, ...]] = ("effective", "ordered", "first")

RATE_SICK: Final = 100.0  # calls a second to each service that will fail
RATE_OTHER: Final = 2.0  # to each of the others: the plane has its usual work besides
WARM_S: Final = 1.5
WAIT_S: Final = 3.0
AFTER_S: Final = 0.1  # in which a few calls more are made, which may be the first to be treated differently
REPORT_CALLS: Final = 20
LOWEST_NS, HIGHEST_NS, DIGITS = 1_000, 60_000_000_000, 3


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """One measurement: so many services, faults at one instant, rounds; a fifth as many again of faults reported."""

    services: int = 1000
    faults: int = 50
    rounds: int = 20
    seed: int = 1
    otlp: OtlpSection | None = None

    @property
    def kinds(self) -> list[tuple[Kind, ...]]:
        """The kinds of fault of each round."""
        return [OWN] * self.rounds + [("reported",)] * -(-self.rounds // 5)


class Times(msgspec.Struct):
    """A histogram for each point and kind of fault, in nanoseconds; "" is all kinds that the plane sees itself."""

    of: dict[tuple[Point, Kind | Literal[""]], Histogram] = msgspec.field(default_factory=dict)
    missed: int = 0

    def record(self, point: Point, kind: Kind, elapsed_ns: int) -> None:
        """Count one fault."""
        keys: tuple[Kind | Literal[""], ...] = ("", kind) if kind in OWN else (kind,)
        for key in keys:
            histogram = self.of.setdefault((point, key), Histogram(LOWEST_NS, HIGHEST_NS, DIGITS))
            histogram.record(min(max(elapsed_ns, LOWEST_NS), HIGHEST_NS))


class Seen:
    """What the records tell of the faults of one round: the first order about each service, and its effect."""

    def __init__(self, services: set[str]) -> None:
        self._services = services
        self.signal_at: dict[str, Nanos] = {}
        self.ordered_at: dict[str, Nanos] = {}
        self.first_at: dict[str, Nanos] = {}
        self.told_at: dict[str, Nanos] = {}
        self._orders: dict[CommandId, str] = {}

    @property
    def complete(self) -> bool:
        """Whether every fault has been answered."""
        return len(self.ordered_at) == len(self._services)

    def note(self, record: on.Record) -> None:
        """Take in one record."""
        match record:
            case on.CommandIssued(command=command) if command.target.service in self._services - self.signal_at.keys():
                self.signal_at[command.target.service] = command.signal_at
                self._orders[command.id] = command.target.service
                if command.reflex:
                    self.told_at[command.target.service] = record.at
            case on.CommandAcknowledged(command=name, ok=True) if name in self._orders:
                self.ordered_at.setdefault(self._orders[name], record.at)
            case on.BecameEffective(target=target):
                self.first_at.setdefault(target.service, record.at)


Around = Callable[[Plane], AbstractAsyncContextManager[None]]
"""What else goes on in the plane's process; entered before the load begins."""


async def measure(
    setting: Setting, progress: Callable[[int], None] = lambda _: None, around: Around = lambda _: nullcontext()
) -> Times:
    """All rounds of `setting`."""
    times = Times()
    for number, kinds in enumerate(setting.kinds):
        chosen = faults(setting.services, setting.faults, kinds)
        with tempfile.TemporaryDirectory(prefix="controlplane-response-") as folder:
            seen = await _round(setting, chosen, Path(folder) / "journal.sqlite", number, around)
        _count(times, chosen, seen)
        progress(number + 1)
    return times


async def _round(setting: Setting, chosen: list[Fault], path: Path, number: int, around: Around) -> Seen:
    sick = {fault.service for fault in chosen}
    seen = Seen(sick)
    configured = config(setting.services, setting.faults, path, setting.otlp)
    plane = Plane(configured, journal=SqliteJournal(path), seed=setting.seed + number)
    names = [service.name for service in plane.topology.services if service.name != plane.topology.entry]
    rates = {name: RATE_SICK if name in sick else RATE_OTHER for name in names}
    load = Load(plane, rates, seed=setting.seed * 1000 + number)
    async with plane, around(plane), anyio.create_task_group() as tasks:
        tasks.start_soon(load.run)
        await anyio.sleep(WARM_S)
        async with plane.follow(-1) as records:
            load.begin(chosen)
            for fault in chosen:
                if fault.kind == "reported":
                    for replica in (2, 3, 1):  # an endpoint is bad beside siblings that are known to be well
                        plane.submit_nowait(_report(fault, replica, plane.clock.now()))
            with anyio.move_on_after(WAIT_S):
                async for _, record in records:
                    seen.note(record)
                    if seen.complete:
                        break
            with anyio.move_on_after(AFTER_S):
                async for _, record in records:
                    seen.note(record)
        tasks.cancel_scope.cancel()
    return seen


def _report(fault: Fault, replica: int, at: Nanos) -> CallsFinished:
    target = Target(fault.service, f"{fault.service}-{replica}")
    return CallsFinished(at=at, target=target, calls=REPORT_CALLS, failures=REPORT_CALLS if replica == 1 else 0)


def _count(times: Times, chosen: list[Fault], seen: Seen) -> None:
    late = round(WAIT_S * SECOND)
    for fault in chosen:
        name = fault.service
        if name not in seen.ordered_at:
            times.missed += 1
            for point in POINTS:
                times.record(point, fault.kind, late)
            continue
        since = seen.signal_at[name]
        ordered = seen.ordered_at[name] - since
        first = late if name not in seen.first_at else seen.first_at[name] - since
        times.record("ordered", fault.kind, ordered)
        times.record("first", fault.kind, first)
        told = late if name not in seen.told_at else seen.told_at[name] - since
        times.record("effective", fault.kind, min(ordered, first, told))
