"""Counts since the last sample, of everything that only counts.

A sample answers "what happened lately", and in quiet times nobody asks for hours. So `freshen` drops counts older
than FRESH_NS as traffic goes on: the first sample of an incident does not carry the quiet day before it.
"""

from typing import Final

from controlplane._native.guard import HEALTHY
from controlplane.adapters.gateway.service import ServiceGuard
from controlplane.model.signal import EntrySampled, FellBack, Relayed, Sampled, Signal, Target
from controlplane.model.unit import SECOND, Nanos

FRESH_NS: Final = 2 * SECOND
ENTRY_WORDS: Final = 8  # a cache line for each process, of which five words are used
NAMES_MAX: Final = 1_000  # distinct names held; callee names come in headers and could be invented
OBSERVED_NS: Final = 300 * SECOND  # an endpoint is reported on for so long after its last trip or order


class EntryCounts:
    """What users saw. Requests count when they end; those shed count as shed only.

    `words` holds ENTRY_WORDS int64 for each of `workers` processes, of which this one writes its own and reads all.
    """

    __slots__ = ("_own", "_words")

    def __init__(self, words: memoryview | None = None, worker: int = 0) -> None:
        self._words = words if words is not None else memoryview(bytearray(8 * ENTRY_WORDS)).cast("q")
        self._own = self._words[worker * ENTRY_WORDS : (worker + 1) * ENTRY_WORDS]

    def ended(self, *, failed: bool, slow: bool, again: bool = False) -> None:
        """One more request has ended; `again`: its caller, or one above, had tried before."""
        own = self._own
        own[0] += 1
        if failed:
            own[1] += 1
        if slow:
            own[2] += 1
        if again:
            own[4] += 1

    def shed(self) -> None:
        """One more was not let in."""
        self._own[3] += 1

    def now(self) -> tuple[int, int, int, int, int]:
        """(requests, failed, slow, shed, tried again) since the start, of all processes."""
        words = self._words
        requests, failed, slow, shed, again = (sum(words[kind::ENTRY_WORDS].tolist()) for kind in range(5))
        return requests, failed, slow, shed, again


class EntryTally:
    """The entry's counts since the last sample."""

    def __init__(self, counts: EntryCounts, now: int) -> None:
        self._counts = counts
        self._base, self._since = counts.now(), now

    def freshen(self, now: int) -> None:
        """Begin a new interval here if the present one has become old."""
        if now - self._since >= FRESH_NS:
            self._base, self._since = self._counts.now(), now

    def sample(self, at: Nanos) -> list[Signal]:
        """The interval that ends here, if anything happened in it."""
        now = self._counts.now()
        requests, failed, slow, shed, again = (new - old for new, old in zip(now, self._base, strict=True))
        self._base, self._since = now, at
        if not requests and not shed:
            return []
        return [
            EntrySampled(at=at, requests=requests, failed=failed, slow=slow, shed=shed, retries=min(again, requests))
        ]


class Notes:
    """Fallbacks and relayed failures, summed until they are told."""

    def __init__(self) -> None:
        self._fell_back: dict[str, int] = {}
        self._relayed: dict[tuple[str, str], int] = {}

    def fell_back(self, service: str, count: int) -> None:
        """The application answered without `service`."""
        if service in self._fell_back or len(self._fell_back) < NAMES_MAX:
            self._fell_back[service] = self._fell_back.get(service, 0) + count

    def relayed(self, caller: str, callee: str) -> None:
        """`caller` failed and named `callee` as the cause."""
        key = (caller, callee)
        if key in self._relayed or len(self._relayed) < NAMES_MAX:
            self._relayed[key] = self._relayed.get(key, 0) + 1

    def take(self, at: Nanos) -> list[Signal]:
        """All of them, and begin again."""
        signals: list[Signal] = [
            Relayed(at=at, caller=caller, callee=callee, count=count)
            for (caller, callee), count in self._relayed.items()
        ]
        signals += [FellBack(at=at, service=service, count=count) for service, count in self._fell_back.items()]
        self._relayed.clear()
        self._fell_back.clear()
        return signals


class ServiceTally:
    """The counts of one guard and of those of its endpoints that are not plainly healthy."""

    def __init__(self, service: ServiceGuard, now: int) -> None:
        self._service = service
        self._observed_until: dict[int, int] = {}
        self._rebase(now)

    def observe(self, endpoint: int, now: int) -> None:
        """Report on `endpoint` for a while, however healthy it looks."""
        self._observed_until[endpoint] = now + OBSERVED_NS

    def freshen(self, now: int) -> None:
        """Begin a new interval here if the present one has become old."""
        if now - self._since >= FRESH_NS:
            self._rebase(now)

    def _rebase(self, now: int) -> None:
        self._since = now
        guard = self._service.guard
        self._edge = guard.describe()
        self._endpoints = [guard.endpoint(index) for index in range(len(self._service.endpoints))]

    def sample(self, at: Nanos) -> list[Signal]:
        """The interval that ends here."""
        edge, endpoints = self._edge, self._endpoints
        self._rebase(at)
        name = self._service.name
        signals: list[Signal] = []
        if sample := _sampled(at, Target(name), self._edge, edge, always=False):
            signals.append(sample)
        for index, (new, old) in enumerate(zip(self._endpoints, endpoints, strict=True)):
            always = (
                new["state"] != HEALTHY
                or new["weight"] != 100
                or new["failures"] > old["failures"]
                or self._observed_until.get(index, 0) > at
            )
            if always:
                target = Target(name, self._service.endpoints[index])
                signals += filter(None, [_sampled(at, target, new, old, always=True)])
        return signals


def _sampled(at: Nanos, target: Target, new: dict[str, int], old: dict[str, int], *, always: bool) -> Sampled | None:
    calls = new["calls"] - old["calls"]
    refused = new.get("refused", 0) - old.get("refused", 0)
    if not (always or calls or refused):
        return None
    return Sampled(
        at=at,
        target=target,
        calls=calls,
        failures=new["failures"] - old["failures"],
        slow=new["slow"] - old["slow"],
        in_flight=new["in_flight"],
        refused=refused,
    )
