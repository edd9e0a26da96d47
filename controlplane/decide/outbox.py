"""The outbox: what people are to be told stays on record as untold until every notifier has it, or has given up.

At least once: a notice that was delivered in the instant before a crash is delivered again, with the same key.
"""

import msgspec

from controlplane.decide.draft import Draft
from controlplane.model.notice import Notice
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
        draft.hand_out(notice if notice.id else msgspec.structs.replace(notice, id=_id_of(draft, notice)))


def _id_of(draft: Draft, notice: Notice) -> str:
    """Of one that was issued before notices had ids."""
    plain = "".join(char if char.isascii() and char.isalnum() else "_" for char in notice.key)
    return f"{draft.state.born:x}-{plain}"
