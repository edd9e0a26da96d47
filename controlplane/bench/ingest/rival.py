"""The same fold with the generated messages of opentelemetry-proto, as one writes it: parsed whole, then walked in
Python.

It does what the native reader does for such batches (client and server spans that come together), and no more.
"""

from typing import Any

from controlplane.bench.subject import installed

Edges = dict[tuple[str, str], list[float]]
"""calls, failures, timed, client_ns, served, server_ns, by caller and callee"""

SERVER, CLIENT = 2, 3
PEERS = ("server.address", "peer.service", "service.peer.name")


class Generated:
    """A fold over generated messages. Raises NotInstalled."""

    def __init__(self) -> None:
        self.name = f"opentelemetry-proto {installed('opentelemetry-proto')}"
        from opentelemetry.proto.collector.trace.v1 import trace_service_pb2

        self._parse: Any = trace_service_pb2.ExportTraceServiceRequest.FromString
        self._waiting: dict[bytes, tuple[str, bool, int, str]] = {}
        self._early: dict[bytes, tuple[str, int]] = {}
        self._edges: Edges = {}

    def traces(self, body: bytes) -> None:
        """Take in one request."""
        for resource in self._parse(body).resource_spans:
            service = next(
                (one.value.string_value for one in resource.resource.attributes if one.key == "service.name"), ""
            )
            for scope in resource.scope_spans:
                for span in scope.spans:
                    if span.kind in (SERVER, CLIENT):
                        self._add(service, span)

    def _add(self, service: str, span: Any) -> None:
        status, peer, rank = -1, "", -1
        for one in span.attributes:
            key = one.key
            if key in ("http.response.status_code", "http.status_code"):
                status = one.value.int_value
            elif key in PEERS and (ranked := PEERS.index(key)) > rank:
                peer, rank = one.value.string_value, ranked
        failed = status >= 500 or status == 429 if status >= 0 else span.status.code == 2
        took_ns = span.end_time_unix_nano - span.start_time_unix_nano
        if span.kind == CLIENT:
            key = span.trace_id + span.span_id
            if (served := self._early.pop(key, None)) is None:
                self._waiting[key] = service, failed, took_ns, peer
            else:
                self._meet(service, failed, took_ns, *served)
        else:
            key = span.trace_id + span.parent_span_id
            if (called := self._waiting.pop(key, None)) is None:
                self._early[key] = service, took_ns
            else:
                self._meet(*called[:3], service, took_ns)

    def _meet(self, caller: str, failed: bool, client_ns: int, callee: str, server_ns: int) -> None:
        edge = self._edges.get((caller, callee))
        if edge is None:
            edge = self._edges[caller, callee] = [0.0] * 6
        edge[0] += 1
        edge[1] += failed
        edge[2] += 1
        edge[3] += client_ns
        edge[4] += 1
        edge[5] += server_ns

    def take(self) -> Edges:
        """The edges since the last time."""
        edges, self._edges = self._edges, {}
        self._waiting.clear()
        self._early.clear()
        return edges
