"""What an answer says about the endpoint that gave it, and whether a request may be sent twice."""

from enum import Enum
from typing import Final

import httpx

from controlplane.adapters.gateway.headers import CAUSE, REFUSED, service_name

_IDEMPOTENT: Final = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"})  # RFC 9110, 9.2.2


class Relay(Enum):
    """Whose failure an answer reports."""

    OWN = "own"
    REFUSED = "refused"  # refused by a guard of ours over there: no evidence at all
    RELAYED = "relayed"  # the failure of somebody further down


def relay(response: httpx.Response, service: str, *, external: bool) -> tuple[Relay, str]:
    """Whose failure a failing `response` of `service` is, and the cause it names. Third parties are not believed."""
    if external:
        return Relay.OWN, service
    headers = response.headers
    cause = service_name(headers.get(CAUSE))
    if cause is not None and cause != service:
        return Relay.RELAYED, cause
    if REFUSED in headers:
        return Relay.REFUSED, service
    return Relay.OWN, service


def disown(response: httpx.Response) -> None:
    """Take from a third party's `response` what others would take for our own word, should it be passed on to them."""
    for name in (CAUSE, REFUSED):
        response.headers.pop(name, None)


def replayable(request: httpx.Request, *, keys: bool) -> bool:
    """Whether sending `request` twice does what sending it once does, and its body is still there to be sent.

    `keys`: the service is known to honour `Idempotency-Key`. Where it is not, a key is a user's hope and no promise.
    """
    if request.method not in _IDEMPOTENT and not (keys and "idempotency-key" in request.headers):
        return False
    return isinstance(request.stream, httpx.ByteStream)


def bodyless(status: int, headers: httpx.Headers, *, head_only: bool) -> bool:
    """Whether an answer is complete with its head; `head_only`: no more than that was asked for."""
    if head_only or status in (204, 304):
        return True
    return bool(headers.get("content-length") == "0")
