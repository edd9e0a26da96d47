"""A penalty is halved by evidence and by nothing else."""

from controlplane.decide.engine import Engine
from controlplane.model.policy import ResponsePolicy
from controlplane.model.record import PenaltyDecayed, Record, StageChanged
from controlplane.model.signal import Cause, EdgeSampled, ProbeFinished, Sampled, Target, Tripped
from controlplane.model.topology import Endpoint, Service, Topology
from controlplane.model.unit import SECOND, Nanos

START = Nanos(1_000 * SECOND)
SICK = Target("orders", "a")
POLICY = ResponsePolicy(penalty_s=1, ramp_step_s=1, verify_s=2, ramp_percent=(50,), ramp_calls_min=1)


def topology(names: str) -> Topology:
    orders = Service(name="orders", endpoints=tuple(Endpoint(name=name, url=f"http://{name}:1") for name in names))
    return Topology(services=(Service(name="web", calls=("orders",)), orders), entry="web")


class Plant:
    """An engine with a penalty of `seconds` on record for one endpoint of `names`, and nothing open."""

    def __init__(self, seconds: int = 8, names: str = "abcd") -> None:
        self.engine = Engine(topology(names), POLICY)
        self.engine.restore([PenaltyDecayed(at=START, target=SICK, penalty_ns=Nanos(seconds * SECOND), reason="")])
        self.engine.start(START, boot="1", wall_ns=START)
        self.now = START
        self.decays: list[PenaltyDecayed] = []

    def report(self, seconds: int, calls: int, failures: int = 0, *, own: bool = False, every: float = 1.0) -> None:
        for _ in range(round(seconds / every)):
            self.now = Nanos(self.now + round(every * SECOND))
            if own:
                signal = Sampled(at=self.now, target=SICK, calls=calls, failures=failures, slow=0)
            else:
                signal = EdgeSampled(
                    at=self.now, caller="web", callee="orders", window_ns=SECOND, calls=calls, failures=failures
                )
            self.keep(self.engine.step(signal, self.now).records)

    def keep(self, records: tuple[Record, ...]) -> None:
        self.decays += [record for record in records if isinstance(record, PenaltyDecayed)]

    def left(self) -> float:
        return self.engine.state.penalties.get("orders", {}).get("a", 0) / SECOND


def test_clean_calls_for_as_long_as_the_penalty_halve_it_and_again() -> None:
    """8 s under clean traffic leave 4 s, 4 s more leave 2 s, and what would be below the first penalty is nothing."""
    plant = Plant()
    plant.report(9, 40)
    assert plant.left() == 4
    plant.report(5, 40)
    assert plant.left() == 2
    plant.report(10, 40)
    assert plant.left() == 0
    assert plant.engine.state.penalties == {}
    assert [decay.penalty_ns // SECOND for decay in plant.decays] == [4, 2, 1, 0]


def test_time_alone_never_does() -> None:
    """An hour without a call, whatever ticks."""
    plant = Plant()
    plant.keep(plant.engine.tick(Nanos(START + 3_600 * SECOND)).records)
    plant.now = Nanos(START + 3_600 * SECOND)
    plant.report(3, 40)
    assert plant.left() == 8


def test_reports_far_apart_leave_time_that_nobody_saw() -> None:
    """One good call an hour is no hour under traffic."""
    plant = Plant()
    plant.report(360_000, 40, every=3_600)
    assert plant.left() == 8


def test_calls_of_its_service_count_for_an_endpoint_s_fair_share() -> None:
    """Of 8 calls a second four endpoints had two each: 8 s bring 16 calls to it, of the 10 that a halving takes."""
    enough, few = Plant(), Plant()
    enough.report(9, 8)
    few.report(9, 4)
    assert (enough.left(), few.left()) == (4, 8)


def test_failures_of_its_service_are_laid_to_it_when_in_doubt() -> None:
    """4 % of the service's calls could be 16 % of one endpoint's in four: not clean. Its own count knows better."""
    doubt, known = Plant(), Plant()
    doubt.report(30, 100, 4)
    known.report(9, 25, 1, own=True)
    assert (doubt.left(), known.left()) == (8, 4)


def test_a_verdict_makes_what_was_clean_before_it_worthless() -> None:
    """The hold that follows begins from the whole penalty."""
    plant = Plant()
    plant.report(7, 40)
    trip = Tripped(at=plant.now, target=SICK, cause=Cause.ERRORS, calls=5, failures=5)
    records = plant.engine.step(trip, plant.now).records
    assert [record.penalty_ns // SECOND for record in records if isinstance(record, StageChanged)] == [16]
    plant.report(20, 40)
    assert plant.left() == 16, "what is held back proves nothing by the calls of its siblings"


def test_active_probes_are_evidence_where_there_is_no_other() -> None:
    """Ten of them, a second apart: what a process without traffic has."""
    plant = Plant()
    for _ in range(12):
        plant.now = Nanos(plant.now + SECOND)
        plant.keep(plant.engine.step(ProbeFinished(at=plant.now, target=SICK, ok=True), plant.now).records)
    assert plant.left() == 4


def test_an_endpoint_that_is_gone_leaves_no_penalty() -> None:
    """Names that come and go do not grow the record for ever."""
    engine = Engine(topology("bcd"), POLICY)
    engine.restore([PenaltyDecayed(at=START, target=SICK, penalty_ns=Nanos(SECOND), reason="")])
    engine.start(START, boot="1", wall_ns=START)
    assert engine.state.penalties == {}
