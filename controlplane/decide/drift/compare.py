"""Which endpoints' fingerprints are not those wanted: compared with what is declared, else with their majority.

Pure comparison, without time: `drift` says when a difference has stood for long enough to be told. Endpoints are
comparable within one service, version and environment: during a rollout the new version's configuration is no drift.
A majority needs at least three endpoints that have spoken and more than half of them alike; without one nobody is
named, because naming the wrong half is worse than naming none.
"""

from collections import Counter
from collections.abc import Mapping

from controlplane.model.base import Target
from controlplane.model.drift import PARTS_MAX, TEXT_MAX, Fingerprint, FingerprintSeen
from controlplane.model.topology import Service

MAJORITY_OF_MIN = 3
SHOWN_MAX = 5  # parts named
SHORT = 16  # characters of an opaque fingerprint that are shown


def differences(service: Service, known: Mapping[str, Fingerprint]) -> dict[Target, tuple[tuple[str, ...], str]]:
    """What differs, and from what, for each endpoint of `service` that is not as it should be."""
    found = {}
    groups: dict[tuple[str, str], list[Fingerprint]] = {}
    wanted: dict[Target, str] = {}
    for endpoint in service.endpoints:
        target = Target(service.name, endpoint.name)
        seen = known.get(str(target))
        if seen is None:
            continue
        groups.setdefault((endpoint.version, seen.environment), []).append(seen)
        wanted[target] = endpoint.fingerprint or service.fingerprint
    for group in groups.values():
        most = _majority([one for one in group if not wanted[one.target]])
        for one in group:
            declared = wanted[one.target]
            right = declared or (most[0] if most else "")
            if not right or one.value == right:
                continue
            against = "declared" if declared else f"{most[1]} of the {most[2]} compared are" if most else ""
            found[one.target] = (_named(one, right, group), against)
    return found


def unclear(service: Service, known: Mapping[str, Fingerprint]) -> list[str]:
    """Why nobody can be named in a group that differs, one sentence each."""
    groups: dict[tuple[str, str], list[Fingerprint]] = {}
    for endpoint in service.endpoints:
        seen = known.get(f"{service.name}/{endpoint.name}")
        if seen is not None and not (endpoint.fingerprint or service.fingerprint):
            groups.setdefault((endpoint.version, seen.environment), []).append(seen)
    return [
        f"{service.name}: {len({one.value for one in group})} fingerprints among {len(group)} endpoints, no majority"
        for group in groups.values()
        if len({one.value for one in group}) > 1 and _majority(group) is None
    ]


def _majority(group: list[Fingerprint]) -> tuple[str, int, int] | None:
    """The fingerprint of more than half, how many have it, and of how many."""
    if len(group) < MAJORITY_OF_MIN:
        return None
    value, count = Counter(one.value for one in group).most_common(1)[0]
    return (value, count, len(group)) if 2 * count > len(group) else None


def _named(one: Fingerprint, right: str, group: list[Fingerprint]) -> tuple[str, ...]:
    """Which parts differ; where nobody has the wanted fingerprint, or it has no parts, the fingerprints themselves."""
    model = next((other.parts for other in group if other.value == right and other.parts), None)
    if model is not None and one.parts:
        names = [f"{name} differs" for name, value in sorted(one.parts.items()) if model.get(name, value) != value]
        names += [f"{name} is missing" for name in sorted(model.keys() - one.parts.keys())]
        names += [f"{name} is only here" for name in sorted(one.parts.keys() - model.keys())]
        if len(names) > SHOWN_MAX:
            names = [*names[:SHOWN_MAX], f"and {len(names) - SHOWN_MAX} more"]
        if names:
            return tuple(names)
    return (f"fingerprint {_short(one.value)} instead of {_short(right)}",)


def _short(value: str) -> str:
    return value if len(value) <= SHORT else f"{value[:SHORT]}..."


def wrong_fingerprint(signal: FingerprintSeen) -> str:
    """Why nothing may be made of `signal`; empty: it may be believed."""
    if not signal.target.endpoint:
        return f"{signal.target} is a service: a fingerprint is one endpoint's"
    if not signal.fingerprint:
        return "an empty fingerprint"
    if len(signal.parts) > PARTS_MAX:
        return f"{len(signal.parts)} parts of a fingerprint: at most {PARTS_MAX} are compared"
    texts = (signal.fingerprint, signal.environment, *signal.parts, *signal.parts.values())
    return f"a text of more than {TEXT_MAX} characters" if max(map(len, texts)) > TEXT_MAX else ""
