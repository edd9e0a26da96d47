"""Endpoint choice by itself: the better of two random endpoints, of those that may be drawn."""

from collections.abc import Iterable, Sequence
from typing import Any, Final, Self, final

from typing_extensions import Buffer

ENDPOINTS_MAX: Final = 4096
LEVELS_MAX: Final = 16  # priorities are 0 .. 15
LOCALITIES_MAX: Final = 256
WEIGHT_MAX: Final = 100_000

def set_test_clock(now_ns: int, /) -> None:
    """Stop this module's clock at a time; -1 lets the real one run again."""

def ramp_percent(age_ns: int, window_ns: int, /) -> int:
    """The share of its share that an endpoint has so long after it was verified: 10, 20 .. 100."""

def ramp_next_ns(age_ns: int, window_ns: int, /) -> int:
    """The age at which `ramp_percent` changes next, for an age below the window."""

@final
class Balancer:
    """Chooses the endpoint of each call. A pick costs two draws and one comparison, however many endpoints there are.

    Shapes  sites: one (weight, priority, locality) for each endpoint; weight is capacity in any unit, 1 .. WEIGHT_MAX,
            priority 0 is used first, localities are numbered.
    Units   times in nanoseconds of CLOCK_MONOTONIC; `local_percent` is the share of all callers that is in the locality
            `local`, 0: as many as in each of the others. `fail_over_percent` of what the first level would get goes to
            the next ones, as far as they have room.
    Raises  TypeError and ValueError that name the argument; ValueError where `memory` holds something else.
    Source  docs/concepts/endpoint-choice.md.

    `memory` is zeroed or already laid out; `worker` is this process's number of `workers`. Policy and seed are each
    process's own; weights are those of who came first.
    """

    def __new__(
        cls,
        sites: Iterable[Sequence[int]],
        *,
        seed: int = 1,
        memory: Buffer | None = None,
        worker: int = 0,
        workers: int = 1,
        overprovision_percent: int = 140,
        panic_percent: int = 50,
        local: int | None = None,
        local_percent: int = 0,
        fail_over_percent: int = 0,
        ejected_percent_max: int = 10,
        slow_start_ns: int = 10_000_000_000,
    ) -> Self: ...
    @staticmethod
    def words(endpoints: int, workers: int, /) -> int:
        """The number of int64 words that `memory` must hold."""
    def pick(self) -> int:
        """The endpoint for one call, which is in flight from now on; -1 where none may be drawn."""
    def pick_avoiding(self, endpoint: int, /) -> int:
        """As `pick`, for a second attempt: never this endpoint, -1 where there is no other."""
    def done(self, endpoint: int, latency_ns: int, /) -> int:
        """A call was answered. Returns 0 and learns nothing where none of this worker's is in flight there."""
    def failed(self, endpoint: int, /) -> int:
        """A call failed: its latency says nothing. Returns 0 where none is in flight there."""
    def cancelled(self, endpoint: int, /) -> int:
        """A call was given up by its caller. Returns 0 where none is in flight there."""
    def set_weight(self, endpoint: int, weight: int, /) -> None: ...
    def set_percent(self, endpoint: int, percent: int, /) -> None:
        """Of its share, 0..100: what is taken away goes to siblings and, beyond their capacity, to other levels."""
    def set_usable(self, endpoint: int, usable: int, /) -> None:
        """What a health check says; not bounded by `ejected_percent_max`, but forgiven in panic."""
    def eject(self, endpoint: int, until_ns: int, /) -> int:
        """Take out until then; afterwards it is on trial, at a tenth of its share, until it is verified.

        Returns 0 and does nothing where too many would be out, or the last usable one, or where the time has passed.
        """
    def recovered(self, endpoint: int, /) -> None:
        """It is verified to serve: usable, no longer ejected, and its slow start begins now."""
    def reclaim(self, worker: int, /) -> None:
        """Forget the calls in flight of a worker that died. May be repeated."""
    @property
    def table(self) -> memoryview:
        """The alias table in force, a live view: column i is threshold << 32 | alias."""
    def endpoint(self, endpoint: int, /) -> dict[str, int]:
        """What is known of it; `percent` is what order and slow start leave of its share now."""
    def describe(self) -> dict[str, Any]:
        """Number of endpoints, how many may be drawn, load and panic of each level, when this changes by itself."""
