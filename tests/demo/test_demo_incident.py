"""Reading the planes' records: who was named, how fast each hold took effect, what came back how."""

import msgspec

from controlplane.demo.fault import FAULTS
from controlplane.demo.incident import read
from controlplane.model.analysis import Analysis, Origin
from controlplane.model.command import Command, Eject, Intent, Limit, Weigh
from controlplane.model.incident import Phase, Stage
from controlplane.model.record import (
    Assessed,
    BecameEffective,
    CommandAcknowledged,
    CommandIssued,
    EvidenceAdded,
    IncidentClosed,
    IncidentMerged,
    IncidentOpened,
    MaskChanged,
    OriginMoved,
    PhaseChanged,
    Record,
    StageChanged,
)
from controlplane.model.signal import Cause, Target
from controlplane.model.unit import MILLISECOND, CommandId, Epoch, IncidentId, Nanos

ONSET = Nanos(1_000_000_000)
BAD = Target("catalog", "catalog-2")
FAULT = {fault.name: fault for fault in FAULTS}


def at(ms: float) -> Nanos:
    return Nanos(ONSET + round(ms * MILLISECOND))


def opened(ms: float, origin: Target = BAD, cause: Cause = Cause.ERRORS) -> IncidentOpened:
    return IncidentOpened(
        at=at(ms), incident=IncidentId("i1"), origin=origin, cause=cause, signal_at=at(ms), shadow=False, evidence=""
    )


def order(ms: float, name: str, intent: Intent, *, signal: float, stage: Stage, target: Target = BAD) -> list[Record]:
    """An order, its stage, and its acknowledgement half a millisecond later."""
    command = Command(
        id=CommandId(name),
        epoch=Epoch(1),
        incident=IncidentId("i1"),
        target=target,
        intent=intent,
        lease_until=at(ms + 10_000),
        signal_at=at(signal),
    )
    changed = StageChanged(
        at=at(ms),
        incident=IncidentId("i1"),
        target=target,
        stage=stage,
        percent=0,
        penalty_ns=Nanos(0),
        relapses=0,
        reason="",
        command=command.id,
    )
    acknowledged = CommandAcknowledged(at=at(ms + 0.5), incident=IncidentId("i1"), command=command.id, ok=True)
    return [CommandIssued(at=at(ms), command=command), changed, acknowledged]


def effective(ms: float, *, signal: float, target: Target = BAD) -> BecameEffective:
    return BecameEffective(at=at(ms), incident=IncidentId("i1"), target=target, signal_at=at(signal))


def test_a_reflex_is_effective_with_its_first_request() -> None:
    """Where the first differently treated request came before the order was acknowledged, it gives the time."""
    records = [opened(50), effective(50.02, signal=50), *order(51, "c1", Eject(), signal=50, stage=Stage.HOLD)]
    (effect,) = read({"gateway": records}, onset=ONSET).effects
    assert (effect.effective_ns, effect.first_request_ns) == (20_000, 20_000)
    assert effect.in_force_ns == 1.5 * MILLISECOND


def test_whom_the_graph_blames_counts_as_named() -> None:
    """An incident that moved to the wrong service is misnamed, and so is a fault that the graph lays elsewhere."""
    name, origin = IncidentId("i1"), Target("catalog")
    blamed = Analysis(origins=(Origin("search", 0.9),))
    records = [opened(50), OriginMoved(at=at(60), incident=name, origin=origin, reason="")]
    assert read({"gateway": records}, onset=ONSET).misnamed(FAULT["replica_errors"]) == ["catalog"]
    records = [opened(50), Assessed(at=at(60), incident=name, analysis=blamed)]
    assert read({"gateway": records}, onset=ONSET).misnamed(FAULT["replica_errors"]) == ["search, by the graph,"]


def test_a_limit_that_nobody_reached_is_effective_when_acknowledged() -> None:
    """Without a request that had to be treated differently, the acknowledgement gives the time, and says so."""
    records = [opened(50), *order(50.3, "c1", Limit(1), signal=50, stage=Stage.HOLD)]
    (effect,) = read({"cart-1": records}, onset=ONSET).effects
    assert (effect.effective_ns, effect.first_request_ns) == (0.8 * MILLISECOND, None)


def test_recovery_is_no_response() -> None:
    """Orders that readmit traffic, and holds that a failed probe prolongs, are not counted; a relapse of readmitted
    traffic is."""
    records = [
        opened(50),
        *order(51, "c1", Eject(), signal=50, stage=Stage.HOLD),
        *order(551, "c2", Weigh(0), signal=50, stage=Stage.PROBE),
        *order(560, "c3", Eject(), signal=559, stage=Stage.HOLD),
        *order(1560, "c4", Weigh(10), signal=559, stage=Stage.RAMP),
        *order(1601, "c5", Eject(), signal=1600, stage=Stage.HOLD),
    ]
    effects = read({"gateway": records}, onset=ONSET).effects
    assert [round(effect.signal_s * 1e3) for effect in effects] == [50, 1600]


