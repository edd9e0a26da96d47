"""What the failing endpoints of a service have in common, and nobody else has: it names the part that fails."""

from collections.abc import Collection
from typing import Literal

from controlplane.model.topology import Service


def shared(service: Service, bad: Collection[str], of: Literal["zone", "version"]) -> str:
    """The version (zone) of which every bad endpoint is and others are not; empty when it explains nothing."""
    values = {getattr(endpoint, of) for endpoint in service.endpoints if endpoint.name in bad}
    if len(values) != 1:
        return ""
    value = str(next(iter(values)))
    others = {getattr(endpoint, of) for endpoint in service.endpoints if endpoint.name not in bad}
    if not value or others == {value}:
        return ""
    return value


def narrowed(service: Service, bad: Collection[str]) -> dict[str, str | tuple[str, ...]]:
    """The fields of a `Situation` that name the bad part: nothing where it is the whole service or nobody is bad."""
    names = [endpoint.name for endpoint in service.endpoints if endpoint.name in bad]
    if not names or len(names) == len(service.endpoints):
        return {}
    if len(names) > 1:
        if version := shared(service, bad, "version"):
            return {"version": version}
        if zone := shared(service, bad, "zone"):
            return {"zone": zone}
    return {"endpoints": tuple(sorted(names))}
