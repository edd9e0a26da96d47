"""The verdict on a fault, the table and the JSON."""

from typing import Any

import msgspec
import pytest

from controlplane.demo.fault import FAULTS
from controlplane.demo.front import DataPlaneKind, check, passes, why_not
from controlplane.demo.incident import Answer, Effect, Step
from controlplane.demo.measure import Escalation, Users, percentiles
from controlplane.demo.report import document, table
from controlplane.demo.result import Healthy, Results, Run, Trial
from controlplane.model.incident import Stage
from controlplane.model.unit import Nanos
from controlplane.testbed.child import NoProxy

ERRORS, MASKED = FAULTS[0], FAULTS[-1]


def answer(**changes: Any) -> Answer:
    """What a well-behaved run says."""
    stages = [("hold", 0), ("probe", 0), ("hold", 0), ("probe", 0), ("ramp", 10), ("ramp", 50), ("full", 100)]
    steps = [Step("gateway", "catalog/catalog-2", Stage(name), percent, 0, 0.1) for name, percent in stages]
    values: dict[str, Any] = {
        "origins": {"catalog/catalog-2": 1},
        "causes": ("errors",),
        "versions": (),
        "masked": False,
        "signal_at": Nanos(1_050_000_000),
        "effects": (Effect("gateway", "catalog/catalog-2", 0.05, 1_000_000, 50_000),),
        "opened": 1,
        "closed": 1,
        "closed_at": Nanos(8_000_000_000),
        "commands": 7,
        "steps": tuple(steps),
    }
    return Answer(**{**values, **changes})


def run(failed: int, slow: int = 0, *, escalation_s: float = 0.1, said: Answer | None = None) -> Run:
    """One run of a thousand requests."""
    return Run(
        users=Users(1000, failed, slow),
        blast=("catalog", "gateway"),
        escalation=Escalation(escalation_s, censored=False, hop="gateway"),
        answer=said or answer(),
        onset=Nanos(1_000_000_000),
        quiet=True,
        generator_late_max_s=0.001,
    )


def results(*trials: Trial, incidents: int = 0) -> Results:
    """Results around these trials."""
    healthy = Healthy(
        requests=4000,
        failed=0,
        slow=0,
        incidents=incidents,
        commands=incidents,
        named={"search": incidents} if incidents else {},
        latency_s=percentiles([1_000_000]),
        generator_late_max_s=0.001,
    )
    return Results(healthy=healthy, trials=trials, rate=200, seed=7, seconds=150.0)


def test_a_contained_fault_has_nothing_against_it() -> None:
    """Five times fewer bad requests, a fast response, the right name, a closed incident: contained."""
    trial = Trial(ERRORS, run(75), run(3))
    assert trial.troubles() == []
    assert trial.ratio == pytest.approx(0.0005, rel=0.01)
    assert trial.ratio_from_onset == pytest.approx(0.5005, rel=0.01)


@pytest.mark.parametrize(
    ("within", "reason"),
    [
        (run(16), "less than 5x fewer"),
        (run(3, said=answer(effects=(Effect("gateway", "x", 0.0, 6_000_000, None),))), "p99 6.0 ms"),
        (run(3, said=answer(effects=())), "no request was treated differently"),
        (run(3, said=answer(origins={"search/search-1": 1})), "named search/search-1"),
        (run(3, said=answer(closed=0)), "did not close"),
        (run(3, said=answer(opened=0)), "no incident"),
        (run(3, said=answer(signal_at=Nanos(1))), "before the fault began"),
        (run(3, said=answer(steps=())), "not readmitted in stages"),
    ],
)
def test_each_promise_that_is_broken_is_named(within: Run, reason: str) -> None:
    """Whatever is missing makes the fault not contained, with the reason in words."""
    assert any(reason in trouble for trouble in Trial(ERRORS, run(75), within).troubles())


def test_a_slow_response_against_a_fast_escalation_is_a_broken_promise() -> None:
    """A response of 4 ms is too slow where the next hop is unhealthy after 50 ms."""
    slow = run(3, said=answer(effects=(Effect("gateway", "x", 0.0, 4_000_000, None),)))
    trial = Trial(ERRORS, run(75, escalation_s=0.05), slow)
    assert any("response/escalation" in trouble for trouble in trial.troubles())