def test_the_same_command_name_on_two_planes_is_two_commands() -> None:
    """Planes number their commands each for itself."""
    one = [opened(50), *order(50.3, "c1", Limit(1), signal=50, stage=Stage.HOLD)]
    two = [opened(70), *order(70.9, "c1", Limit(1), signal=70, stage=Stage.HOLD)]
    answer = read({"cart-1": one, "cart-2": two}, onset=ONSET)
    assert [effect.in_force_ns for effect in answer.effects] == [0.8 * MILLISECOND, 1.4 * MILLISECOND]
    assert answer.signal_at == at(50)


def test_a_fault_of_one_replica_must_be_pinned_on_it() -> None:
    """A sibling, or the service as a whole, is the wrong name."""
    for origin, wrong in ((BAD, []), (Target("catalog"), ["catalog"]), (Target("stock"), ["stock"])):
        assert read({"gateway": [opened(1, origin)]}, onset=ONSET).misnamed(FAULT["replica_errors"]) == wrong


def test_a_bad_version_must_be_named_as_one() -> None:
    """An incident of the right service that does not name the version falls short."""
    first = opened(1, Target("account", "account-3"))
    added = EvidenceAdded(
        at=at(9), incident=first.incident, target=first.origin, evidence="", cause=Cause.VERSION, version="v2"
    )
    assert read({"gateway": [first]}, onset=ONSET).misnamed(FAULT["bad_version"]) == ["no incident names version v2"]
    named = read({"gateway": [first, added]}, onset=ONSET)
    assert named.misnamed(FAULT["bad_version"]) == []
    assert named.causes == ("errors", "version")


def test_closing_and_masking_are_read() -> None:
    """An incident that is still open is counted as such; what the records say of masking is believed."""
    mask = MaskChanged(at=at(2), incident=IncidentId("i1"), masked=True, reason="")
    end = IncidentClosed(at=at(900), incident=IncidentId("i1"), reason="")
    answer = read({"checkout-1": [opened(1), mask, end], "checkout-2": [opened(3)]}, onset=ONSET)
    assert (answer.opened, answer.closed, answer.closed_at, answer.masked) == (2, 1, at(900), True)


def test_a_merged_incident_has_ended() -> None:
    """It goes on as another one: nothing waits for it to close by itself."""
    other = msgspec.structs.replace(opened(3, Target("cart")), incident=IncidentId("i2"))
    merged = IncidentMerged(at=at(900), incident=other.incident, into=IncidentId("i1"), reason="")
    answer = read({"gateway": [opened(1), other, merged]}, onset=ONSET)
    assert (answer.opened, answer.closed) == (2, 1)
    assert [(one.incident, one.merged_into, one.children) for one in answer.lifetimes] == [
        ("i1", "", 1),
        ("i2", "i1", 0),
    ]


def test_what_an_incident_took_is_read_as_the_plane_counts_it() -> None:
    """Its own fold gives the times."""
    moved = PhaseChanged(at=at(52), incident=IncidentId("i1"), phase=Phase.COMMUNICATION, reason="")
    records = [
        msgspec.structs.replace(opened(50), began_at=at(10)),
        *order(51, "c1", Eject(), signal=50, stage=Stage.HOLD),
        moved,
    ]
    [one] = read({"gateway": records}, onset=ONSET).lifetimes
    assert (one.to_detect_s, one.to_contain_s, one.to_stabilize_s) == (0.04, 0.002, None)
    assert one.reached == ("catalog",)


def test_silence_is_no_answer() -> None:
    """Without records there is no signal, no effect and no incident."""
    answer = read({"gateway": []}, onset=ONSET)
    assert (answer.opened, answer.signal_at, answer.effects) == (0, None, ())


def test_behind_a_proxy_only_its_acknowledgement_counts() -> None:
    """A reflex of a guard that makes no call treats no request differently, whatever the record says of it."""
    issued, changed, acknowledged = order(10, "c1", Eject(), signal=9.9, stage=Stage.HOLD)
    assert isinstance(issued, CommandIssued)
    assert isinstance(acknowledged, CommandAcknowledged)
    reflex = msgspec.structs.replace(issued, command=msgspec.structs.replace(issued.command, reflex=True))
    late: Record = msgspec.structs.replace(acknowledged, at=at(17.9))
    told: list[Record] = [opened(9.9), reflex, changed, effective(9.95, signal=9.9), late]
    records = {"gateway": told}
    (effect,) = read(records, onset=ONSET).effects
    assert effect.effective_ns == 50_000
    (effect,) = read(records, onset=ONSET, proxied={"gateway"}).effects
    assert (effect.in_force_ns, effect.first_request_ns, effect.effective_ns) == (8_000_000, None, 8_000_000)
