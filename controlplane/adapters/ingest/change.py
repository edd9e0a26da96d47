"""Changes as pipelines tell them: our own JSON, and CloudEvents 1.0 structured, binary and in batches.

    {"id": "deploy-814", "service": "orders", "version": "v2", "by": "alice"}

A CloudEvent carries the same as its `data`; it is known by `source` and `id` together, as the specification says, and
made at its `time`. `subject` names the service where the data does not. Its `type` may be anything.
Source: CloudEvents 1.0.2, JSON event format and HTTP protocol binding, https://github.com/cloudevents/spec.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any
from urllib.parse import unquote

import msgspec

from controlplane.model.change import ENDPOINTS_MAX, SUMMARY_MAX, TEXT_MAX, ChangeKind

CHANGES_MAX = 200  # per request
AGE_MAX_S = 86_400.0
AHEAD_MAX_S = 60.0

Text = Annotated[str, msgspec.Meta(max_length=TEXT_MAX)]
Given = Annotated[str, msgspec.Meta(min_length=1, max_length=TEXT_MAX)]


class PostedChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One change. `at`: RFC 3339, when it was made; none: now. `endpoints`: where the version runs, for a deploy in
    place; none: on the endpoints that are declared with it. The same `id` twice is one change."""

    service: Given
    id: Text = ""
    kind: ChangeKind = "deploy"
    version: Text = ""
    endpoints: Annotated[tuple[Given, ...], msgspec.Meta(max_length=ENDPOINTS_MAX)] = ()
    at: datetime | None = None
    by: Text = ""
    summary: Annotated[str, msgspec.Meta(max_length=SUMMARY_MAX)] = ""


class CloudEvent(msgspec.Struct, frozen=True, kw_only=True):
    """The attributes that matter here; extensions are left alone."""

    specversion: str
    id: Given
    source: Annotated[str, msgspec.Meta(min_length=1, max_length=2048)]
    type: Annotated[str, msgspec.Meta(min_length=1, max_length=2048)]
    subject: Text = ""
    time: datetime | None = None
    data: dict[str, Any] = {}


def of_event(event: CloudEvent) -> PostedChange:
    """The change that `event` tells of. Raises ValueError."""
    if event.specversion != "1.0":
        raise ValueError(f"specversion {event.specversion!r} is not 1.0")
    told = {"service": event.subject, **event.data} if event.subject else dict(event.data)
    name = f"{event.source} {event.id}"
    told["id"] = name if len(name) <= TEXT_MAX else f"{hash_of(name)} {event.id}"[:TEXT_MAX]
    if event.time is not None and "at" not in told:
        told["at"] = event.time.isoformat()
    return msgspec.convert(told, PostedChange)


def of_headers(headers: Mapping[str, str], data: dict[str, Any]) -> CloudEvent:
    """A CloudEvent in binary mode: its attributes are headers, percent-encoded."""
    names = ("specversion", "id", "source", "type", "subject", "time")
    found = {name: unquote(headers[f"ce-{name}"]) for name in names if f"ce-{name}" in headers}
    return msgspec.convert({**found, "data": data}, CloudEvent)


def hash_of(text: str) -> str:
    """Sixteen hexadecimal digits that tell long sources apart."""
    import hashlib

    return hashlib.sha256(text.encode()).hexdigest()[:16]
