"""What users see, beside what is inside: masked failures and the count of harm.

A failure is *masked* while the service that fails can be done without and users of this process do not see it.
"""

import msgspec

from controlplane.model.signal import EntrySampled
from controlplane.model.topology import Service
from controlplane.model.unit import SECOND, Nanos

VISIBLE_PERCENT = 2  # share of failed user requests at which a failure is no longer masked
VISIBLE_REQUESTS = 20  # judged over at least so many
RECENT_NS = 3 * SECOND


class Entry(msgspec.Struct):
    """Recent user requests of this process."""

    samples: list[EntrySampled] = msgspec.field(default_factory=list)

    def observe(self, sample: EntrySampled) -> None:
        """Add a sample and forget those older than RECENT_NS."""
        self.samples = [old for old in self.samples if old.at > sample.at - RECENT_NS][-1000:]
        self.samples.append(sample)

    def visible(self, now: Nanos) -> bool:
        """Whether users see failures now; without enough requests, unknown counts as not visible."""
        recent = [sample for sample in self.samples if sample.at > now - RECENT_NS]
        requests = sum(sample.requests for sample in recent)
        failed = sum(sample.failed for sample in recent)
        return requests >= VISIBLE_REQUESTS and failed * 100 >= VISIBLE_PERCENT * requests


def masked(service: Service, fell_back_at: Nanos | None, entry: Entry, now: Nanos) -> tuple[bool, str]:
    """(whether the failure of `service` is masked now, the reason in words)."""
    answering = fell_back_at is not None and now - fell_back_at <= RECENT_NS
    if not (service.fallback or answering):
        return False, "no fallback answers for it"
    if entry.visible(now):
        return False, "users see failures"
    return (
        True,
        "a fallback answers: users see no error" if answering else "declared as dispensable: users see no error",
    )
