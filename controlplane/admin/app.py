"""The admin API as an ASGI application: alone on its own listener, or mounted in somebody else's."""

import base64
import hashlib
import re
from collections.abc import Awaitable, Callable, Collection
from importlib import resources
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from controlplane.adapters.ingest.alert import PostableAlert, WebhookMessage
from controlplane.admin import (
    alert,
    change,
    drift,
    graph,
    intake,
    people,
    playbook,
    posture,
    proxy,
    review,
    rule,
    shape,
    view,
)
from controlplane.admin import gate as gates
from controlplane.admin.access import AccessGate
from controlplane.admin.event import EventFeed
from controlplane.admin.metrics import CONTENT_TYPE, render
from controlplane.admin.openapi import openapi
from controlplane.admin.problem import Problem, problem_response, read_json
from controlplane.admin.table import OPEN_PATHS, TABLE, Freeze, Hold, ModeChange, Override, Release, Resume, Revoke
from controlplane.assembly import Plane
from controlplane.config.token import token_of
from controlplane.decide.review.case import Case
from controlplane.model.drill import Drill
from controlplane.model.errors import ControlPlaneError
from controlplane.model.foretold import Foretold
from controlplane.model.signal import PersonOrder, Target
from controlplane.model.unit import IncidentId

Endpoint = Callable[[Request], Awaitable[Any]]

_INLINE = re.compile(r"<(script|style)>(.*?)</\1>", re.DOTALL)


class AdminApp:
    """The application `create_app` gives back."""

    def __init__(self, plane: Plane, *, token: str | None, hosts: Collection[str]) -> None:
        self.feed = EventFeed(plane)
        self._endpoints = _Endpoints(plane, self.feed)
        routes = []
        for path in dict.fromkeys(operation.path for operation in TABLE):
            methods = {operation.method: operation.name for operation in TABLE if operation.path == path}
            routes.append(Route(path, self._dispatch(methods), methods=list(methods)))
        inner = Starlette(
            routes=routes,
            exception_handlers={HTTPException: _refuse_http, Problem: _refuse, Exception: _refuse_unexpected},
        )
        # a redirect to the path without the slash would send the token along once more; 404 says the same, plainly
        inner.router.redirect_slashes = False
        self._app: ASGIApp = AccessGate(
            inner, token=token, hosts=hosts, open_paths=OPEN_PATHS, gates=_gate_tokens(plane)
        )

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one ASGI scope."""
        await self._app(scope, receive, send)

    def _dispatch(self, methods: dict[str, str]) -> Endpoint:
        async def endpoint(request: Request) -> Any:
            operation = methods["GET" if request.method == "HEAD" else request.method]
            answer = await getattr(self._endpoints, operation)(request)
            if isinstance(answer, msgspec.Struct | dict):
                status = next(row.status for row in TABLE if row.name == operation)
                return Response(msgspec.json.encode(answer), status_code=status, media_type="application/json")
            return answer

        return endpoint


def create_app(plane: Plane, *, token: str | None, hosts: Collection[str] = ()) -> AdminApp:
    """The admin API of `plane`, an ASGI application.

    token   what `Authorization: Bearer` must carry. None asks for none: only where something in front already decides
            who may stop this process's automation.
    hosts   names, beyond loopback ones, under which a listener on loopback is reached; "*" admits any.
    """
    if token is not None and not token:
        raise ValueError("token is empty; pass None, explicitly, to ask for no token")
    return AdminApp(plane, token=token, hosts=hosts)


def _gate_tokens(plane: Plane) -> dict[str, str]:
    """The token that opens one service's gate and nothing else, by path: a deployer need not know ours."""
    found = {}
    for service in plane.config.services:
        section = plane.config.deployers.get(service.deployer)
        if section is not None and section.kind == "gate" and section.token_file:
            found[f"/v1/gates/{service.name}"] = token_of(service.deployer, section)
    return found


