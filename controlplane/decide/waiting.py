"""What recoveries wait for, as far as it is not on record: conditions told of, and who was told already."""

import msgspec

from controlplane.decide.draft import Draft
from controlplane.model.incident import Incident
from controlplane.model.signal import ConditionKind
from controlplane.model.unit import IncidentId, Nanos


class Heard(msgspec.Struct, frozen=True):
    """What was told last of one condition of one service."""

    at: Nanos
    well: bool
    reason: str


class Waiting:
    """A part of the engine's short memory. `heard` is bounded by the topology, the rest by open incidents."""

    def __init__(self) -> None:
        self.heard: dict[tuple[str, ConditionKind], Heard] = {}
        self.changed_at: dict[tuple[IncidentId, ConditionKind], Nanos] = {}
        self._told: set[tuple[IncidentId, str]] = set()

    def tell_once(self, draft: Draft, incident: Incident, severity: str, text: str, key: str) -> None:
        """Tell people, unless that was told of this incident since the last restart."""
        if (incident.id, key) not in self._told:
            self._told.add((incident.id, key))
            draft.notice(incident, severity, text, key)

    def closed(self, incident: Incident) -> None:
        """Forget what is remembered about `incident` alone."""
        self._told = {told for told in self._told if told[0] != incident.id}
        self.changed_at = {key: at for key, at in self.changed_at.items() if key[0] != incident.id}
