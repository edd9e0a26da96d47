"""A figure: what of ours is timed, whom it meets, and what the project has promised about it."""

from collections.abc import Mapping

import msgspec

from controlplane.bench.measure import Pace, Reading, measure
from controlplane.bench.result import Result
from controlplane.bench.subject import NotInstalled, Subject


class Target(msgspec.Struct, frozen=True):
    """Promises, as ratios within one run. None: nothing is promised.

    floor_max   at most so many empty Python calls.
    python_min  at least so many times cheaper than the cheapest rival written in Python; native_min: than any other.
    rival_max   at most so many times the cheapest rival, where the rival is our own simpler case.
    value_max   at most so much, for counts.
    """

    floor_max: float | None = None
    python_min: float | None = None
    native_min: float | None = None
    rival_max: float | None = None
    value_max: float | None = None


NONE = Target()


class Entry(msgspec.Struct, frozen=True):
    """A row of the table: `ours` against `rivals`, by `name` in the results."""

    name: str
    ours: Subject
    rivals: tuple[Subject, ...] = ()
    target: Target = NONE


class Row(msgspec.Struct, frozen=True):
    """What a measurement of one entry found. `why`: ours could not be measured, and this is the reason.

    rivals  reading by name, every rival that was asked, also those without a reading.
    missed  promises that did not hold, in words.
    """

    name: str
    value: float = 0.0
    spread: float = 0.0
    unit: str = "ns"
    floor: float = 0.0
    rivals: Mapping[str, Reading] = {}
    natives: frozenset[str] = frozenset()
    target: Target = NONE
    why: str = ""

    @property
    def floor_ratio(self) -> float | None:
        """In empty Python calls."""
        return self.value / self.floor if self.floor and not self.why else None

    def best(self, *, native: bool | None = None) -> tuple[str, float] | None:
        """The cheapest rival that has a reading, of all or of one kind: name and value."""
        found = [
            (reading.ns, name)
            for name, reading in self.rivals.items()
            if not reading.why and (native is None or (name in self.natives) is native)
        ]
        return (min(found)[1], min(found)[0]) if found else None

    def ratio(self, *, native: bool | None = None) -> float | None:
        """The cheapest rival over ours."""
        best = self.best(native=native)
        return best[1] / self.value if best and self.value and not self.why else None

    @property
    def missed(self) -> list[str]:
        """Promises that this run breaks. What could not be measured breaks none, and is shown as such."""
        if self.why:
            return []
        rival = self.best()
        checks = (
            (self.floor_ratio, self.target.floor_max, "{:.2f} empty calls, at most {:g}", False),
            (self.ratio(native=False), self.target.python_min, "{:.1f}x the Python rival, at least {:g}x", True),
            (self.ratio(native=True), self.target.native_min, "{:.1f}x the native rival, at least {:g}x", True),
            (rival and self.value / rival[1], self.target.rival_max, "{:.2f}x its rival, at most {:g}x", False),
            (self.value, self.target.value_max, "{:g}, at most {:g}", False),
        )
        return [
            text.format(found, promised)
            for found, promised, text, least in checks
            if found is not None and promised is not None and (found < promised if least else found > promised)
        ]

    def result(self) -> Result:
        """The row as it goes into the file."""
        best = self.best()
        name, value = best or (None, None)
        return Result(self.name, self.value, self.unit, self.floor_ratio, name, value, self.ratio())


def run(entry: Entry, pace: Pace, *, peers: bool) -> Row:
    """Measure one entry, with its rivals in the same rounds."""
    rivals = entry.rivals if peers else tuple(rival for rival in entry.rivals if not rival.package)
    floor, readings = measure((entry.ours, *rivals), pace)
    ours = readings[entry.ours.label]
    return Row(
        entry.name,
        ours.ns,
        ours.spread_ns,
        floor=floor.ns,
        rivals={_name(rival): readings[rival.label] for rival in rivals},
        natives=frozenset(_name(rival) for rival in rivals if rival.native),
        target=entry.target,
        why=ours.why,
    )


def _name(subject: Subject) -> str:
    try:
        return subject.name
    except NotInstalled:
        return subject.label
