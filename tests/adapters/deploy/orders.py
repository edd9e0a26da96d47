"""What deployers are asked in the tests: one roll-back, as the engine orders it."""

from typing import Any

import msgspec

from controlplane.model.command import Command, RollBack
from controlplane.model.signal import Target
from controlplane.model.unit import SECOND, CommandId, Epoch, IncidentId, Nanos

ROLL_BACK = Command(
    id=CommandId("c7"),
    epoch=Epoch(2),
    incident=IncidentId("i1"),
    target=Target("cart"),
    intent=RollBack("v2", "v1"),
    lease_until=Nanos(30 * SECOND),
    evidence="every endpoint that runs version v2 was found bad",
)


def roll_back(**more: Any) -> Command:
    return msgspec.structs.replace(ROLL_BACK, **more)
