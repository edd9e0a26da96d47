"""What the engine orders: an intent about a target, bounded by a lease, undoable, numbered by an epoch."""

from typing import Literal

import msgspec

from controlplane.model.policy import ActKind
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


class FailOver(_Intent, frozen=True, tag="fail_over"):
    """`percent` of a service's calls go to the endpoints that stand by (the next priority); the others as before."""

    percent: int


class CapRetries(_Intent, frozen=True, tag="cap_retries"):
    """Retries of the calls to a service are at most `percent` of those calls; 0: none is admitted."""

    percent: int = 0


class Shed(_Intent, frozen=True, tag="shed"):
    """`percent` of the calls to a service that are less important than `keep` are refused."""

    keep: Literal["critical", "default"]
    percent: int = 100


class Tighten(_Intent, frozen=True, tag="tighten"):
    """A call to a service may take `deadline_ms` at most, however long its caller would wait."""

    deadline_ms: int


class Close(_Intent, frozen=True, tag="close"):
    """No call reaches a service while `guard`, by which it is guarded, is degraded: it fails closed.

    Beside every other order about the service, and above all of them: no probe, no share and no retry is let through.
    """

    guard: str


class Harden(_Intent, frozen=True, tag="harden"):
    """The sensitive routes of the target meet the stricter limits that were declared for them."""

    guard: str


class RollBack(_Intent, frozen=True, tag="roll_back"):
    """`version` of a service is withdrawn by its deployer; `to` is what ran before, empty: the deployer knows.

    Not undone by `Restore` and never applied twice: a deployer starts it once for each command.
    """

    version: str
    to: str = ""


class Restore(_Intent, frozen=True, tag="restore", omit_defaults=True):
    """No interference: everything ordered about the target is taken back, or only the side order named by `what`.

    The undo of every other intent but `RollBack`.
    """

    what: Literal["", "fail_over", "cap_retries", "shed", "tighten", "close", "harden"] = ""


Intent = (
    Eject
    | Isolate
    | Probe
    | Weigh
    | Limit
    | FailOver
    | CapRetries
    | Shed
    | Tighten
    | Close
    | Harden
    | RollBack
    | Restore
)

Enforcement = Literal["shadow", "percent", "full"]


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """One order. Applying it twice is applying it once; a data plane lets it expire by itself at `lease_until`.

    `signal_at` is the result that decided; `charge` is the share of all endpoints it takes out of normal service.
    `reflex`: the guard had acted already, in the instant of that result; the order confirms, leases and records it.
    `percent`: with enforcement "percent", the share of calls to which the order applies; the others go as before.
    `overrides`: the safety rules that a person set aside for this order (break-glass); empty: none.
    `playbook` asked for it; empty: the engine by itself.
    `kind` is how policies name the act; None: it gives back. `avoids`: harmed requests per second that it is expected
    to prevent; None: not known.
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
    percent: int = 100
    overrides: str = ""
    playbook: str = ""
    kind: ActKind | None = None
    avoids: float | None = None
    evidence: str = ""
    signal_at: Nanos = Nanos(0)
    reflex: bool = False
