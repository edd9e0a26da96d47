"""One deploy under watch: the sums of its tests, and whether they clear the version of what it is accused of."""

import msgspec

from controlplane.decide.change.sequential import THETAS, Evidence, Stratum, increment, worse
from controlplane.model.unit import Nanos

CONFIRM_NATS = 3.0  # for a version that verdicts accuse: 20 to 1, on top of theirs


class Comparison(msgspec.Struct):
    """`rows` are calls, failures and slow ones of each endpoint since the test began; `last` are the sums of the test
    before. `before` are calls and failures of the old version, `after` those of the new one once it runs alone."""

    change: str
    version: str
    began_at: Nanos
    test: int = 1
    first_at: Nanos | None = None
    errors: Evidence = msgspec.field(default_factory=Evidence)
    slow: Evidence = msgspec.field(default_factory=Evidence)
    last: tuple[Evidence, ...] = ()
    rows: dict[str, list[int]] = msgspec.field(default_factory=dict)
    before: list[int] = msgspec.field(default_factory=lambda: [0, 0])
    after: Evidence = msgspec.field(default_factory=Evidence)
    told: bool = False

    def clears(self, version: str) -> bool:
        """Whether side by side `version` does no worse than the others, however bad it is by itself."""
        sums = [one for one in (self.errors, self.slow, *self.last) if one.new_calls and one.old_calls]
        accuses = _accuses_new if version == self.version else _accuses_old
        return bool(sums) and not any(accuses(one) for one in sums)


def _accuses_new(sums: Evidence) -> bool:
    new, old = sums.new_bad / sums.new_calls, sums.old_bad / sums.old_calls
    return sums.value >= CONFIRM_NATS and worse(new, old)


def _accuses_old(sums: Evidence) -> bool:
    """The other way round, over the whole test at once: a rough figure, which only confirms what verdicts say."""
    new, old = sums.new_bad / sums.new_calls, sums.old_bad / sums.old_calls
    pooled = Stratum(sums.old_calls, sums.old_bad, sums.new_calls, sums.new_bad)
    return max(increment(pooled, theta) for theta in THETAS) >= CONFIRM_NATS and worse(old, new)


Comparisons = dict[str, Comparison]
