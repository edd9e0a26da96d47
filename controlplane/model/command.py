"""What the engine orders: an intent about a target, bounded by a lease, undoable, numbered by an epoch."""

from typing import Literal

import msgspec

from controlplane.model.signal import Target
from controlplane.model.unit import CommandId, Epoch, IncidentId, Nanos


class _Intent(msgspec.Struct, frozen=True, tag_field="do", forbid_unknown_fields=True):
    pass


class Eject(_Intent, frozen=True, tag="eject"):
    """An endpoint gets no new calls; calls in flight on it may be sent again elsewhere."""


class Isolate(_Intent, frozen=True, tag="isolate"):
    """Callers of a service are refused at once, or fall back."""


class Probe(_Intent, frozen=True, tag="probe"):
    """A few real requests at a time may try the target; the rest treats it as contained."""


class Weigh(_Intent, frozen=True, tag="weigh"):
    """An endpoint gets `percent` of its share beside its siblings; a service is offered `percent` of its calls."""

    percent: int


class Limit(_Intent, frozen=True, tag="limit"):
    """No retry of this caller, and at most `concurrency` calls in flight at a time, of a service that is overloaded.

    A data plane in process adapts the number by what comes back: it grows while answers do, and shrinks by time-outs.
    """

    concurrency: int


class Restore(_Intent, frozen=True, tag="restore"):
    """No interference: everything ordered about the target is taken back. The undo of every other intent."""


Intent = Eject | Isolate | Probe | Weigh | Limit | Restore

Enforcement = Literal["shadow", "full"]


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """One order. Applying it twice is applying it once; a data plane lets it expire by itself at `lease_until`.

    `signal_at` is the result that decided; `charge` is the share of all endpoints it takes out of normal service.
    `reflex`: the guard had acted already, in the instant of that result; the order confirms, leases and records it.
    """

    id: CommandId
    epoch: Epoch
    incident: IncidentId
    target: Target
    intent: Intent
    lease_until: Nanos
    undo: Intent = Restore()
    charge: float = 0.0
    enforcement: Enforcement = "full"
    evidence: str = ""
    signal_at: Nanos = Nanos(0)
    reflex: bool = False
