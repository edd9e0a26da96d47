"""The state users see and the state inside, side by side, and why they differ.

An interface hides what is behind it: a fallback answers, an endpoint that is out has siblings, a service is slow for
nobody yet. Such a failure is *masked*. It is no less an incident: what hides it may end at any moment. And the other
way round: users may see what nothing inside accounts for. Unknown is never well: where nobody calls, nobody knows.
"""

from collections.abc import Iterator

from controlplane.decide.evidence import Evidence
from controlplane.decide.impact import RECENT_NS, Entry
from controlplane.decide.state import State
from controlplane.model.incident import Containment, Incident, Stage
from controlplane.model.service_state import InsideState, ServiceState, UsersState
from controlplane.model.topology import Service, Topology
from controlplane.model.unit import Nanos

_BACK = (Stage.FULL, Stage.VERIFIED)
_ON_TRIAL = (Stage.PROBE, Stage.RAMP)


def masked(service: Service, fell_back_at: Nanos | None, entry: Entry, now: Nanos) -> tuple[bool, str]:
    """(whether the failure of `service` is masked now, the reason in words)."""
    answering = _answers(fell_back_at, now)
    if not (service.fallback or answering):
        return False, "no fallback answers for it"
    if entry.visible(now):
        return False, "users see failures"
    return (
        True,
        "a fallback answers: users see no error" if answering else "declared as dispensable: users see no error",
    )


def service_states(
    state: State, evidence: Evidence, topology: Topology, now: Nanos, *, notable: bool = False
) -> list[ServiceState]:
    """Every declared service from both sides, in the order of the file.

    `notable`: only those of which there is something to say, which costs nothing where there is nothing.
    """
    held: dict[str, list[tuple[Incident, Containment]]] = {}
    for incident in state.open_incidents():
        for one in incident.containments.values():
            held.setdefault(one.target.service, []).append((incident, one))
    called = set() if notable else {edge.callee for edge in evidence.graph.edges(now) if edge.calls}
    looked = _Look(state, evidence, topology, now, held, called)
    if not notable:
        return [looked.at(service) for service in topology.services]
    names = {*held, *state.index.service, *evidence.fallbacks, *state.withdrawn, topology.entry}
    found = [looked.at(service) for service in topology.services if service.name in names]
    return [one for one in found if one.differ or one.fallbacks or not one.calm]


class _Look:
    """One look at all services at one time."""

    def __init__(
        self,
        state: State,
        evidence: Evidence,
        topology: Topology,
        now: Nanos,
        held: dict[str, list[tuple[Incident, Containment]]],
        called: set[str],
    ) -> None:
        self._state, self._evidence, self._topology, self._now = state, evidence, topology, now
        self._held, self._called = held, called
        entry = evidence.entry
        self._failing, self._slow, self._few = entry.visible(now), entry.slow(now), entry.few(now)
        self._active = {one.id for one in evidence.active(state.open_incidents(), now)}

    def at(self, service: Service) -> ServiceState:
        incident = self._state.open_at(service.name)
        inside, inside_reason = self._inside(service, incident)
        users, users_reason = self._users(service, incident)
        return ServiceState(
            service=service.name,
            users=users,
            inside=inside,
            users_reason=users_reason,
            inside_reason=inside_reason,
            differ=self._differ(service, users, inside),
            fallbacks=self._evidence.fallbacks.get(service.name, 0),
            incident="" if incident is None else incident.id,
        )

    def _inside(self, service: Service, incident: Incident | None) -> tuple[InsideState, str]:
        held = self._held.get(service.name, [])
        if held or incident is not None:
            return _ill(service, incident, held)
        if _answers(self._evidence.fell_back_at.get(service.name), self._now):
            return "degraded", "its callers answer without it"
        if (withdrawn := self._state.withdrawn.get(service.name)) is not None:
            return "degraded", f"version {withdrawn.version} is withdrawn"
        if service.name in self._called or (service.name == self._topology.entry and not self._few):
            return "well", "nothing was found"
        return "unknown", "no calls of it are seen"

    def _users(self, service: Service, incident: Incident | None) -> tuple[UsersState, str]:
        here = service.name == self._topology.entry or (incident is not None and incident.id in self._active)
        if here and self._failing:
            return "failing", "users' requests fail"
        if here and self._slow:
            return "slow", "users' requests take long"
        if _answers(self._evidence.fell_back_at.get(service.name), self._now):
            return "fallback", "a fallback answers"
        if self._few:
            return "unknown", "too few users' requests to tell"
        return "well", "users' requests are well"

    def _differ(self, service: Service, users: UsersState, inside: InsideState) -> str:
        """Why users see something else than is so; empty: they do not, or it is not known."""
        ill = inside not in ("well", "unknown")
        if users in ("failing", "slow"):
            return "" if ill or self._active else "no incident accounts for what users see"
        if not ill or users == "unknown":
            return ""
        if users == "fallback":
            return "a fallback answers in its place"
        if service.fallback:
            return "its callers can do without it"
        if inside in ("degraded", "recovering"):
            return "the rest of it answers"
        return "too few of users' requests need it"


def _ill(
    service: Service, incident: Incident | None, held: list[tuple[Incident, Containment]]
) -> tuple[InsideState, str]:
    in_force = [one for owner, one in held if one.command is not None and not owner.shadow]
    out = [one for one in in_force if one.stage is Stage.HOLD]
    whole = [one for one in out if not one.target.endpoint]
    if whole:
        if whole[0].overload:
            return "degraded", "it gets no more than it bears"
        return "held", "calls to it are refused"
    endpoints = {one.target.endpoint for one in out}
    if endpoints:
        share = f"{len(endpoints)} of its {len(service.endpoints)} endpoints are out"
        return ("failing" if len(endpoints) >= len(service.endpoints) else "degraded"), share
    trial = [str(one.target) for one in in_force if one.stage in _ON_TRIAL]
    if trial:
        return "recovering", f"{', '.join(trial)} gets a part of its traffic"
    if incident is not None and incident.unfinished:
        return "unfinished", "; ".join(incident.unfinished.values())
    if in_force and all(one.stage in _BACK for one in in_force):
        return "recovering", "traffic is back; it is being verified"
    assert incident is not None or held
    return _uncontained(incident if incident is not None else held[0][0])


def _uncontained(incident: Incident) -> tuple[InsideState, str]:
    """An incident that holds nothing: not yet, or in shadow, or nothing may be held."""
    said = f"{incident.cause} at {', '.join(_touched(incident)) or incident.origin}, and nothing is held"
    return ("degraded" if incident.origin.endpoint else "failing"), said


def _touched(incident: Incident) -> Iterator[str]:
    yield from (str(target) for target in incident.touched if target.service == incident.origin.service)


def _answers(fell_back_at: Nanos | None, now: Nanos) -> bool:
    return fell_back_at is not None and now - fell_back_at <= RECENT_NS
