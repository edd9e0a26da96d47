"""Changes on their way in: handed to the engine, and the guards asked to count versions side by side."""

from collections.abc import Callable

from controlplane.adapters.gateway.guards import GuardSet
from controlplane.decide.change.noted import WATCH_NS, deploy
from controlplane.decide.state import State
from controlplane.model.change import Changed
from controlplane.model.signal import Signal
from controlplane.ports import Clock


class Changes:
    """What a plane knows to do about changes, apart from deciding."""

    def __init__(self, guards: GuardSet, clock: Clock, submit: Callable[[Signal], None]) -> None:
        self._guards, self._clock, self._submit = guards, clock, submit

    def tell(self, signal: Changed) -> None:
        """A change was made. Raises as `Plane.submit_nowait`."""
        self._submit(signal)
        if signal.kind == "deploy" and signal.version:
            self._guards.versions.compare(signal.service, self._clock.now(), signal.made_at + WATCH_NS)

    def follow(self, state: State) -> None:
        """After a start: deploys on record are watched for the rest of their time."""
        now = self._clock.now()
        for service in state.changes:
            if (last := deploy(state, service, now)) is not None:
                self._guards.versions.compare(service, now, last.made_at + WATCH_NS)
