"""One policy in one world: what users saw, and how far the failure went."""

from collections.abc import Sequence
from typing import Final

import msgspec

SIMPLE: Final = (
    "replica_down",
    "replica_errors",
    "replica_slow",
    "replica_hangs",
    "bad_version",
    "zone_out",
    "third_party_down",
)
CASCADING: Final = ("leaf_slow", "retry_storm", "overload_burst", "shared_dependency", "capacity_loss")
HEALTHY: Final = "healthy"
OURS: Final = "ours"
MEASURES: Final = ("failed", "slow", "blast_services", "blast_seconds")


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One policy in one world.

    failed, slow    user requests of those that were made
    blast_services  services other than the origin whose callers saw less than 95 % success for a second or more
    blast_seconds   the seconds of it, summed over those services
    bound           failed requests that the world's best-informed operator would have (`sim.bound`)
    false_acts      acts or incidents in a world in which nothing is wrong
    """

    seed: int
    fault_class: str
    policy: str
    requests: int
    failed: int
    slow: int
    blast_services: int
    blast_seconds: float
    calls: int
    acts: int = 0
    incidents: int = 0
    wall_s: float = 0.0
    bound: float = 0.0
    violations: tuple[str, ...] = ()

    @property
    def false_acts(self) -> int:
        """What automation did where there was nothing to do."""
        return self.acts + self.incidents if self.fault_class == HEALTHY else 0

    def measure(self, name: str) -> float:
        """One of MEASURES."""
        value: float = getattr(self, name)
        return value


def of(runs: Sequence[Run], classes: Sequence[str]) -> list[Run]:
    """Those of these fault classes."""
    return [run for run in runs if run.fault_class in classes]
