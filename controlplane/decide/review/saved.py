"""What acting saved, as far as anybody can know: harm that was foreseen without it beside harm that was seen.

The first is an estimate: it takes the share of users' requests that the assessment expected to fail if nothing was
done, for as long as the incident was open. It overstates what would have ended by itself, and understates what would
have spread. So both numbers and the words say which is which, and without an assessment there is no number.
"""

import msgspec

from controlplane.decide.review.case import Case
from controlplane.decide.review.timing import closed, shares
from controlplane.model import record as on
from controlplane.model.incident import Incident
from controlplane.model.recording import Metric, Recording


class Saved(msgspec.Struct, frozen=True):
    """Users' requests while it was open, of which `seen` failed or were slow and `foreseen` would have failed."""

    requests: int
    seen: int
    foreseen: int
    share: float
    entry: str

    @property
    def spared(self) -> int:
        """The difference, which is no less than nothing."""
        return max(0, self.foreseen - self.seen)


def foreseen(case: Case) -> dict[tuple[str, Metric], float]:
    """What each service was expected to show if nothing was done, at most: later assessments see what acting did."""
    found: dict[tuple[str, Metric], float] = {}
    for entry in case.entries:
        if isinstance(entry.record, on.Assessed) and entry.record.incident == case.incident.id:
            for one in entry.record.analysis.blast:
                key = one.service, one.metric
                found[key] = max(found.get(key, 0.0), one.expected)
    return found


def saved(case: Case) -> Saved | None:
    """What acting saved users; None: nothing was done, it is not over, or there are no figures to foresee from."""
    incident, entry = case.incident, _entry(case.window)
    if incident.shadow or incident.analysis is None or not entry or not incident.user_requests or not closed(incident):
        return None
    share = min(1.0, foreseen(case).get((entry, "availability"), 0.0))
    seen = incident.user_failed + incident.user_slow
    return Saved(incident.user_requests, seen, round(share * incident.user_requests), share, entry)


def spared_calls(case: Case) -> list[str]:
    """Calls that were kept from each target that was held back, in words."""
    held: dict[str, float] = {}
    for one in shares(case):
        if not case.incident.shadow:
            lost = (100 - one.percent) / 100 * max(0.0, one.until_s - one.from_s)
            held[one.target] = held.get(one.target, 0.0) + lost
    lines = []
    for target, seconds in held.items():
        if seconds <= 0:
            continue
        service, _, endpoint = target.partition("/")
        rate = _usual(case.window, service)
        of = f"as much as all of its traffic in {seconds:.1f} s"
        if rate is None:
            lines.append(f"{target}: {of}; nobody wrote down how much that is")
        elif endpoint:
            lines.append(f"{target}: {of}, its share of {service}'s usual {rate:.3g} calls/s")
        else:
            lines.append(f"{target}: {of}, about {rate * seconds:.0f} calls at the usual {rate:.3g} calls/s")
    return lines


def sentence(case: Case) -> str:
    """What was saved, in one sentence that says what of it is an estimate."""
    incident = case.incident
    if incident.shadow:
        return "Nothing was done, so nothing was saved"
    found = saved(case)
    if found is None:
        return f"What it saved is not estimated: {_why_not(incident)}"
    if found.foreseen == 0:
        return f"Users' requests were not expected to fail by it; {found.seen} of {found.requests} failed or were slow"
    return (
        f"Estimated: without a response {found.share:.1%} of the {found.requests} users' requests at {found.entry} "
        f"would have failed, {found.foreseen}; {found.seen} failed or were slow, so about {found.spared} were spared"
    )


def _why_not(incident: Incident) -> str:
    if not closed(incident):
        return "users' requests are counted when it closes"
    if incident.analysis is None:
        return "the dependency graph had no figures of it"
    return "nobody told where users come in" if incident.user_requests else "no user's request was counted"


def _entry(window: Recording | None) -> str:
    return (window.entry.service or "") if window is not None and window.entry is not None else ""


def _usual(window: Recording | None, service: str) -> float | None:
    """Requests per second of `service` before the incident."""
    if window is None or service not in window.services:
        return None
    rows = window.service_signals.get("requests", [])[: window.incident_at]
    column = window.services.index(service)
    known = [value for row in rows if (value := row[column]) is not None]
    return sum(known) / len(known) / window.bucket_s if known else None
