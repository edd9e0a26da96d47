"""What people order: freeze and mode, holds, and rules set aside for a while. Each order is on record, and told.

What ends by itself ends on record, too: a person who reads the journal later finds when the glass was whole again.
"""

from controlplane.decide import reconcile, safety
from controlplane.decide.draft import Draft
from controlplane.decide.evidence import Evidence
from controlplane.model.record import OrderTaken
from controlplane.model.signal import Ordered, PersonOrder, Target
from controlplane.model.unit import SECOND, Nanos

BY_TIME = "controlplane"  # who ends what ends by itself


def ordered(draft: Draft, evidence: Evidence, signal: Ordered) -> None:
    """Take a person's order. One that makes no sense changes nothing and is answered with what is wrong."""
    wrong = safety.wrong_order(
        signal.order, signal.target, signal.rule, signal.for_ns, topology=draft.topology, never=safety.NEVER
    )
    if wrong:
        draft.notice(None, "warning", f"{signal.by} ordered {signal.order}, not taken: {wrong}", f"order:{draft.now}")
        return
    until = Nanos(draft.now + signal.for_ns) if signal.for_ns and signal.order in ("hold", "override") else None
    draft.record(
        OrderTaken(
            at=draft.now,
            order=signal.order,
            by=signal.by,
            reason=signal.reason,
            target=signal.target,
            rule=signal.rule,
            until=until,
        )
    )
    what = _what(signal.order, signal.rule, signal.target)
    lasts = f" for {signal.for_ns / SECOND:g} s" if until is not None else ""
    text = f"{signal.by} ordered {what}{lasts}: {signal.reason or 'no reason given'}"
    severity = "critical" if signal.order == "override" else "info"
    draft.notice(None, severity, text, f"order:{draft.now}")  # the same order again is news
    reconcile.follow_mode(draft, evidence)


def lapse(draft: Draft) -> None:
    """End holds and overrides whose time is over."""
    standing = draft.state.standing
    for hold in list(standing.holds.values()):
        if hold.until is not None and hold.until <= draft.now:
            _end(draft, "release", "", hold.target, hold.by)
    for override in list(standing.overrides.values()):
        if override.until <= draft.now:
            _end(draft, "revoke", override.rule, override.target, override.by)


def _end(draft: Draft, order: PersonOrder, rule: str, target: Target | None, by: str) -> None:
    reason = f"the time that {by} gave it is over"
    draft.record(OrderTaken(at=draft.now, order=order, by=BY_TIME, reason=reason, target=target, rule=rule))
    draft.notice(None, "info", f"{_what(order, rule, target)}: {reason}", f"{order}:{rule}:{target}:{draft.now}")


def _what(order: PersonOrder, rule: str, target: Target | None) -> str:
    if order in ("freeze", "resume", "enforce", "observe"):
        return order
    about = "everything" if target is None else str(target)
    return f"{order} {rule} for {about}" if rule else f"{order} {about}"
