"""OTLP over HTTP, as far as it tells of calls: `/v1/traces` and `/v1/metrics`, in protobuf and JSON, plain or gzip.

What is refused is refused as the protocol says: 400 for what cannot be read, and is not to be sent again; 429 with
Retry-After while too much is being read, 503 while nobody listens; partial success where some of it makes no sense.

Source  opentelemetry-proto, docs/specification.md, "OTLP/HTTP"
"""

from collections.abc import Callable
from functools import partial
from typing import Final

import anyio.to_thread
import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from controlplane.adapters.bounded import bounded_body, expanded
from controlplane.adapters.ingest.kind import Kind, MetricKind, SpanKind, Take, TooMany, Unreadable
from controlplane.adapters.ingest.metric import MetricSource
from controlplane.adapters.ingest.proto import partial_success, status
from controlplane.adapters.ingest.span import SpanSource
from controlplane.model.unit import Nanos
from controlplane.ports import Clock

BODY_BYTES_MAX: Final = 8 << 20  # exporters send 512 spans at a time, about 200 KiB
EXPANDED_BYTES_MAX: Final = 64 << 20
EXPANDED_JSON_BYTES_MAX: Final = 16 << 20  # its values take several times as much
APART_BYTES_MIN: Final = 64 << 10  # from here on reading takes longer than going to a thread and back
READING_MAX: Final = 8  # requests at a time
RETRY_AFTER_S: Final = 1
PROTOBUF, JSON = "application/x-protobuf", "application/json"


class Refused(Exception):
    """A request that is not taken, and what its sender is told."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status, self.why = status, why


class OtlpReceiver:
    """An ASGI application that feeds `spans` and `metrics`. `ready` says whether anybody listens to those."""

    def __init__(
        self,
        spans: SpanSource,
        metrics: MetricSource,
        clock: Clock,
        *,
        secret: int = 1,
        ready: Callable[[], bool] = lambda: True,
        reading_max: int = READING_MAX,
    ) -> None:
        self.requests = self.refused = 0
        self._kinds: dict[str, Kind] = {"/v1/traces": SpanKind(spans), "/v1/metrics": MetricKind(metrics, secret)}
        self._clock, self._ready = clock, ready
        self._reading_max, self._reading = reading_max, 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request; other scopes are none of its business."""
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        self.requests += 1
        try:
            response = await self._admitted(request, media)
        except Refused as refused:
            response = self._refusal(refused, media)
        except ClientDisconnect:
            return
        await response(scope, receive, send)

    async def _admitted(self, request: Request, media: str) -> Response:
        if not self._ready():
            raise Refused(503, "the control loop is not running; try again")
        if self._reading >= self._reading_max:
            raise Refused(429, "too many requests are being read; try again")
        self._reading += 1
        try:
            return await self._answer(request, media)
        finally:
            self._reading -= 1

    async def _answer(self, request: Request, media: str) -> Response:
        kind = self._kinds.get(request.url.path)
        if kind is None:
            raise Refused(404, f"{request.url.path} is not taken here; send to {' or '.join(self._kinds)}")
        if request.method != "POST":
            raise Refused(405, f"{request.method} is not taken; send POST")
        if media not in (PROTOBUF, JSON):
            raise Refused(415, f"content type {media!r} is not taken; send {PROTOBUF} or {JSON}")
        body, packed = await _body(request)
        now = self._clock.now()
        act = partial(_read, kind, body, now, packed=packed, protobuf=media == PROTOBUF)
        try:
            # a large body takes milliseconds, and a small one waits for it: a verdict must wait for neither
            apart = len(body) > APART_BYTES_MIN or kind.busy
            take = await anyio.to_thread.run_sync(act) if apart else act()
            refused, why = take()
        except TooMany as error:
            raise Refused(413, str(error)) from error
        except Unreadable as error:
            raise Refused(400, f"the body {error}") from error
        if media == PROTOBUF:
            return Response(partial_success(refused, why), media_type=PROTOBUF)
        told = {"partialSuccess": {kind.rejected: str(refused), "errorMessage": why}} if refused else {}
        return Response(msgspec.json.encode(told), media_type=JSON)

    def _refusal(self, refused: Refused, media: str) -> Response:
        """A google.rpc.Status, in what the sender speaks."""
        self.refused += 1
        headers = {"retry-after": str(RETRY_AFTER_S)} if refused.status in (429, 503) else {}
        speaks = PROTOBUF if media == PROTOBUF else JSON
        body = status(refused.why) if speaks == PROTOBUF else msgspec.json.encode({"message": refused.why})
        return Response(body, status_code=refused.status, headers=headers, media_type=speaks)


async def _body(request: Request) -> tuple[bytes, bool]:
    """The body, and whether it is packed. Raises Refused."""
    encoding = request.headers.get("content-encoding", "").strip().lower()
    if encoding not in ("", "identity", "gzip"):
        raise Refused(415, f"content encoding {encoding!r} is not taken; send gzip, or none")
    too_large = Refused(413, f"the body is larger than {BODY_BYTES_MAX} bytes; send smaller batches")
    return await bounded_body(request, BODY_BYTES_MAX, too_large), encoding == "gzip"


def _read(kind: Kind, body: bytes, now: Nanos, *, packed: bool, protobuf: bool) -> Take:
    """Read a body, unpacked first. Raises Unreadable, TooMany."""
    if packed:
        try:
            body = expanded(body, EXPANDED_BYTES_MAX if protobuf else EXPANDED_JSON_BYTES_MAX)
        except OverflowError as error:
            raise TooMany(f"the body {error}") from error
        except ValueError as error:
            raise Unreadable(str(error)) from error
    return kind.read(body, now, protobuf=protobuf)
