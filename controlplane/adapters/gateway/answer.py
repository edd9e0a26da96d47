"""Answers the gateway gives in the application's place, in HTTP's words and in gRPC's."""

from typing import Final

import httpx
import msgspec

from controlplane.adapters.failure import failure_kind
from controlplane.adapters.gateway.headers import CAUSE, REFUSED
from controlplane.adapters.gateway.refusal import RefusedError

GRPC_EXHAUSTED: Final = 8
GRPC_UNAVAILABLE: Final = 14
_TEXT: Final = {502: "bad gateway", 503: "unavailable", 504: "no answer in time"}


class Answer(msgspec.Struct, frozen=True):
    """A refusal or failure to be told. `retry_after_s` 0: nothing is known; `refused` and `cause` may be empty."""

    status: int
    refused: str = ""
    cause: str = ""
    retry_after_s: float = 0.0
    grpc_status: int = GRPC_UNAVAILABLE

    def headers(self) -> list[tuple[bytes, bytes]]:
        """The fields both protocols share."""
        found = []
        if self.refused:
            found.append((REFUSED.encode(), self.refused.encode()))
        if self.cause:
            found.append((CAUSE.encode(), self.cause.encode()))
        return found

    def render(self, *, grpc: bool) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
        """(status, headers, body) to send; for gRPC an answer that is trailers only."""
        if grpc:
            return 200, [*self._grpc_fields(), *self.headers()], b""
        body = msgspec.json.encode({"error": _TEXT[self.status], "refused": self.refused, "cause": self.cause})
        fields = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        if self.status == 503:
            fields.append((b"retry-after", b"%d" % max(1, -int(-self.retry_after_s // 1))))  # whole seconds, rounded up
        return self.status, [*fields, *self.headers()], body

    def _grpc_fields(self) -> list[tuple[bytes, bytes]]:
        pushback_ms = max(1, int(self.retry_after_s * 1e3))
        return [
            (b"content-type", b"application/grpc"),
            (b"grpc-status", b"%d" % self.grpc_status),
            (b"grpc-message", (self.refused or _TEXT[self.status]).encode()),
            (b"grpc-retry-pushback-ms", b"%d" % pushback_ms),
        ]


def answer_to(error: Exception, cause: str) -> Answer | None:
    """What to answer when `error` escaped the application after a call to `cause` failed; None: it is about no call."""
    match error:
        case RefusedError():
            return Answer(503, refused=error.part, cause=cause or error.service, retry_after_s=error.retry_after_s)
        case httpx.TimeoutException():
            return Answer(504, cause=cause)
        case httpx.TransportError():
            return Answer(502, cause=cause)
        case httpx.HTTPStatusError() if failure_kind(error.response.status_code):  # raise_for_status on a failed call
            return Answer(502, cause=cause)
    return None
