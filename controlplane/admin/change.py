"""Changes by HTTP: in as JSON or CloudEvents, out with what is known of each."""

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import anyio
import msgspec
from starlette.requests import Request

from controlplane.adapters.bounded import bounded_body
from controlplane.adapters.ingest.change import (
    AGE_MAX_S,
    AHEAD_MAX_S,
    CHANGES_MAX,
    CloudEvent,
    PostedChange,
    of_event,
    of_headers,
)
from controlplane.admin.problem import Problem
from controlplane.assembly import Plane
from controlplane.model.change import Changed
from controlplane.model.unit import Nanos, to_nanos

BODY_BYTES_MAX = 1 << 20


class ChangesTaken(msgspec.Struct, frozen=True):
    """How many changes were taken in, under which ids, and how many of them were known before."""

    accepted: int
    known: int
    ids: list[str]


class ChangeView(msgspec.Struct, frozen=True, kw_only=True):
    """A change on record."""

    id: str
    service: str
    kind: str
    version: str
    endpoints: tuple[str, ...]
    at: str
    by: str
    summary: str


class ChangeList(msgspec.Struct, frozen=True, kw_only=True):
    """Changes, the latest first."""

    changes: list[ChangeView]


async def take(plane: Plane, request: Request) -> ChangesTaken:
    """Hand the changes of a request to the engine, or none where one is wrong. Raises Problem."""
    told = await _read(request)
    if not 1 <= len(told) <= CHANGES_MAX:
        raise Problem(400, f"{len(told)} changes in one request; from 1 up to {CHANGES_MAX} are taken")
    signals = [_signal(plane, one, f"$[{index}]") for index, one in enumerate(told)]
    known = 0
    for signal in signals:
        known += any(one.id == signal.id for one in plane.state.changes.get(signal.service, ()))
        try:
            plane.changes.tell(signal)
        except (anyio.WouldBlock, RuntimeError) as error:  # each has its id: all may be sent again
            reason = "the inbox is full" if isinstance(error, anyio.WouldBlock) else str(error)
            raise Problem(503, f"{reason}; send them again", headers={"retry-after": "1"}) from error
    return ChangesTaken(accepted=len(signals), known=known, ids=[signal.id for signal in signals])


def changes(plane: Plane) -> ChangeList:
    """What is on record."""
    offset_ns = plane.clock.wall_ns() - plane.clock.now()
    each = sorted((one for kept in plane.state.changes.values() for one in kept), key=lambda one: -one.made_at)
    return ChangeList(
        changes=[
            ChangeView(
                id=one.id,
                service=one.service,
                kind=one.kind,
                version=one.version,
                endpoints=one.endpoints,
                at=datetime.fromtimestamp((one.made_at + offset_ns) / 1e9, UTC).isoformat(timespec="milliseconds"),
                by=one.by,
                summary=one.summary,
            )
            for one in each[:1000]
        ]
    )


async def _read(request: Request) -> Sequence[PostedChange]:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    types = ("application/json", "application/cloudevents+json", "application/cloudevents-batch+json")
    if kind not in types:
        raise Problem(415, f"content type {kind!r} is not taken; send {' or '.join(types)}")
    too_large = Problem(413, f"body is larger than {BODY_BYTES_MAX} bytes", headers={"connection": "close"})
    body = await bounded_body(request, BODY_BYTES_MAX, too_large)
    try:
        if kind == types[1]:
            return [of_event(msgspec.json.decode(body, type=CloudEvent))]
        if kind == types[2]:
            return [of_event(one) for one in msgspec.json.decode(body, type=list[CloudEvent])]
        if "ce-specversion" in request.headers:
            return [of_event(of_headers(request.headers, msgspec.json.decode(body, type=dict[str, Any])))]
        one_or_more = msgspec.json.decode(body, type=PostedChange | list[PostedChange])
        return one_or_more if isinstance(one_or_more, list) else [one_or_more]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Problem(400, f"body is not right: {error or 'nested too deeply'}") from error
    except ValueError as error:
        raise Problem(400, f"body was understood but is not right: {error}") from error


def _signal(plane: Plane, one: PostedChange, where: str) -> Changed:
    service = plane.topology.service(one.service)
    wrong = "body was understood but is not right"
    if service is None:
        raise Problem(400, f"{wrong}: {where}.service: {one.service!r} is not a declared service")
    names = {endpoint.name for endpoint in service.endpoints}
    if missing := [name for name in one.endpoints if name not in names]:
        right = f"{one.service!r}, which has {', '.join(sorted(names)[:10]) or 'none'}"
        raise Problem(400, f"{wrong}: {where}.endpoints: {missing[0]!r} is not an endpoint of {right}")
    if one.kind == "deploy" and not one.version:
        raise Problem(400, f"{wrong}: {where}.version: a deploy brings a version; for anything else set kind to config")
    now = plane.clock.now()
    age_s = 0.0
    if one.at is not None:
        if one.at.tzinfo is None:
            raise Problem(400, f"{wrong}: {where}.at: {one.at.isoformat()} has no time zone, as Z or +02:00")
        age_s = plane.clock.wall_ns() / 1e9 - one.at.timestamp()
        if not -AHEAD_MAX_S <= age_s <= AGE_MAX_S:
            raise Problem(
                400, f"{wrong}: {where}.at: {one.at.isoformat()} is not within the last day of this host's clock"
            )
    made_at = Nanos(now - to_nanos(max(0.0, age_s)))
    return Changed(
        at=now,
        id=one.id or str(uuid.uuid4()),
        service=one.service,
        made_at=made_at,
        kind=one.kind,
        version=one.version,
        endpoints=one.endpoints,
        by=one.by,
        summary=one.summary,
    )
