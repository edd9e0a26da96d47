"""What has been seen but not yet decided on. Not on record: a restart begins to collect it anew."""

from controlplane.decide.blame import RelayedCounts
from controlplane.decide.detection.detect import Detector
from controlplane.decide.detection.expected import Expected
from controlplane.decide.graph.live import DependencyGraph
from controlplane.decide.impact import Entry
from controlplane.decide.recovery import Traffic
from controlplane.model.incident import Incident
from controlplane.model.signal import Sampled, Target
from controlplane.model.unit import SECOND, IncidentId, Nanos

ACTIVE_NS = Nanos(3 * SECOND)  # a failure that goes on is seen again within this time, or hurts nobody
WELL_CALLS = 5  # in one sample, all of them well: a verdict about that endpoint is out of date
RETRY_NS_MAX = 30 * SECOND  # between attempts at an order that a data plane does not take


class Evidence:
    """The engine's short memory."""

    def __init__(self, graph: DependencyGraph) -> None:
        self.graph = graph
        self.detector = Detector()
        self.expected = Expected()
        self.relayed = RelayedCounts()
        self.entry = Entry()
        self.fell_back_at: dict[str, Nanos] = {}
        self.tripped_at: dict[str, dict[str, Nanos]] = {}
        self.signal_at: dict[Target, Nanos] = {}
        self.unaccounted: dict[IncidentId, int] = {}  # good user requests since the last count of an incident's impact
        self.assessed: dict[IncidentId, int] = {}  # how often each incident that runs was weighed by the graph
        self._since_stage: dict[Target, Traffic] = {}
        self._not_taken: dict[Target, tuple[int, Nanos]] = {}

    def tripped(self, target: Target, at: Nanos) -> dict[str, Nanos]:
        """Note a verdict; returns when each endpoint of that service was last found bad."""
        verdicts = self.tripped_at.setdefault(target.service, {})
        self.signal_at[target] = at
        if target.endpoint:
            verdicts[target.endpoint] = at
        return verdicts

    def cleared(self, target: Target) -> None:
        """Forget what was held against `target`."""
        self.tripped_at.get(target.service, {}).pop(target.endpoint, None)
        self.signal_at.pop(target, None)
        self.detector.forget(target)
        self._since_stage.pop(target, None)

    def forget_verdicts(self) -> None:
        """Begin again: what was found while nothing was to be done is no ground to act, nor the other way round."""
        self.detector = Detector()
        self.tripped_at.clear()
        self.signal_at.clear()
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
            self.tripped_at.get(sample.target.service, {}).pop(sample.target.endpoint, None)
        seen = self.since_stage(sample.target)
        self._since_stage[sample.target] = Traffic(
            seen.calls + sample.calls, seen.failures + sample.failures, seen.refused + sample.refused
        )

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

    def stage_began(self, target: Target) -> None:
        """Count from zero: the target has entered a new stage."""
        self._since_stage[target] = Traffic()
