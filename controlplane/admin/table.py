"""What the admin API serves: the one table from which routes and OpenAPI document are made."""

from typing import Annotated, Any, Literal

import msgspec

from controlplane.adapters.ingest.alert import PostableAlert, WebhookMessage
from controlplane.adapters.ingest.change import PostedChange
from controlplane.admin import change, drift, posture, proxy, rule, shape
from controlplane.admin.alert import AlertsTaken
from controlplane.admin.gate import Gate, Question
from controlplane.admin.intake import Accepted, Reported
from controlplane.admin.openapi import Operation, Parameter
from controlplane.admin.people import Acknowledge
from controlplane.admin.playbook import DrillQuestion, PlanQuestion, PlaybookList
from controlplane.model.drill import Drill
from controlplane.model.foretold import Foretold

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


About = Annotated[str, msgspec.Meta(min_length=1, max_length=300)]
"""A service, `service/endpoint`, or `*` for everything."""
Reason = Annotated[str, msgspec.Meta(min_length=1, max_length=2000)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]


class Hold(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Automation leaves `target` as it is: nothing new is ordered, nothing is given back. 0 s: until it is released."""

    target: About
    for_s: Annotated[float, msgspec.Meta(ge=0, le=2_592_000)] = 0.0
    reason: Why = ""
    by: Who = "api"


class Release(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """End a hold."""

    target: About
    reason: Why = ""
    by: Who = "api"


class Override(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Break-glass: set one safety rule aside for acts about `target`. It ends by itself; who and why must be said."""

    rule: Name
    target: About
    for_s: Annotated[float, msgspec.Meta(gt=0, le=3600)]
    reason: Reason
    by: Who


class Revoke(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """End an override before its time."""

    rule: Name
    target: About
    reason: Why = ""
    by: Who = "api"


_SINCE = Parameter("Last-Event-ID", "header", "Go on after this sequence number.", {"type": "integer"})
_WHICH = Parameter("state", "query", "Which incidents.", {"enum": ["open", "closed", "all"], "default": "all"})
_LIMIT = Parameter(
    "limit", "query", "At most so many.", {"type": "integer", "minimum": 1, "maximum": 1000, "default": 100}
)
_ID = Parameter("id", "path", "The incident's id.", {"type": "string"})

_PICTURE = Parameter("picture", "query", "Where the report finds its picture; empty: none.", {"type": "string"})
_SERVICE = Parameter("service", "path", "The service that is rolled out.", {"type": "string"})
_ASK = Parameter("ask", "query", "What success means.", {"enum": ["go", "rollback", "verdict"], "default": "go"})
_VERSION = Parameter("version", "query", "The version that the rollout brings.", {"type": "string"})

_TEXT = "text/plain"


def _get(path: str, name: str, summary: str, answer: Any = None, **rest: Any) -> Operation:
    return Operation(method="GET", path=path, name=name, summary=summary, answer=answer, **rest)


def _post(path: str, name: str, summary: str, body: Any, answer: Any, **rest: Any) -> Operation:
    more = {"refusals": (503,), **rest}
    return Operation(method="POST", path=path, name=name, summary=summary, body=body, answer=answer, **more)


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
    _get(
        "/v1/incidents/{id}/explain", "explain", "What was seen, done, refused and saved, from what is on record.",
        shape.Explanation, parameters=(_ID,), refusals=(404, 503),
    ),
    _get(
        "/v1/incidents/{id}/report", "report", "The post-incident report, in Markdown, and its timeline as SVG.",
        shape.Report, parameters=(_ID, _PICTURE), refusals=(400, 404, 503),
    ),
    _get("/v1/services", "services", "Services as users see them and as they are inside.", shape.ServiceStates),
    _post(
        "/v1/incidents/{id}/acknowledge", "acknowledge", "Take an incident: its ladder is climbed no further.",
        Acknowledge, shape.IncidentView, parameters=(_ID,), refusals=(404, 409, 503),
    ),
    _get("/v1/topology", "topology", "Services, endpoints and how this process sees them.", shape.TopologyView),
    _get("/v1/graph", "graph", "Who calls whom, how often and how well, and how complete that is.", shape.GraphView),
    _get("/v1/commands", "commands", "Orders in force, and how long each lasts yet.", shape.CommandList),
    _get("/v1/proxies", "proxies", "What is wanted of each proxy, and what it has acknowledged.", proxy.ProxyList),
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
    _get("/v1/rules", "rules", "Safety rules: limits, refusals, holds, overrides.", rule.RulesView),
    _get("/v1/posture", "posture", "Guards, and what is closed or open while one fails.", posture.PostureView),
    _get("/v1/shadow", "shadow", "What acts in shadow would have done.", rule.ShadowReport),
    _post("/v1/hold", "hold", "Leave a target as it is.", Hold, rule.RulesView, refusals=(400, 503)),
    _post("/v1/release", "release", "End a hold.", Release, rule.RulesView, refusals=(400, 503)),
    _post("/v1/override", "override", "Break-glass: set a rule aside.", Override, rule.RulesView, refusals=(400, 503)),
    _post("/v1/revoke", "revoke", "End an override.", Revoke, rule.RulesView, refusals=(400, 503)),
    _get("/v1/playbooks", "playbooks", "How each playbook stands: reliable, rehearsed, in shadow.", PlaybookList),
    _post("/v1/plan", "plan", "What would be done if something failed; nothing is.", PlanQuestion, Foretold),
    _post("/v1/drill", "drill", "Rehearse a playbook, in shadow.", DrillQuestion, Drill, refusals=(404, 503)),
    _post("/v1/signals", "signals", "Facts seen by others; at most 1000.", list[Reported], Accepted, status=202),
    _post("/v1/alerts", "alerts", "Alerts by Alertmanager's webhook (version 4).", WebhookMessage, AlertsTaken),
    _post("/api/v2/alerts", "alerts_v2", "Alerts as Prometheus sends them.", list[PostableAlert], AlertsTaken),
    _post(
        "/v1/changes", "changed", "A deploy or configuration change, or up to 200; JSON or CloudEvents.",
        PostedChange | list[PostedChange], change.ChangesTaken, status=202,
    ),
    _get("/v1/changes", "changes", "Changes on record, the latest first.", change.ChangeList),
    _post(
        "/v1/fingerprints", "fingerprints", "What endpoints are configured with; at most 1000.", list[drift.Reported],
        drift.FingerprintsTaken, status=202,
    ),
    _get("/v1/drift", "drift", "Endpoints and proxies that are not configured as wanted.", drift.DriftList),
    _get(
        "/v1/events", "events", "Records as they are made, as server-sent events.",
        media="text/event-stream", parameters=(_SINCE,), refusals=(400, 503),
    ),
    _get("/metrics", "metrics", "Prometheus text exposition.", media=_TEXT),
    _get("/openapi.json", "openapi", "This document.", dict[str, Any]),
)  # fmt: skip

OPEN_PATHS = tuple(operation.path for operation in TABLE if not operation.token)
