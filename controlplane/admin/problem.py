"""Refusals in the words of RFC 9457, and bodies that are read only as far as they may go."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from controlplane.adapters.bounded import bounded_body

T = TypeVar("T")

BODY_BYTES_MAX = 64 * 1024  # a thousand signals are about 50 KiB; anything larger is not a control message


class Problem(Exception):
    """Raised by an endpoint that refuses; becomes an application/problem+json response."""

    def __init__(self, status: int, detail: str, *, headers: Mapping[str, str] | None = None, **extra: Any) -> None:
        self.status, self.detail, self.headers, self.extra = status, detail, headers, extra
        super().__init__(detail)


def problem_response(problem: Problem) -> Response:
    """`problem` on the wire."""
    body = {
        "type": "about:blank",
        "title": HTTPStatus(problem.status).phrase,
        "status": problem.status,
        "detail": problem.detail,
        **problem.extra,
    }
    return Response(
        msgspec.json.encode(body),
        status_code=problem.status,
        headers=dict(problem.headers or {}),
        media_type="application/problem+json",
    )


async def read_json(request: Request, kind: type[T], *, bytes_max: int = BODY_BYTES_MAX) -> T:
    """The body as a `kind`. Raises Problem naming the position or the field that is wrong.

    JSON must be declared as such: a web page of another origin can then not send it without asking first.
    """
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type != "application/json":
        raise Problem(415, f"content type {content_type!r} is not taken; send application/json")
    too_large = Problem(413, f"body is larger than {bytes_max} bytes", headers={"connection": "close"})
    body = await bounded_body(request, bytes_max, too_large)
    try:
        return msgspec.json.decode(body, type=kind, strict=True)
    except msgspec.ValidationError as error:
        raise Problem(400, f"body was understood but is not right: {error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Problem(400, f"body is not JSON: {error or 'nested too deeply'}") from error
