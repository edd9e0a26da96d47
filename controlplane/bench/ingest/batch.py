"""Batches of spans as a collector sends them: many services, both sides of each call, and about ten attributes a span.

Written by hand, field by field, so that the suite needs no protobuf library where no rival is wanted.
"""

import random
from collections.abc import Sequence
from typing import Final

SERVICES: Final = 20
START_NS: Final = 1_700_000_000_000_000_000
SERVER, CLIENT = 2, 3

Attributes = dict[str, str | int]


def batch(calls: int, *, seed: int) -> bytes:
    """An ExportTraceServiceRequest with `calls` calls, two spans each, between services that are drawn."""
    names = [f"service-{number}" for number in range(SERVICES)]
    return mesh_batch(calls, [(caller, callee) for caller in names for callee in names if caller != callee], seed=seed)


def mesh_batch(calls: int, edges: Sequence[tuple[str, str]], *, seed: int, mark: bytes = b"") -> bytes:
    """The same between callers and callees of `edges`; every trace id begins with `mark`, the rest of it is drawn."""
    draw = random.Random(seed)
    spans: dict[str, list[bytes]] = {name: [] for edge in edges for name in edge}
    for _ in range(calls):
        caller, callee = draw.choice(edges)
        trace, own, served = mark + draw.randbytes(16 - len(mark)), draw.randbytes(8), draw.randbytes(8)
        status = 503 if draw.random() < 0.01 else 200
        spans[caller].append(_span(draw, trace, own, b"", CLIENT, _client(callee, status)))
        spans[callee].append(_span(draw, trace, served, own, SERVER, _server(status)))
    return b"".join(
        _field(1, _resource(name, number) + _field(2, _scope(each)))
        for number, (name, each) in enumerate(spans.items())
    )


def _client(callee: str, status: int) -> Attributes:
    return {
        "http.request.method": "GET",
        "url.full": f"http://{callee}:8080/api/v1/items/42",
        "http.response.status_code": status,
        "server.address": callee,
        "server.port": 8080,
        "network.protocol.version": "1.1",
    }


def _server(status: int) -> Attributes:
    return {
        "http.request.method": "GET",
        "url.path": "/api/v1/items/42",
        "url.scheme": "http",
        "http.route": "/api/v1/items/{id}",
        "http.response.status_code": status,
        "server.address": "10.0.3.7",
        "server.port": 8080,
        "client.address": "10.0.9.1",
        "user_agent.original": "python-httpx/0.28.1",
        "network.protocol.version": "1.1",
    }


def _span(draw: random.Random, trace: bytes, own: bytes, parent: bytes, kind: int, attributes: Attributes) -> bytes:
    ended_ns = START_NS + draw.randrange(1_000_000, 100_000_000)
    return b"".join(
        (
            _field(1, trace),
            _field(2, own),
            _field(4, parent) if parent else b"",
            _field(5, b"GET /api/v1/items/{id}"),
            _number(6, kind),
            _time(7, START_NS),
            _time(8, ended_ns),
            *(_field(9, _attribute(key, value)) for key, value in attributes.items()),
            _field(15, _number(3, 2)) if attributes["http.response.status_code"] == 503 else b"",
        )
    )


def _resource(name: str, number: int) -> bytes:
    told = {
        "service.name": name,
        "service.namespace": "shop",
        "service.instance.id": f"627cc493-f310-47de-96bd-{number:012d}",
        "telemetry.sdk.language": "python",
        "telemetry.sdk.name": "opentelemetry",
        "telemetry.sdk.version": "1.40.0",
        "deployment.environment.name": "production",
        "host.name": f"ip-10-0-3-{number}",
    }
    return _field(1, b"".join(_field(1, _attribute(key, value)) for key, value in told.items()))


def _scope(spans: list[bytes]) -> bytes:
    return _field(1, _field(1, b"opentelemetry.instrumentation.httpx")) + b"".join(_field(2, one) for one in spans)


def _attribute(key: str, value: str | int) -> bytes:
    told = _number(3, value) if isinstance(value, int) else _field(1, value.encode())
    return _field(1, key.encode()) + _field(2, told)


def _field(number: int, value: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _number(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value)


def _time(number: int, value: int) -> bytes:
    return _varint(number << 3 | 1) + value.to_bytes(8, "little")


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
