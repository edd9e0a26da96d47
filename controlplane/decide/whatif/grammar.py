"""The one sentence in which a person supposes something, as "orders fails in eu-1b"."""

import re
from collections.abc import Iterable

from controlplane.model.foretold import Supposed
from controlplane.model.playbook import ANY_VERSION, Match
from controlplane.model.signal import Cause
from controlplane.model.topology import Service, Topology

GRAMMAR = "SERVICE [ENDPOINT] fails | is slow | is overloaded [in ZONE] [version VERSION]"
TEXT_MAX = 500
_SENTENCE = re.compile(
    r"(?P<service>\S+)(?:\s+(?P<endpoint>\S+))?\s+(?P<how>fails|is\s+slow|is\s+overloaded)"
    r"(?:\s+in\s+(?P<zone>\S+))?(?:\s+version\s+(?P<version>\S+))?"
)


def suppose(text: str, topology: Topology) -> Supposed:
    """What `text` supposes. Raises ValueError, saying what would be right."""
    found = _SENTENCE.fullmatch(text.strip()) if len(text) <= TEXT_MAX else None
    if found is None:
        raise ValueError(f"{text[:80]!r} is not understood; write: {GRAMMAR}")
    words = {key: value or "" for key, value in found.groupdict().items()}
    words["how"] = " ".join(words["how"].split())
    name, slash, endpoint = words["service"].partition("/")
    if slash:
        words |= {"service": name, "endpoint": endpoint}
    service = topology.service(words["service"])
    if service is None:
        known = (one.name for one in topology.services)
        raise ValueError(f"{words['service']!r} is not a declared service; {_declared(known)}")
    for key, values in _parts(service):
        if words[key] and words[key] not in values:
            raise ValueError(f"{service.name} has no {key} {words[key]!r}; {_declared(values)}")
    return Supposed(**words)  # type: ignore[arg-type]  # the expression admits no other word for `how`


def of_match(match: Match, topology: Topology) -> Supposed:
    """What has to go wrong for `match` to fit."""
    how = {Cause.SLOW: "is slow", Cause.STALLED: "is slow", Cause.OVERLOAD: "is overloaded"}
    first = match.cause[0] if match.cause else Cause.ERRORS
    version = match.version
    if version == ANY_VERSION or (not version and first is Cause.VERSION):
        service = topology.service(match.service)
        version = max((one.version for one in service.endpoints), default="") if service is not None else ""
    return Supposed(
        service=match.service,
        how=how.get(first, "fails"),  # type: ignore[arg-type]  # each is one of the three
        endpoint=match.endpoint,
        zone=match.zone,
        version=version,
    )


def members(supposed: Supposed, service: Service) -> tuple[str, ...]:
    """The endpoints that go wrong, in the order of the topology."""
    return tuple(
        one.name
        for one in service.endpoints
        if supposed.endpoint in ("", one.name)
        and supposed.zone in ("", one.zone)
        and supposed.version in ("", one.version)
    )


def _parts(service: Service) -> Iterable[tuple[str, list[str]]]:
    for key, field in (("endpoint", "name"), ("zone", "zone"), ("version", "version")):
        yield key, [getattr(one, field) for one in service.endpoints if getattr(one, field)]


def _declared(names: Iterable[str]) -> str:
    known = sorted(set(names))
    return f"declared: {', '.join(known[:20])}{', ...' if len(known) > 20 else ''}" if known else "none is declared"
