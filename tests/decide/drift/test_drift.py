"""Who is drifted: comparison, settling, flapping, restart."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from controlplane.decide.drift import drifted
from controlplane.decide.drift.compare import MAJORITY_OF_MIN, differences, unclear
from controlplane.decide.drift.memory import SETTLE_NS
from controlplane.decide.engine import Engine
from controlplane.model.drift import DriftCleared, DriftFound, Fingerprint, FingerprintNoted, FingerprintSeen
from controlplane.model.policy import ResponsePolicy
from controlplane.model.record import Record
from controlplane.model.signal import Target
from controlplane.model.topology import Endpoint, Service, Topology
from controlplane.model.unit import SECOND, Nanos

START = Nanos(1_000 * SECOND)


def service(count: int = 4, version: str = "", **more: str) -> Service:
    endpoints = tuple(Endpoint(name=f"o{n}", url=f"http://127.0.0.1:{n}", version=version) for n in range(1, count + 1))
    return Service(name="orders", endpoints=endpoints, **more)


def known(*values: str, parts: dict[int, dict[str, str]] | None = None) -> dict[str, Fingerprint]:
    return {
        f"orders/o{n}": Fingerprint(
            target=Target("orders", f"o{n}"), value=value, at=START, parts=(parts or {}).get(n, {})
        )
        for n, value in enumerate(values, 1)
        if value
    }


def engine(one: Service) -> Engine:
    made = Engine(Topology(services=(Service(name="web", calls=("orders",)), one), entry="web"), ResponsePolicy())
    made.start(START, boot="b", wall_ns=0)
    return made


def tell(made: Engine, now: Nanos, endpoint: str, value: str, **parts: str) -> list[Record]:
    signal = FingerprintSeen(at=now, target=Target("orders", endpoint), fingerprint=value, parts=parts)
    return list(made.step(signal, now).records)


def test_the_minority_of_three_is_named() -> None:
    """Three have spoken, two are alike: the third one differs."""
    found = differences(service(), known("a", "b", "a"))
    assert found == {Target("orders", "o2"): (("fingerprint b instead of a",), "2 of the 3 compared are")}


def test_two_that_differ_accuse_nobody() -> None:
    """One of two is wrong, and nobody knows which; no majority of four is said to be unclear."""
    assert differences(service(), known("a", "b")) == {}
    assert differences(service(), known("a", "a", "b", "b")) == {}
    assert unclear(service(), known("a", "a", "b", "b")) == ["orders: 2 fingerprints among 4 endpoints, no majority"]


def test_what_is_declared_counts_more_than_the_majority() -> None:
    """All three run with what nobody declared: all three differ."""
    assert set(differences(service(fingerprint="w"), known("a", "a", "a"))) == {
        Target("orders", f"o{n}") for n in (1, 2, 3)
    }


def test_versions_and_environments_are_compared_apart() -> None:
    """A new version may have another configuration, and so may another environment."""
    one = service(3)
    mixed = msgspec.structs.replace(
        one, endpoints=(*one.endpoints, Endpoint(name="o4", url="http://127.0.0.1:4", version="v2"))
    )
    assert differences(mixed, known("a", "a", "a", "b")) == {}
    elsewhere = known("a", "a", "a", "b")
    elsewhere["orders/o4"] = msgspec.structs.replace(elsewhere["orders/o4"], environment="eu")
    assert differences(service(), elsewhere) == {}


def test_parts_are_named_and_their_values_are_not_shown() -> None:
    """People learn which setting differs; a secret stays one."""
    parts = {1: {"flag": "on", "key": "s3cret"}, 2: {"flag": "on", "key": "s3cret"}, 3: {"flag": "off", "extra": "x"}}
    found = differences(service(), known("a", "a", "b", parts=parts))
    names, _ = found[Target("orders", "o3")]
    assert names == ("flag differs", "key is missing", "extra is only here")


def slow(values: list[str]) -> set[str]:
    """Whom a person would name, by counting pairs."""
    spoken = [(f"o{n}", value) for n, value in enumerate(values, 1) if value]
    bad = set()
    for name, value in spoken:
        for _, other in spoken:
            alike = sum(1 for _, each in spoken if each == other)
            if value != other and alike > len(spoken) - alike and len(spoken) >= MAJORITY_OF_MIN:
                bad.add(name)
    return bad


@given(st.lists(st.sampled_from(["", "a", "b", "c"]), min_size=1, max_size=9))
def test_the_majority_is_that_of_the_slow_count(values: list[str]) -> None:
    """Against counting every pair."""
    found = differences(service(len(values)), known(*values))
    assert {target.endpoint for target in found} == slow(values)


def test_a_difference_is_told_when_it_has_stood_and_cleared_at_once() -> None:
    """Nothing before the time, one finding after it, and one end when reconciled."""
    made = engine(service())
    for name, value in (("o1", "a"), ("o2", "b"), ("o3", "a")):
        assert not any(isinstance(one, DriftFound) for one in tell(made, START, name, value))
    before = made.tick(Nanos(START + SETTLE_NS - 1))
    assert not drifted(made.state)
    assert before.wake_at is not None
    assert before.wake_at <= START + SETTLE_NS
    made.tick(Nanos(START + SETTLE_NS))
    (one,) = drifted(made.state, "orders")
    assert (one.who, one.since) == ("orders/o2", START)
    records = tell(made, Nanos(START + 2 * SETTLE_NS), "o2", "a")
    assert any(isinstance(each, DriftCleared) for each in records)
    assert not drifted(made.state)


def test_ten_thousand_changes_an_hour_make_few_records() -> None:
    """An endpoint that changes every third of a second does not fill the journal, nor people's screens."""
    made = engine(service())
    for name in ("o1", "o3"):
        tell(made, START, name, "a")
    records: list[Record] = []
    notices = 0
    for turn in range(10_800):
        now = Nanos(START + turn * SECOND // 3)
        records += tell(made, now, "o2", "ab"[turn % 2])
        outcome = made.tick(now)
        records += outcome.records
        notices += len(outcome.notices)
    assert sum(isinstance(one, FingerprintNoted) for one in records) <= 361  # every 10 s
    assert sum(isinstance(one, DriftFound) for one in records) <= 7
    assert notices <= 14


def test_what_an_endpoint_said_last_is_noted_in_the_end() -> None:
    """A change within the pause between two notes is late, not lost."""
    made = engine(service())
    tell(made, START, "o1", "a")
    tell(made, Nanos(START + 1 * SECOND), "o1", "b")
    assert made.state.fingerprints["orders/o1"].value == "a"
    made.tick(Nanos(START + 10 * SECOND))
    assert made.state.fingerprints["orders/o1"].value == "b"


def test_a_restart_remembers_and_goes_on() -> None:
    """Fingerprints told once, when processes started, are not asked for again; what was reconciled clears."""
    made = engine(service())
    records = [one for name, value in (("o1", "a"), ("o2", "b"), ("o3", "a")) for one in tell(made, START, name, value)]
    records += made.tick(Nanos(START + SETTLE_NS)).records
    again = engine(service())
    again.restore(msgspec.json.decode(msgspec.json.encode(records), type=list[Record]))
    now = Nanos(START + 2 * SETTLE_NS)
    again.start(now, boot="b", wall_ns=0)
    assert [one.who for one in drifted(again.state)] == ["orders/o2"]
    tell(again, Nanos(now + SECOND), "o2", "a")
    assert not drifted(again.state)


def test_an_endpoint_that_is_no_longer_declared_is_not_drifted() -> None:
    """It has left the topology over a restart."""
    made = engine(service())
    records = [one for name, value in (("o1", "a"), ("o4", "b"), ("o3", "a")) for one in tell(made, START, name, value)]
    records += made.tick(Nanos(START + SETTLE_NS)).records
    again = engine(service(3))
    again.restore(records)
    again.start(Nanos(START + 2 * SETTLE_NS), boot="b", wall_ns=0)
    assert not drifted(again.state)


def test_drift_orders_nothing() -> None:
    """It is told; no traffic moves."""
    made = engine(service(fingerprint="w"))
    outcomes = [
        made.step(FingerprintSeen(at=START, target=Target("orders", f"o{n}"), fingerprint="x"), START)
        for n in range(1, 5)
    ]
    outcomes.append(made.tick(Nanos(START + SETTLE_NS)))
    assert len(drifted(made.state)) == 4
    assert not any(outcome.commands for outcome in outcomes)


def test_nonsense_is_not_believed() -> None:
    """An empty fingerprint, one of a whole service, an overlong one: nothing is remembered."""
    made = engine(service())
    for target, value in ((Target("orders", "o1"), ""), (Target("orders"), "a"), (Target("orders", "o1"), "x" * 201)):
        made.step(FingerprintSeen(at=START, target=target, fingerprint=value), START)
    assert not made.state.fingerprints
