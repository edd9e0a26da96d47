"""What has been seen but not yet decided on. Not on record: a restart begins to collect it anew."""

from collections.abc import Collection

import msgspec

from controlplane.decide.blame import RelayedCounts
from controlplane.decide.change.comparison import Comparisons
from controlplane.decide.detection.alert import Alerts
from controlplane.decide.detection.detect import Cusum, Detector
from controlplane.decide.detection.expected import Expected
from controlplane.decide.drift.memory import Fingerprints
from controlplane.decide.feedback.storm import Storms
from controlplane.decide.graph.live import DependencyGraph
from controlplane.decide.impact import Entry
from controlplane.decide.penalty import Credits
from controlplane.decide.recovery import Traffic
from controlplane.decide.waiting import Waiting
from controlplane.model.incident import Incident
from controlplane.model.signal import CallsFinished, Cause, EdgeSampled, ProbeFinished, Sampled, Target, Tripped
from controlplane.model.unit import SECOND, IncidentId, Nanos

LATELY_NS = 5 * SECOND  # of calls: longer ago is not now
HEARD_MAX = 1000  # samples kept of one service: its callers tell once a second each
ASKED_NS = 10 * SECOND  # an answer to a probe says nothing of what is later
ACTIVE_NS = Nanos(3 * SECOND)  # a failure that goes on is seen again within this time, or hurts nobody
WELL_CALLS = 5  # in one sample, all of them well: a verdict about that endpoint is out of date
RETRY_NS_MAX = 30 * SECOND  # between attempts at an order that a data plane does not take


class Lately(msgspec.Struct):
    """Calls to one service over some seconds; `latency_ns` is the sum over `timed` of them."""

    calls: int = 0
    failures: int = 0
    timed: int = 0
    latency_ns: int = 0


class LateRow(msgspec.Struct):
    """Verdicts about late endpoints of one service that follow each other, and its calls that ended meanwhile."""

    since: Nanos
    last: Nanos
    traffic: Traffic = Traffic()


