"""Whether a playbook fits an incident, and which endpoints a step of it is about."""

from controlplane.decide.playbook.place import serving
from controlplane.model.incident import Incident
from controlplane.model.playbook import ANY_VERSION, Match, Playbook, Severity, Step
from controlplane.model.signal import Cause
from controlplane.model.topology import Service, Topology


def severity(incident: Incident) -> Severity:
    """Critical: a whole service is what fails, or users' requests fail; everything else is a warning."""
    return "critical" if not incident.origin.endpoint or incident.user_failed else "warning"


def fits(match: Match, incident: Incident, service: Service) -> bool:
    """Whether every field that `match` gives is true of `incident`, as it is known now."""
    if incident.origin.service != match.service:
        return False
    if match.cause and incident.cause not in match.cause:
        return False
    if not match.cause and incident.cause is Cause.ALERT:
        return False
    if match.severity == "critical" and severity(incident) != "critical":
        return False
    bad = bad_endpoints(incident, service)
    if match.endpoint and match.endpoint not in bad:
        return False
    if match.zone and not _exactly(bad, service, {one.name for one in service.endpoints if one.zone == match.zone}):
        return False
    return not match.version or _of_version(match.version, bad, incident, service)


def specificity(playbook: Playbook) -> int:
    """How many fields its match gives: of two that fit, the narrower one has the word first."""
    match = playbook.match
    narrow = (
        match.cause,
        match.endpoint,
        match.zone,
        match.version not in ("", ANY_VERSION),
        match.severity != "warning",
    )
    return sum(map(bool, narrow))


def owner_of(playbook: Playbook, topology: Topology) -> str:
    """Who answers for it: its own owner, or that of the service it matches; empty: nobody."""
    service = topology.service(playbook.match.service)
    return playbook.owner or (service.owner if service is not None else "")


def bad_endpoints(incident: Incident, service: Service) -> set[str]:
    """Endpoints of `service` that were found bad in `incident`."""
    named = {target.endpoint for target in incident.touched if target.service == service.name}
    held = {one.target.endpoint for one in incident.containments.values() if one.target.service == service.name}
    return {one.name for one in service.endpoints if one.name in named | held}


def members(step: Step, match: Match, incident: Incident | None, service: Service) -> tuple[str, ...]:
    """The endpoints that `step` is about, in the order of the topology: those it names, those that the match names, or
    those that were found bad."""
    endpoint, zone, version = step.endpoint, step.zone, step.version
    if not (endpoint or zone or version) and service.name == match.service:
        endpoint, zone, version = match.endpoint, match.zone, "" if match.version == ANY_VERSION else match.version
    if endpoint or zone or version:
        return tuple(
            one.name
            for one in service.endpoints
            if endpoint in ("", one.name) and zone in ("", one.zone) and version in ("", one.version)
        )
    if incident is None:
        return ()
    bad = bad_endpoints(incident, service)
    return tuple(one.name for one in service.endpoints if one.name in bad)


def _of_version(version: str, bad: set[str], incident: Incident, service: Service) -> bool:
    if version == ANY_VERSION:
        return bool(incident.version)
    if incident.version == version:
        return True
    return _exactly(bad, service, {one.name for one in service.endpoints if one.version == version})


def _exactly(bad: set[str], service: Service, names: set[str]) -> bool:
    """Whether all of `names` that get traffic were found bad, and nobody else: who stands by shows nothing."""
    asked = names & {one.name for one in serving(service)}
    return bool(names) and (asked or names) <= bad <= names
