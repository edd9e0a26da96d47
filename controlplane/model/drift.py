"""Configuration drift: what endpoints and data planes say of their configuration, and who differs from what is wanted.

Not to be confused with `signal.Drifted`, which is about a latency. A fingerprint is opaque; its parts have names, so
that people can be told which of them differs. Values of parts are compared and never shown: they may be secrets.
"""

import msgspec

from controlplane.model.base import RecordBase, SignalBase, Target
from controlplane.model.unit import Nanos

PARTS_MAX = 64  # of one fingerprint
NOT_AS = " is not configured as "
TEXT_MAX = 200  # characters of a fingerprint, of a part's name and of its value


class FingerprintSeen(SignalBase, frozen=True, tag="fingerprint_seen"):
    """`target`, one endpoint, runs with the configuration of that `fingerprint`, comparable within `environment`."""

    target: Target
    fingerprint: str
    parts: dict[str, str] = msgspec.field(default_factory=dict)
    environment: str = ""


class PlaneCompared(SignalBase, frozen=True, tag="plane_compared"):
    """What of the data plane `plane` is not as wanted, one sentence each; none: all is in force."""

    plane: str
    differs: tuple[str, ...] = ()


class FingerprintNoted(RecordBase, frozen=True, tag="fingerprint_noted"):
    """The fingerprint of `target` is another than before, or the first of it."""

    target: Target
    fingerprint: str
    parts: dict[str, str] = msgspec.field(default_factory=dict)
    environment: str = ""


class DriftFound(RecordBase, frozen=True, tag="drift_found"):
    """`who` (a target, or "proxy NAME") has differed since `since`, in `differs`, from what `against` names."""

    who: str
    differs: tuple[str, ...]
    since: Nanos
    against: str
    target: Target | None = None


class DriftCleared(RecordBase, frozen=True, tag="drift_cleared"):
    """`who` differs no more, or nobody can say that it does."""

    who: str
    reason: str
    target: Target | None = None


class Fingerprint(msgspec.Struct, frozen=True, kw_only=True):
    """What an endpoint said last of its configuration."""

    target: Target
    value: str
    at: Nanos
    parts: dict[str, str] = {}
    environment: str = ""


class Drift(msgspec.Struct, frozen=True, kw_only=True):
    """Who differs, in what, from what, and since when. `target` None: a data plane."""

    who: str
    differs: tuple[str, ...]
    since: Nanos
    against: str
    target: Target | None = None

    @property
    def text(self) -> str:
        """One line for people."""
        return f"{self.who}{NOT_AS}{self.against}: {', '.join(self.differs)}"
