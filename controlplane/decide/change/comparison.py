"""One deploy under watch: the sums of its tests, and whether they clear the version of what it is accused of."""

import msgspec

from controlplane.decide.change.sequential import Evidence, worse
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
        """Whether side by side `version` does no worse than the others, however bad it is by itself.

        A version that ran before the deploy is cleared in any case: rolling it back would bring the new one everywhere.
        """
        if version != self.version:
            return True
        sums = [one for one in (self.errors, self.slow, *self.last) if one.new_calls and one.old_calls]
        return not any(_accuses(one) for one in sums)


def _accuses(sums: Evidence) -> bool:
    new, old = sums.new_bad / sums.new_calls, sums.old_bad / sums.old_calls
    return sums.value >= CONFIRM_NATS and worse(new, old)


Comparisons = dict[str, Comparison]
