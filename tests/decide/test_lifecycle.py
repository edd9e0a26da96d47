"""The phase of an incident follows from facts, and what it took is timed."""

from pathlib import Path

import msgspec
import pytest

from controlplane.decide.engine import Engine
from controlplane.decide.lifecycle import SETTLE_NS, TOLD_NS
from controlplane.decide.state import fold
from controlplane.model import record as on
from controlplane.model.incident import MOVES, Incident, Phase
from controlplane.model.notice import Notice
from controlplane.model.outcome import Outcome
from controlplane.model.policy import ResponsePolicy
from controlplane.model.signal import Acted, Cause, EdgeSampled, EntrySampled, Relayed, Target, Tripped
from controlplane.model.topology import Endpoint, Service, Topology
from controlplane.model.unit import MILLISECOND, SECOND, IncidentId, Nanos
from tests.scenarios.transcript import Run, parse

SCENARIOS = Path(__file__).parent.parent / "scenarios"
START = Nanos(1_000 * SECOND)
SICK = Target("orders", "a")


def after(seconds: float) -> Nanos:
    return Nanos(START + round(seconds * SECOND))


def begun(mode: str = "enforce") -> Engine:
    orders = Service(name="orders", endpoints=tuple(Endpoint(name=name, url=f"http://{name}:1") for name in "abc"))
    web = Service(name="web", calls=("orders",))
    made = Engine(Topology(services=(web, orders), entry="web"), ResponsePolicy(mode=mode, penalty_s=60))
    made.start(START, boot="1", wall_ns=START)
    return made


def tripped(engine: Engine) -> Outcome:
    trip = Tripped(at=START, target=SICK, cause=Cause.ERRORS, calls=5, failures=5, began_at=after(-0.04))
    return engine.step(trip, START)


def acted(engine: Engine, outcome: Outcome, seconds: float) -> None:
    for command in outcome.commands:
        engine.step(Acted(at=after(seconds), command=command.id, ok=True), after(seconds))


def the(engine: Engine, name: str = "i1") -> Incident:
    return engine.state.incidents[IncidentId(name)]


def told(engine: Engine, seconds: float) -> None:
    """Everybody has every notice there is."""
    for incident in engine.state.open_incidents():
        for key in list(incident.untold):
            fold(engine.state, on.NoticeDelivered(at=after(seconds), key=key, by="people"))


def played(name: str) -> Run:
    run = Run(parse((SCENARIOS / f"{name}.txt").read_text().partition("\n---")[0]))
    run.play()
    return run


def test_containment_lasts_until_the_data_plane_has_answered() -> None:
    """An order that is out holds nobody yet; the answer does, and that is the time to contain."""
    engine = begun()
    outcome = tripped(engine)
    assert the(engine).phase is Phase.CONTAINMENT
    assert the(engine).to_contain_ns is None
    acted(engine, outcome, 0.002)
    told(engine, 0.002)
    engine.tick(after(0.003))
    assert the(engine).phase is Phase.STABILIZATION
    assert the(engine).to_contain_ns == 2 * MILLISECOND


def test_communication_lasts_until_people_have_the_notice() -> None:
    """A notice that is on record and not delivered is waited for; once it is, the incident goes on."""
    engine = begun()
    outcome = tripped(engine)
    fold(engine.state, on.NoticeIssued(at=START, notice=Notice("i1:opened", IncidentId("i1"), "warning", "x", START)))
    acted(engine, outcome, 0.001)
    assert the(engine).phase is Phase.COMMUNICATION
    engine.tick(after(5))
    assert the(engine).phase is Phase.COMMUNICATION
    told(engine, 6)
    engine.tick(after(6))
    assert the(engine).phases[Phase.STABILIZATION] == after(6)


def test_a_notifier_that_hangs_is_not_waited_for_for_ever() -> None:
    """An incident must be able to close although nobody answers for its notice."""
    engine = begun()
    outcome = tripped(engine)
    fold(engine.state, on.NoticeIssued(at=START, notice=Notice("i1:opened", IncidentId("i1"), "warning", "x", START)))
    acted(engine, outcome, 0.001)
    engine.tick(after(TOLD_NS / SECOND - 0.1))
    assert the(engine).phase is Phase.COMMUNICATION
    engine.tick(after(TOLD_NS / SECOND + 0.1))
    assert the(engine).phase is Phase.RECOVERY
    assert any("were not reached" in line.what for line in the(engine).timeline)


