"""OTLP over HTTP, as far as it tells of calls: `/v1/traces`, in protobuf and JSON, plain or gzip.

What is refused is refused as the protocol says: 400 for what cannot be read, and is not to be sent again; 429 with
Retry-After while too much is being read; partial success where some spans of a JSON request make no sense.

Source  opentelemetry-proto, docs/specification.md, "OTLP/HTTP"
"""

import zlib
from typing import Final

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from controlplane.adapters.bounded import bounded_body
from controlplane.adapters.ingest import otlp_json
from controlplane.adapters.ingest.span import SpanSource
from controlplane.model.unit import Nanos
from controlplane.ports import Clock

PATH: Final = "/v1/traces"
BODY_BYTES_MAX: Final = 8 << 20  # exporters send 512 spans at a time, about 200 KiB
EXPANDED_BYTES_MAX: Final = 64 << 20
SPANS_MAX: Final = 200_000  # of one request
READING_MAX: Final = 8  # requests at a time
RETRY_AFTER_S: Final = 1
PROTOBUF, JSON = "application/x-protobuf", "application/json"
_GZIP_WINDOW: Final = 31  # zlib's: gzip with the largest window


class Refused(Exception):
    """A request that is not taken, and what its sender is told."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status, self.why = status, why


class OtlpReceiver:
    """An ASGI application that feeds `source`."""

    def __init__(self, source: SpanSource, clock: Clock, *, reading_max: int = READING_MAX) -> None:
        self.source = source
        self.requests = self.refused = 0
        self._clock, self._reading_max, self._reading = clock, reading_max, 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request; other scopes are none of its business."""
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        self.requests += 1
        if self._reading >= self._reading_max:
            response = self._refusal(Refused(429, "too many requests are being read; try again"), kind)
        else:
            self._reading += 1
            try:
                response = await self._answer(request, kind)
            except Refused as refused:
                response = self._refusal(refused, kind)
            except ClientDisconnect:
                return
            finally:
                self._reading -= 1
        await response(scope, receive, send)

    async def _answer(self, request: Request, kind: str) -> Response:
        if request.url.path != PATH:
            raise Refused(404, f"{request.url.path} is not taken here; spans go to {PATH}")
        if request.method != "POST":
            raise Refused(405, f"{request.method} is not taken; send POST")
        if kind not in (PROTOBUF, JSON):
            raise Refused(415, f"content type {kind!r} is not taken; send {PROTOBUF} or {JSON}")
        body = _expanded(await _body(request), request.headers.get("content-encoding", "identity").strip().lower())
        now = self._clock.now()
        answer = self._protobuf(body, now) if kind == PROTOBUF else self._json(body, now)
        self.source.heard()
        return answer

    def _protobuf(self, body: bytes, now: Nanos) -> Response:
        try:
            self.source.pairs.traces(body, now, spans_max=SPANS_MAX)
        except OverflowError as error:
            raise Refused(413, str(error)) from error
        except ValueError as error:
            raise Refused(400, f"the body {error}") from error
        return Response(b"", media_type=PROTOBUF)  # no field set: all was taken

    def _json(self, body: bytes, now: Nanos) -> Response:
        try:
            request = otlp_json.decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise Refused(400, f"the body is not an ExportTraceServiceRequest: {error}") from error
        if request.spans() > SPANS_MAX:
            raise Refused(413, f"more than {SPANS_MAX} spans in one request")
        refused, why = otlp_json.take_in(self.source.pairs, request, now)
        answer = {"partialSuccess": {"rejectedSpans": str(refused), "errorMessage": why}} if refused else {}
        return Response(msgspec.json.encode(answer), media_type=JSON)

    def _refusal(self, refused: Refused, kind: str) -> Response:
        """A google.rpc.Status, in what the sender speaks."""
        self.refused += 1
        headers = {"retry-after": str(RETRY_AFTER_S)} if refused.status in (429, 503) else {}
        if kind == PROTOBUF:
            text = refused.why.encode()[:500]
            body, media = b"\x12" + _varint(len(text)) + text, PROTOBUF
        else:
            body, media = msgspec.json.encode({"message": refused.why}), JSON
        return Response(body, status_code=refused.status, headers=headers, media_type=media)


async def _body(request: Request) -> bytes:
    too_large = Refused(413, f"the body is larger than {BODY_BYTES_MAX} bytes; send smaller batches")
    return await bounded_body(request, BODY_BYTES_MAX, too_large)


def _expanded(body: bytes, encoding: str) -> bytes:
    if encoding in ("", "identity"):
        return body
    if encoding != "gzip":
        raise Refused(415, f"content encoding {encoding!r} is not taken; send gzip, or none")
    expand = zlib.decompressobj(_GZIP_WINDOW)
    try:
        whole = expand.decompress(body, EXPANDED_BYTES_MAX)
    except zlib.error as error:
        raise Refused(400, f"the body is not gzip: {error}") from error
    if expand.unconsumed_tail:
        raise Refused(413, f"the body is larger than {EXPANDED_BYTES_MAX} bytes when unpacked")
    if not expand.eof:
        raise Refused(400, "the body ends within its gzip stream")
    return whole


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
