"""The post-incident report: one incident in Markdown, from what is on record and nothing else.

It states facts, and marks the one estimate as such. What should be done better is for people to say; what they will
have to look at is listed at the end, each point with the fact that it rests on.
"""

from controlplane.decide.review import people, saved, timing
from controlplane.decide.review.case import Case
from controlplane.decide.review.explain import ended, explain, how, times
from controlplane.decide.review.markdown import line, listed, plain, section, table
from controlplane.decide.review.wall import lasted, utc
from controlplane.decide.state import describe
from controlplane.model import record as on
from controlplane.model.incident import Incident

LINES_MAX = 200  # of the timeline: the whole of it is in the journal
PICTURE = "The timeline as a picture"


def report(case: Case, *, picture: str = "") -> str:
    """The report as Markdown text. `picture` is the address of its timeline as an image; empty: none is shown."""
    incident = case.incident
    title = f"# Incident {plain(incident.id)}: {plain(incident.origin)}, {plain(incident.cause)}"
    lines = [
        title,
        "",
        *section("Summary", [line(explain(incident)[0])], _summary(case)),
        *section("Impact", _impact(case)),
        *section("Blast radius", _blast(case)),
        *section("Phases", _phases(case), _times(incident)),
        *section("Response times", _figures(case)),
        *section("What was seen, and what it was taken for", listed(_judged(case))),
        *section("Orders", _orders(case)),
        *section("Refused", _refused(case)),
        *section("Recovery", _stages(case), _waits(case)),
        *section("People", _told(case)),
        *section("Timeline", [f"![{PICTURE}]({picture})"] if picture else [], _timeline(case)),
        *section("Follow-ups", listed(follow_ups(case))),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _summary(case: Case) -> list[str]:
    incident = case.incident
    over = timing.closed(incident)
    whole_s = (case.ends_ns - case.began_ns) / 1e9
    rows = [
        ("Deciding signal", utc(case.began_ns)),
        ("Closed" if over else "Last on record", utc(case.ends_ns)),
        ("Lasted" if over else "Lasts, so far", lasted(whole_s)),
        ("Mode", "observe: nothing was done" if incident.shadow else "enforce"),
        ("Seen by users", f"no: {incident.masked_reason}" if incident.masked else "not masked when last looked at"),
        ("Targets", ", ".join(map(str, incident.touched))),
    ]
    if incident.version:
        rows.append(("Bad version", incident.version))
    return table(("What", "Value"), rows)


def _impact(case: Case) -> list[str]:
    incident = case.incident
    whole = str(incident.user_requests) if timing.closed(incident) else "not counted before it closes"
    rows = [
        ("users' requests while it was open", whole),
        ("of them failed", incident.user_failed),
        ("of them slow", incident.user_slow),
        ("answers from a fallback", incident.fallbacks),
    ]
    more = [f"{saved.sentence(case)}.", *(f"Kept off {line}." for line in saved.spared_calls(case))]
    return [*table(("What", "Count"), rows), "", *listed(more)]


def _blast(case: Case) -> list[str]:
    reached: list[str] = list(getattr(case.incident, "reached", ()))
    rows: dict[str, list[str]] = {}
    for (service, metric), expected in saved.foreseen(case).items():
        said = f"{expected:.1%} fail" if metric == "availability" else f"+{expected * 1000:.3g} ms"
        rows.setdefault(service, []).append(said)
    names = sorted({*rows, *reached})
    if not names:
        return ["The dependency graph had no figures to foresee it from, and none in which it was seen elsewhere."]
    head = ("Service", "Foreseen if nothing was done", "Seen while it was open")
    seen = {name: ("yes" if name in reached else "no") if reached else "not measured" for name in names}
    return table(head, [(name, ", ".join(rows.get(name, ["nothing"])), seen[name]) for name in names])


def _phases(case: Case) -> list[str]:
    rows = [
        (span.what, f"+{span.from_s:.3f} s", "" if span.what == "closed" else lasted(span.lasted_s), span.reason)
        for span in timing.phases(case)
    ]
    return table(("Phase", "Entered", "Lasted", "Because"), rows)


def _times(incident: Incident) -> list[str]:
    found = [(name, getattr(incident, f"to_{name}_ns", None)) for name in ("detect", "contain", "stabilize", "recover")]
    return table(("Time to", "Took"), [(name, lasted(ns / 1e9)) for name, ns in found if ns is not None])


def _figures(case: Case) -> list[str]:
    rows = [
        (one.what, one.count, *(f"{ms:.3f}" for ms in (one.p50_ms, one.p90_ms, one.p99_ms, one.max_ms)))
        for one in timing.response_times(case)
    ]
    return table(("Of the orders that held something back", "Count", "p50 ms", "p90 ms", "p99 ms", "max ms"), rows)


def _judged(case: Case) -> list[str]:
    """The explanation without what has a section of its own."""
    elsewhere = ("Done", "Would have done", "Given back", "Refused", "Users", "Next", "Waits", "Recovery")
    return [line for line in explain(case.incident)[1:] if not line.startswith(elsewhere)]


def _orders(case: Case) -> list[str]:
    rows = [
        (
            f"+{story.at_s:.3f} s",
            describe(story.command) + how(story.command),
            _lease(story),
            type(story.command.undo).__name__.lower(),
            story.outcome,
        )
        for story in timing.stories(case)
    ]
    return table(("Issued", "Order", "Lease", "Undo", "Outcome"), rows)


def _lease(story: timing.OrderStory) -> str:
    renewed = f", renewed {times(story.renewals)}" if story.renewals else ""
    return f"{story.lease_s:.3g} s{renewed}"


def _refused(case: Case) -> list[str]:
    rows = [
        (
            f"+{case.after_s(entry.wall_ns):.3f} s",
            f"{type(entry.record.intent).__name__.lower()} {entry.record.target}",
            entry.record.rule,
            entry.record.reason,
        )
        for entry in case.entries
        if isinstance(entry.record, on.CommandRefused)
    ]
    rows.sort(key=lambda row: row[2])  # rule by rule, each in its order
    return table(("When", "Wanted", "Rule", "Because"), rows)


def _stages(case: Case) -> list[str]:
    rows = [
        (
            one.target,
            one.stage,
            f"{one.percent} %",
            f"+{one.from_s:.1f} s",
            lasted(one.until_s - one.from_s),
            one.reason,
        )
        for one in timing.shares(case)
    ]
    return table(("Target", "Stage", "Traffic", "From", "For", "Because"), rows)


def _waits(case: Case) -> list[str]:
    rows = [(span.what, f"+{span.from_s:.1f} s", lasted(span.lasted_s), span.reason) for span in timing.waits(case)]
    return table(("Recovery waited for", "From", "For", "Because"), rows)


def _told(case: Case) -> list[str]:
    return table(("After the signal", "Severity", "To", "Had by", "What"), people.rows(case.incident))


def _timeline(case: Case) -> list[str]:
    rows = [(utc(one.wall_ns), f"{case.after_s(one.wall_ns):+.3f} s", one.what) for one in case.lines[:LINES_MAX]]
    more = len(case.lines) - LINES_MAX
    lines = table(("UTC", "After the signal", "What"), rows)
    return [*lines, "", f"And {more} lines more, in the journal."] if more > 0 else lines


def follow_ups(case: Case) -> list[str]:
    """What people will have to look at, as facts."""
    incident, found = case.incident, []
    for entry in case.entries:
        match entry.record:
            case on.Escalated() as record:
                found.append(f"It needed a person: {record.reason}")
            case on.JournalGap() as record:
                found.append(f"{record.records} records are lost: {record.reason}. This report does not know them.")
            case on.CommandAcknowledged(ok=False) as record:
                found.append(f"Order {record.command} was not taken: {record.reason}")
            case on.RollbackEnded(ok=False) as record:
                found.append(f"The roll-back {record.command} failed: {record.reason}")
            case on.ConditionChanged(well=True) as record if record.reason.startswith("given up"):
                found.append(f"Whether {record.what} is well again is unknown: {record.reason}")
    found += [
        f"Rule {rule.partition(':')[0]} refused what was wanted:{rule.partition(':')[2]}" for rule in incident.refused
    ]
    found += [f"Left to people: {step}" for step in getattr(incident, "by_hand", ())]
    for held in incident.containments.values():
        if held.relapses:
            penalty = held.penalty_ns / 1e9
            found.append(f"{held.target} relapsed {times(held.relapses)} and leaves a penalty of {penalty:.3g} s.")
    if incident.analysis is not None and incident.analysis.metastable:
        found.append("It would not have cleared when its cause was gone: retries or a queue keep it alive.")
    if incident.shadow:
        found.append("It was only observed: nothing of what is ordered above was carried out.")
    if not timing.closed(incident):
        found.append("It is still open.")
    return [ended(one) for one in dict.fromkeys(found)] or ["Nothing on record asks for a person."]