def test_a_masked_failure_must_be_unseen_and_reported() -> None:
    """Behind a fallback no user may notice in either run, and the incident must say that it was masked."""
    said = answer(origins={"risk": 2}, masked=True)
    assert Trial(MASKED, run(0), run(0, said=said)).troubles() == []
    unsaid = Trial(MASKED, run(0), run(0, said=answer(origins={"risk": 2})))
    assert unsaid.troubles() == ["the incident does not say that it was masked"]
    seen = Trial(MASKED, run(30), run(0, said=said))
    assert "observe-only" in seen.troubles()[0]


def test_an_alarm_in_healthy_traffic_is_a_defect() -> None:
    """An incident without a fault fails the whole demo."""
    assert results(incidents=1).troubles() == {
        "healthy": ["healthy traffic: 1 incidents and 1 commands (search)"],
    }


def test_the_table_fits_a_terminal() -> None:
    """No line is longer than 120 columns, and every fault and every reason has its line."""
    bad = Trial(FAULTS[3], run(1400, 14), run(367, said=answer(closed_at=None, closed=0)))
    shown = table(results(Trial(ERRORS, run(75), run(3)), bad))
    assert max(map(len, shown.splitlines())) <= 120
    assert "ok replica_errors" in shown
    assert "NO shared_dependency_overload" in shown
    assert "1 failed probe, then hold probe 10 % 50 % full" in shown


def test_the_document_has_the_agreed_keys() -> None:
    """The JSON has every key that the issue names, and unknown stays null."""
    said = document(results(Trial(ERRORS, run(75), run(3)), Trial(ERRORS, run(75), run(3, said=answer(effects=())))))
    decoded = msgspec.json.decode(msgspec.json.encode(said))
    assert {"incidents", "commands", "requests"} <= set(decoded["healthy"])
    fault, dumb = decoded["faults"]
    assert {"name", "contained", "onset_to_signal_s", "response_over_escalation"} <= set(fault)
    assert {"failed", "slow", "requests", "blast_radius", "escalation_s"} <= set(fault["observe"]) & set(
        fault["enforce"]
    )
    assert set(fault["signal_to_effective_s"]) >= {"p50", "p99", "max"}
    assert fault["contained"] is True
    assert dumb["signal_to_effective_s"]["p99"] is None


def test_a_proxy_is_given_the_time_that_was_promised_for_it() -> None:
    """Ten milliseconds for HAProxy, twenty for Envoy, five in process."""
    said = answer(effects=(Effect("gateway", "x", 0.0, 12_000_000, None),))
    expected: list[tuple[DataPlaneKind, bool]] = [("in-process", False), ("haproxy", False), ("envoy", True)]
    for data_plane, kept in expected:
        trial = Trial(ERRORS, run(75, escalation_s=1.0), run(3, said=said), data_plane)
        assert (trial.troubles() == []) is kept, data_plane


def test_what_a_proxy_cannot_show_is_said() -> None:
    """Table and document name the faults that do not pass it, and why."""
    why = f"{MASKED.name}: {why_not(MASKED)}"
    through = msgspec.structs.replace(results(Trial(ERRORS, run(75), run(3))), data_plane="envoy", left_out=(why,))
    shown = table(through)
    assert max(map(len, shown.splitlines())) <= 120
    assert "through envoy" in shown
    assert "Left out: third_party_dies: only checkout calls risk, and none of that passes the proxy." in shown
    assert document(through)["left_out"] == (why,)
    assert document(through)["data_plane"] == "envoy"


def test_the_faults_of_services_that_the_gateway_calls_pass_a_proxy() -> None:
    """Four of six; the shared dependency and the third party are called by others alone."""
    assert [fault.name for fault in FAULTS if passes(fault)] == [
        "replica_errors",
        "replica_slow",
        "replica_hangs",
        "bad_version",
    ]


def test_a_choice_of_which_a_proxy_meets_nothing_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is started, with the reason and what would do."""
    monkeypatch.setattr("controlplane.demo.front.envoy.binary", lambda: "envoy")
    check("in-process", ["third_party_dies"])
    check("envoy", ["third_party_dies", "replica_slow"])
    with pytest.raises(NoProxy, match=r"only checkout calls risk.*It meets replica_errors, replica_slow"):
        check("envoy", ["third_party_dies"])
