"""Drift as the admin API takes and tells it: fingerprints of endpoints in, and who differs from what is wanted out."""

from typing import Annotated

import anyio
import msgspec

from controlplane.admin.problem import Problem
from controlplane.assembly import Plane
from controlplane.decide.drift.compare import unclear
from controlplane.decide.drift.found import drifted
from controlplane.model.base import Target
from controlplane.model.drift import PARTS_MAX, TEXT_MAX, FingerprintSeen
from controlplane.model.unit import to_seconds

FINGERPRINTS_MAX = 1000  # per request
BODY_BYTES_MAX = 1 << 20

Text = Annotated[str, msgspec.Meta(max_length=TEXT_MAX)]
Value = Annotated[str, msgspec.Meta(min_length=1, max_length=TEXT_MAX)]
Parts = Annotated[dict[Value, Text], msgspec.Meta(max_length=PARTS_MAX)]


class Reported(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one endpoint runs with. `parts` name what went into it; their values are compared and never shown."""

    service: Value
    endpoint: Value
    fingerprint: Value
    parts: Parts = {}
    environment: Text = ""


class FingerprintsTaken(msgspec.Struct, frozen=True):
    """How many fingerprints were taken in."""

    accepted: int


class DriftView(msgspec.Struct, frozen=True, kw_only=True):
    """Who differs, from what, in what, and for how long."""

    who: str
    service: str
    endpoint: str
    against: str
    differs: tuple[str, ...]
    for_s: float


class DriftList(msgspec.Struct, frozen=True, kw_only=True):
    """All that differs now. `fingerprints`: endpoints that have told theirs; `unclear`: where nobody can be named."""

    drifted: list[DriftView]
    unclear: list[str]
    fingerprints: int
    endpoints: int


def take(plane: Plane, told: list[Reported]) -> FingerprintsTaken:
    """Hand all of `told` to the engine, or none when one names nobody. Raises Problem."""
    if len(told) > FINGERPRINTS_MAX:
        raise Problem(400, f"{len(told)} fingerprints in one request; at most {FINGERPRINTS_MAX} are taken")
    for index, one in enumerate(told):
        if reason := _wrong(plane, one):
            raise Problem(400, f"body was understood but is not right: $[{index}]{reason}")
    now = plane.clock.now()
    for index, one in enumerate(told):
        signal = FingerprintSeen(
            at=now,
            target=Target(one.service, one.endpoint),
            fingerprint=one.fingerprint,
            parts=one.parts,
            environment=one.environment,
        )
        try:
            plane.submit_nowait(signal)
        except (anyio.WouldBlock, RuntimeError) as error:  # the same fingerprint twice is one: all may be sent again
            reason = "the inbox is full" if isinstance(error, anyio.WouldBlock) else str(error)
            raise Problem(503, f"{reason}; send them again", headers={"retry-after": "1"}, accepted=index) from error
    return FingerprintsTaken(accepted=len(told))


def drift(plane: Plane) -> DriftList:
    """What differs now."""
    state, now = plane.state, plane.clock.now()
    return DriftList(
        drifted=[
            DriftView(
                who=one.who,
                service="" if one.target is None else one.target.service,
                endpoint="" if one.target is None else one.target.endpoint,
                against=one.against,
                differs=one.differs,
                for_s=round(to_seconds(max(0, now - one.since)), 3),
            )
            for one in drifted(state)
        ],
        unclear=[text for service in plane.topology.services for text in unclear(service, state.fingerprints)],
        fingerprints=len(state.fingerprints),
        endpoints=plane.topology.endpoints_total,
    )


def _wrong(plane: Plane, one: Reported) -> str:
    service = plane.topology.service(one.service)
    if service is None:
        return f".service: {one.service!r} is not a declared service"
    if all(endpoint.name != one.endpoint for endpoint in service.endpoints):
        right = ", ".join(endpoint.name for endpoint in service.endpoints[:10]) or "none"
        return f".endpoint: {one.endpoint!r} is not an endpoint of {one.service!r}, which has {right}"
    return ""
