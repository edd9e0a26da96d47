"""What the engine answers: one value whose field order is the order of its effects."""

import msgspec

from controlplane.model.command import Command
from controlplane.model.notice import Notice
from controlplane.model.record import Record
from controlplane.model.unit import Nanos


class Outcome(msgspec.Struct, frozen=True):
    """Effects of one step, in their order.

    records    on record under the current epoch before anything below happens
    commands   then applied in order; each comes back as an `Acted` signal
    notices    at least once
    wake_at    ask again no later than this; None: nothing is pending
    """

    records: tuple[Record, ...] = ()
    commands: tuple[Command, ...] = ()
    notices: tuple[Notice, ...] = ()
    wake_at: Nanos | None = None
