"""Security posture as values: who guards whom, which routes are sensitive, what is found when a guard fails."""

from typing import Annotated, Literal

import msgspec

from controlplane.model.base import RecordBase
from controlplane.model.unit import IncidentId, Nanos

GuardKind = Literal["", "authentication", "authorization", "validation", "waf", "audit"]
Validation = Annotated[int, msgspec.Meta(ge=0, le=100)]
Path = Annotated[str, msgspec.Meta(min_length=1, max_length=500)]


class Sensitive(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Requests below `path` are admitted at `rate_per_s` at most, `burst` at a time, while one of the guards in
    `while_degraded` is degraded (empty: any guard)."""

    path: Path
    rate_per_s: Annotated[float, msgspec.Meta(gt=0, le=1e6)]
    burst: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 1
    while_degraded: tuple[str, ...] = ()


class Exposed(msgspec.Struct, frozen=True):
    """A service that is not closed, or not for all of its calls, while a guard of it is degraded, and why."""

    service: str
    why: str


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """A guard is degraded: an entry of its own in `incident`.

    `kind` is what it guards by. `closed`: the services that fail closed because of it; `exposed`: those that do not.
    `hardened`: sensitive routes that meet stricter limits. `over_at` None: it is degraded still; else `over` says how
    one knows that it is not.
    """

    id: str
    kind: GuardKind
    guard: str
    incident: IncidentId
    since: Nanos
    reason: str
    protects: tuple[str, ...] = ()
    closed: tuple[str, ...] = ()
    exposed: tuple[Exposed, ...] = ()
    hardened: tuple[str, ...] = ()
    over_at: Nanos | None = None
    over: str = ""

    def __str__(self) -> str:
        parts = [f"{self.guard} ({self.kind}) is degraded: {self.reason}"]
        if self.closed:
            parts.append(f"closed: {', '.join(self.closed)}")
        parts += [f"exposed: {one.service}, {one.why}" for one in self.exposed]
        if self.hardened:
            parts.append(f"stricter: {', '.join(self.hardened)}")
        return "; ".join(parts)


class PostureFound(RecordBase, frozen=True, tag="posture_found"):
    """A guard was found degraded."""

    incident: IncidentId
    finding: Finding


class PostureChanged(RecordBase, frozen=True, tag="posture_changed"):
    """What is closed, exposed or hardened because of a degraded guard is something else now."""

    incident: IncidentId
    finding: Finding


class PostureCleared(RecordBase, frozen=True, tag="posture_cleared"):
    """The guard is not degraded any more, and `reason` says how one knows."""

    incident: IncidentId
    guard: str
    finding: str
    reason: str


PostureRecord = PostureFound | PostureChanged | PostureCleared
