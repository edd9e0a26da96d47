"""The outbox: what people are to be told stays on record as untold until every notifier has it, or has given up.

At least once: a notice that was delivered in the instant before a crash is delivered again, with the same key.
"""

from controlplane.decide.draft import Draft
from controlplane.model.record import NoticeDelivered
from controlplane.model.signal import Told


def told(draft: Draft, signal: Told) -> None:
    """A notice is out of our hands."""
    if signal.key in draft.state.untold:
        draft.record(
            NoticeDelivered(
                at=draft.now, key=signal.key, by=signal.by, ok=signal.ok, reason=signal.reason, last=signal.last
            )
        )


def tell_again(draft: Draft) -> None:
    """After a restart: what was on its way when the process ended. It is on record already."""
    for notice in draft.state.untold.values():
        draft.hand_out(notice)
