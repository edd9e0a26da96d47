"""An incident in sentences: what was seen, what it was taken for and how surely, what was done and by which reason,
what was refused by which rule, what it saved, where it stands and what it waits for."""

from controlplane.decide import safety
from controlplane.decide.detection.detect import FALSE_ALARM
from controlplane.decide.review import people, saved, timing
from controlplane.decide.review.case import Case
from controlplane.decide.state import describe
from controlplane.model.analysis import Impact
from controlplane.model.command import Command
from controlplane.model.incident import Containment, Incident, Stage
from controlplane.model.signal import Cause

SPREAD_SHOWN = 4  # services, the worst first
LATEST = 8  # orders listed; what is in force now matters more than how it began, which the timeline tells
WAITS_SHOWN = 5

STEPPED = {
    "ordered": "was ordered",
    "shadow": "would have been ordered",
    "holds": "held already",
    "refused": "was refused",
    "told": "was told",
    "by_hand": "was left to people",
}

_STANDS = {
    # by the names of phases: those of today, and those that older journals have
    "detection": "was detected and nothing is ordered yet",
    "detected": "was detected and nothing holds it yet",
    "containment": "is not contained yet",
    "communication": "was answered, and people are being told",
    "stabilization": "was answered, and may still spread",
    "contained": "is contained",
    "recovery": "spreads no more and is recovering",
    "recovering": "is recovering in stages",
    "verified": "has recovered",
}


def explain(incident: Incident, case: Case | None = None) -> list[str]:
    """Paragraph by paragraph, for a person at 3 a.m.; the first line alone says the essential.

    With `case`, what is on record about it, also what acting saved and what recovery waited for.
    """
    lines = [_headline(incident), f"Seen: {'; '.join(incident.evidence[:5])}.", _taken_for(incident), _surely(incident)]
    lines += [*_children(incident), *_assessed(incident)]
    lines += [*_playbooks(incident), *_enacted(incident), *_done(incident)]
    lines += safety.explained(incident.refused)
    lines += _posture(incident)
    if incident.masked:
        lines.append(f"Masked: {incident.masked_reason}. {incident.fallbacks} answers came from the fallback.")
    lines.append(f"Users: {_users(incident)}.")
    lines += people.sentences(incident)
    if case is not None:
        lines.append(f"Saved: {saved.sentence(case)}.")
        lines += [f"Kept off {line}." for line in saved.spared_calls(case)]
    if incident.effective_at is not None:
        taken = (incident.effective_at - incident.signal_at) / 1e6
        lines.append(f"From {taken:.3f} ms after the deciding signal on, no call was treated as before.")
    return lines + _waits(incident, case)


def _posture(incident: Incident) -> list[str]:
    lines = []
    for one in incident.findings:
        over = "" if one.over_at is None else f" Over after {(one.over_at - one.since) / 1e9:.3f} s: {one.over}."
        lines.append(f"Posture: {one}.{over}")
    return lines


def _headline(incident: Incident) -> str:
    merged = getattr(incident, "merged_into", "")
    stands = f"is part of {merged}" if merged else "is closed" if timing.closed(incident) else ""
    stands = stands or _STANDS.get(str(incident.phase), f"is in {incident.phase}")
    if incident.unfinished and not timing.closed(incident):
        stands += f", and its recovery is incomplete ({', '.join(incident.unfinished)})"
    shadow = " (observe only: nothing was done)" if incident.shadow else ""
    return f"{incident.id}: {incident.origin} {stands}{shadow}; cause: {incident.cause}.{_person(incident)}"


def _person(incident: Incident) -> str:
    if not incident.escalated:
        return ""
    said = (moment.what.partition(": ")[2] for moment in incident.timeline if moment.what.startswith("escalated"))
    return f" A person {'was' if timing.closed(incident) else 'is'} needed: {ended(next(said, 'see the timeline'))}"


def _taken_for(incident: Incident) -> str:
    if incident.version:
        return f"Taken for: a bad version, {incident.version}: every failing endpoint runs it and no other one."
    touching = f", touching {', '.join(map(str, incident.touched))}" if len(incident.touched) > 1 else ""
    return f"Taken for: {incident.cause} at {incident.origin}{touching}."


def _surely(incident: Incident) -> str:
    """How sure that is: what a verdict's test promises, and who else says so."""
    if incident.cause is Cause.DEPENDENCY:
        return "How surely: those that relayed its failures named it, or its share of their excess says so; see Graph."
    verdicts = len(incident.touched)
    several = f", met by {verdicts} targets each for itself" if verdicts > 1 else ""
    return f"How surely: by tests that take healthy traffic for this once in {1 / FALSE_ALARM:,.0f} calls{several}."


def _children(incident: Incident) -> list[str]:
    """Further alerts of the same cause, and which of them had been incidents of their own."""
    children = list(getattr(incident, "children", ()))
    if not children:
        return []
    merged = sorted({str(child.incident) for child in children if child.incident})
    own = f", among them what had been {', '.join(merged)}" if merged else ""
    return [f"Children: {len(children)} further alert{'' if len(children) == 1 else 's'} of the same cause{own}."]


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


