"""Two clocks across a restart: what is decided goes by the monotonic one, and a wall clock that was set is told."""

from controlplane.decide.state import State
from controlplane.model.unit import SECOND

STEP_NS = 5 * SECOND  # a clock that is disciplined drifts less between two starts


def shift_ns(state: State, now: int, boot: str, wall_ns: int) -> int:
    """What to add to times on record so that they compare with `now`. A clock stepped back never lengthens a lease."""
    if state.epoch == 0 or state.boot == boot:
        return 0
    elapsed = max(0, wall_ns - (state.last_at + state.wall_offset_ns))
    return now - (state.last_at + elapsed)


def stepped(state: State, now: int, boot: str, wall_ns: int) -> str:
    """That the wall clock was set since the last start, in words; empty: not that it could be known.

    Within one boot the monotonic clock tells. After another boot only a step back does: one ahead looks like a rest.
    """
    if state.epoch == 0:
        return ""
    if state.boot == boot:
        step = wall_ns - now - state.wall_offset_ns
        known = "it was set, or the machine slept; leases go by the monotonic clock, and are as they were"
    else:
        step = min(0, wall_ns - (state.last_at + state.wall_offset_ns))
        known = "the time since the last record is not known; no lease became longer by it"
    if abs(step) < STEP_NS:
        return ""
    ahead = "ahead" if step > 0 else "back"
    return f"the wall clock went {ahead} by {abs(step) / SECOND:.0f} s since the last start: {known}"
