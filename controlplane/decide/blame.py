"""Whose failure it is: a service that relays its callee's failure is not the culprit.

Three witnesses, in this order. Failures that callers name by themselves (`Relayed`) accuse the named service once there
are enough. Where somebody tells of the calls that a failing service makes, the excess is followed down the dependency
graph (docs/concepts/blame.md). Where nobody does, verdicts about all endpoints of a service are laid at the door of a
callee whose failure is already an open incident.
"""

from collections.abc import Callable, Collection

import msgspec

from controlplane.decide.analysis.analyze import ranking
from controlplane.decide.analysis.origin import judge
from controlplane.decide.graph.live import DependencyGraph
from controlplane.decide.graph.reach import below
from controlplane.decide.state import State
from controlplane.model.incident import Incident
from controlplane.model.signal import Relayed
from controlplane.model.unit import SECOND, Nanos

RELAYED_MIN = 5  # named failures within RELAYED_NS that open an incident: the consecutive-failures default
RELAYED_NS = 2 * SECOND
SERVICES_MAX = 64  # below a failing service that are searched
CHANGED_WEIGHS = 1.3  # a share of 0.39 of the blame is enough for a service that was just changed
LAID_MIN = 0.5  # of the blame: with less than half of it nobody else is named


class Accused(msgspec.Struct, frozen=True):
    """The service that the graph lays a failure to, its share of the blame, and whether it is the one that fails."""

    service: str
    share: float
    itself: bool


def accused(service: str, graph: DependencyGraph, now: Nanos, changed: Collection[str] = ()) -> Accused | None:
    """Whom the graph blames for what fails at `service`: itself, or somebody below. None: the graph cannot tell.

    `changed`: services with a recent change. It decides between those that the figures blame nearly alike, and never
    accuses whom they do not.
    """
    if not graph.told_of(service):
        return None
    if graph.calm_below(service):
        return Accused(service, 1.0, itself=True)
    meant = graph.means(service)
    window = graph.window(now, only=below(graph.callees(), meant, services_max=SERVICES_MAX))
    if meant not in window.services or not window.compares:
        return None
    window = msgspec.structs.replace(window, entry=window.services.index(meant))
    verdict = judge(window)
    order = list(ranking(window, verdict))
    first = max(order, key=lambda at: _weighed(window.services[at], float(verdict.score[at]), changed), default=None)
    if first is None or _weighed(window.services[first], float(verdict.score[first]), changed) < LAID_MIN:
        return None
    return Accused(window.services[first], float(verdict.score[first]), window.services[first] == meant)


def _weighed(service: str, score: float, changed: Collection[str]) -> float:
    return score * CHANGED_WEIGHS if service in changed else score


def origin_below(
    service: str, state: State, graph: DependencyGraph, explains: Callable[[Incident], bool]
) -> Incident | None:
    """The open incident that `explains`, of the nearest known callee of `service`, breadth first; None without."""
    if not state.open:
        return None
    for name in below(graph.callees(), service, services_max=SERVICES_MAX)[1:]:
        if (incident := state.open_at(name)) is not None and explains(incident):
            return incident
    return None


class RelayedCounts:
    """Failures that callers blamed on a callee, over the last RELAYED_NS."""

    def __init__(self) -> None:
        self._seen: dict[str, list[tuple[Nanos, int, str]]] = {}

    def count(self, signal: Relayed) -> int:
        """How often the callee was named within RELAYED_NS, including now."""
        kept = [entry for entry in self._seen.get(signal.callee, []) if entry[0] > signal.at - RELAYED_NS]
        kept.append((signal.at, signal.count, signal.caller))
        self._seen[signal.callee] = kept[-1000:]
        return sum(count for _, count, _ in kept)

    def callers(self, callee: str) -> list[str]:
        """Who named it, sorted."""
        return sorted({caller for _, _, caller in self._seen.get(callee, [])})

    def since(self, callee: str) -> Nanos | None:
        """When it was first named within the last RELAYED_NS; None: it was not."""
        seen = self._seen.get(callee)
        return seen[0][0] if seen else None

    def quiet(self, callee: str, now: Nanos, for_ns: Nanos) -> bool:
        """Whether nobody has named it for `for_ns`."""
        seen = self._seen.get(callee)
        return not seen or seen[-1][0] + for_ns <= now
