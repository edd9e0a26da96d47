"""Whose failure it is: a service that relays its callee's failure is not the culprit.

First form: verdicts about all endpoints of a service are laid at the door of a declared callee whose failure is
already an open incident; failures that callers name by themselves (`Relayed`) accuse the named service once there are
enough.
"""

from collections.abc import Callable

from controlplane.decide.state import State
from controlplane.model.incident import Incident
from controlplane.model.signal import Relayed
from controlplane.model.topology import Topology
from controlplane.model.unit import SECOND, Nanos

RELAYED_MIN = 5  # named failures within RELAYED_NS that open an incident: the consecutive-failures default
RELAYED_NS = 2 * SECOND
DEPTH_MAX = 16  # longer call chains than this are not searched


def origin_below(
    service: str, state: State, topology: Topology, explains: Callable[[Incident], bool]
) -> Incident | None:
    """The open incident that `explains`, of the nearest declared callee of `service`, breadth first; None without."""
    seen, front = {service}, [service]
    for _ in range(DEPTH_MAX):
        callees: list[str] = []
        for name in front:
            declared = topology.service(name)
            callees += [callee for callee in (declared.calls if declared else ()) if callee not in seen]
        for callee in callees:
            if (incident := state.open_at(callee)) is not None and explains(incident):
                return incident
        seen.update(callees)
        front = callees
        if not front:
            return None
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

    def quiet(self, callee: str, now: Nanos, for_ns: Nanos) -> bool:
        """Whether nobody has named it for `for_ns`."""
        seen = self._seen.get(callee)
        return not seen or seen[-1][0] + for_ns <= now