class Evidence:
    """The engine's short memory."""

    def __init__(self, graph: DependencyGraph) -> None:
        self.graph = graph
        self.detector = Detector()
        self.expected = Expected()
        self.alerts = Alerts()
        self.relayed = RelayedCounts()
        self.storms = Storms()
        self.entry = Entry()
        self.users_elsewhere = Entry()  # of the entry, as others count them
        self.fell_back_at: dict[str, Nanos] = {}
        self.fallbacks: dict[str, int] = {}  # answers without each service since this process began
        self.tripped_at: dict[str, dict[str, Nanos]] = {}
        self.late_ones: dict[str, set[str]] = {}  # endpoints whose last verdict said no more than that they are late
        self.failed_at: dict[str, dict[str, Nanos]] = {}  # the same, of those that were not merely slow
        self.reflexes: set[Target] = set()  # endpoints that guards took out for being slow, and have not tried since
        self.signal_at: dict[Target, Nanos] = {}
        self.verdict_at: dict[Target, Nanos] = {}  # of those signals the verdicts: no alerts, no silence
        self.unaccounted: dict[IncidentId, int] = {}  # good user requests since the last count of an incident's impact
        self.assessed: dict[IncidentId, int] = {}  # how often each incident that runs was weighed by the graph
        self.credits = Credits()  # clean calls of targets with a penalty on record
        self.fingerprints = Fingerprints()  # said since, and differences that have not stood long enough
        self.comparisons: Comparisons = {}  # of the versions of services that were deployed lately
        self.waiting = Waiting()  # conditions told of; what people were told once
        self.felt_at: dict[IncidentId, Nanos] = {}  # when its harm was last seen: a verdict, users' failures, a relay
        self.measured_at: dict[IncidentId, Nanos] = {}  # when it was last looked up how far it went
        self.invalid_at = Nanos(-(1 << 62))  # when people were told last that a signal is not believed
        self.unexplained_at: Nanos | None = None  # since when users see failures that no incident accounts for
        self.unexplained_told: Nanos | None = None  # the same, of which people were told
        self.analysed_at: dict[IncidentId, Nanos] = {}  # when the analysis on record was made
        self.followed: frozenset[str] = frozenset()
        self._late: dict[str, LateRow] = {}
        self._heard: dict[str, list[tuple[Nanos, int, int, int, int]]] = {}
        self._asked: dict[Target, tuple[Nanos, bool]] = {}
        self._since_stage: dict[Target, Traffic] = {}
        self._since_side: dict[Target, Traffic] = {}  # of services under side orders, and of their endpoints
        self._suspect_since: dict[Target, Nanos] = {}
        self._not_taken: dict[Target, tuple[int, Nanos]] = {}

    def due(self) -> tuple[Nanos | None, ...]:
        """When something is to be looked at that nobody tells of."""
        storms = self.storms.due_at if self.storms.raging else None
        return self.expected.due_at, self.alerts.due_at, self.fingerprints.due_at, storms

    def tripped(self, target: Target, at: Nanos, cause: Cause = Cause.ERRORS) -> dict[str, Nanos]:
        """Note a verdict; returns when each endpoint of that service was last found bad."""
        verdicts = self.tripped_at.setdefault(target.service, {})
        self.signal_at[target] = self.verdict_at[target] = at
        self.credits.forget(target)
        if target.endpoint:
            verdicts[target.endpoint] = at
            if cause is not Cause.SLOW:
                self.failed_at.setdefault(target.service, {})[target.endpoint] = at
        return verdicts

    def reflex(self, signal: Tripped) -> None:
        """Note whom its guard took out for being slow alone; whoever is found bad in another way is not slow alone."""
        if signal.cause is not Cause.SLOW:
            self.reflexes.discard(signal.target)
        elif signal.contained and signal.target.endpoint:
            self.reflexes.add(signal.target)

    def late(self, service: str, at: Nanos) -> LateRow:
        """Note that several endpoints of `service` answer late; returns the row of such verdicts so far."""
        row = self._late.get(service)
        if row is None or at - row.last > ACTIVE_NS:
            row = self._late[service] = LateRow(since=at, last=at)
        row.last = at
        return row

    def cleared(self, target: Target) -> None:
        """Forget what was held against `target`."""
        self._acquit(target)
        self.signal_at.pop(target, None)
        self.reflexes.discard(target)
        self.verdict_at.pop(target, None)
        self.detector.forget(target)
        self._suspect_since.pop(target, None)
        self._since_stage.pop(target, None)

    def _acquit(self, target: Target) -> None:
        self.tripped_at.get(target.service, {}).pop(target.endpoint, None)
        self.failed_at.get(target.service, {}).pop(target.endpoint, None)

    def felt(self, incident: Incident, at: Nanos) -> None:
        """Harm that `incident` does was seen `at` that time."""
        self.felt_at[incident.id] = max(at, self.felt_at.get(incident.id, at))

    def ended(self, incident: IncidentId) -> None:
        """Forget what was counted for an incident that runs no more."""
        for counted in (self.unaccounted, self.assessed, self.felt_at, self.measured_at):
            counted.pop(incident, None)

    def forget_verdicts(self) -> None:
        """Begin again: what was found while nothing was to be done is no ground to act, nor the other way round."""
        self.detector = Detector()
        self._suspect_since.clear()
        self.tripped_at.clear()
        self.late_ones.clear()
        self.reflexes.clear()
        self._late.clear()
        self.failed_at.clear()
        self.signal_at.clear()
        self.verdict_at.clear()
        self._since_stage.clear()

    def active(self, incidents: list[Incident], now: Nanos) -> list[Incident]:
        """Those of which something was seen lately, whom harm done now is laid to; all of them where none was."""
        lately = [
            incident
            for incident in incidents
            if any(now - self.signal_at.get(target, Nanos(0)) <= ACTIVE_NS for target in incident.touched)
            or not self.relayed.quiet(incident.origin.service, now, ACTIVE_NS)
        ]
        return lately or incidents

    def sampled(self, sample: Sampled) -> None:
        """Add traffic to what the target has seen in its present stage."""
        if sample.calls >= WELL_CALLS and not sample.failures and not sample.slow:
            # what answers well by now is not among those that fail together any more
            self._acquit(sample.target)
        seen = self.since_stage(sample.target)
        self._since_stage[sample.target] = _more(seen, sample)
        self._since_side[sample.target] = _more(self.since_side(sample.target), sample)
        if not sample.target.endpoint and (row := self._late.get(sample.target.service)) is not None:
            row.traffic = _more(row.traffic, sample)

    def judge(self, report: CallsFinished) -> tuple[tuple[Cause, Cusum] | None, Nanos | None]:
        """(the verdict after `report` with what it rests on, None: go on; when what is held against it began)."""
        target = report.target
        verdict = self.detector.observe(target, report.calls, report.failures, report.slow)
        if verdict is None and not self.detector.suspects(target):
            self._suspect_since.pop(target, None)
            return None, None
        began_at = self._suspect_since.setdefault(target, report.at)
        if verdict is not None:
            del self._suspect_since[target]
        return verdict, began_at

    def taken(self, target: Target) -> None:
        """A data plane obeyed an order about `target`."""
        self._not_taken.pop(target, None)

    def not_taken(self, target: Target, at: Nanos, *, retryable: bool) -> None:
        """It did not: each further attempt waits twice as long, or long at once where one makes no sense."""
        times = self._not_taken.get(target, (0, at))[0] + 1
        wait = min(SECOND << min(times - 1, 8), RETRY_NS_MAX) if retryable else RETRY_NS_MAX
        self._not_taken[target] = (times, Nanos(at + wait))

    def retry_at(self, target: Target) -> Nanos:
        """When an order about `target` may be tried again."""
        return self._not_taken.get(target, (0, Nanos(0)))[1]

    def since_stage(self, target: Target) -> Traffic:
        """What `target` has seen since it entered its present stage."""
        return self._since_stage.get(target, Traffic())

    def heard(self, signal: EdgeSampled) -> None:
        """Keep what was lately seen of services that have an incident: by that a plan is judged."""
        if signal.callee not in self.followed:
            return
        attempts = signal.calls if signal.attempts is None else signal.attempts
        latency = signal.client_latency_ns
        timed = 0 if latency is None else attempts if signal.timed is None else signal.timed
        row = (signal.at, signal.calls, min(signal.failures, signal.calls), timed, latency or 0)
        kept = self._heard.setdefault(signal.callee, [])
        kept.append(row)
        if len(kept) > HEARD_MAX or kept[0][0] <= signal.at - 2 * LATELY_NS:
            self._heard[signal.callee] = [one for one in kept if one[0] > signal.at - LATELY_NS][-HEARD_MAX:]

    def lately(self, service: str, now: Nanos, since: Nanos) -> Lately:
        """What was heard of `service` in the last LATELY_NS, from `since` on."""
        begin, seen = max(now - LATELY_NS, since), Lately()
        for at, calls, failures, timed, latency_ns in self._heard.get(service, ()):
            if at > begin:
                seen.calls += calls
                seen.failures += failures
                seen.timed += timed
                seen.latency_ns += latency_ns
        return seen

    def follow(self, services: Collection[str]) -> None:
        """Of which services to keep what is heard: those that have an incident."""
        self.followed = frozenset(services)
        for gone in [name for name in self._heard if name not in self.followed]:
            del self._heard[gone]

    def asked(self, probe: ProbeFinished) -> None:
        """Note what an active probe found."""
        self._asked[probe.target] = (probe.at, probe.ok)

    def is_well(self, target: Target, now: Nanos) -> bool:
        """Whether an active probe has lately found `target` well: of what gets no traffic nothing else tells."""
        at, ok = self._asked.get(target, (Nanos(0), False))
        return ok and now - at <= ASKED_NS

    def since_side(self, target: Target) -> Traffic:
        """What `target` has seen since the side orders about its service last changed."""
        return self._since_side.get(target, Traffic())

    def side_began(self, target: Target) -> None:
        """Count from zero for the service of `target`: one of its side orders changes."""
        for each in [each for each in self._since_side if each.service == target.service]:
            del self._since_side[each]

    def stage_began(self, target: Target) -> None:
        """Count from zero: the target has entered a new stage."""
        self._since_stage[target] = Traffic()


def _more(seen: Traffic, sample: Sampled) -> Traffic:
    return Traffic(seen.calls + sample.calls, seen.failures + sample.failures, seen.refused + sample.refused)
