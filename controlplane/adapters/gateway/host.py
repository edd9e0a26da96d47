"""The memory that all processes of one host share: the guards of every edge, what users saw, what was noted.

Every process that calls through the same guards attaches the same arena. One of them may steer (`controlplane serve`):
it reads what all have seen, and its orders are in force in all at once, because they are the same words. Without it the
others go on sharing limits, breakers and ejections by reflex.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Final

import anyio

from controlplane._native.guard import Guard
from controlplane.adapters.arena import Arena
from controlplane.adapters.gateway import door
from controlplane.adapters.gateway.once import report_once, reporting
from controlplane.adapters.gateway.service import Place
from controlplane.adapters.gateway.tally import ENTRY_WORDS, EntryCounts, Notes
from controlplane.model.signal import FellBack, Relayed, Signal
from controlplane.model.topology import Topology
from controlplane.model.unit import Nanos

TEND_EVERY_S: Final = 0.25  # how long, at most and about, what a dead process held stays held
PAIRS_MAX: Final = 64 * 64  # of caller and callee; beyond that relayed failures stay with the process that saw them
_ENTRY: Final = "entry"
_NOTES: Final = "notes"


class HostNotes(Notes):
    """Fallbacks and relayed failures of all processes: a row of words for each, summed by whoever steers."""

    def __init__(self, words: memoryview, worker: int, names: tuple[str, ...]) -> None:
        super().__init__()
        self._words, self._names = words, names
        self._of = {name: index for index, name in enumerate(names)}
        self._row = _notes_words(len(names))
        self._own = words[worker * self._row : (worker + 1) * self._row]
        self._told = self._sums()

    def fell_back(self, service: str, count: int) -> None:
        """The application answered without `service`."""
        if (index := self._of.get(service)) is not None:
            self._own[index] += count

    def relayed(self, caller: str, callee: str) -> None:
        """`caller` failed and named `callee` as the cause."""
        one, other = self._of.get(caller), self._of.get(callee)
        if one is not None and other is not None and self._row > len(self._names):
            self._own[len(self._names) * (1 + one) + other] += 1

    def take(self, at: Nanos) -> list[Signal]:
        """What was noted anywhere since the last time."""
        sums = self._sums()
        signals: list[Signal] = []
        for index, (new, old) in enumerate(zip(sums, self._told, strict=True)):
            if new <= old:
                continue
            if index < len(self._names):
                signals.append(FellBack(at=at, service=self._names[index], count=new - old))
            else:
                one, other = divmod(index - len(self._names), len(self._names))
                signals.append(Relayed(at=at, caller=self._names[one], callee=self._names[other], count=new - old))
        self._told = sums
        return signals

    def _sums(self) -> list[int]:
        rows = [self._words[at : at + self._row].tolist() for at in range(0, len(self._words), self._row)]
        return [sum(column) for column in zip(*rows, strict=True)]


class Host:
    """This process's place among those of its host.

    Raises  ArenaError (see `adapters.arena`) when the memory cannot be shared: another geometry, no place left.
    """

    def __init__(self, path: str, topology: Topology, *, workers: int, role: str) -> None:
        services = [service for service in topology.services if service.name != topology.entry]
        names = tuple(service.name for service in services)
        regions = {
            _ENTRY: ENTRY_WORDS * workers,
            _NOTES: _notes_words(len(names)) * workers,
            **{_guard(service.name): Guard.words(len(service.endpoints), workers) for service in services},
            **{_guard(name): Guard.words(0, workers) for name in door.regions(topology)},
        }
        self.arena = Arena.attach(path, regions, workers=workers, role=role)
        worker = self.arena.worker
        self.entry = EntryCounts(self.arena.region(_ENTRY), worker)
        self.notes = HostNotes(self.arena.region(_NOTES), worker, names)

    def place(self, service: str) -> Place:
        """Where the guard of `service` keeps its words."""
        return Place(self.arena.region(_guard(service)), self.arena.worker, self.arena.workers)

    def exclusive(self) -> AbstractContextManager[None]:
        """While it is entered, nobody else lays out or attaches guards."""
        return self.arena.exclusive()

    def close(self) -> None:
        """Give the place up. The guards must have left before."""
        self.arena.close()

    def ring(self) -> None:
        """Wake the other processes: something has changed that they should look at."""
        self.arena.ring()

    async def attend(
        self, heard: Callable[[], None], reclaim: Callable[[int], None], look: Callable[[], None] = lambda: None
    ) -> None:
        """Call `heard` whenever another process rings, and `reclaim` for each one that died, until cancelled; `look`
        each time the dead are looked for."""
        tend_at, gone = anyio.current_time(), list[int]()
        while True:
            with anyio.move_on_after(max(0.0, tend_at - anyio.current_time())):
                await self.arena.wait_rung()
                self.arena.hush()
                with reporting("hearing another process"):
                    heard()
            if anyio.current_time() >= tend_at:
                tend_at = anyio.current_time() + TEND_EVERY_S
                with reporting("looking for dead processes"):
                    look()
                    gone += self.arena.dead()
                gone = [slot for slot in gone if not self._given_back(slot, reclaim)]

    def _given_back(self, slot: int, reclaim: Callable[[int], None]) -> bool:
        """Give back what the dead process of that place held; nobody else is told of it, so it is tried again."""
        try:
            reclaim(slot)
            self.arena.vacate(slot)
        except Exception:
            report_once("giving back what a dead process held")
            return False
        return True

    def members(self) -> list[Mapping[str, object]]:
        """Who is attached: slot, pid, role and since when."""
        return [member._asdict() for member in self.arena.members()]


def _guard(service: str) -> str:
    return f"guard {service}"


def _notes_words(names: int) -> int:
    return names + (names * names if names * names <= PAIRS_MAX else 0) or 1