def test_what_is_told_of_no_incident_or_of_another_kind_is_not_waited_for() -> None:
    """Only the notices that it is there and that it is contained count: more news does not stop an incident."""
    engine = begun()
    outcome = tripped(engine)
    for key, incident in (("plane:order", None), ("i1:drifted:orders", IncidentId("i1"))):
        fold(engine.state, on.NoticeIssued(at=START, notice=Notice(key, incident, "info", "x", START)))
    acted(engine, outcome, 0.001)
    told(engine, 0.001)
    engine.tick(after(0.002))
    assert the(engine).phase is Phase.STABILIZATION


def test_stabilization_lasts_while_users_see_failures() -> None:
    """Seen failures keep it there, and bring it back; the first time stays what it was."""
    engine = begun()
    acted(engine, tripped(engine), 0.001)
    told(engine, 0.001)
    for second in range(1, 6):
        engine.step(EntrySampled(at=after(second), requests=100, failed=10, slow=0), after(second))
        engine.tick(after(second))
        assert the(engine).phase is Phase.STABILIZATION, second
    engine.step(EntrySampled(at=after(7), requests=100, failed=0, slow=0), after(7))
    engine.tick(after(7.9))
    assert the(engine).phase is Phase.STABILIZATION
    engine.tick(after(8))
    assert the(engine).phase is Phase.RECOVERY
    assert the(engine).to_stabilize_ns == 8 * SECOND
    engine.step(EntrySampled(at=after(9), requests=100, failed=50, slow=0), after(9))
    engine.tick(after(9.1))
    assert the(engine).phase is Phase.STABILIZATION
    engine.tick(after(20))
    assert the(engine).phase is Phase.RECOVERY
    assert the(engine).to_stabilize_ns == 8 * SECOND


def test_a_stray_failure_of_users_is_no_harm() -> None:
    """Below the share at which a failure is visible, nothing is brought back."""
    engine = begun()
    acted(engine, tripped(engine), 0.001)
    told(engine, 0.001)
    for tenth in range(50):
        now = after(0.1 * tenth)
        engine.step(EntrySampled(at=now, requests=100, failed=1, slow=0), now)
    engine.tick(after(5))
    assert the(engine).phase is Phase.RECOVERY
    assert the(engine).user_failed == 50


def test_failures_of_users_that_others_count_are_harm_too() -> None:
    """Where no process tells of its own users, whoever counts the calls into the entry does."""
    engine = begun()
    acted(engine, tripped(engine), 0.001)
    told(engine, 0.001)
    for second in range(1, 6):
        users = EdgeSampled(at=after(second), caller="", callee="web", window_ns=SECOND, calls=100, failures=30)
        engine.step(users, after(second))
        engine.tick(after(second))
    assert the(engine).phase is Phase.STABILIZATION
    assert the(engine).user_failed == 0


def test_an_incident_that_needs_no_order_waits_for_the_first_figures() -> None:
    """A named dependency is nobody's to contain here: detection, then on without containment."""
    engine = begun()
    engine.step(Relayed(at=START, caller="web", callee="orders", count=9), START)
    engine.tick(after(0.5))
    assert the(engine).phase is Phase.DETECTION
    told(engine, 0.5)
    engine.tick(Nanos(START + SETTLE_NS))
    assert the(engine).phase is Phase.STABILIZATION
    assert Phase.CONTAINMENT not in the(engine).phases
    assert the(engine).to_contain_ns is None


def test_an_order_after_all_makes_it_contained() -> None:
    """Back from any phase to containment, and only then there is a time to contain."""
    engine = begun()
    engine.step(Relayed(at=START, caller="web", callee="orders", count=9), START)
    told(engine, 1)
    engine.tick(after(9))
    assert the(engine).phase is Phase.RECOVERY
    trip = Tripped(at=after(9.1), target=SICK, cause=Cause.ERRORS, calls=5, failures=5)
    acted(engine, engine.step(trip, after(9.1)), 9.2)
    assert the(engine).to_contain_ns == round(9.2 * SECOND)


def test_a_relapse_goes_back_and_resets_no_time() -> None:
    """Contained, stabilized and recovered are first times; a relapse is in the timeline and with its target."""
    run = played("relapse-holds-longer")
    moves = [record.phase for record in run.records if isinstance(record, on.PhaseChanged)]
    assert moves.count(Phase.CONTAINMENT) == 4
    one = run.engine.state.incidents[IncidentId("i1")]
    assert one.to_contain_ns == 0
    assert one.to_stabilize_ns is not None
    assert one.to_recover_ns is not None
    assert 2 * SECOND <= one.to_stabilize_ns < 2.2 * SECOND  # holds are spread by up to a tenth
    assert 20 * SECOND < one.to_recover_ns < 26 * SECOND


