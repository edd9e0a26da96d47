"""Spans of OTLP in JSON, read by declared types. Ids are hexadecimal there, and 64-bit numbers are strings.

Source  opentelemetry-proto, docs/specification.md, "JSON Protobuf Encoding"
"""

from binascii import unhexlify

import msgspec

from controlplane._native.wire import SpanPairs, grpc_code, rank_of
from controlplane.adapters.ingest.attribute import NO_NUMBER, Attribute, Resource, number_of, service_of, text_of
from controlplane.model.unit import Nanos


class _Status(msgspec.Struct):
    code: int | str = 0


class _Span(msgspec.Struct, rename="camel"):
    trace_id: str = ""
    span_id: str = ""
    parent_span_id: str = ""
    trace_state: str = ""
    kind: int | str = 0
    start_time_unix_nano: str | int = 0
    end_time_unix_nano: str | int = 0
    attributes: list[Attribute] = []
    status: _Status | None = None


class _Scope(msgspec.Struct):
    spans: list[_Span] = []


class _ResourceSpans(msgspec.Struct, rename="camel"):
    resource: Resource | None = None
    scope_spans: list[_Scope] = []


class Request(msgspec.Struct, rename="camel"):
    """An ExportTraceServiceRequest."""

    resource_spans: list[_ResourceSpans] = []

    def spans(self) -> int:
        """How many it holds."""
        return sum(len(scope.spans) for resource in self.resource_spans for scope in resource.scope_spans)


_DECODER = msgspec.json.Decoder(Request)
_KINDS = {"SPAN_KIND_SERVER": 2, "SPAN_KIND_CLIENT": 3, "SPAN_KIND_PRODUCER": 4, "SPAN_KIND_CONSUMER": 5}
_ERROR = (2, "STATUS_CODE_ERROR")
_HTTP = ("http.response.status_code", "http.status_code")
_GRPC = "rpc.grpc.status_code"
_GRPC_NAME = "rpc.response.status_code"


def decode(body: bytes) -> Request:
    """`body` as a request. Raises msgspec.MsgspecError, UnicodeDecodeError."""
    return _DECODER.decode(body)


def take_in(pairs: SpanPairs, request: Request, now: Nanos) -> tuple[int, str]:
    """Put the spans of `request` into `pairs`; (how many could not be read, why the first one could not)."""
    refused, why = 0, ""
    for resource in request.resource_spans:
        service = service_of(resource.resource).encode()
        for scope in resource.scope_spans:
            for span in scope.spans:
                try:
                    _add(pairs, service, span, now)
                except (ValueError, TypeError) as error:
                    refused += 1
                    why = why or f"span {span.span_id[:32]!r}: {error}"
    return refused, why


def _add(pairs: SpanPairs, service: bytes, span: _Span, now: Nanos) -> None:
    statuses: dict[str, int] = {}
    peer, rank = "", 0
    for one in span.attributes:
        if one.key in _HTTP or one.key == _GRPC:
            statuses[one.key] = _status(one)
        elif one.key == _GRPC_NAME:
            statuses[_GRPC] = grpc_code(text_of(one).encode())
        elif (ranked := rank_of(one.key.encode())) > rank and text_of(one):
            peer, rank = text_of(one), ranked
    pairs.span(
        service,
        unhexlify(span.trace_id),
        unhexlify(span.span_id),
        unhexlify(span.parent_span_id),
        span.trace_state.encode(),
        peer.encode(),
        span.kind if isinstance(span.kind, int) else _KINDS.get(span.kind, 0),
        int(span.start_time_unix_nano),
        int(span.end_time_unix_nano),
        span.status is not None and span.status.code in _ERROR,
        next((statuses[key] for key in _HTTP if key in statuses), NO_NUMBER),
        statuses.get(_GRPC, NO_NUMBER),
        now,
    )


def _status(attribute: Attribute) -> int:
    number = number_of(attribute)
    return number if 0 <= number < 1000 else NO_NUMBER
