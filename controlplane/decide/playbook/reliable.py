"""Whether a playbook can be relied on as things stand: preconditions that do not hold, endpoints that have drifted.

Asked before any incident, so that people hear of it while there is time, and once more when the playbook is to be used.
What is not known does not hold: a capacity that nobody declared is none.
"""

from collections.abc import Iterator, Mapping, Sequence

from controlplane.decide.draft import Draft
from controlplane.decide.kind import share_out
from controlplane.decide.plan.capacity import UTILISATION_MAX
from controlplane.decide.playbook.fit import members, owner_of
from controlplane.decide.playbook.place import callers_of, standbys
from controlplane.decide.state import State
from controlplane.model.command import Isolate, Probe
from controlplane.model.incident import Incident
from controlplane.model.playbook import FOR_PEOPLE, Playbook, PlaybookReliability, Precondition
from controlplane.model.signal import Target
from controlplane.model.topology import Endpoint, Service, Topology

HELD_MIN = 0.5  # of its traffic


def follow(draft: Draft, playbooks: Sequence[Playbook], misfits: Mapping[str, tuple[str, ...]]) -> None:
    """Put on record, and tell people, which playbooks have become unreliable and which can be relied on again.

    `misfits`: what the topology has against them, whatever the state.
    """
    known = draft.state.unreliable
    for one in playbooks:
        reasons = (*misfits.get(one.name, ()), *reasons_against(one, draft.state, draft.topology))
        if reasons == known.get(one.name, ()):
            continue
        news = not known.get(one.name) or not reasons
        draft.record(PlaybookReliability(at=draft.now, playbook=one.name, reasons=reasons))
        if not news:
            continue
        text = f"is unreliable: {'; '.join(reasons)}" if reasons else "can be relied on again"
        owner = f" (owner: {name})" if (name := owner_of(one, draft.topology)) else ""
        draft.notice(
            None, "warning" if reasons else "info", f"playbook {one.name}{owner} {text}", f"playbook:{one.name}"
        )
    for gone in [name for name in known if all(name != one.name for one in playbooks)]:
        draft.record(PlaybookReliability(at=draft.now, playbook=gone))


def reasons_against(playbook: Playbook, state: State, topology: Topology) -> Iterator[str]:
    """Why `playbook` could not be used now; nothing: it could."""
    yield from unmet(playbook, state, topology)
    yield from drifted(playbook, state, topology)


def unmet(playbook: Playbook, state: State, topology: Topology, incident: Incident | None = None) -> Iterator[str]:
    """The preconditions that do not hold, with the numbers that say so. `incident`: the one in which it is asked."""
    for number, one in enumerate(playbook.preconditions, 1):
        name = one.service or playbook.match.service
        service = topology.service(name)
        if service is None:
            continue  # a misfit, which is told as such
        if reason := _unmet(one, service, playbook, state, topology, incident):
            yield f"precondition {number} ({one.need}): {reason}"


def drifted(playbook: Playbook, state: State, topology: Topology) -> Iterator[str]:
    """Endpoints that `playbook` relies on and whose configuration is not what is wanted of them."""
    if state.drifted:
        for target in relied_on(playbook, topology):
            if (found := state.drifted.get(str(target))) is not None:
                yield f"it relies on {target}, which{found.text.removeprefix(str(target))}"


def relied_on(playbook: Playbook, topology: Topology) -> tuple[Target, ...]:
    """The endpoints on which `playbook` rests: those that take over when its steps have worked, those that its
    preconditions count."""
    found: dict[Target, None] = {}
    for step in playbook.steps:
        service = topology.service(step.service or playbook.match.service)
        if service is None or step.do in FOR_PEOPLE:
            continue
        if step.do == "fail_over":
            names = [one.name for one in standbys(service)]
        elif step.do in ("eject", "reroute"):
            gone = members(step, playbook.match, None, service)
            names = [one.name for one in service.endpoints if one.name not in gone]
        else:
            continue
        found |= dict.fromkeys(Target(service.name, name) for name in names)
    for one in playbook.preconditions:
        service = topology.service(one.service or playbook.match.service)
        if service is not None and one.need != "healthy":
            endpoints = standbys(service) if _own_fallback(one, playbook) else service.endpoints
            found |= dict.fromkeys(Target(service.name, each.name) for each in endpoints if one.zone in ("", each.zone))
    return tuple(found)


def _own_fallback(one: Precondition, playbook: Playbook) -> bool:
    return one.need == "fallback" and one.service in ("", playbook.match.service)


def _unmet(
    one: Precondition, service: Service, playbook: Playbook, state: State, topology: Topology, incident: Incident | None
) -> str:
    where = f"{service.name} in zone {one.zone}" if one.zone else service.name
    here = [each for each in service.endpoints if one.zone in ("", each.zone)]
    free = [each for each in here if not _held(state, service.name, each.name)]
    match one.need:
        case "fallback" if _own_fallback(one, playbook):
            spare = [each for each in standbys(service) if not _held(state, service.name, each.name)]
            return "" if spare else f"no endpoint of {service.name} stands by that is not held back"
        case "fallback":
            if not set(callers_of(topology, service.name)) & set(callers_of(topology, playbook.match.service)):
                return f"no caller of {playbook.match.service} calls {service.name}"
            return (
                "" if free and not _isolated(state, service.name) else f"every endpoint of {service.name} is held back"
            )
        case "capacity":
            return _short(one, where, free)
        case "floor":
            least = one.endpoints or 1
            return "" if len(free) >= least else f"{len(free)} of {len(here)} endpoints of {where} serve, {least} must"
        case "healthy":
            other = state.open_at(service.name)
            return f"{other.id} is open at {service.name}" if other is not None and other is not incident else ""


def _short(one: Precondition, where: str, free: list[Endpoint]) -> str:
    bears = [each.capacity_per_s for each in free]
    if any(each is None for each in bears):
        return f"what the endpoints of {where} bear is not declared (capacity_per_s)"
    able = UTILISATION_MAX * sum(each for each in bears if each is not None)
    wanted = one.per_s or 0.0
    return "" if able >= wanted else f"{where} bears {able:.4g} requests/s with what serves, {wanted:.4g} are needed"


def _held(state: State, service: str, endpoint: str) -> bool:
    """Whether an order keeps more than half of its traffic from that endpoint: nothing is to be moved there."""
    command = state.in_force.get(str(Target(service, endpoint)))
    return command is not None and share_out(command.intent) > HELD_MIN


def _isolated(state: State, service: str) -> bool:
    command = state.in_force.get(service)
    return command is not None and isinstance(command.intent, Isolate | Probe)
