"""What users of this process have lately seen."""

import msgspec

from controlplane.model.signal import EntrySampled
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
        recent = self._recent(now)
        return self._shows(recent, sum(sample.failed for sample in recent))

    def slow(self, now: Nanos) -> bool:
        """Whether users wait long now; without enough requests, unknown counts as no."""
        recent = self._recent(now)
        return self._shows(recent, sum(sample.slow for sample in recent))

    def few(self, now: Nanos) -> bool:
        """Whether there are too few requests to tell."""
        return sum(sample.requests for sample in self._recent(now)) < VISIBLE_REQUESTS

    def _recent(self, now: Nanos) -> list[EntrySampled]:
        return [sample for sample in self.samples if sample.at > now - RECENT_NS]

    def _shows(self, recent: list[EntrySampled], bad: int) -> bool:
        requests = sum(sample.requests for sample in recent)
        return requests >= VISIBLE_REQUESTS and bad * 100 >= VISIBLE_PERCENT * requests
