"""What is open and where, so that no step looks through incidents that are closed. Kept by the fold, never by hand."""

import msgspec

from controlplane.model.incident import Incident
from controlplane.model.signal import Target
from controlplane.model.unit import CommandId, IncidentId


class Index(msgspec.Struct):
    """Ways to the open incidents.

    open     their ids, oldest first; `closed`: ids of those that are kept, in the order of their closing
    service  by the service that their origin lies in: one open incident for each
    target   by a target that they contain; where several do, the one that acted last
    command  by the id of an order of theirs
    """

    open: list[IncidentId] = msgspec.field(default_factory=list)
    closed: list[IncidentId] = msgspec.field(default_factory=list)
    service: dict[str, IncidentId] = msgspec.field(default_factory=dict)
    target: dict[str, IncidentId] = msgspec.field(default_factory=dict)
    command: dict[CommandId, IncidentId] = msgspec.field(default_factory=dict)

    def opened(self, incident: Incident) -> None:
        """`incident` has begun."""
        self.open.append(incident.id)
        self.service.setdefault(incident.origin.service, incident.id)

    def moved(self, incident: Incident, before: Target, others: list[Incident]) -> None:
        """Its origin is no longer `before`; `others`: the open ones, of which another may be at home there."""
        self._leave(incident, before.service, others)
        self.service.setdefault(incident.origin.service, incident.id)

    def ended(self, incident: Incident, others: list[Incident]) -> None:
        """`incident` is closed; `others`: the open ones."""
        self.open.remove(incident.id)
        self.closed.append(incident.id)
        self._leave(incident, incident.origin.service, others)
        for target in incident.containments:
            if self.target.get(target) == incident.id:
                del self.target[target]
        for command in incident.commands:
            if self.command.get(command.id) == incident.id:
                del self.command[command.id]

    def _leave(self, incident: Incident, service: str, others: list[Incident]) -> None:
        if self.service.get(service) != incident.id:
            return
        del self.service[service]
        for other in others:
            if other is not incident and other.origin.service == service:
                self.service[service] = other.id
                return
