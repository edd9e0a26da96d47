"""What is wrong with a playbook before anything has failed: held against the topology, the policy, and the others.

A playbook that does not fit stops nobody from starting: it is said, and it is not used.
"""

from collections.abc import Iterator, Mapping, Sequence

from controlplane.decide.playbook.clash import clashes
from controlplane.decide.playbook.finding import Finding
from controlplane.decide.playbook.need import unholdable
from controlplane.decide.playbook.place import standbys
from controlplane.model.escalation import Ladder, People
from controlplane.model.playbook import ANY_VERSION, AT_ENDPOINTS, FOR_PEOPLE, Match, Playbook, Step
from controlplane.model.policy import ResponsePolicy
from controlplane.model.signal import Cause
from controlplane.model.topology import Service, Topology


def lint(
    playbooks: Sequence[Playbook], topology: Topology, policy: ResponsePolicy, people: People
) -> Iterator[Finding]:
    """Everything that is wrong, playbook by playbook, in the order of the file."""
    for number, one in enumerate(playbooks):
        yield from misfits(one, topology)
        yield from _bounds(one, topology, policy)
        yield from _people(one, topology, people)
        for before in playbooks[:number]:
            yield from clashes(before, one)


def misfits(playbook: Playbook, topology: Topology) -> Iterator[Finding]:
    """Where `playbook` does not fit the topology: with any of it, it is not used."""
    match = playbook.match
    service = topology.service(match.service)
    if service is None:
        yield Finding(playbook.name, ("match", "service"), f"{match.service!r} is not a declared service")
    else:
        for key, reason in _never(match, service):
            yield Finding(playbook.name, ("match", key), f"it can never match: {reason}")
    for number, step in enumerate(playbook.steps):
        for key, reason in _step(step, playbook, topology):
            yield Finding(playbook.name, ("steps", number, key), reason)
    for number, need in enumerate(playbook.preconditions):
        for key, reason in unholdable(need, playbook, topology):
            yield Finding(playbook.name, ("preconditions", number, key), f"it cannot hold: {reason}")


def _never(match: Match, service: Service) -> Iterator[tuple[str, str]]:
    endpoint = next((one for one in service.endpoints if one.name == match.endpoint), None)
    zones, versions = {one.zone for one in service.endpoints}, {one.version for one in service.endpoints}
    if match.endpoint and endpoint is None:
        yield "endpoint", f"{service.name} has no endpoint {match.endpoint!r}"
    if match.zone and match.zone not in zones:
        yield "zone", f"no endpoint of {service.name} is in zone {match.zone!r}"
    elif match.zone and endpoint is not None and endpoint.zone != match.zone:
        yield "zone", f"{match.endpoint} is in zone {endpoint.zone!r}"
    if match.version == ANY_VERSION and len(versions - {""}) < 2:
        yield "version", f"{service.name} declares no two versions, and one alone is told from nothing"
    elif match.version not in ("", ANY_VERSION) and match.version not in versions:
        yield "version", f"no endpoint of {service.name} runs version {match.version!r}"
    elif match.version and endpoint is not None and match.version not in (ANY_VERSION, endpoint.version):
        yield "version", f"{match.endpoint} runs version {endpoint.version!r}"
    if match.cause == (Cause.VERSION,) and len(versions - {""}) < 2:
        yield "cause", f"{service.name} declares no two versions, so no version is ever found to be the cause"
    if match.cause == (Cause.UNREACHABLE,) and not service.probe_path:
        yield "cause", f"{service.name} has no probe_path, so nothing finds it unreachable"