class _Endpoints:
    """One method per row of the table, under the row's name."""

    def __init__(self, plane: Plane, feed: EventFeed) -> None:
        self._plane, self._feed = plane, feed

    async def console(self, _: Request) -> Response:
        page = resources.files("controlplane.admin").joinpath("console.html").read_text(encoding="utf-8")
        headers = {"content-security-policy": _content_policy(page), "referrer-policy": "no-referrer"}
        return Response(page, media_type="text/html", headers=headers)

    async def livez(self, _: Request) -> Response:
        return Response("ok\n", media_type="text/plain")

    async def readyz(self, _: Request) -> Response:
        if not self._plane.ready:
            raise Problem(503, self._plane.trouble or "the control loop is not running", headers={"retry-after": "1"})
        degraded = view.degraded(self._plane)  # in words under /v1/status, which asks for a token
        return Response("ok, degraded\n" if degraded else "ok\n", media_type="text/plain")

    healthz = readyz

    async def status(self, _: Request) -> shape.Status:
        return view.status(self._plane)

    async def incidents(self, request: Request) -> shape.IncidentList:
        which = request.query_params.get("state", "all")
        if which not in ("open", "closed", "all"):
            raise Problem(400, f"state: {which[:40]!r} is not one of 'open', 'closed', 'all'")
        limit = request.query_params.get("limit", "100")
        if not limit.isdecimal() or not 1 <= int(limit[:6]) <= 1000:
            raise Problem(400, f"limit: {limit[:40]!r} is not a whole number from 1 up to 1000")
        return view.incidents(self._plane, which, int(limit))

    async def incident(self, request: Request) -> shape.IncidentView:
        wanted = request.path_params["id"]
        for name, one in self._plane.state.incidents.items():
            if name == wanted:
                return view.incident_view(self._plane, one)
        raise Problem(404, f"no incident {wanted[:80]!r} is known")

    async def explain(self, request: Request) -> shape.Explanation:
        try:
            return review.explanation(await self._case(request))
        except Problem:
            known = self._plane.state.incidents.get(IncidentId(request.path_params["id"]))
            if known is None:
                raise
            return review.remembered(self._plane, known)  # the journal has not taken it, or does not answer

    async def report(self, request: Request) -> shape.Report:
        picture = request.query_params.get("picture", "")
        if len(picture) > 200 or not re.fullmatch(r"[\w.%~-]*", picture, re.ASCII):
            raise Problem(400, f"picture: {picture[:40]!r} is not a relative address")
        return review.report(await self._case(request), picture)

    async def _case(self, request: Request) -> Case:
        wanted = request.path_params["id"]
        try:
            case = await self._plane.recall(IncidentId(wanted))
        except ControlPlaneError as error:
            raise Problem(503, str(error), headers={"retry-after": "1"}) from error
        if case is None:
            raise Problem(404, f"no incident {wanted[:80]!r} is on record")
        return case

    async def services(self, _: Request) -> shape.ServiceStates:
        return shape.ServiceStates(services=self._plane.service_states())

    async def acknowledge(self, request: Request) -> shape.IncidentView:
        return view.incident_view(self._plane, await people.acknowledge(self._plane, request))

    async def topology(self, _: Request) -> shape.TopologyView:
        return view.topology(self._plane)

    async def graph(self, _: Request) -> shape.GraphView:
        return graph.graph(self._plane)

    async def commands(self, _: Request) -> shape.CommandList:
        return view.commands(self._plane)

    async def proxies(self, _: Request) -> proxy.ProxyList:
        return proxy.proxies(self._plane)

    async def gate(self, request: Request) -> Response:
        return await gates.answer(self._plane, request)

    gate_posted = gate

    async def freeze(self, request: Request) -> shape.Status:
        body = await read_json(request, Freeze)
        return await self._ordered("freeze", by=body.by, reason=body.reason)

    async def resume(self, request: Request) -> shape.Status:
        body = await read_json(request, Resume)
        return await self._ordered("resume", by=body.by, reason=body.reason)

    async def mode(self, request: Request) -> shape.Status:
        body = await read_json(request, ModeChange)
        return await self._ordered(body.mode, by=body.by, reason=body.reason)

    async def rules(self, _: Request) -> rule.RulesView:
        return rule.rules(self._plane)

    async def posture(self, _: Request) -> posture.PostureView:
        return posture.posture(self._plane)

    async def shadow(self, _: Request) -> rule.ShadowReport:
        return rule.shadow(self._plane)

    async def hold(self, request: Request) -> rule.RulesView:
        body = await read_json(request, Hold)
        await self._ordered("hold", by=body.by, reason=body.reason, target=_about(body.target), for_s=body.for_s)
        return rule.rules(self._plane)

    async def release(self, request: Request) -> rule.RulesView:
        body = await read_json(request, Release)
        await self._ordered("release", by=body.by, reason=body.reason, target=_about(body.target))
        return rule.rules(self._plane)

    async def override(self, request: Request) -> rule.RulesView:
        body = await read_json(request, Override)
        about = _about(body.target)
        await self._ordered("override", by=body.by, reason=body.reason, target=about, rule=body.rule, for_s=body.for_s)
        return rule.rules(self._plane)

    async def revoke(self, request: Request) -> rule.RulesView:
        body = await read_json(request, Revoke)
        await self._ordered("revoke", by=body.by, reason=body.reason, target=_about(body.target), rule=body.rule)
        return rule.rules(self._plane)

    async def _ordered(self, order: PersonOrder, *, by: str, reason: str, **what: Any) -> shape.Status:
        if not self._plane.ready:
            raise Problem(503, self._plane.trouble or "the control loop is not running", headers={"retry-after": "1"})
        try:
            await self._plane.order(order, by=by, reason=reason, **what)
        except ValueError as error:
            raise Problem(400, f"body was understood but is not right: $.{error}") from error
        except ControlPlaneError as error:
            raise Problem(503, str(error), headers={"retry-after": "1"}) from error
        return view.status(self._plane)

    async def playbooks(self, _: Request) -> playbook.PlaybookList:
        return await playbook.playbooks(self._plane)

    async def plan(self, request: Request) -> Foretold:
        return await playbook.plan(self._plane, await read_json(request, playbook.PlanQuestion))

    async def drill(self, request: Request) -> Drill:
        return await playbook.drill(self._plane, await read_json(request, playbook.DrillQuestion))

    async def signals(self, request: Request) -> intake.Accepted:
        return intake.take_signals(self._plane, await read_json(request, list[dict[str, Any]]))

    async def alerts(self, request: Request) -> alert.AlertsTaken:
        message = await read_json(request, WebhookMessage, bytes_max=alert.BODY_BYTES_MAX)
        return alert.take_message(self._plane, message)

    async def alerts_v2(self, request: Request) -> alert.AlertsTaken:
        told = await read_json(request, list[PostableAlert], bytes_max=alert.BODY_BYTES_MAX)
        return alert.take_postable(self._plane, told)

    async def changed(self, request: Request) -> change.ChangesTaken:
        return await change.take(self._plane, request)

    async def changes(self, _: Request) -> change.ChangeList:
        return change.changes(self._plane)

    async def fingerprints(self, request: Request) -> drift.FingerprintsTaken:
        told = await read_json(request, list[drift.Reported], bytes_max=drift.BODY_BYTES_MAX)
        return drift.take(self._plane, told)

    async def drift(self, _: Request) -> drift.DriftList:
        return drift.drift(self._plane)

    async def events(self, request: Request) -> Any:
        return self._feed.stream(request.headers.get("last-event-id"))

    async def metrics(self, _: Request) -> Response:
        return Response(
            await render(self._plane, followers=self._feed.followers), headers={"content-type": CONTENT_TYPE}
        )

    async def openapi(self, request: Request) -> dict[str, Any]:
        from controlplane import __version__

        return openapi(TABLE, version=__version__, prefix=request.scope.get("root_path", ""))


def _about(text: str) -> Target | None:
    """What an order is about; None: everything."""
    if text == "*":
        return None
    service, _, endpoint = text.partition("/")
    return Target(service, endpoint)


def _content_policy(page: str) -> str:
    """Only the page's own script and style may run, known by their hashes, and they may talk to this origin only."""
    allowed: dict[str, list[str]] = {"script": [], "style": []}
    for match in _INLINE.finditer(page):
        digest = base64.b64encode(hashlib.sha256(match[2].encode()).digest()).decode()
        allowed[match[1]].append(f"'sha256-{digest}'")
    return (
        f"default-src 'none'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        f"script-src {' '.join(allowed['script'])}; style-src {' '.join(allowed['style'])}"
    )


async def _refuse(_: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return problem_response(error)


async def _refuse_http(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    detail = {404: "no such path; GET /openapi.json lists them", 405: "this path does not take this method"}
    return problem_response(
        Problem(error.status_code, detail.get(error.status_code, error.detail), headers=error.headers)
    )


async def _refuse_unexpected(_: Request, error: Exception) -> Response:
    # Starlette raises it again for the server's log; the client learns nothing about the inside
    del error
    return problem_response(Problem(500, "an error of the control plane itself; its log has the details"))
