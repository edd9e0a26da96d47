"""Changes made by people and pipelines (deploys, configuration), and the counts by which versions are compared."""

from typing import Literal

import msgspec

from controlplane.model.base import RecordBase, SignalBase
from controlplane.model.unit import IncidentId, Nanos

ChangeKind = Literal["deploy", "config", "other"]

TEXT_MAX = 200  # characters of an id, a version, a name
SUMMARY_MAX = 500
ENDPOINTS_MAX = 1000  # that one change names


class Changed(SignalBase, frozen=True, tag="changed"):
    """Somebody changed `service` at `made_at`. `id` tells the change from any other: the same twice is one.

    `version` is what a deploy brings, `endpoints` where it runs now; none: on those declared with that version.
    """

    id: str
    service: str
    made_at: Nanos
    kind: ChangeKind = "deploy"
    version: str = ""
    endpoints: tuple[str, ...] = ()
    by: str = ""
    summary: str = ""


class VersionsCounted(SignalBase, frozen=True, tag="versions_counted"):
    """What each endpoint of `service` did in the same time, up to `at`: (name, calls, failures, slow ones)."""

    service: str
    rows: tuple[tuple[str, int, int, int], ...]


class ChangeNoted(RecordBase, frozen=True, tag="change_noted"):
    """A change has become known; see `Changed`."""

    id: str
    service: str
    made_at: Nanos
    kind: ChangeKind = "deploy"
    version: str = ""
    endpoints: tuple[str, ...] = ()
    by: str = ""
    summary: str = ""


class VersionFound(RecordBase, frozen=True, tag="version_found"):
    """In the same time on matched endpoints `version` did worse than `against`: the version is the cause."""

    incident: IncidentId
    service: str
    version: str
    against: str
    evidence: str


class RegressionTold(RecordBase, frozen=True, tag="regression_told"):
    """After `version` had reached all endpoints of `service` it did worse than what ran before; nothing was done."""

    service: str
    version: str
    evidence: str


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """A change that is remembered."""

    id: str
    service: str
    made_at: Nanos
    kind: ChangeKind = "deploy"
    version: str = ""
    endpoints: tuple[str, ...] = ()
    by: str = ""
    summary: str = ""

    @property
    def text(self) -> str:
        """What was done to whom, for people."""
        what = f"deployed {self.version}" if self.kind == "deploy" and self.version else f"changed ({self.kind})"
        return f"{self.service} was {what}{f' by {self.by}' if self.by else ''}"