def _step(step: Step, playbook: Playbook, topology: Topology) -> Iterator[tuple[str, str]]:
    name = step.service or playbook.match.service
    service = topology.service(name)
    if step.do in FOR_PEOPLE:
        return
    if service is None:
        if step.service:
            yield "service", f"{name!r} is not a declared service"
        return
    endpoints = {one.name: one for one in service.endpoints}
    if step.endpoint and step.endpoint not in endpoints:
        yield "endpoint", f"{name} has no endpoint {step.endpoint!r}"
    if step.zone and all(one.zone != step.zone for one in service.endpoints):
        yield "zone", f"no endpoint of {name} is in zone {step.zone!r}"
    if step.version and all(one.version != step.version for one in service.endpoints):
        yield "version", f"no endpoint of {name} runs version {step.version!r}"
    if playbook.match.cause == (Cause.ALERT,):
        yield "do", "it can never be ordered: on the word of an alert alone nothing is; tell, or leave it by hand"
    if step.do == "fail_over" and not standbys(service):
        yield "do", f"its fallback cannot be reached: no endpoint of {name} stands by (priority above the others')"
    if step.do == "roll_back" and not service.deployer:
        yield "do", f"{name} names no deployer: nobody could carry it out; write it by hand, or name one"
    if step.do in AT_ENDPOINTS and len(endpoints) < 2:
        yield "do", f"{name} has {len(endpoints) or 'no'} endpoint{'' if len(endpoints) == 1 else 's'}: none takes over"
    if step.do not in AT_ENDPOINTS and step.do != "roll_back" and name == topology.entry:
        yield "service", f"{name} is this process itself, and no guard of its own stands before it"


def _bounds(playbook: Playbook, topology: Topology, policy: ResponsePolicy) -> Iterator[Finding]:
    """Steps that the policy's bounds will always refuse, or keep in shadow against what the playbook says."""
    for number, step in enumerate(playbook.steps):
        service = topology.service(step.service or playbook.match.service)
        if step.do == "eject" and service is not None and (step.zone or step.version):
            gone = [
                one for one in service.endpoints if step.zone in ("", one.zone) and step.version in ("", one.version)
            ]
            left, total = len(service.endpoints) - len(gone), len(service.endpoints)
            floor = policy.healthy_floor_percent
            if gone and (left == 0 or left * 100 < floor * total):
                reason = (
                    f"it leaves {left} of {total} endpoints of {service.name}, healthy_floor_percent {floor} forbids it"
                )
                yield Finding(playbook.name, ("steps", number, "do"), reason)
        shares = dict[str, int](policy.enforcement.items())
        if playbook.enforce is True and shares.get(step.do) == 0:
            reason = f"enforce is true, and response.enforcement.{step.do} = 0 keeps this step in shadow"
            yield Finding(playbook.name, ("steps", number, "do"), reason)


def _people(playbook: Playbook, topology: Topology, people: People) -> Iterator[Finding]:
    service = topology.service(playbook.match.service)
    inherited = service.owner if service is not None else ""
    owner = playbook.owner or inherited
    if not owner:
        right = f"name one of [owners]{_declared(people.owners)}, here or as owner of {playbook.match.service}"
        yield Finding(playbook.name, ("owner",), f"it has no owner: nobody would be told; {right}")
    elif owner not in people.owners:
        yield Finding(playbook.name, ("owner",), f"{owner!r} is not a declared owner{_declared(people.owners)}")
    ladder = playbook.ladder or (people.owners[owner].ladder if owner in people.owners else "")
    key = "ladder" if playbook.ladder else "owner"
    if playbook.ladder and playbook.ladder not in people.ladders:
        yield Finding(playbook.name, ("ladder",), f"{ladder!r} is not a declared ladder{_declared(people.ladders)}")
        return
    if around := circle(ladder, people.ladders):
        yield Finding(playbook.name, (key,), f"its escalation goes round for ever: {' -> '.join(around)}")


def circle(name: str, ladders: Mapping[str, Ladder]) -> list[str]:
    """The ladders that follow one another from `name` on, where they go round; empty: they come to an end."""
    chain: list[str] = []
    while name in ladders and name not in chain:
        chain.append(name)
        name = ladders[name].then
    return [*chain, name] if name in chain else []


def _declared(names: Mapping[str, object]) -> str:
    return f" (declared: {', '.join(sorted(names))})" if names else " (none is declared)"
