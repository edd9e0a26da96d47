"""The rules of a recovery as tables: which step a stage, its traffic and the time call for."""

import msgspec
import pytest

from controlplane.decide import recovery
from controlplane.decide.penalty import Sentence
from controlplane.decide.recovery import Step, Traffic
from controlplane.model.command import Eject, Intent, Limit, Probe, Restore, Weigh
from controlplane.model.incident import Containment, Stage
from controlplane.model.policy import ResponsePolicy
from controlplane.model.signal import Target
from controlplane.model.unit import SECOND, Nanos

POLICY = ResponsePolicy(penalty_s=5, ramp_step_s=5, ramp_calls_min=5, verify_s=10, ramp_percent=(10, 25, 50))
SICK = Target("orders", "a")


def held(stage: Stage, percent: int = 0, *, concurrency: int = 0, overload: bool = False) -> Containment:
    return Containment(
        target=SICK,
        stage=stage,
        percent=percent,
        since=Nanos(0),
        penalty_ns=Nanos(5 * SECOND),
        hold_ns=Nanos(5 * SECOND),
        concurrency=concurrency,
        overload=overload,
    )


def at(containment: Containment, traffic: Traffic, seconds: float) -> Step | None:
    return recovery.advance(containment, traffic, POLICY, Nanos(round(seconds * SECOND)))


FORTH: list[tuple[Stage, int, Traffic, float, Stage | None, int]] = [
    # stage, percent, traffic, seconds since it began -> next stage (None: not yet), its percent
    (Stage.HOLD, 0, Traffic(), 4.9, None, 0),
    (Stage.HOLD, 0, Traffic(), 5.0, Stage.PROBE, 0),
    (Stage.PROBE, 0, Traffic(), 1_000.0, None, 0),  # only probes that pass move it
    (Stage.RAMP, 10, Traffic(calls=50), 4.9, None, 0),  # calls, but no time
    (Stage.RAMP, 10, Traffic(calls=4), 5.0, None, 0),  # time, but too few calls
    (Stage.RAMP, 10, Traffic(calls=5), 5.0, Stage.RAMP, 25),
    (Stage.RAMP, 25, Traffic(calls=5), 5.0, Stage.RAMP, 50),
    (Stage.RAMP, 50, Traffic(calls=5), 5.0, Stage.FULL, 100),
    (Stage.RAMP, 50, Traffic(calls=1), 20.0, Stage.FULL, 100),  # there is no more traffic: patience is over
    (Stage.RAMP, 50, Traffic(), 59.9, None, 0),
    (Stage.RAMP, 50, Traffic(), 60.0, Stage.PROBE, 50),  # and without any it is probed: what passes earns what is next
    (Stage.RAMP, 50, Traffic(calls=5, failures=1), 5.0, None, 0),  # one failure is no pattern, nor is it clean
    (Stage.RAMP, 50, Traffic(calls=10, failures=1), 5.0, Stage.FULL, 100),
    (Stage.FULL, 100, Traffic(calls=5), 9.9, None, 0),
    (Stage.FULL, 100, Traffic(calls=5), 10.0, Stage.VERIFIED, 100),
    (Stage.FULL, 100, Traffic(), 10_000.0, None, 0),
    (Stage.VERIFIED, 100, Traffic(calls=50), 1_000.0, None, 0),
]


@pytest.mark.parametrize(("stage", "percent", "traffic", "seconds", "then", "share"), FORTH)
def test_a_step_is_earned_by_time_and_calls(
    stage: Stage, percent: int, traffic: Traffic, seconds: float, then: Stage | None, share: int
) -> None:
    """No share rises by either alone."""
    step = at(held(stage, percent), traffic, seconds)
    assert (None if step is None else step.stage) is then
    assert step is None or step.percent == share


