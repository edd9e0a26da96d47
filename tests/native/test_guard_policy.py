"""What configuration accepts, the guard accepts."""

import msgspec
import pytest

from controlplane._native.guard import Guard
from controlplane.model.policy import GuardPolicy

EXTREMES = [
    {},
    {"probes_max": 16, "probe_successes": 1_000_000, "rate_per_s": 1e9, "rate_burst": 1_000_000},
    {"window_s": 86_400, "open_s": 86_400, "open_max_s": 86_400, "eject_s": 86_400, "eject_max_s": 86_400},
    {"concurrency_max": 10**9, "breaker_consecutive": 10**9, "retry_floor_per_s": 10**6, "endpoint_evidence": 100},
    {"rate_per_s": 0.001, "rate_burst": 1_000_000, "window_s": 1e-6, "open_s": 1e-6, "probe_timeout_s": 1e-6},
]


@pytest.mark.parametrize("fields", EXTREMES)
def test_the_bounds_of_a_policy_are_within_those_of_the_guard(fields: dict[str, float]) -> None:
    """Every extreme that a person may write makes a guard that admits."""
    policy = msgspec.convert(fields, GuardPolicy)
    assert Guard(endpoints=3, **policy.native()).try_acquire()


def test_more_probes_than_the_guard_has_slots_are_refused() -> None:
    """By the policy already, so that the message names the key."""
    with pytest.raises(msgspec.ValidationError, match=r"probes_max"):
        msgspec.convert({"probes_max": 17}, GuardPolicy)
