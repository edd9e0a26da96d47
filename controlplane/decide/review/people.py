"""Who was told what of an incident, when, and who took it: in sentences and as rows."""

from controlplane.model.escalation import Telling
from controlplane.model.incident import Incident
from controlplane.model.unit import Nanos

ROWS_MAX = 100


def sentences(incident: Incident) -> list[str]:
    """Who was told, who could not be, and how far the ladder was climbed; empty: nobody was to be told."""
    first: dict[str, tuple[Nanos, int]] = {}
    failed: dict[str, str] = {}
    waiting = 0
    for telling in incident.told:
        waiting += not telling.delivered
        for one in telling.delivered:
            if not one.ok:
                failed[one.by] = one.reason
            elif one.by != "nobody":
                at, count = first.get(one.by, (one.at, 0))
                first[one.by] = at, count + 1
    lines = []
    if first:
        told = (
            f"{by} {count} notice{'s' * (count > 1)}, first {_after(incident, at)}" for by, (at, count) in first.items()
        )
        lines.append(f"Told: {'; '.join(told)}.")
    if waiting:
        lines.append(f"On their way yet: {waiting} notice{'s' * (waiting > 1)} that nobody has taken.")
    lines += [f"Not reached: {reason or by}." for by, reason in failed.items()]
    return [*lines, *_ladder(incident)]


def rows(incident: Incident) -> list[tuple[str, str, str, str, str]]:
    """(when, how severe, to whom, who had it when, what) of the newest notices."""
    return [
        (
            _after(incident, told.notice.at),
            told.notice.severity,
            "everybody" if told.notice.to is None else ", ".join(told.notice.to) or "nobody yet",
            _had(incident, told),
            told.notice.text,
        )
        for told in incident.told[-ROWS_MAX:]
    ]


def _ladder(incident: Incident) -> list[str]:
    climb = incident.climb
    lines = []
    if climb.ladder:
        rung = f"rung {climb.rung + 1}" if climb.rung >= 0 else "no rung yet"
        lines.append(f"Ladder: {climb.ladder}, {rung}, which has called {', '.join(climb.told) or 'nobody'}.")
    if climb.acknowledged_at is not None:
        lines.append(f"Acknowledged: by {climb.acknowledged_by}, {_after(incident, climb.acknowledged_at)}.")
    elif climb.ladder:
        lines.append("Acknowledged: by nobody.")
    return lines


def _had(incident: Incident, told: Telling) -> str:
    if not told.delivered:
        return "nobody yet"
    return ", ".join(
        f"{one.by} {_after(incident, one.at)}" if one.ok else f"{one.by} never: {one.reason}" for one in told.delivered
    )


def _after(incident: Incident, at: Nanos) -> str:
    return f"+{(at - incident.signal_at) / 1e9:.1f} s"
