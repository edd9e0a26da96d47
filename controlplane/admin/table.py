"""What the admin API serves: the one table from which routes and OpenAPI document are made."""

from typing import Annotated, Any, Literal

import msgspec

from controlplane.admin import shape
from controlplane.admin.gate import Gate, Question
from controlplane.admin.intake import Accepted, Reported
from controlplane.admin.openapi import Operation, Parameter

Who = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
Why = Annotated[str, msgspec.Meta(max_length=2000)]


class Freeze(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Stop automation: what is in force runs out, nothing new is ordered."""

    reason: Why = ""
    by: Who = "api"


class Resume(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Let automation act again."""

    reason: Why = ""
    by: Who = "api"


class ModeChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Act, or only say what would be done."""

    mode: Literal["observe", "enforce"]
    reason: Why = ""
    by: Who = "api"


_SINCE = Parameter("Last-Event-ID", "header", "Go on after this sequence number.", {"type": "integer"})
_WHICH = Parameter("state", "query", "Which incidents.", {"enum": ["open", "closed", "all"], "default": "all"})
_LIMIT = Parameter(
    "limit", "query", "At most so many.", {"type": "integer", "minimum": 1, "maximum": 1000, "default": 100}
)
_ID = Parameter("id", "path", "The incident's id.", {"type": "string"})

_SERVICE = Parameter("service", "path", "The service that is rolled out.", {"type": "string"})
_ASK = Parameter("ask", "query", "What success means.", {"enum": ["go", "rollback", "verdict"], "default": "go"})
_VERSION = Parameter("version", "query", "The version that the rollout brings.", {"type": "string"})

_TEXT = "text/plain"


def _get(path: str, name: str, summary: str, answer: Any = None, **rest: Any) -> Operation:
    return Operation(method="GET", path=path, name=name, summary=summary, answer=answer, **rest)


def _post(path: str, name: str, summary: str, body: Any, answer: Any, **rest: Any) -> Operation:
    return Operation(
        method="POST", path=path, name=name, summary=summary, body=body, answer=answer, refusals=(503,), **rest
    )


TABLE: tuple[Operation, ...] = (
    _get("/", "console", "A page for people; it asks for the token itself.", media="text/html", token=False),
    _get("/livez", "livez", "The process answers.", media=_TEXT, token=False),
    _get("/readyz", "readyz", "The control loop runs.", media=_TEXT, token=False, refusals=(503,)),
    _get("/healthz", "healthz", "The same as /readyz.", media=_TEXT, token=False, refusals=(503,)),
    _get("/v1/status", "status", "State of the whole.", shape.Status),
    _get(
        "/v1/incidents", "incidents", "Incidents, newest first.", shape.IncidentList,
        parameters=(_WHICH, _LIMIT), refusals=(400,),
    ),
    _get(
        "/v1/incidents/{id}", "incident", "One incident: evidence, commands, refusals, timeline, explanation.",
        shape.IncidentView, parameters=(_ID,), refusals=(404,),
    ),
    _get("/v1/topology", "topology", "Services, endpoints and how this process sees them.", shape.TopologyView),
    _get("/v1/graph", "graph", "Who calls whom, how often and how well, and how complete that is.", shape.GraphView),
    _get("/v1/commands", "commands", "Orders in force, and how long each lasts yet.", shape.CommandList),
    _get(
        "/v1/gates/{service}", "gate", "Whether a rollout of the service may go on: 200, or 403 where not.", Gate,
        parameters=(_SERVICE, _ASK, _VERSION), refusals=(400, 403, 404),
    ),
    Operation(
        method="POST", path="/v1/gates/{service}", name="gate_posted", summary="The same, as Flagger's webhooks ask.",
        body=Question, answer=Gate, parameters=(_SERVICE, _ASK, _VERSION), refusals=(400, 403, 404),
    ),
    _post("/v1/freeze", "freeze", "Stop automation. Answers once it is on record.", Freeze, shape.Status),
    _post("/v1/resume", "resume", "Let automation act again.", Resume, shape.Status),
    _post("/v1/mode", "mode", "Observe only, or enforce.", ModeChange, shape.Status),
    _post("/v1/signals", "signals", "Facts seen by others; at most 1000.", list[Reported], Accepted, status=202),
    _get(
        "/v1/events", "events", "Records as they are made, as server-sent events.",
        media="text/event-stream", parameters=(_SINCE,), refusals=(400, 503),
    ),
    _get("/metrics", "metrics", "Prometheus text exposition.", media=_TEXT),
    _get("/openapi.json", "openapi", "This document.", dict[str, Any]),
)  # fmt: skip

OPEN_PATHS = tuple(operation.path for operation in TABLE if not operation.token)
