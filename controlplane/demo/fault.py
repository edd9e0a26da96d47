"""The six faults, in the order in which they are shown, and the switch inside a replica that makes each real."""

from typing import Literal

import anyio
import msgspec

Kind = Literal["errors", "slow", "hang", "capacity", "version", "dead"]

SLOW_S = 0.4
"""What a slow replica adds: over the slow mark of a user request, far under every time-out."""

BAD_IN_TEN = 9
"""Of ten answers of the bad version this many are errors: a bad release rarely fails everything."""


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """One failure of the mesh. It lasts `lasts_s` of a window of `window_s`, the same in both runs."""

    name: str
    kind: Kind
    service: str
    replicas: tuple[str, ...]
    lasts_s: float
    window_s: float
    origin: str  # what the incident must name: service, or service/endpoint
    version: str = ""  # and the version, where that is the cause
    masked: bool = False  # a fallback hides it from users
    told: str = ""  # for the reader of the progress lines


FAULTS: tuple[Fault, ...] = (
    Fault(
        name="replica_errors",
        kind="errors",
        service="catalog",
        replicas=("catalog-2",),
        lasts_s=4.0,
        window_s=4.0,
        origin="catalog/catalog-2",
        told="catalog-2, one of three, answers 500",
    ),
    Fault(
        name="replica_slow",
        kind="slow",
        service="search",
        replicas=("search-1",),
        lasts_s=4.0,
        window_s=4.0,
        origin="search/search-1",
        told="search-1, one of three, answers 400 ms later, without an error",
    ),
    Fault(
        name="replica_hangs",
        kind="hang",
        service="search",
        replicas=("search-2",),
        lasts_s=4.0,
        window_s=4.0,
        origin="search/search-2",
        told="search-2, one of three, accepts and never answers",
    ),
    Fault(
        name="shared_dependency_overload",
        kind="capacity",
        service="stock",
        replicas=("stock-1", "stock-2"),
        lasts_s=3.0,
        window_s=18.0,
        origin="stock",
        told="stock, which three services call with retries, loses two thirds of its capacity for 3 s",
    ),
    Fault(
        name="bad_version",
        kind="version",
        service="account",
        replicas=("account-3", "account-4"),
        lasts_s=4.0,
        window_s=4.0,
        origin="account",
        version="v2",
        told="account v2, on two of four replicas, answers 500 to nine of ten",
    ),
    Fault(
        name="third_party_dies",
        kind="dead",
        service="risk",
        replicas=("risk-1", "risk-2"),
        lasts_s=4.0,
        window_s=4.0,
        origin="risk",
        masked=True,
        told="risk, a third party behind a fallback, no longer answers",
    ),
)


class Switch:
    """The fault state of one replica: it asks at every request what is wrong with it."""

    def __init__(self) -> None:
        self.kind: Kind | None = None
        self._answers = 0
        self._healed = anyio.Event()

    def break_(self, kind: Kind) -> None:
        """From now on the replica is broken in this way."""
        self.kind, self._healed = kind, anyio.Event()

    def heal(self) -> None:
        """What hangs goes on, as a process that was stopped does."""
        self.kind = None
        self._healed.set()

    async def delay(self) -> None:
        """The time that the fault adds to one request."""
        if self.kind == "slow":
            await anyio.sleep(SLOW_S)
        elif self.kind in ("hang", "dead"):
            await self._healed.wait()

    def fails(self) -> bool:
        """Whether this answer is an error."""
        self._answers += 1
        return self.kind == "errors" or (self.kind == "version" and self._answers % 10 < BAD_IN_TEN)