def test_probes_that_pass_earn_the_share_after_the_one_that_was_reached() -> None:
    """From a hold the first one; where a share brought no call, the next; after the last all of the traffic."""
    steps = [recovery.passed(held(Stage.PROBE, percent), POLICY) for percent in (0, 10, 50)]
    assert [(step.stage, step.percent) for step in steps if step is not None] == [
        (Stage.RAMP, 10),
        (Stage.RAMP, 25),
        (Stage.FULL, 100),
    ]
    assert recovery.passed(held(Stage.RAMP, 10), POLICY) is None


BACK: list[tuple[Stage, int, Stage, int, Intent]] = [
    (Stage.FULL, 100, Stage.RAMP, 50, Weigh(50)),
    (Stage.RAMP, 50, Stage.RAMP, 25, Weigh(25)),
    (Stage.RAMP, 25, Stage.RAMP, 10, Weigh(10)),
    (Stage.RAMP, 10, Stage.PROBE, 0, Probe()),
]


@pytest.mark.parametrize(("stage", "percent", "then", "share", "intent"), BACK)
def test_dirty_traffic_goes_one_stage_back_before_its_step_ends(
    stage: Stage, percent: int, then: Stage, share: int, intent: Intent
) -> None:
    """With a longer penalty, and with the counts that speak for it; not while calls of the stage before it end."""
    assert at(held(stage, percent), Traffic(calls=10, failures=2), 2.4) is None
    step = at(held(stage, percent), Traffic(calls=10, failures=2), 2.5)
    assert step is not None
    assert (step.stage, step.percent, step.intent) == (then, share, intent)
    assert step.penalty_ns == 10 * SECOND
    assert step.relapses == 1
    assert "2 of 10 calls failed" in step.reason


def test_a_service_that_was_limited_is_limited_again_when_full_traffic_is_dirty() -> None:
    """Half of the traffic of an overloaded service is no remedy: what held it is the limit that adapts."""
    step = at(held(Stage.FULL, 100, concurrency=4), Traffic(calls=10, failures=5), 3)
    assert step is not None
    assert (step.stage, step.intent, step.concurrency) == (Stage.HOLD, Limit(4), 4)


def test_a_limit_that_binds_no_longer_is_lifted_and_remembered() -> None:
    """At full traffic nothing is limited, but a relapse knows what to limit to."""
    step = at(held(Stage.HOLD, concurrency=4, overload=True), Traffic(calls=50), 5)
    assert step is not None
    assert (step.stage, step.intent, step.concurrency) == (Stage.FULL, Restore(), 4)


def test_a_verdict_doubles_what_is_on_record_up_to_the_maximum() -> None:
    """Whatever the stage, and whether the record is of this incident or of one before."""
    sentence, seen, containment = Sentence(), [], None
    for _ in range(8):
        step = recovery.contain(Eject(), POLICY, containment, sentence)
        seen.append(step.penalty_ns // SECOND)
        assert step.penalty_ns <= step.hold_ns <= step.penalty_ns * 1.1
        containment = msgspec.structs.replace(held(Stage.PROBE), penalty_ns=step.penalty_ns, relapses=step.relapses)
        sentence = Sentence(step.penalty_ns, "x")
    assert seen == [5, 10, 20, 40, 80, 160, 300, 300]


def test_many_planes_do_not_probe_in_step() -> None:
    """The jitter of two boots, of two targets, and of two holds of one target differs; asked again it is the same."""
    salts = ("boot-1 a", "boot-2 a", "boot-1 b")
    drawn = [Sentence(salt=salt).hold(Nanos(5 * SECOND), count) for salt in salts for count in (0, 1)]
    assert len(set(drawn)) == len(drawn)
    assert drawn[0] == Sentence(salt="boot-1 a").hold(Nanos(5 * SECOND), 0)
    spread = [Sentence(salt=f"host-{n} a").hold(Nanos(5 * SECOND), 0) for n in range(200)]
    assert max(spread) - min(spread) > 0.45 * SECOND