def _playbooks(incident: Incident) -> list[str]:
    """Which playbooks fitted, and what became of their steps; or why one was not used."""
    lines = []
    for one in getattr(incident, "playbooks", ()):
        owner = f" (owner: {one.owner})" if one.owner else ""
        if one.unmet:
            lines.append(f"Playbook {one.playbook}{owner} fitted and was not used: {'; '.join(one.unmet)}.")
            continue
        taken = ", ".join(f"step {number} {STEPPED[how]}" for number, how in sorted(one.steps.items()))
        shadow = ", in shadow" if one.shadow else ""
        lines.append(f"Playbook {one.playbook}{owner}{shadow}: {taken or 'no step was due'}.")
    return lines


def _enacted(incident: Incident) -> list[str]:
    """The weighed plan that was ordered, whether it did what was expected of it, and what it left to people."""
    plan, lines = getattr(incident, "plan", None), []
    if plan is not None:
        did = {None: "whether it helped is not known yet", True: "it helped", False: "it did not help"}[plan.helped]
        expected = f"{plan.harm:.3g} harmed requests/s were to become {plan.expected:.3g}"
        lines.append(f"{'Plan, only written down' if plan.shadow else 'Plan'}: {plan.text}; {expected}; {did}.")
    by_hand = list(getattr(incident, "by_hand", ()))
    return [*lines, f"Left to people: {'; '.join(by_hand)}."] if by_hand else lines


def _done(incident: Incident) -> list[str]:
    """What was ordered to hold it, each with its reason, and what has been given back since."""
    holding = [command for command in incident.commands if timing.contains(command)]
    giving = [command for command in incident.commands if not timing.contains(command)]
    verb = "Would have done" if incident.shadow else "Done"
    earlier = f"{len(holding) - LATEST} orders before, then " if len(holding) > LATEST else ""
    told = "; ".join(f"{describe(command)}{how(command)}" for command in holding[-LATEST:])
    lines = [f"{verb}: {earlier}{told or 'nothing'}."]
    if giving:
        earlier = f"{len(giving) - LATEST} steps before, then " if len(giving) > LATEST else ""
        lines.append(f"Given back: {earlier}{'; '.join(describe(command) for command in giving[-LATEST:])}.")
    return lines


def ended(sentence: str) -> str:
    """`sentence` with a full stop, unless it ends in something like it."""
    return sentence if sentence.endswith((".", "?", "!")) else f"{sentence}."


def times(count: int) -> str:
    """How often, in words where there is one."""
    return "once" if count == 1 else f"{count} times"


def how(command: Command) -> str:
    """Why an order was given, how far it is enforced, and what a person set aside for it."""
    said = f" because {command.evidence}" if command.evidence else ""
    if command.reflex:
        said += " (the guard had acted by reflex; this confirms it)"
    if command.playbook:
        said += f" (by playbook {command.playbook})"
    if command.enforcement == "percent":
        said += f" (for {command.percent} % of calls)"
    elif command.enforcement == "shadow":
        said += " (only written down)"
    if command.overrides:
        said += f" (a person set {command.overrides} aside for it)"
    return said


def _users(incident: Incident) -> str:
    """Good requests are summed in memory until one is harmed or the incident closes: no count before that is whole."""
    harmed = f"{incident.user_failed} failed and {incident.user_slow} slow"
    if timing.closed(incident):
        return f"{harmed} of {incident.user_requests} requests while it was open"
    return f"{harmed} so far"


def _waits(incident: Incident, case: Case | None) -> list[str]:
    """What it waits for, or, once it is closed, what it waited for."""
    if timing.closed(incident):
        spans = timing.waits(case) if case is not None else []
        more = f"; and {len(spans) - WAITS_SHOWN} more" if len(spans) > WAITS_SHOWN else ""
        told = "; ".join(
            f"{span.what} for {span.lasted_s:.1f} s ({span.reason})"
            for span in spans[:WAITS_SHOWN]
            if span.lasted_s is not None
        )
        return [f"Recovery waited for: {told}{more}."] if told else []
    lines = [ended(f"Waits for {what}: {reason}") for what, reason in incident.unfinished.items()]
    return lines + [
        f"Next: {held.target} {_next(held)} ({held.relapses} relapses so far)."
        for held in incident.containments.values()
    ]


def _next(held: Containment) -> str:
    """Where a containment stands, and what has to happen for it to go on."""
    if held.overload:
        return "has a limit that adapts; it is lifted once answers are clean and the limit refuses hardly anybody"
    hold_s = (held.hold_ns or held.penalty_ns) / 1e9
    return {
        Stage.HOLD: f"is held for {hold_s:.3g} s, then a few real requests may try it",
        Stage.PROBE: "waits for a few real requests to succeed; without traffic, set probe_path so that it is asked",
        Stage.RAMP: f"gets {held.percent} % of its traffic, and more after clean time and clean calls",
        Stage.FULL: "has all of its traffic back, and is verified after a while and clean calls",
        Stage.VERIFIED: "is verified",
    }[held.stage]
