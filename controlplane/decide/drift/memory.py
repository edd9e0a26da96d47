"""The short memory of drift: what was said since and is not on record yet, and what differs without having stood."""

from controlplane.model.base import Target
from controlplane.model.drift import FingerprintSeen, PlaneCompared
from controlplane.model.unit import SECOND, Nanos

SETTLE_NS = Nanos(30 * SECOND)  # a rollout that goes on at least twice a minute is no drift
HOUR_NS = 3600 * SECOND
DOUBLINGS_MAX = 7  # the longest wait is over an hour: by then the count begins anew


class Fingerprints:
    """`standing` is what differs, and since when it is just that; `told` when each was told of, within the hour."""

    def __init__(self) -> None:
        self.due_at: Nanos | None = None
        self.latest: dict[Target, FingerprintSeen] = {}
        self.planes: dict[str, PlaneCompared] = {}
        self.standing: dict[str, tuple[tuple[str, ...], Nanos]] = {}
        self.told: dict[str, list[Nanos]] = {}

    def settle_ns(self, who: str, now: Nanos) -> int:
        """How long a difference must stand before it is told."""
        self.told[who] = lately = [at for at in self.told.get(who, []) if at > now - HOUR_NS]
        return SETTLE_NS << min(len(lately), DOUBLINGS_MAX)
