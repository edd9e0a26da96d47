"""The response suite: what it counts, and that nothing is left out."""

from pathlib import Path

import msgspec
import pytest

from controlplane.bench.response import command, measure
from controlplane.bench.response.measure import Seen, Setting, Times, _count
from controlplane.bench.response.mesh import Fault, config, faults
from controlplane.bench.result import Result
from controlplane.cli import main
from controlplane.model.command import Command, Eject
from controlplane.model.record import BecameEffective, CommandAcknowledged, CommandIssued
from controlplane.model.signal import Target
from controlplane.model.unit import CommandId, Epoch, IncidentId, Nanos

ORDER = Command(
    id=CommandId("c1"),
    epoch=Epoch(1),
    incident=IncidentId("i1"),
    target=Target("s0", "s0-1"),
    intent=Eject(),
    lease_until=Nanos(10**12),
    signal_at=Nanos(1_000_000),
)


def test_faults_are_spread_and_of_every_kind(tmp_path: Path) -> None:
    """Fifty services of a thousand, each of them declared, and none calls another, however indirectly."""
    chosen = faults(1000, 50)
    assert len({fault.service for fault in chosen}) == 50
    assert {fault.kind for fault in chosen} == {"replica", "service"}
    assert {fault.kind for fault in faults(1000, 50, ["reported"])} == {"reported"}
    services = {service.name: service for service in config(1000, 50, tmp_path / "j").services}
    sick = {fault.service for fault in chosen}
    assert sick <= services.keys()
    for name in sick:
        below, waiting = set[str](), list(services[name].calls)
        while waiting:
            below.add(callee := waiting.pop())
            waiting += [one for one in services[callee].calls if one not in below]
        assert not below & sick


def test_what_is_reported_is_counted_apart() -> None:
    """Whom the plane's own guards saw is one histogram, what others told of another."""
    assert Setting(rounds=6).kinds == [("replica", "service")] * 6 + [("reported",)] * 2
    times = Times()
    times.record("effective", "reported", 5_000_000)
    assert list(times.of) == [("effective", "reported")]


def test_effective_is_the_earlier_of_two_and_what_never_came_counts_as_late() -> None:
    """An acknowledgement at 3 ms, a request at 2 ms; another fault of which nothing was seen."""
    seen = Seen({"s0", "s1"})
    seen.note(CommandIssued(at=Nanos(1_500_000), command=ORDER))
    seen.note(CommandAcknowledged(at=Nanos(4_000_000), incident=ORDER.incident, command=ORDER.id, ok=True))
    effective = BecameEffective(
        at=Nanos(3_000_000), incident=ORDER.incident, target=ORDER.target, signal_at=ORDER.signal_at
    )
    seen.note(effective)
    times = Times()
    _count(times, [Fault("s0", "replica"), Fault("s1", "service")], seen)
    assert not seen.complete
    assert times.missed == 1
    assert times.of["effective", "replica"].maximum == pytest.approx(2e6, rel=0.01)
    assert times.of["ordered", "replica"].maximum == pytest.approx(3e6, rel=0.01)
    assert times.of["effective", "service"].maximum == pytest.approx(measure.WAIT_S * 1e9, rel=0.01)
    assert times.of["effective", ""].total == 2


def test_a_reflex_is_effective_when_the_loop_has_heard_of_it() -> None:
    """The guard acts by then; that the order is on record and confirmed comes later."""
    seen = Seen({"s0"})
    seen.note(CommandIssued(at=Nanos(1_500_000), command=msgspec.structs.replace(ORDER, reflex=True)))
    seen.note(CommandAcknowledged(at=Nanos(4_000_000), incident=ORDER.incident, command=ORDER.id, ok=True))
    times = Times()
    _count(times, [Fault("s0", "replica")], seen)
    assert times.of["effective", "replica"].maximum == pytest.approx(0.5e6, rel=0.01)


def test_an_order_that_was_not_taken_answers_nothing() -> None:
    """The fault is not over because somebody has refused to act."""
    seen = Seen({"s0"})
    seen.note(CommandIssued(at=Nanos(1_500_000), command=ORDER))
    seen.note(CommandAcknowledged(at=Nanos(4_000_000), incident=ORDER.incident, command=ORDER.id, ok=False))
    assert not seen.complete


def test_a_small_run_answers_every_fault_and_writes_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Real planes, journals and guards; the file holds what the table says."""
    monkeypatch.setattr(command, "QUICK", Setting(rounds=1))
    out, table, picture = tmp_path / "r.json", tmp_path / "r.hgrm", tmp_path / "r.svg"
    arguments = ["bench", "response", "--quick", "--services", "30", "--faults", "6", "--json", str(out)]
    assert main([*arguments, "--hgrm", str(table), "--plot", str(picture)]) == 0
    printed = capsys.readouterr().out
    assert "were not answered" not in printed
    by_name = {one.name: one for one in msgspec.json.decode(out.read_bytes(), type=list[Result])}
    embedded = by_name["response.embedded"]
    assert embedded.value == embedded.p50_ms <= embedded.p99_ms  # type: ignore[operator]
    assert by_name["response.ordered"].p50_ms >= embedded.p50_ms  # type: ignore[operator]
    assert "Percentile" in table.read_text()
    assert picture.read_text().startswith("<svg")
