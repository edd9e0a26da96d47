"""An incident's times on another boot's clock."""

import msgspec

from controlplane.decide import climb
from controlplane.model.incident import Incident, Moment
from controlplane.model.unit import Nanos

_TIMES = (
    "opened_at", "signal_at", "began_at", "effective_at", "contained_at", "stabilized_at", "recovered_at", "closed_at",
    "moved_at", "spread_at",
)  # fmt: skip


def shifted(incident: Incident, shift_ns: int) -> None:
    """Add `shift_ns` to every time of `incident`."""

    def moved(at: Nanos) -> Nanos:
        return Nanos(at + shift_ns)

    for name in _TIMES:
        if (at := getattr(incident, name)) is not None:
            setattr(incident, name, moved(at))
    incident.phases = {phase: moved(at) for phase, at in incident.phases.items()}
    incident.untold = {key: moved(at) for key, at in incident.untold.items()}
    incident.timeline = [Moment(moved(moment.at), moment.what) for moment in incident.timeline]
    incident.children = [msgspec.structs.replace(child, at=moved(child.at)) for child in incident.children]
    climb.shift(incident, shift_ns)
    if incident.first is not None:
        incident.first = msgspec.structs.replace(incident.first, at=moved(incident.first.at))
    for held in incident.containments.values():
        held.since = moved(held.since)
