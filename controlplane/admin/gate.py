"""The gate that a progressive deployer asks: Flagger by its webhooks, Argo Rollouts by a web metric.

    ask=go         200 go, 403 halt: for Flagger's confirm-rollout, confirm-traffic-increase, confirm-promotion, rollout
    ask=rollback   200 roll back, 403 do not: for Flagger's rollback hook, where success means that it is to be done
    ask=verdict    200 always, and the answer in the body: for Argo Rollouts, to which any other status is an error of
                   the measurement, and says nothing about the rollout

Sources: fluxcd/flagger docs/gitbook/usage/webhooks.md, pkg/controller/webhook.go; argoproj/argo-rollouts
docs/analysis/web.md, metricproviders/webmetric/webmetric.go.
"""

from typing import Any, Literal

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from controlplane.admin.problem import Problem
from controlplane.assembly import Plane

BODY_MAX = 65_536  # bytes of a question; Flagger's have some hundred

Ask = Literal["go", "rollback", "verdict"]


class Gate(msgspec.Struct, frozen=True):
    """Whether a rollout may go on. `answer` is the same in words: go; halt; halt, roll back."""

    service: str
    answer: str
    go: bool
    roll_back: bool
    reasons: tuple[str, ...]


class Question(msgspec.Struct, frozen=True):
    """What Flagger sends; `version` in its metadata says which version the rollout brings."""

    name: str = ""
    namespace: str = ""
    phase: str = ""
    metadata: dict[str, Any] = {}


async def answer(plane: Plane, request: Request) -> Response:
    """The answer to one question. Raises Problem for a service that nobody declared."""
    service = request.path_params["service"]
    if plane.topology.service(service) is None:
        raise Problem(404, f"{service[:80]!r} is not a declared service")
    ask = request.query_params.get("ask", "go")
    if ask not in ("go", "rollback", "verdict"):
        raise Problem(400, f"ask: {ask[:40]!r} is not one of 'go', 'rollback', 'verdict'")
    version = request.query_params.get("version", "") or await _version(request)
    found = plane.gate(service, version)
    words = "go" if found.go else "halt, roll back" if found.roll_back else "halt"
    body = Gate(service, words, found.go, found.roll_back, found.reasons)
    granted = {"go": found.go, "rollback": found.roll_back, "verdict": True}[ask]
    return Response(msgspec.json.encode(body), status_code=200 if granted else 403, media_type="application/json")


async def _version(request: Request) -> str:
    """The version that the question names; a body that we do not understand names none."""
    if request.method != "POST":
        return ""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_MAX:
            raise Problem(413, f"the body is larger than {BODY_MAX} bytes")
    try:
        return str(msgspec.json.decode(bytes(body) or b"{}", type=Question).metadata.get("version", ""))
    except msgspec.DecodeError:
        return ""