def test_time_to_detect_is_from_the_earliest_evidence() -> None:
    """Of the first alert, or of a later one that began earlier; without any, it is not known."""
    engine = begun()
    tripped(engine)
    assert the(engine).to_detect_ns == 40 * MILLISECOND
    other = Tripped(at=after(0.1), target=Target("orders", "b"), cause=Cause.ERRORS, began_at=after(-2))
    engine.step(other, after(0.1))
    assert the(engine).to_detect_ns == 2 * SECOND
    unknown = begun()
    unknown.step(Tripped(at=START, target=SICK, cause=Cause.ERRORS), START)
    assert the(unknown).to_detect_ns is None


def test_reports_of_others_begin_with_the_first_suspicion() -> None:
    """The engine's own test knows since when it has held something against the target."""
    script = """
topology web -> orders(3)
every 100ms until 1s  report orders/orders-3 10 0
every 100ms until 3s from 1.1s  report orders/orders-3 10 2
until 3s
"""
    run = Run(parse(script))
    run.play()
    one = run.engine.state.incidents[IncidentId("i1")]
    assert one.first is not None
    assert one.first.by == "reports"
    assert one.to_detect_ns is not None
    assert one.signal_at - one.to_detect_ns == 1_001_100 * MILLISECOND  # the first bad one; the engine began at 1000 s
    assert one.to_detect_ns >= 100 * MILLISECOND


@pytest.mark.parametrize("path", sorted(SCENARIOS.glob("*.txt")), ids=lambda path: path.stem)
def test_every_scenario_keeps_to_the_table(path: Path) -> None:
    """Moves are the table's, and an incident that recovered went through every phase that its facts called for."""
    run = played(path.stem)
    phases: dict[str, Phase] = {}
    for record in run.records:
        if isinstance(record, on.IncidentOpened):
            phases[record.incident] = Phase.DETECTION
        elif isinstance(record, on.PhaseChanged):
            assert record.phase in MOVES[phases[record.incident]], record
            phases[record.incident] = record.phase
        elif isinstance(record, on.IncidentClosed) and "mode is" not in record.reason:
            assert phases[record.incident] is Phase.RECOVERY


def test_what_a_mode_change_ends_has_not_recovered() -> None:
    """Closed is not recovered: nothing was proven."""
    run = played("enforce-begins-anew")
    one = run.engine.state.incidents[IncidentId("i1")]
    assert one.phase is Phase.CLOSED
    assert one.to_recover_ns is None


def test_a_journal_from_before_these_phases_is_read() -> None:
    """Old names say what had been reached: the incident stands where it would stand now, with its times."""
    old = [
        {"type": "epoch_started", "at": START, "epoch": 1, "boot": "1", "wall_ns": 0},
        {"type": "incident_opened", "at": START, "incident": "i1", "origin": {"service": "orders", "endpoint": "a"},
         "cause": "errors", "signal_at": START, "shadow": False, "evidence": "5 of 5 calls failed"},
        {"type": "command_issued", "at": START, "command": {
            "id": "c1", "epoch": 1, "incident": "i1", "target": {"service": "orders", "endpoint": "a"},
            "intent": {"do": "eject"}, "lease_until": after(30), "undo": {"do": "restore"}, "evidence": "it fails"}},
        {"type": "stage_changed", "at": START, "incident": "i1", "target": {"service": "orders", "endpoint": "a"},
         "stage": "hold", "percent": 0, "penalty_ns": SECOND, "relapses": 0, "reason": "contained", "command": "c1"},
        {"type": "command_acknowledged", "at": after(0.001), "incident": "i1", "command": "c1", "ok": True},
        {"type": "phase_changed", "at": after(0.001), "incident": "i1", "phase": "contained", "reason": "it fails"},
        {"type": "phase_changed", "at": after(6), "incident": "i1", "phase": "recovering", "reason": "penalty over"},
        {"type": "phase_changed", "at": after(9), "incident": "i1", "phase": "verified", "reason": "all verified"},
    ]  # fmt: skip
    records = msgspec.json.decode(msgspec.json.encode(old), type=list[on.Record])
    engine = begun()
    engine.restore(records)
    one = the(engine)
    assert one.phase is Phase.RECOVERY
    assert (one.to_contain_ns, one.to_stabilize_ns) == (MILLISECOND, 6 * SECOND)
    engine.start(after(10), boot="1", wall_ns=START)
    assert the(engine).phase is Phase.RECOVERY
    assert engine.state.open_incidents() == [one]


def test_a_phase_that_nobody_ever_had_is_refused() -> None:
    """Only the four old names are read for new ones."""
    text = {"type": "phase_changed", "at": 1, "incident": "i1", "phase": "panic", "reason": ""}
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(msgspec.json.encode(text), type=on.Record)
