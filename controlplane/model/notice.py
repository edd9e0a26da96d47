"""What people are told."""

import msgspec

from controlplane.model.unit import IncidentId, Nanos


class Notice(msgspec.Struct, frozen=True):
    """Something a person should know, delivered at least once; `key` makes repeats recognisable."""

    key: str
    incident: IncidentId | None
    severity: str
    text: str
    at: Nanos
