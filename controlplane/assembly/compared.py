"""Whether each proxy is as wanted, told to the engine when that changes: its part of configuration drift."""

from collections.abc import Callable
from typing import Final

import anyio

from controlplane.adapters.proxies.reconcile import EffectiveView
from controlplane.model.drift import PlaneCompared
from controlplane.model.signal import Signal
from controlplane.ports import Clock

EVERY_S: Final = 1.0
LATE_S: Final = 5.0  # an order that waits longer is a difference, and not on its way
SENTENCES_MAX: Final = 8


class ComparedPlanes:
    """A signal source: looks at `views` once a second, and rings when a proxy differs in something else than before."""

    def __init__(self, views: Callable[[], list[EffectiveView]], clock: Clock, ring: Callable[[], None]) -> None:
        self._views, self._clock, self._ring = views, clock, ring
        self._told: dict[str, tuple[str, ...]] = {}
        self._fresh: list[Signal] = []

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            self.look()
            await anyio.sleep(EVERY_S)

    def look(self) -> None:
        """Compare once."""
        views = self._views()
        gone = self._told.keys() - {view.name for view in views}
        for name in sorted(gone):
            del self._told[name]
            self._fresh.append(PlaneCompared(at=self._clock.now(), plane=name))
        for view in views:
            differs = differences(view)
            if self._told.get(view.name) != differs:  # the first time in any case: something may be on record
                self._told[view.name] = differs
                self._fresh.append(PlaneCompared(at=self._clock.now(), plane=view.name, differs=differs))
        if self._fresh:
            self._ring()

    def drain(self) -> list[Signal]:
        """Changes since the last call, oldest first."""
        fresh, self._fresh = self._fresh, []
        return fresh

    def sample(self) -> list[Signal]:
        """Nothing: a difference is a fact, not a count."""
        return []


def differences(view: EffectiveView) -> tuple[str, ...]:
    """What of a proxy is not as wanted, one sentence each, without figures that change while it stays so."""
    found = [f"it is {view.condition}"] if view.condition in ("unreachable", "lying") else []
    found += [f"{target} was refused" for target in sorted(view.refused)]
    found += [
        f"{target} is not acknowledged"
        for target, waited_s in sorted(view.waiting.items())
        if waited_s >= LATE_S and target not in view.refused
    ]
    if len(found) > SENTENCES_MAX:
        found = [*found[:SENTENCES_MAX], "and more"]
    return tuple(found)
