"""Fingerprints that endpoints send along with their answers to active probes, in `x-controlplane-fingerprint`.

    x-controlplane-fingerprint: 3f9a21; payments_v2=on; schema=12; environment=eu

The first word is the fingerprint; what follows names its parts. `environment` is no part but the group within which
endpoints are comparable. What is not in this form is not a fingerprint: it is left out, never guessed at.
"""

from collections.abc import Mapping

from controlplane.model.base import Target
from controlplane.model.drift import PARTS_MAX, TEXT_MAX, FingerprintSeen
from controlplane.model.signal import Signal
from controlplane.model.topology import Topology
from controlplane.ports import Clock

HEADER = "x-controlplane-fingerprint"
HEADER_CHARS_MAX = 4096


class ProbeFingerprints:
    """A signal source of what endpoints answered to probes. Third parties are not believed."""

    def __init__(self, topology: Topology, clock: Clock) -> None:
        self._targets = {
            endpoint.url.rstrip("/") + "/" + service.probe_path.lstrip("/"): Target(service.name, endpoint.name)
            for service in topology.services
            if service.probe_path and not service.external
            for endpoint in service.endpoints
        }
        self._clock = clock
        self._latest: dict[Target, FingerprintSeen] = {}

    def answered(self, url: str, headers: Mapping[str, str]) -> None:
        """`url` was answered with these headers."""
        text, target = headers.get(HEADER), self._targets.get(url)
        if text and target is not None and (found := parse(text)) is not None:
            value, parts, environment = found
            self._latest[target] = FingerprintSeen(
                at=self._clock.now(), target=target, fingerprint=value, parts=parts, environment=environment
            )

    def drain(self) -> list[Signal]:
        """The newest of each endpoint since the last call."""
        found: list[Signal] = list(self._latest.values())
        self._latest.clear()
        return found

    def sample(self) -> list[Signal]:
        """Nothing: a fingerprint is a fact, not a count."""
        return []


def parse(text: str) -> tuple[str, dict[str, str], str] | None:
    """Fingerprint, parts and environment of a header's value; None: it is not in that form."""
    if len(text) > HEADER_CHARS_MAX or not text.isprintable():
        return None
    value, *rest = (word.strip() for word in text.split(";"))
    parts: dict[str, str] = {}
    for word in filter(None, rest):
        name, equals, what = word.partition("=")
        if not equals or not name.strip():
            return None
        parts[name.strip()] = what.strip()
    environment = parts.pop("environment", "")
    if not value or len(parts) > PARTS_MAX or max(map(len, [value, environment, *parts, *parts.values()])) > TEXT_MAX:
        return None
    return value, parts, environment
