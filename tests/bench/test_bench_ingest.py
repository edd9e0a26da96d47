"""The ingest suite without its minutes: ours and the rival fold the same, and a broken promise is said."""

import json
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from controlplane.bench.ingest import command
from controlplane.bench.ingest.batch import SERVICES, batch
from controlplane.bench.ingest.rival import Generated
from controlplane.bench.result import Result


def test_a_batch_is_what_a_collector_sends() -> None:
    """A generated reader finds both spans of each call, a dozen fields and more in each, and loses nothing."""
    body = batch(100, seed=1)
    request = ExportTraceServiceRequest.FromString(body)
    spans = [one for resource in request.resource_spans for scope in resource.scope_spans for one in scope.spans]
    assert (len(request.resource_spans), len(spans)) == (SERVICES, 200)
    assert {len(one.attributes) for one in spans} == {6, 10}
    assert 200 < len(body) / 200 < 500
    assert request.SerializeToString() == body
    assert batch(100, seed=1) == body != batch(100, seed=2)


def test_spans_are_measured_beside_a_rival_that_agrees(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ours is several times as quick even on a busy machine; what is unpacked first costs more."""
    monkeypatch.setattr(command, "BODIES", 2)
    fold, packed = command.measure(quick=True, calls=200)
    assert (fold.name, packed.name) == ("otlp.fold", "otlp.fold.gzip")
    assert fold.rival is not None
    assert fold.rival.startswith("opentelemetry-proto ")
    assert (fold.peer_ratio or 0) > 3
    assert packed.value > fold.value


def test_a_rival_that_disagrees_is_no_rival(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its time is not taken."""
    monkeypatch.setattr(Generated, "take", lambda _: {})
    with pytest.raises(command.Disagreement):
        list(command.measure(quick=True, calls=10))


def test_a_broken_promise_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By name, with both figures; and the figures go into the file either way."""
    slow = [Result("otlp.fold", 2_000.0, "ns", None, "rival", 4_000.0, 2.0), Result("otlp.fold.gzip", 2_500.0, "ns")]
    monkeypatch.setattr(command, "measure", lambda **_: iter(slow))
    assert command.run(tmp_path / "latest.json", quick=True) == [
        "otlp.fold: 500,000 spans/s, promised 1,000,000",
        "otlp.fold: 2.0x the rival, promised 5x",
    ]
    assert "MISSED otlp.fold" in capsys.readouterr().err
    assert [one["name"] for one in json.loads((tmp_path / "latest.json").read_text())] == [
        "otlp.fold",
        "otlp.fold.gzip",
    ]
