"""What the engine answers: one value whose field order is the order of its effects."""

import msgspec

from controlplane.model.command import Command
from controlplane.model.record import Record
from controlplane.model.unit import IncidentId, Nanos


class Notice(msgspec.Struct, frozen=True):
    """Something a person should know. Best effort, at least once; `key` makes repeats recognisable."""

    key: str
    incident: IncidentId | None
    severity: str
    text: str
    at: Nanos


class Outcome(msgspec.Struct, frozen=True):
    """Effects of one step, in their order.

    records    on record under the current epoch before anything below happens
    commands   then applied in order; each comes back as an `Acted` signal
    notices    best effort
    wake_at    ask again no later than this; None: nothing is pending
    """

    records: tuple[Record, ...] = ()
    commands: tuple[Command, ...] = ()
    notices: tuple[Notice, ...] = ()
    wake_at: Nanos | None = None
