"""An incident in sentences: what was seen, what it was taken for, what was done, what was refused, what it saved."""

from controlplane.decide.safety import explained
from controlplane.decide.state import describe
from controlplane.model.analysis import Impact
from controlplane.model.incident import Containment, Incident, Phase, Stage

SPREAD_SHOWN = 4  # services, the worst first
LATEST = 8  # orders listed; what is in force now matters more than how it began, which the timeline tells


def explain(incident: Incident) -> list[str]:
    """Paragraph by paragraph, for a person at 3 a.m.; the first line alone says the essential."""
    lines = [_headline(incident)]
    lines.append(f"Seen: {'; '.join(incident.evidence[:5])}.")
    if incident.version:
        lines.append(f"Taken for: a bad version, {incident.version}: every failing endpoint runs it and no other one.")
    elif len(incident.touched) > 1:
        lines.append(
            f"Taken for: {incident.cause} at {incident.origin}, touching {', '.join(map(str, incident.touched))}."
        )
    else:
        lines.append(f"Taken for: {incident.cause} at {incident.origin}.")
    lines += _assessed(incident)
    verb = "Would have done" if incident.shadow else "Done"
    done = [describe(command) for command in incident.commands]
    earlier = f"{len(done) - LATEST} orders before, then " if len(done) > LATEST else ""
    lines.append(f"{verb}: {earlier}{'; '.join(done[-LATEST:]) or 'nothing'}.")
    lines += explained(incident.refused)
    if aside := [f"{one.overrides} for {describe(one)}" for one in incident.commands if one.overrides]:
        lines.append(f"Set aside by a person: {'; '.join(aside)}.")
    if incident.masked:
        lines.append(f"Masked: {incident.masked_reason}. {incident.fallbacks} answers came from the fallback.")
    lines.append(f"Users: {_users(incident)}.")
    if incident.effective_at is not None:
        taken = (incident.effective_at - incident.signal_at) / 1e6
        lines.append(f"From {taken:.3f} ms after the deciding signal on, no call was treated as before.")
    return lines + [
        f"Next: {held.target} {_next(held)} ({held.relapses} relapses so far)."
        for held in incident.containments.values()
        if incident.phase is not Phase.CLOSED
    ]


def _assessed(incident: Incident) -> list[str]:
    """What the dependency graph said last."""
    analysis = incident.analysis
    if analysis is None or not analysis.origins:
        return []
    first = analysis.origins[0]
    evidence = f": {'; '.join(first.evidence[:2])}" if first.evidence else ""
    others = ", ".join(f"{origin.service} {origin.score:.0%}" for origin in analysis.origins[1:3])
    lines = [f"Graph: {first.score:.0%} of the blame is {first.service}'s{evidence}{f' ({others})' if others else ''}."]
    felt = [one for one in analysis.blast if one.service != first.service][:SPREAD_SHOWN]
    if felt:
        lines.append(f"Spreads to: {', '.join(_felt(one) for one in felt)}.")
    if analysis.reproduction_number is not None:
        clears = "it will not clear when its cause is gone" if analysis.metastable else "it clears with its cause"
        lines.append(f"Feeds itself: R {analysis.reproduction_number:.2f}; {clears}.")
    if analysis.shared:
        lines.append(f"Shared: {'; '.join(analysis.shared)}.")
    weighed = "; ".join(analysis.plan) or f"nothing is worth doing: {analysis.plan_reason}"
    return [*lines, f"Weighed: {weighed}."]


def _felt(impact: Impact) -> str:
    if impact.metric == "availability":
        return f"{impact.service} ({impact.expected:.1%} of requests fail)"
    return f"{impact.service} (+{impact.expected * 1000:.3g} ms)"


def _next(held: Containment) -> str:
    """Where a containment stands, and what has to happen for it to go on."""
    if held.overload:
        return "has a limit that adapts; it is lifted once answers are clean and the limit refuses hardly anybody"
    return {
        Stage.HOLD: f"is held for {held.penalty_ns / 1e9:g} s, then a few real requests may try it",
        Stage.PROBE: "waits for a few real requests to succeed; without traffic, set probe_path so that it is asked",
        Stage.RAMP: f"gets {held.percent} % of its traffic, and more after clean time and clean calls",
        Stage.FULL: "has all of its traffic back, and is verified after a while without a failure",
        Stage.VERIFIED: "is verified",
    }[held.stage]


def _headline(incident: Incident) -> str:
    state = {
        Phase.DETECTED: "was detected and nothing holds it yet",
        Phase.CONTAINED: "is contained",
        Phase.RECOVERING: "is recovering in stages",
        Phase.VERIFIED: "has recovered",
        Phase.CLOSED: "is closed",
    }[incident.phase]
    shadow = " (observe only: nothing was done)" if incident.shadow else ""
    escalated = " A person is needed: the remedy did not help." if incident.escalated else ""
    return f"{incident.id}: {incident.origin} {state}{shadow}; cause: {incident.cause}.{escalated}"


def _users(incident: Incident) -> str:
    """Good requests are summed in memory until one is harmed or the incident closes: no count before that is whole."""
    harmed = f"{incident.user_failed} failed and {incident.user_slow} slow"
    if incident.phase is Phase.CLOSED:
        return f"{harmed} of {incident.user_requests} requests while it was open"
    return f"{harmed} so far"
